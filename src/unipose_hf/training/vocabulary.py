# SPDX-License-Identifier: Apache-2.0
"""A new text vocabulary for a trained model: known words keep their embeddings, new ones start near similar words."""

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.data.language.composer import Composer, load_described
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import TASKS, TEXT_STYLES, UniPoseProcessor

from .pose_tokenizer import pose_pool

_RIDGE = 30.0  # ridge penalty of the map from word vectors to the rows of known words
_SHARE = 0.5  # share of a word's vector added to its learnt row, so that similar words are close


@torch.no_grad()
def replace_vocabulary(
    model: UniPoseForConditionalGeneration,
    processor: UniPoseProcessor,
    tokenizer: PreTrainedTokenizerFast,
    word_vectors: dict[str, Tensor],
) -> UniPoseProcessor:
    """Replaces the vocabulary of `model` by that of `tokenizer`, in place.

    Tokens in both vocabularies keep their rows. A new piece starts as the mean of its former pieces and, if it is a
    word with a vector, near the rows of words with similar vectors.

    Args:
        processor: the current processor of the model.
        tokenizer: from [`train_text_tokenizer`], with as many codes as the old one.
        word_vectors: lower-case words and their embeddings `(n,)` by a pretrained text encoder, centred or not.

    Returns:
        the processor with the new tokenizer.
    """
    old_tokenizer = processor.tokenizer
    pieces = [piece for piece, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    known = old_tokenizer.get_vocab()
    parts = [[known[piece]] if piece in known else _parts(old_tokenizer, piece) for piece in pieces]
    vectors = _projected(pieces, word_vectors, model.config.text_config.hidden_size)
    is_word = vectors.abs().sum(1) > 0
    is_known = torch.tensor([piece in known for piece in pieces])
    new_processor = UniPoseProcessor(
        processor.image_processor,
        tokenizer,
        chat_template=tokenizer.chat_template,
        num_codes=processor.num_codes,
        num_image_tokens=processor.num_image_tokens,
    )
    tables = []
    for table in (model.get_input_embeddings().weight, model.lm_head.weight):
        rows = torch.stack([table[numbers].mean(0) for numbers in parts])
        size = table[: min(model.config.pose_code_offset, len(known))].square().mean().sqrt()
        learnt = is_known & is_word
        near = torch.linalg.solve(
            vectors[learnt].T @ vectors[learnt] + _RIDGE * torch.eye(vectors.shape[1]),
            vectors[learnt].T @ rows[learnt],
        )
        guessed = F.normalize(vectors @ near, dim=1) + F.normalize(vectors, dim=1)
        guessed = F.normalize(guessed, dim=1) * size * rows.shape[1] ** 0.5
        new = is_word & ~is_known
        rows[new] = 0.3 * rows[new] + guessed[new]
        if not tables:  # in the head only new rows change, so that generated texts stay the same
            rows[learnt] += _SHARE * F.normalize(vectors[learnt], dim=1) * size * rows.shape[1] ** 0.5
        tables.append(rows)
    embedding = nn.Embedding(*tables[0].shape, padding_idx=tokenizer.pad_token_id)
    embedding.weight.copy_(tables[0])
    model.set_input_embeddings(embedding)
    model.lm_head = nn.Linear(tables[1].shape[1], len(tables[1]), bias=False)
    model.lm_head.weight.copy_(tables[1])
    model.config.text_config.vocab_size = len(pieces)
    for name, number in new_processor.token_ids().items():
        setattr(model.config, name, number)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(model.config.text_config, name, getattr(tokenizer, name))
    return new_processor


def training_texts(language_data: str | Path | None) -> list[str]:
    """The texts of all kinds that training samples are made of.

    Args:
        language_data: optional folder with `described_poses` and `described_pairs`.
    """
    pool = pose_pool(2, 8192)
    sentences = caption_poses(pool, seed=2) + instruct_pairs(pool[:4096], pool[4096:], seed=2)
    sentences += [task.prompt + style for task in TASKS.values() for style in TEXT_STYLES.values()] * 20
    described = (load_described(language_data, kind) for kind in ("poses", "pairs")) if language_data else ()
    return sentences + Composer(pool, *described).all_texts()


def words_of(sentences: list[str]) -> str:
    """The words that occur in training, lower case, separated by spaces."""
    return " ".join(
        sorted({word for text in sentences for word in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text.lower())})
    )


def _parts(old_tokenizer, piece):
    return old_tokenizer.encode(piece.replace("▁", " "), add_special_tokens=False) or [old_tokenizer.unk_token_id]


def _projected(pieces, word_vectors, size):
    """Vectors `(pieces, size)` of pieces that are words, on axes of about equal weight; 0 for other pieces."""
    words = sorted(word_vectors)
    table = torch.stack([word_vectors[word] for word in words])
    table = F.normalize(table - table.mean(0), dim=1)
    _, strength, axes = torch.linalg.svd(table, full_matrices=False)
    table = table @ (axes[:size].T / strength[:size].sqrt())
    table = F.pad(F.normalize(table, dim=1), (0, max(0, size - table.shape[1])))
    turn = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(0))).Q
    rows = dict(zip(words, table @ turn, strict=True))
    nothing = torch.zeros(size)
    return torch.stack([rows.get(piece.replace("▁", "").lower(), nothing) for piece in pieces])
