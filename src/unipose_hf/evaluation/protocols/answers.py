# SPDX-License-Identifier: Apache-2.0
"""A model's answers to many chats, in batches; the setting accumulates the time they take."""

import time

import torch
from tqdm.auto import tqdm

MAX_NEW_TOKENS = 200  # per text, as in PoseScript's evaluation


@torch.no_grad()
def answer_poses(setting, chats, **options) -> torch.Tensor:
    """One pose for each chat, local rotation matrices `(n, 22, 3, 3)`; `options` go to `generate_pose`."""
    return torch.cat(
        _answered(setting, chats, "poses", lambda given: setting.model.generate_pose(**given, **options).rotations)
    ).float()


@torch.no_grad()
def answer_texts(setting, chats, max_new_tokens: int = MAX_NEW_TOKENS) -> list[str]:
    """One text for each chat, by greedy decoding."""

    def answer(given):
        output = setting.model.generate(**given, do_sample=False, max_new_tokens=max_new_tokens)
        return output[:, given["input_ids"].shape[1] :]

    rows = _answered(setting, chats, "texts", answer)
    return [text.strip() for row in rows for text in setting.processor.batch_decode(row, skip_special_tokens=True)]


def _answered(setting, chats, what, answer):
    answers = []
    for start in tqdm(range(0, len(chats), setting.batch_size), desc=what, leave=False):
        given = setting.processor.apply_chat_template(
            chats[start : start + setting.batch_size],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            processor_kwargs={"padding": True, "return_tensors": "pt"},
        ).to(setting.model.device)
        began = time.monotonic()
        answers.append(answer(given).cpu())  # the copy synchronises with an accelerator
        setting.generation_seconds += time.monotonic() - began
    return answers
