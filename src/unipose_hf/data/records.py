# SPDX-License-Identifier: Apache-2.0
"""What every source of poses hands on, whatever files it reads: records, and one warning for those it had to skip."""

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
        sequence: which motion or picture of the set.
        frame: number of the frame in its motion, from 0; of a person in a file of pictures, the row there.
        licence: under which the record stands.
        pose: (22, 3) float32 axis-angle in our frame (y up, z to the viewer), or None where the set has only pictures.
        betas: shape of the set's own body (SMPL family, of `gender`; in PoseEst-Open the bundled body), or None.
        gender: "female", "male", "neutral", or None.
        frame_rate: frames a second of the motion, or None.
        image: the picture, as `picture_files.read_picture` takes it, or None.
        box: left, top, right, bottom of the person in the picture in pixels, or None.
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
    """Two poses and texts that say how to get from the first to the second.

    Attributes:
        in_sequence: both are of one motion, so that the turn of the body between them means something.
    """

    set: str
    licence: str
    first: PoseRecord
    second: PoseRecord
    texts: tuple[str, ...]
    in_sequence: bool


class Skipped:
    """Counts what could not be read; call it with the reason."""

    def __init__(self):
        self.count, self.first = 0, ""

    def __call__(self, reason: object) -> None:
        self.first = self.first or str(reason)
        self.count += 1


@contextmanager
def skipping(name: str) -> Iterator[Skipped]:
    """While a set is read: takes the reasons why records were left out, and warns once at the end of them."""
    skipped = Skipped()
    try:
        yield skipped
    finally:
        if skipped.count:
            warnings.warn(f"{skipped.count} of {name} skipped; the first: {skipped.first}", stacklevel=3)


def one_of(choices: Iterable[str], value: str, what: str) -> str:
    """The value, if it is one of the choices.

    Raises:
        ValueError: it is not.
    """
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"There is no {what} {value!r}; pass one of {', '.join(choices)}.")
    return value
