# SPDX-License-Identifier: Apache-2.0
"""SMPL fits to the pictures of Human3.6M, MPI-INF-3DHP, COCO and MPII, as camera frames of OpenCV.

They come as .npz files with one row per person and one of two sets of names: `imgname`, `center`, `scale` and
`body_pose`, `betas`, `has_body_pose` (ProHMR, 4D-Humans), or `pose`, `shape`, `has_smpl` (SPIN). Poses are 72 numbers,
SMPL's 24 joints in axis-angle. `smpl_tar` reads the same rows from archives.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unipose_hf.data.formats.smpl_rows import body_joints
from unipose_hf.files.plain import read_npz

from ..frames import from_opencv
from ..licences import LICENCES
from ..records import PoseRecord, one_of, skipping

SETS = ("Human3.6M", "MPI-INF-3DHP", "COCO", "MPII")
_NAMES = {
    "pose": ("body_pose", "pose"),
    "betas": ("betas", "shape"),
    "known": ("has_body_pose", "has_smpl"),
    "image": ("imgname",),
    "center": ("center",),
    "scale": ("scale",),
}
_PIXELS_FROM = 20.0  # a smaller scale is in units of 200 pixels: no person is 20 or 4,000 pixels tall
_BLOCK = 1024


def list_smpl_npz(root: str | Path, split: str, name: str) -> list[Path]:
    """The annotation files of a set: all `*SPLIT*.npz` in the folder that name pictures.

    Args:
        split: part of the files' names, "train" or "val" as a rule.
        name: one of `SETS`.

    Raises:
        FileNotFoundError: there are none.
        ValueError: no such set; a file is damaged.
    """
    one_of(SETS, name, "set with SMPL fits")
    # some projects have files of mean parameters with similar names next to them
    files = [path for path in sorted(Path(root).glob(f"*{split}*.npz")) if read_npz(path, "imgname")]
    if not files:
        raise FileNotFoundError(f"{root} has no annotations *{split}*.npz of {name}: {LICENCES[name].how}.")
    return files


def read_smpl_npz(root: str | Path, split: str, name: str) -> Iterator[PoseRecord]:
    """The people with a fit and an image; `sequence` is the image's name in the file, `frame` the row.

    Images are searched for in the folder `images` below `root` if it exists, otherwise in `root`. Rows without a fit
    are skipped.

    Raises:
        FileNotFoundError, ValueError: as `list_smpl_npz`.
    """
    return _records(Path(root), list_smpl_npz(root, split, name), name)


def count_fits(path: Path) -> int:
    """The number of people in a file with a fit.

    Raises:
        ValueError: the file is damaged or has another layout.
    """
    return int(_load(path)["known"].sum())


def _records(root, files, name):
    pictures = root / "images" if (root / "images").is_dir() else root
    with skipping(name) as skip:
        for path in files:
            arrays = _load(path)
            rows = np.flatnonzero(arrays["known"])
            for start in range(0, len(rows), _BLOCK):
                yield from people_of(arrays, rows[start : start + _BLOCK], path, pictures, name, skip)


def people_of(arrays, rows, path, pictures, name, skip) -> Iterator[PoseRecord]:
    """Records of some rows of what `columns_of` returned; `pictures` is their folder or archive."""
    packed = pictures.is_file()
    raw = body_joints(arrays["pose"][rows], path)
    finite = np.isfinite(raw).all(axis=(1, 2)) & np.isfinite(arrays["box"][rows]).all(axis=1)
    for row, pose, fine in zip(rows.tolist(), from_opencv(raw), finite, strict=True):
        image = pictures / arrays["image"][row]
        if not fine:
            skip(f"{path} holds NaN or infinite numbers in row {row}.")
        elif not packed and not image.is_file():
            skip(f"There is no picture {image}: {LICENCES[name].how}.")
        else:
            betas = arrays["betas"][row].copy() if "betas" in arrays else None
            box = tuple(arrays["box"][row].tolist())
            licence = LICENCES[name].terms
            sequence = arrays["image"][row]
            yield PoseRecord(name, sequence, row, licence, pose.copy(), betas, "neutral", None, image, box)


def _load(path):
    return columns_of(read_npz(path, *(name for names in _NAMES.values() for name in names)), path)


def columns_of(found: dict, path: object) -> dict:
    """The columns of a file under a single set of names, with `image` as text and `box` for `center` and `scale`.

    Raises:
        ValueError: they are inconsistent; the message begins with `path`.
    """
    arrays = {ours: found[name] for ours, names in _NAMES.items() for name in names if name in found}
    missing = [" or ".join(_NAMES[key]) for key in ("image", "center", "scale", "pose") if key not in arrays]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; expected the layout of 4D-Humans, ProHMR or SPIN.")
    rows = arrays["image"].size
    misfits = [key for key, array in arrays.items() if array.ndim == 0 or len(array) != rows]
    if misfits or arrays["center"].size != 2 * rows:
        wrong = _NAMES[[*misfits, "center"][0]]
        raise ValueError(f"{path} has {rows} rows, but {' or '.join(wrong)} has another shape; get it again.")
    arrays["image"] = as_text(arrays["image"])
    arrays["known"] = arrays.get("known", np.ones(rows)).reshape(rows, -1)[:, 0] > 0
    if "betas" in arrays:
        arrays["betas"] = arrays["betas"].astype(np.float32)
    arrays["box"] = boxes_of(arrays.pop("center"), arrays.pop("scale"))
    return arrays


def as_text(names: np.ndarray) -> list[str]:
    """Image names as text; some files store them as bytes."""
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def boxes_of(center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Square boxes `(n, 4)` from `n` centres and sizes, which are in pixels or in units of 200 pixels."""
    rows = len(center)
    side = scale.reshape(rows, -1).max(axis=1) if rows else np.zeros(0)
    side = side * 200.0 if rows and np.median(side) < _PIXELS_FROM else side
    center = center.reshape(rows, 2)
    return np.concatenate([center - side[:, None] / 2, center + side[:, None] / 2], axis=1)
