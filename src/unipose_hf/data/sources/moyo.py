# SPDX-License-Identifier: Apache-2.0
"""MOYO (Tripathi et al. 2023): yoga, captured by markers; read in AMASS's format, z up. Splits: train and val.

Its images are read from the list that HSMR (Xia et al. 2025) evaluates on: one `moyo_v2.npz` with image names, boxes,
and the SMPL pose and shape (neutral) in camera coordinates.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unipose_hf.data.formats.smpl_rows import body_joints
from unipose_hf.files.plain import read_npz, read_npz_object

from ..frames import from_opencv
from ..licences import LICENCES
from ..records import PoseRecord, one_of, skipping
from .amass import is_motion, read_motions

SPLITS = ("train", "val")
PICTURES = "moyo_v2.npz"


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
    """Every `every`-th frame of the motions of a split; `sequence` is the file's path below `root`.

    Raises:
        FileNotFoundError, ValueError: as `list_moyo`.
    """
    return read_motions("MOYO", root, list_moyo(root, split), every)


def count_moyo_pictures(root: str | Path) -> int:
    """How many pictures HSMR's list names.

    Raises:
        FileNotFoundError: there is no list.
        ValueError: it is damaged.
    """
    return len(_listed(root)["img_paths"])


def read_moyo_pictures(root: str | Path) -> Iterator[PoseRecord]:
    """The pictures of HSMR's list, looked for in the folder `images`; `sequence` is the motion, `frame` the row.

    Raises:
        FileNotFoundError, ValueError: as `count_moyo_pictures`.
    """
    return _pictures(Path(root), _listed(root))


def _listed(root):
    path = Path(root) / PICTURES
    if not path.is_file():
        raise FileNotFoundError(f"There is no list {path} of MOYO's pictures: {LICENCES['MOYO'].how}.")
    found, smpl = read_npz(path, "names", "img_paths", "centers", "scales"), read_npz_object(path, "smpl")
    try:
        rows = len(found["img_paths"])
        parts = [np.asarray(smpl[name]).reshape(rows, -1) for name in ("global_orient", "body_pose", "betas")]
        half = found["scales"].reshape(rows, 2).max(axis=1, keepdims=True) / 2
        return {
            "names": found["names"].reshape(rows),
            "img_paths": found["img_paths"],
            "poses": from_opencv(body_joints(np.concatenate(parts[:2], axis=1), path)),
            "betas": parts[2].astype(np.float32),
            "boxes": np.concatenate([found["centers"] - half, found["centers"] + half], axis=1),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not laid out as HSMR's list of MOYO's pictures ({error!r}).") from None


def _pictures(root, listed):
    with skipping("MOYO") as skip:
        for row, (name, path, pose, betas, box) in enumerate(zip(*listed.values(), strict=True)):
            image = root / "images" / str(path)
            if not image.is_file():
                skip(f"There is no picture {image}: {LICENCES['MOYO'].how}.")
            elif not (np.isfinite(pose).all() and np.isfinite(box).all()):
                skip(f"{root / PICTURES} holds NaN or infinite numbers in row {row}.")
            else:
                licence, corners = LICENCES["MOYO"].terms, tuple(box.tolist())
                yield PoseRecord("MOYO", str(name), row, licence, pose, betas, "neutral", image=image, box=corners)
