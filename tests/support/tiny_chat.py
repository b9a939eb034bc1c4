# SPDX-License-Identifier: Apache-2.0
"""A tiny random model with matching tokenizer and processor, for tests of chats and pipelines."""

import functools

from tiny import CODEBOOK, NUM_CODES, VITPOSE, tiny_model
from unipose_hf.modeling.image_processing_unipose import UniPoseImageProcessor
from unipose_hf.modeling.processing_unipose import TASKS, UniPoseProcessor
from unipose_hf.training.text_tokenizer import train_text_tokenizer

SENTENCES = ["Raise the left arm.", "The right knee is bent.", "The torso leans forward."]


@functools.cache
def tiny_tokenizer():
    return train_text_tokenizer([*SENTENCES, *(task.prompt for task in TASKS.values())] * 3, 300, CODEBOOK)


def tiny_processor(num_image_tokens=16):
    """A processor with the crop view that `VITPOSE` takes."""
    image_processor = UniPoseImageProcessor(pose_size=VITPOSE["image_size"], pose_view="crop")
    return UniPoseProcessor(image_processor, tiny_tokenizer(), num_codes=NUM_CODES, num_image_tokens=num_image_tokens)


def tiny_model_and_processor(pose_vision=VITPOSE, **changes):
    """Both of them; the arguments are those of `tiny_config`."""
    ids = tiny_processor().token_ids()
    text = {"vocab_size": len(tiny_tokenizer()), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    model = tiny_model(pose_vision=pose_vision, text=text | changes.pop("text", {}), **ids, **changes)
    return model, tiny_processor(model.config.image_seq_length)
