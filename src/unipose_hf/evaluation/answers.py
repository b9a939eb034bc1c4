# SPDX-License-Identifier: Apache-2.0
"""A model's answers to many chats, a batch at a time."""

import torch
from tqdm.auto import tqdm

MAX_NEW_TOKENS = 200  # of a text, as PoseScript's evaluation allows


@torch.no_grad()
def answer_poses(model, processor, chats, batch_size: int = 32, **options) -> torch.Tensor:
    """One pose for each chat, local rotation matrices `(n, 22, 3, 3)`; `options` go to `generate_pose`."""
    batches = _batches(model, processor, chats, batch_size, "poses")
    return torch.cat([model.generate_pose(**inputs, **options).rotations.float().cpu() for inputs in batches])


@torch.no_grad()
def answer_texts(model, processor, chats, batch_size: int = 32) -> list[str]:
    """One text for each chat, by greedy decoding."""
    answers = []
    for inputs in _batches(model, processor, chats, batch_size, "texts"):
        output = model.generate(**inputs, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)
        answers += processor.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return [answer.strip() for answer in answers]


def _batches(model, processor, chats, batch_size, what):
    for start in tqdm(range(0, len(chats), batch_size), desc=what, leave=False):
        yield processor.apply_chat_template(
            chats[start : start + batch_size],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            processor_kwargs={"padding": True, "return_tensors": "pt"},
        ).to(model.device)
