# SPDX-License-Identifier: Apache-2.0
"""A small text tokenizer for a language model trained from scratch on captions and instructions."""

import io
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import generate_merges

from ..modeling.processing_unipose import CHAT_TEMPLATE, add_pose_tokens


def train_text_tokenizer(
    sentences: Iterable[str], vocab_size: int = 800, codebook_size: int = 512, max_length: int = 1024
) -> PreTrainedTokenizerFast:
    """
    Trains a sentencepiece model (BPE) and converts it to a fast tokenizer. Unseen characters fall back to bytes, so
    every text survives a round trip (except for U+2581, sentencepiece's own space) and no token is unknown.

    Ids: `<pad>` 0, `<s>` 1, `</s>` 2, `<unk>` 3 (never used), 256 bytes, the pieces up to `vocab_size`, then the seven
    special tokens of the chats, then the codes `<pose_0>` ... contiguously. The same sentences give the same
    tokenizer.

    Args:
        sentences: training texts, captions and instructions together with the default prompts of the tasks.
        vocab_size: number of text pieces, including bytes and the first four tokens; fewer if the sentences have
            fewer.
        codebook_size: number of codes of the pose tokenizer.
        max_length: context of the language model in tokens.

    Raises:
        ImportError: sentencepiece is missing.
        ValueError: `vocab_size` leaves no room for the bytes, or there are no sentences.
    """
    try:
        import sentencepiece
    except ImportError as error:
        raise ImportError("Training a text tokenizer needs sentencepiece: pip install unipose-hf[train]") from error

    sentences = list(sentences)
    if not sentences:
        raise ValueError("There are no sentences to train a text tokenizer on.")
    if vocab_size < 300:
        raise ValueError(
            f"vocab_size is {vocab_size}, but 256 bytes, 4 special tokens and letters must fit: use >= 300."
        )
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=trained,
        model_type="bpe",
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        num_threads=1,
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    vocabulary = {pieces.id_to_piece(i): i for i in range(len(pieces))}
    merges = generate_merges(vocabulary, {piece: pieces.get_score(i) for piece, i in vocabulary.items()})
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    # No space is added before the first word, so text after `<user>` or `<assistant>` survives a round trip exactly.
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="left",
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    add_pose_tokens(tokenizer, codebook_size)
    return tokenizer
