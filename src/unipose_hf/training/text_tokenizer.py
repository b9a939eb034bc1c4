# SPDX-License-Identifier: Apache-2.0
"""A small text tokenizer for a language model that is trained from nothing on captions and instructions."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ..modeling.processing_unipose import CHAT_TEMPLATE, add_pose_tokens


def train_text_tokenizer(
    sentences: Iterable[str], vocab_size: int = 600, codebook_size: int = 512, max_length: int = 1024
) -> PreTrainedTokenizerFast:
    """
    Train a byte-level BPE tokenizer: every character of every language is representable and comes back as it was, so there
    is no unknown token.

    Ids: `<pad>` 0, `<s>` 1, `</s>` 2, then 256 bytes and the merged pieces up to `vocab_size`, then the seven special
    tokens of the chats, then the codes `<pose_0>` ... in one run. The same sentences give the same tokenizer.

    Args:
        sentences: training texts, captions and instructions together with the default prompts of the tasks.
        vocab_size: text pieces, bytes and the three first tokens included; fewer if the sentences hold fewer.
        codebook_size: codes of the pose tokenizer.
        max_length: context of the language model in tokens.

    Raises:
        ValueError: `vocab_size` leaves no room for the bytes, or there are no sentences.
    """
    sentences = list(sentences)
    if not sentences:
        raise ValueError("There are no sentences to train a text tokenizer on.")
    first_tokens = ["<pad>", "<s>", "</s>"]
    if vocab_size < 256 + len(first_tokens):
        raise ValueError(
            f"vocab_size is {vocab_size}, but 256 bytes and {len(first_tokens)} special tokens must fit in it."
        )
    backend = Tokenizer(models.BPE())
    # No space is put before the first word: what follows `<user>` or `<assistant>` then round trips exactly.
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=first_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    backend.train_from_iterator(sentences, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        padding_side="left",
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    add_pose_tokens(tokenizer, codebook_size)
    return tokenizer
