# SPDX-License-Identifier: Apache-2.0
"""What protocols measure on: chats with the right answer at their end.

A sample is a dict:

* `task`: a key of `unipose_hf.modeling.processing_unipose.TASKS`;
* `messages`: the chat, the assistant's right answer last. Pictures and poses stand in it, or its parts are bare
  `{"type": "image"}` and `{"type": "pose"}`, which `images` and `poses` fill in order;
* `poses`: `(22, 3)` axis-angle in our frame, all poses that the sample is about, the answer last. Of a task whose
  answer is a text they are the poses that the text tells of, also where the model sees pictures;
* `images`: the pictures;
* `references` (optional): human texts, for tasks that answer with a text; else the answer is the only one;
* `text` (optional): the user's words in the question, without what the task says around them;
* `stated` (optional): the codes that these words state, as `captions` returns them;
* `betas`, `body`, `gender` (optional): `(10,)` shape of the person in the picture, the name of the body that it is a
  shape of, as `Setting.body_name` gives it, and "female", "male" or "neutral";
* `joints` (optional): `(14, 3)`, joints of the person in the picture that were measured, in our frame, the pelvis at
  the origin, where no pose is known. The sample has no `poses` then;
* `others` (optional): `(n, 22, 3)`, the poses of the other people in the picture.
"""

import torch

from unipose_hf.body import remove_yaw
from unipose_hf.modeling.processing_unipose import task_messages


def made_sample(task: str, poses, answer, *, given=(), images=(), text: str | None = None, **more) -> dict:
    """A sample in the default wording of its task.

    Args:
        poses: what the sample is about. answer: the right one, a pose or a text.
        given: poses in the question. images: pictures in the question. text: the user's words.
        more: of the optional parts.
    """
    messages = task_messages(task, text=text, poses=list(given), images=list(images), answer=answer)
    more |= {} if text is None else {"text": text}
    return {"task": task, "messages": messages, "poses": list(poses), "images": list(images), **more}


def question(sample: dict) -> list[dict]:
    """The chat of a sample without its answer, pictures and poses filled in.

    Raises:
        ValueError: the chat does not end with the assistant's answer, or lacks a picture or a pose.
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
                    raise ValueError(f"A chat has more places for {kind}s than its sample has {kind}s.")
                part = {**part, kind: given}
        parts.append(part)
    return parts


def words(sample: dict) -> str:
    """What the user says in the question: its `text`, or everything in words."""
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
    """The poses that the texts of samples of one task tell of, facing the viewer, since texts say nothing of the
    heading: one tensor `(n, 22, 3)`, or two for pairs."""
    return [remove_yaw(stacked_poses(samples, place)) for place in range(len(samples[0]["poses"]))]


def stacked_poses(samples: list[dict], place: int = -1) -> torch.Tensor:
    """One pose of every sample, the answer by default, `(n, 22, 3)`."""
    return torch.stack([torch.as_tensor(sample["poses"][place], dtype=torch.float32) for sample in samples])


def checked(samples: list[dict], *tasks: str) -> list[dict]:
    """The samples, if there are any and they are of one of the tasks.

    Raises:
        ValueError: none, or another task.
    """
    if not samples:
        raise ValueError(f"There are no samples to measure {' or '.join(tasks)} on.")
    for sample in samples:
        if sample["task"] not in tasks:
            raise ValueError(f"{' or '.join(tasks)} cannot be measured on a sample of {sample['task']!r}.")
    return samples
