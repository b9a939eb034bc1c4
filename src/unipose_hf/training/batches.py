# SPDX-License-Identifier: Apache-2.0
"""Batches of one task for training: the processor's chats as token ids, written for many rows at once.

The rows are exactly those of `processor.apply_chat_template(task_messages(...), answer_queries=True)`; only the steps
of the library between a chat and its ids are left out, since poses here are already codes and pictures already
features.
"""

import torch

from unipose_hf.modeling.modeling_unipose import make_shift_labels
from unipose_hf.modeling.processing_unipose import (
    ASSISTANT_TOKEN,
    IMAGE_TOKEN,
    POSE_END_TOKEN,
    POSE_QUERY_TOKEN,
    POSE_START_TOKEN,
    POSE_TOKEN,
    TASKS,
    USER_TOKEN,
    UniPoseProcessor,
)


def task_batch(
    processor: UniPoseProcessor,
    config,
    task: str,
    texts: list[str],
    prompt_codes: torch.LongTensor | None = None,
    answer_codes: torch.LongTensor | None = None,
) -> dict[str, torch.Tensor]:
    """
    Args:
        processor, config: of the model in training.
        task: a key of `TASKS`.
        texts: one for each row: the user's words where the task takes any, else the answer.
        prompt_codes: codes `(rows, poses, num_codes)` of the poses in the prompt.
        answer_codes: codes `(rows, num_codes)` of the answer, for tasks that answer with a pose.

    Returns:
        `input_ids`, `attention_mask` and `shift_labels`, all `(rows, columns)`, padded on the right.
    """
    rule = TASKS[task]
    tokenizer = processor.tokenizer
    start = f"{tokenizer.bos_token}{USER_TOKEN}{IMAGE_TOKEN * processor.num_image_tokens * rule.images}"
    start += f"{POSE_START_TOKEN}{POSE_TOKEN * processor.num_codes}{POSE_END_TOKEN}" * rule.poses
    query = f"{POSE_START_TOKEN}{POSE_QUERY_TOKEN * processor.num_codes}{POSE_END_TOKEN}"
    rows = []
    for text in texts:
        prompt = rule.prompt.replace("{text}", text)
        answer = query if rule.answer == "pose" else text
        rows.append(f"{start}{prompt}{ASSISTANT_TOKEN}{answer}{tokenizer.eos_token}")
    encoded = tokenizer(rows, padding=True, padding_side="right", return_tensors="pt", return_token_type_ids=False)
    input_ids, attention_mask = encoded["input_ids"], encoded["attention_mask"]
    if rule.poses:
        places = input_ids == config.pose_token_id
        input_ids = input_ids.masked_scatter(places, prompt_codes.flatten() + config.pose_code_offset)
    assistant = tokenizer.convert_tokens_to_ids(ASSISTANT_TOKEN)
    is_answer = ((input_ids == assistant).cumsum(1) > 0) & (input_ids != assistant) & attention_mask.bool()
    labels = input_ids.masked_fill(~is_answer, -100)
    if rule.answer == "pose":
        places = input_ids == config.pose_query_token_id
        labels = labels.masked_scatter(places, answer_codes.flatten() + config.pose_code_offset)
    shift_labels = make_shift_labels(labels, input_ids, config)
    return {"input_ids": input_ids, "attention_mask": attention_mask, "shift_labels": shift_labels}
