# SPDX-License-Identifier: Apache-2.0
"""The value of type UNIPOSE_POSES: a list of frames, one for each picture of a batch."""

import functools
import importlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

POSES = "UNIPOSE_POSES"
CATEGORY = "UniPose"
DEFAULT_SIZE = 512  # pixels, of a picture of poses from text


@dataclass(frozen=True)
class Frame:
    """The people of one picture, or the pose of one sentence.

    Attributes:
        people: dicts with a `pose`, and those from a picture with a `camera` too: pixels per metre, and the pelvis in
            pixels.
        size: width and height of the picture in pixels; None for poses from text.
    """

    people: tuple[dict[str, Any], ...]
    size: tuple[int, int] | None = None

    def with_people(self, people: Any) -> "Frame":
        return replace(self, people=tuple(people))

    def fitted(self, width: int, height: int) -> "Frame":
        """The frame in a picture of another size: as large as fits, in the middle. 0 keeps the size of the picture."""
        own = self.size or (DEFAULT_SIZE, DEFAULT_SIZE)
        size = (width or own[0], height or own[1])
        if self.size is None:
            return replace(self, size=size)
        factor = min(size[0] / own[0], size[1] / own[1])
        left, top = ((new - factor * old) / 2 for new, old in zip(size, own, strict=True))
        people = []
        for person in self.people:
            scale, x, y = (float(value) for value in person["camera"])
            people.append(person | {"camera": (factor * scale, left + factor * x, top + factor * y)})
        return Frame(tuple(people), size)


def package(name: str) -> Any:
    """A module of unipose_hf, imported when a node needs it, so that ComfyUI starts fast."""
    try:
        return importlib.import_module(f"unipose_hf.{name}" if name else "unipose_hf")
    except ModuleNotFoundError as error:
        if error.name != "unipose_hf":
            raise
        raise ImportError(
            "The UniPose nodes need the package unipose_hf: run `pip install -r requirements.txt` of this folder with "
            "ComfyUI's Python."
        ) from error


def with_ordinary_tensors(run: Any) -> Any:
    """A node's function outside of inference mode, in which ComfyUI calls it.

    What is loaded in that mode, and kept, could not be used by other nodes that compute gradients.
    """

    @functools.wraps(run)
    def outside(*given: Any, **named: Any) -> Any:
        with torch.inference_mode(False), torch.no_grad():
            return run(*given, **named)

    return outside


def people_of(frames: list[Frame], person: int) -> list[tuple[int, int]]:
    """The numbers (frame, person) of everybody, or with `person` of 1 and more of that person in each frame.

    Raises:
        ValueError: there is nobody, or nobody of that number.
    """
    everybody = [(number, k) for number, frame in enumerate(frames) for k in range(len(frame.people))]
    chosen = [(number, k) for number, k in everybody if person in (0, k + 1)]
    if not everybody:
        raise ValueError(
            "There is no pose: nobody was found in the picture. Try a lower threshold, or another picture."
        )
    if not chosen:
        count = max(len(frame.people) for frame in frames)
        raise ValueError(
            f"person is {person}, but there are at most {count}; choose 1 to {count}, or 0 for everybody."
        )
    return chosen


def to_pictures(image: torch.Tensor) -> list[Image.Image]:
    """ComfyUI's IMAGE, (batch, height, width, 3 or 4) in [0, 1], to RGB pictures."""
    pixels = (image[..., :3].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return [Image.fromarray(picture) for picture in pixels]


def to_image(pictures: list[Image.Image]) -> torch.Tensor:
    """RGB pictures of one size to ComfyUI's IMAGE, (batch, height, width, 3) float32 in [0, 1]."""
    return torch.from_numpy(np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])).float() / 255
