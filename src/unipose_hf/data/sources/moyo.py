# SPDX-License-Identifier: Apache-2.0
"""MOYO (Tripathi et al. 2023): yoga, captured by markers; read in AMASS's format, z up. Splits: train and val."""

from collections.abc import Iterator
from pathlib import Path

from ..licences import LICENCES
from ..records import PoseRecord, one_of
from .amass import is_motion, read_motions

SPLITS = ("train", "val")


def list_moyo(root: str | Path, split: str) -> list[Path]:
    """The motion files of a split: "train" or "val".

    Raises:
        FileNotFoundError: there are none.
        ValueError: no such split.
    """
    folder = Path(root) / one_of(SPLITS, split, "split")
    files = sorted(path for path in folder.rglob("*.npz") if is_motion(path))
    if not files:
        raise FileNotFoundError(f"{folder} has no motions of MOYO in AMASS's format: {LICENCES['MOYO'].how}.")
    return files


def read_moyo(root: str | Path, split: str, *, every: int = 1) -> Iterator[PoseRecord]:
    """Every so many-th frame of the motions of a split; `sequence` is the file's path below `root`.

    Raises:
        FileNotFoundError, ValueError: as `list_moyo`.
    """
    return read_motions("MOYO", root, list_moyo(root, split), every)
