# SPDX-License-Identifier: Apache-2.0
"""LSP (Johnson and Everingham 2010): 2,000 pictures of sports, for looking at results; no poses."""

from collections.abc import Iterator
from pathlib import Path

from ..licences import LICENCES
from ..records import PoseRecord, one_of

SPLITS = {"train": range(1, 1001), "test": range(1001, 2001)}  # by the number in the picture's name


def list_lsp(root: str | Path, split: str) -> list[Path]:
    """The pictures `images/im0001.jpg` and so on of a split: "train" (the first thousand) or "test".

    Raises:
        FileNotFoundError: there are none.
        ValueError: no such split.
    """
    numbers = SPLITS[one_of(SPLITS, split, "split")]
    folder = Path(root) / "images"
    found = [path for path in sorted(folder.glob("im[0-9][0-9][0-9][0-9].jpg")) if int(path.stem[2:]) in numbers]
    if not found:
        raise FileNotFoundError(f"{folder} has no pictures (im0001.jpg ...) of LSP: {LICENCES['LSP'].how}.")
    return found


def read_lsp(root: str | Path, split: str) -> Iterator[PoseRecord]:
    """Records that have a picture only.

    Raises:
        FileNotFoundError, ValueError: as `list_lsp`.
    """
    pictures = list_lsp(root, split)
    return (PoseRecord("LSP", p.name, int(p.stem[2:]) - 1, LICENCES["LSP"].terms, image=p) for p in pictures)
