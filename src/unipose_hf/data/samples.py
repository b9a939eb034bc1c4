# SPDX-License-Identifier: Apache-2.0
"""Rows of the built data sets as chats: samples `{"task", "messages", "images", "poses"}`.

The messages contain placeholders, `{"type": "image"}` and `{"type": "pose"}`, as in vision data sets for TRL; the
images and poses are stored separately in the order of their placeholders, with the answer's pose last.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from unipose_hf.modeling.processing_unipose import TASKS

from .instructions import REASONING_TASKS, choose_template, draw, fill_template, pretraining_template

# The tasks that rows support, by their columns.
IMAGE_ROW_TASKS = ("image-to-pose", "image-to-pose-text", "text-to-pose", "pose-to-text")
PAIR_ROW_TASKS = ("image-diff", "pose-diff", "pose-editing")


def make_sample(task: str, row: dict, sample_id: str, *, seed: int = 0, pretraining: bool = False) -> dict:
    """Turns a row into a chat about one task.

    Args:
        task: one of `IMAGE_ROW_TASKS` for a row of ImageScript, of `PAIR_ROW_TASKS` for ImageDiff, of
            `REASONING_TASKS` for the multi-person set, "image-to-pose" for PoseEst-Open.
        row: a row from `datasets`, with images decoded or not.
        sample_id: determines, with `seed`, which of the row's texts and which template is used; give each row its own,
            and each epoch another seed.
        pretraining: use the single pretraining wording instead of a template.

    Returns:
        `task`, `messages`, `images` and `poses`; poses are float32 `(22, 3)` axis-angle.

    Raises:
        ValueError: the row does not support the task.
    """
    pair, reasoning = "pose_a" in row, "hint" in row
    known = teachable_tasks(row, reasoning=reasoning)
    if task not in known:
        kind = "pairs" if pair else "several people" if reasoning else "single pictures"
        raise ValueError(f"Rows of {kind} do not support {task!r}; choose one of {', '.join(known)}.")
    rule = TASKS[task]
    sides = ("_a", "_b") if pair else ("",)
    images = [_boxed(row[f"image{side}"], row.get(f"box{side}")) for side in sides[: rule.images]]
    poses = [np.asarray(row[f"pose{side}"], dtype=np.float32) for side in sides]
    text = row["texts"][draw(len(row["texts"]), "text", sample_id, seed)] if "texts" in row else None
    if pretraining:
        template = pretraining_template(task, reasoning=reasoning)
    else:
        template = choose_template(task, sample_id, seed=seed, reasoning=reasoning)
    asked = row["hint"] if reasoning else text if rule.text else None
    question = fill_template(template, images=images, poses=poses[: rule.poses], text=asked)
    answer = {"type": "pose", "pose": poses[-1]} if rule.answer == "pose" else {"type": "text", "text": text}
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": [answer]}]
    return {"task": task, **separate_media(messages)}


def teachable_tasks(columns: Iterable[str], *, reasoning: bool = False) -> tuple[str, ...]:
    """The tasks that rows with these columns support: those with images or texts only if the rows have them.

    Rows with a `hint` at one of several people support the `reasoning` tasks and no others.
    """
    columns = set(columns)
    if reasoning or "hint" in columns:
        return REASONING_TASKS if reasoning and "hint" in columns else ()
    pair = "pose_a" in columns
    known = PAIR_ROW_TASKS if pair else IMAGE_ROW_TASKS
    if "texts" not in columns:
        known = [task for task in known if not TASKS[task].text and TASKS[task].answer == "pose"]
    return tuple(task for task in known if not TASKS[task].images or ("image_a" if pair else "image") in columns)


def make_samples(
    rows: Iterable[dict], tasks: Iterable[str], *, seed: int = 0, pretraining: bool = False
) -> Iterator[dict]:
    """All samples of some rows: each task of each row, with rows numbered from 0."""
    tasks = tuple(tasks)
    for number, row in enumerate(rows):
        for task in tasks:
            yield make_sample(task, row, str(number), seed=seed, pretraining=pretraining)


def filled_messages(sample: dict) -> list[dict]:
    """The messages of a sample with its images and poses filled in, as `apply_chat_template` takes them.

    `vision_features` of a sample, arrays `(cells, channels)`, replace its images.
    """
    features = sample.get("vision_features")
    images = ("image", iter(sample["images"])) if features is None else ("features", iter(features))
    given = {"image": images, "pose": ("pose", iter(sample["poses"]))}

    def filled(part):
        if part["type"] == "text":
            return part
        key, values = given[part["type"]]
        return {**part, key: next(values)}

    return [{**turn, "content": [filled(part) for part in turn["content"]]} for turn in sample["messages"]]


def separate_media(messages: list[dict]) -> dict[str, list]:
    """Messages with placeholders, and separately what they stand for."""
    media = {"image": [], "pose": []}

    def as_placeholder(part):
        kind = part["type"]
        if kind == "text":
            return part
        media[kind].append(part[kind])
        return {key: value for key, value in part.items() if key != kind}

    messages = [{**turn, "content": [as_placeholder(part) for part in turn["content"]]} for turn in messages]
    return {"messages": messages, "images": media["image"], "poses": media["pose"]}


def _boxed(image, box):
    """A rendered or photographed person with the box that singles them out, if it is known."""
    return {"image": image} if box is None else {"image": image, "box": tuple(box)}
