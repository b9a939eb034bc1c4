# SPDX-License-Identifier: Apache-2.0
"""The records that every source of poses yields, and a single warning for those it had to skip."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np


class PoseRecord(NamedTuple):
    """One person at one moment.

    Attributes:
        set: name of the data set, a key of `licences.LICENCES`.
        sequence: name of the motion or image in the set.
        frame: index of the frame in its motion, from 0; for a person in a file of images, the row.
        licence: licence of the record.
        pose: (22, 3) float32 axis-angle in our frame (y up, z towards the viewer), or None if the set only has images.
        betas: shape of the set's own body (SMPL family, of `gender`; in PoseEst-Open the bundled body), or None.
        gender: "female", "male", "neutral", or None.
        frame_rate: frames per second of the motion, or None.
        image: path of the image for `picture_files.read_picture`, or None.
        box: left, top, right, bottom of the person in the image in pixels, or None.
        texts: descriptions of the pose.
    """

    set: str
    sequence: str
    frame: int
    licence: str
    pose: np.ndarray | None = None
    betas: np.ndarray | None = None
    gender: str | None = None
    frame_rate: float | None = None
    image: Path | None = None
    box: tuple[float, float, float, float] | None = None
    texts: tuple[str, ...] = ()


class PairRecord(NamedTuple):
    """Two poses and texts on how to get from the first to the second.

    Attributes:
        in_sequence: both come from one motion, so the rotation of the body between them is meaningful.
    """

    set: str
    licence: str
    first: PoseRecord
    second: PoseRecord
    texts: tuple[str, ...]
    in_sequence: bool


class Skipped:
    """Counts records that could not be read; call it with the reason."""

    def __init__(self):
        self.count, self.first = 0, ""

    def __call__(self, reason: object) -> None:
        self.first = self.first or str(reason)
        self.count += 1


@contextmanager
def skipping(name: str) -> Iterator[Skipped]:
    """Collects the reasons why records of a set were skipped, and warns once at the end."""
    skipped = Skipped()
    try:
        yield skipped
    finally:
        if skipped.count:
            warnings.warn(f"{skipped.count} of {name} skipped; the first: {skipped.first}", stacklevel=3)


def one_of(choices: Iterable[str], value: str, what: str) -> str:
    """Returns the value if it is one of the choices.

    Raises:
        ValueError: it is not.
    """
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"There is no {what} {value!r}; pass one of {', '.join(choices)}.")
    return value
