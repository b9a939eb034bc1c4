# SPDX-License-Identifier: Apache-2.0
"""Evaluation samples: chats that end with the correct answer.

A sample is a dict:

* `task`: a key of `unipose_hf.modeling.processing_unipose.TASKS`;
* `messages`: the chat, ending with the assistant's correct answer. It contains images and poses, or placeholders
  `{"type": "image"}` and `{"type": "pose"}`, which `images` and `poses` fill in order;
* `poses`: `(22, 3)` axis-angle in our frame, all poses of the sample, the answer last. For a task that answers with a
  text, the poses that the text describes, even if the model sees images;
* `images`: the images;
* `references` (optional): human texts, for tasks that answer with a text; by default the answer is the only one;
* `text` (optional): the user's text in the question, without the wording of the task;
* `stated` (optional): the codes that this text states, as returned by `captions`;
* `betas`, `body`, `gender` (optional): `(10,)` shape of the person in the image, the name of the body model it belongs
  to, as in `Setting.body_name`, and "female", "male" or "neutral";
* `joints` (optional): `(14, 3)`, measured joints of the person in the image, in our frame, the pelvis at the origin,
  if the pose is unknown. The sample then has no `poses`;
* `others` (optional): `(n, 22, 3)`, the poses of the other people in the image.
"""

import torch

from unipose_hf.body import remove_yaw
from unipose_hf.modeling.processing_unipose import task_messages


def build_sample(task: str, poses, answer, *, prompt_poses=(), images=(), text: str | None = None, **more) -> dict:
    """A sample in the default wording of its task.

    Args:
        poses: the poses of the sample. answer: the correct answer, a pose or a text.
        prompt_poses: poses in the question.
        images: images in the question.
        text: the user's text.
        more: further optional parts.
    """
    messages = task_messages(task, text=text, poses=list(prompt_poses), images=list(images), answer=answer)
    more |= {} if text is None else {"text": text}
    return {"task": task, "messages": messages, "poses": list(poses), "images": list(images), **more}


def question(sample: dict) -> list[dict]:
    """The chat of a sample without its answer, with images and poses filled in.

    Raises:
        ValueError: the chat does not end with the assistant's answer, or lacks an image or a pose.
    """
    messages = sample["messages"]
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise ValueError(f"A chat of {sample['task']} does not end with the assistant's answer, as evaluation needs.")
    waiting = {kind: iter(sample.get(f"{kind}s", ())) for kind in ("image", "pose")}
    return [{**message, "content": _filled(message["content"], waiting)} for message in messages[:-1]]


def _filled(content, waiting):
    if isinstance(content, str):
        return content
    parts = []
    for part in content:
        kind = part["type"]
        if kind in waiting:
            given = next(waiting[kind], None)
            if part.get(kind) is None:
                if given is None:
                    raise ValueError(f"A chat has more {kind} placeholders than its sample has {kind}s.")
                part = {**part, kind: given}
        parts.append(part)
    return parts


def words(sample: dict) -> str:
    """The user's text in the question: `text`, or all its text parts."""
    if sample.get("text"):
        return sample["text"]
    return " ".join(_texts(message["content"]) for message in sample["messages"][:-1])


def references(sample: dict) -> list[str]:
    """The human texts of a sample whose answer is a text."""
    if sample.get("references"):
        return list(sample["references"])
    return [_texts(sample["messages"][-1]["content"])]


def _texts(content) -> str:
    return content if isinstance(content, str) else " ".join(p["text"] for p in content if p["type"] == "text")


def described_poses(samples: list[dict]) -> list[torch.Tensor]:
    """The poses that the texts of samples describe, facing the viewer, since texts do not mention the heading: one
    tensor `(n, 22, 3)`, or two for pairs."""
    return [remove_yaw(stacked_poses(samples, index)) for index in range(len(samples[0]["poses"]))]


def stacked_poses(samples: list[dict], index: int = -1) -> torch.Tensor:
    """One pose of every sample, the answer by default, `(n, 22, 3)`."""
    return torch.stack([torch.as_tensor(sample["poses"][index], dtype=torch.float32) for sample in samples])


def checked(samples: list[dict], *tasks: str) -> list[dict]:
    """Returns the samples if there are any and they belong to one of the tasks.

    Raises:
        ValueError: none, or another task.
    """
    if not samples:
        raise ValueError(f"There are no samples to measure {' or '.join(tasks)} on.")
    for sample in samples:
        if sample["task"] not in tasks:
            raise ValueError(f"{' or '.join(tasks)} cannot be measured on a sample of {sample['task']!r}.")
    return samples
