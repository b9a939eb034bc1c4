# SPDX-License-Identifier: Apache-2.0
"""Templates of user messages: 200 wordings for each task (UniPose, supplement A.3 and table 2), written by us.

A template is a line of `templates/TASK.txt`. `{text}` stands for a description or an instruction in whole sentences;
`{image}` and `{pose}` stand for the image and the pose, or `{image_a}` and `{image_b}`, `{pose_a}` and `{pose_b}`, in
either order, if there are two. Pretraining uses one wording for each task: that of the pipelines, `TASKS` of the
processor.

Two tasks have a second file of 10 templates, for images of several people and a text that singles out one of them
(supplement D).
"""

import functools
import hashlib
import re
from importlib.resources import files

from unipose_hf.modeling.processing_unipose import TASKS

TEMPLATES = 200
REASONING_TEMPLATES = 10
REASONING_TASKS = ("image-to-pose", "image-to-pose-text")

_PLACEHOLDER = re.compile(r"(\{[a-z_]+\})")


def placeholders_of(task: str, *, reasoning: bool = False) -> tuple[str, ...]:
    """The placeholders that each template of a task has exactly once: `("image_a", "image_b")`, `("pose", "text")` ...

    Raises:
        ValueError: no such task.
    """
    if task not in TASKS or (reasoning and task not in REASONING_TASKS):
        known = ", ".join(REASONING_TASKS if reasoning else TASKS)
        raise ValueError(f"There are no {'reasoning ' * reasoning}templates for {task!r}; choose one of {known}.")
    rule = TASKS[task]
    placeholders = [*_numbered("image", rule.images), *_numbered("pose", rule.poses)]
    return (*placeholders, "text") if rule.text or reasoning else tuple(placeholders)


@functools.cache
def templates(task: str, *, reasoning: bool = False) -> tuple[str, ...]:
    """The templates of a task.

    Raises:
        ValueError: no such task.
    """
    placeholders_of(task, reasoning=reasoning)
    file = files(__package__) / "templates" / f"{task}{'-reasoning' * reasoning}.txt"
    return tuple(file.read_text(encoding="utf-8").splitlines())


def pretraining_template(task: str, *, reasoning: bool = False) -> str:
    """The single template of a task in pretraining: the pipelines' wording, with images and poses first.

    Raises:
        ValueError: no such task.
    """
    placeholders = "".join(
        f"{{{placeholder}}}" for placeholder in placeholders_of(task, reasoning=reasoning) if placeholder != "text"
    )
    if reasoning:  # the processor has no wording for captions of one among several people
        return placeholders + (TASKS[task].prompt_with_text or "Describe the pose of this person: {text}")
    return placeholders + TASKS[task].prompt


def choose_template(task: str, sample_id: str, *, seed: int = 0, reasoning: bool = False) -> str:
    """The template of a sample, drawn uniformly and determined by the arguments.

    Raises:
        ValueError: no such task.
    """
    choices = templates(task, reasoning=reasoning)
    return choices[draw(len(choices), "template", task, sample_id, seed)]


def draw(count: int, *key) -> int:
    """A number from 0 to `count - 1` that depends only on the key, not on the process or machine."""
    digest = hashlib.blake2b("\0".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % count


def fill_template(template: str, *, text: str | None = None, images=(), poses=()) -> list[dict]:
    """Fills a template; returns the content of a user message.

    Args:
        template: from `templates` or `pretraining_template`.
        text: replaces `{text}`.
        images, poses: images and poses, A before B; an image may be a dict `{"image": image, "box": corners}`.

    Returns:
        parts `{"type": "text", "text": ...}`, `{"type": "image", "image": ...}`, `{"type": "pose", "pose": ...}` in
        the order of the template.

    Raises:
        ValueError: the arguments do not match the placeholders of the template.
    """
    given = dict(zip(_numbered("image", len(images)), (_image_part(image) for image in images), strict=True))
    given |= zip(_numbered("pose", len(poses)), ({"type": "pose", "pose": pose} for pose in poses), strict=True)
    given |= {} if text is None else {"text": {"type": "text", "text": text}}
    expected = [placeholder[1:-1] for placeholder in _PLACEHOLDER.findall(template)]
    if sorted(expected) != sorted(given):
        raise ValueError(
            f"The template {template!r} has the placeholders {', '.join(expected) or 'none'}, but was given "
            f"{', '.join(given) or 'none'}; give one value for each placeholder."
        )
    parts = []
    for piece in filter(None, _PLACEHOLDER.split(template)):
        part = given[piece[1:-1]] if _PLACEHOLDER.fullmatch(piece) else {"type": "text", "text": piece}
        if part["type"] == "text" and parts and parts[-1]["type"] == "text":
            part = {"type": "text", "text": parts.pop()["text"] + part["text"]}
        parts.append(part)
    return parts


def _numbered(kind, count):
    return [kind] if count == 1 else [f"{kind}_{'ab'[number]}" for number in range(count)]


def _image_part(image):
    return {"type": "image", **(image if isinstance(image, dict) else {"image": image})}
