# SPDX-License-Identifier: Apache-2.0
"""What the page can do, as plain functions that do not need Gradio; `unipose app --mcp` offers them as tools.

Poses go in and come out as the dictionaries of `Pose.to_dict`, which survive JSON: 22 rotation vectors of SMPL's body
joints under `axis_angle`, radians, y up, z towards the viewer, the body's left at +x.
"""

import atexit
import functools
import hashlib
import json
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..data.language import describe_poses
from ..modeling.pose_unipose import Pose
from .limbs import changed_parts, check_parts, in_words, keep_locked
from .zero_gpu import on_gpu

FORMATS: tuple[str, ...] = ("glb", "bvh", "npz", "json", "obj", "png")
MAX_WORDS = 60  # of a sentence
MAX_CHOICES = 8
STYLES = ("short", "full")
# The first choice is the best answer; these settings vary what the words leave open in the others.
SAMPLING = {"decoding": "sample", "steps": 4, "temperature": 0.6}
KEPT_SECONDS = 1800  # files of `export` without a folder; a page that is open for longer can write them again

_one_at_a_time = threading.Lock()  # torch's random state is global, and two requests at once are no faster


def generate(text: str, choices: int = 4, seed: int = 0) -> list[dict[str, Any]]:
    """Turn a sentence into poses to choose from.

    Args:
        text: what the body does, in plain English, such as "a person kneeling, arms raised".
        choices: the number of poses, 1 to 8. The first is the model's best answer, the others vary what the text
            leaves open.
        seed: another seed gives other variations.

    Returns:
        One dictionary for each choice: `pose`, `score` in [0, 1] (how well the pose fits the text) and
        `description` (the pose measured and put into words).

    Raises:
        ValueError: an empty or too long text, or a wrong number of choices.
    """
    text = _sentence(text, "a person kneeling, arms raised")
    if not 1 <= choices <= MAX_CHOICES:
        raise ValueError(f"choices is {choices}; ask for 1 to {MAX_CHOICES} poses.")
    answers = [_answer("text-to-pose", text)]
    if choices > 1:
        more = _answer("text-to-pose", text, seed, num_return_sequences=choices - 1, **SAMPLING)
        answers += more if isinstance(more, list) else [more]
    texts = _words([answer["pose"] for answer in answers])
    return [
        {"pose": answer["pose"].to_dict(), "score": answer["score"], "description": words}
        for answer, words in zip(answers, texts, strict=True)
    ]


def edit(pose: dict[str, Any], text: str, free: list[str] | None = None) -> dict[str, Any]:
    """Edit a pose in words.

    Args:
        pose: a pose, as another function returned it.
        text: what to change, in plain English, such as "Raise the left arm above the head."
        free: the limbs that may change: "left arm", "right arm", "left leg", "right leg", "head", "torso" and "hips"
            (the turn of the whole body). Joints of the others keep their rotations. Without it, everything may.

    Returns:
        `pose` and `description` of the changed pose, and `changed`, the limbs that the change moved.

    Raises:
        ValueError: an empty or too long text, an unknown limb, a text that only changes locked limbs, or something
            that is not a pose.
    """
    text, source = _sentence(text, "Raise the left arm above the head."), read(pose)
    if free is not None:
        check_parts(free)
    answer = _answer("pose-editing", {"pose": source, "text": text})["pose"]
    changed = answer if free is None else keep_locked(source, answer, free)
    parts = changed_parts(source, changed)
    if not parts and (locked := changed_parts(source, answer)):
        raise ValueError(f"The text only changes what is locked ({in_words(locked)}); unlock it, or change the text.")
    return {"pose": changed.to_dict(), "description": _words([changed])[0], "changed": parts}


def estimate(picture: str | Image.Image) -> list[dict[str, Any]]:
    """Find the people in a picture and estimate their poses.

    Args:
        picture: path or URL of a photograph, or a PIL image. It is not stored.

    Returns:
        One dictionary for each person, largest first: `pose`, `score` in [0, 1], `box` (x0, y0, x1, y1 in pixels) and
        `description`. Empty if nobody is found.

    Raises:
        ValueError: not a picture. FileNotFoundError: there is no such file.
    """
    people = find_people(picture)
    texts = _words([person["pose"] for person in people])
    return [
        {
            "pose": person["pose"].to_dict(),
            "score": float(person["score"]),
            "box": [float(edge) for edge in person["box"]],
            "description": words,
        }
        for person, words in zip(people, texts, strict=True)
    ]


def describe(pose: dict[str, Any], style: str = "full") -> str:
    """Describe a pose in plain English by measuring it.

    Args:
        pose: a pose, as another function returned it.
        style: "full" for sentences, "short" for a phrase.

    Raises:
        ValueError: an unknown style, or something that is not a pose.
    """
    if style not in STYLES:
        raise ValueError(f"style is {style!r}; use {' or '.join(STYLES)}.")
    return _words([read(pose)], style)[0]


def export(pose: dict[str, Any], format: str = "glb", folder: str | None = None) -> str:
    """Write a pose to a file and return its path.

    Args:
        pose: a pose, as another function returned it.
        format: "glb" (skinned mesh with a skeleton, for Blender and game engines), "bvh" (skeleton), "npz"
            (AMASS-style), "json", "obj" (mesh) or "png" (picture).
        folder: where to write; without one, a temporary folder whose files are removed after half an hour.

    Raises:
        ValueError: an unknown format, or something that is not a pose. FileNotFoundError: there is no such folder.
    """
    suffix = format.lower().lstrip(".")
    if suffix not in FORMATS:
        raise ValueError(f"format is {format!r}; use {', '.join(FORMATS)}.")
    source = read(pose)
    name = hashlib.sha256(json_of(source).encode()).hexdigest()[:8]
    path = (_scratch() if folder is None else Path(folder)) / f"pose-{name}.{suffix}"
    source.render(path, size=768) if suffix == "png" else source.save(path)
    return str(path)


def read(pose: Pose | dict[str, Any] | str) -> Pose:
    """A `Pose` from a `Pose`, the dictionary of `Pose.to_dict`, or the same as JSON text.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(pose, str):
        try:
            pose = json.loads(pose)
        except ValueError:
            raise ValueError(
                "The pose is text that is not JSON; give the pose that another function returned."
            ) from None
    return pose if isinstance(pose, Pose) else Pose.from_dict(pose)


def json_of(pose: Pose) -> str:
    """A pose as JSON text, which `read` reads back."""
    return json.dumps(pose.to_dict())


def warm_up() -> None:
    """Load what the first request needs."""
    _words([_answer("text-to-pose", "standing")["pose"]])


def find_people(picture: str | Path | Image.Image) -> list[dict[str, Any]]:
    """The `People` in a picture, with everything that `pipeline("image-to-pose")` returns."""
    return _answer("image-to-pose", picture)


def _answer(task: str, given: Any, seed: int | None = None, **options: Any) -> Any:
    _pipeline(task)  # loaded here, so that the processes of a ZeroGPU Space begin with it
    with _one_at_a_time:
        return _run(task, given, seed, options)


@on_gpu
def _run(task: str, given: Any, seed: int | None, options: dict[str, Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        return _pipeline(task)(given, **options)


@functools.cache
def _pipeline(task: str) -> Any:
    """The pipeline of a task with the bundled checkpoint; two tasks of one checkpoint share its weights."""
    from transformers import pipeline

    from .. import auto

    if task == "pose-editing":
        twin = _pipeline("text-to-pose")
        return pipeline(task, model=twin.model, processor=twin.processor)
    return pipeline(task, model=str(auto.bundled_checkpoint(task)))


def _sentence(text: str, example: str) -> str:
    text = " ".join(text.split())
    if not text:
        raise ValueError(f"The text is empty; write a sentence, for example: {example}")
    if (count := len(text.split())) > MAX_WORDS:
        raise ValueError(f"The text has {count} words; use at most {MAX_WORDS}.")
    return text


def _words(poses: list[Pose], style: str = "full") -> list[str]:
    if not poses:
        return []
    return describe_poses([pose.axis_angle for pose in poses], style=style)


@functools.cache
def temporary_folder() -> Path:
    """A temporary folder of this process, removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix="unipose-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _scratch() -> Path:
    """This process's temporary folder, with old files removed."""
    folder, oldest = temporary_folder(), time.time() - KEPT_SECONDS
    for file in folder.glob("pose-*"):
        if file.stat().st_mtime < oldest:
            file.unlink(missing_ok=True)
    return folder
