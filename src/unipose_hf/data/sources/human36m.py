# SPDX-License-Identifier: Apache-2.0
"""Human3.6M (Ionescu et al. 2014) as used to evaluate pose estimation: images and joints of the second protocol.

The joints are measured by markers, without a fitted body. They come as an .npz with one row per image, in the frame of
its camera: `h36m_val_p2.npz` (ProHMR, 4D-Humans; `extra_keypoints_3d`) or `h36m_valid_protocol2.npz` (SPIN; `S`).
`smpl_npz` reads the images with fitted bodies that are used for training.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unipose_hf.files.plain import only_file, read_npz

from ..frames import OPENCV_TO_OURS
from ..licences import LICENCES
from ..records import skipping
from .smpl_npz import as_text, boxes_of

_PATTERN = "h36m_val*2.npz"
_JOINTS = ("extra_keypoints_3d", "S")
_PELVIS = 14
# of both: right hip, knee, ankle, left hip, knee, ankle, neck, head, left shoulder, elbow, wrist, right ones
_CHOSEN = (2, 1, 0, 3, 4, 5, 12, 18, 9, 10, 11, 8, 7, 6)


class JointRecord(NamedTuple):
    """One picture.

    Attributes:
        sequence: name of the image in the file. frame: its row.
        joints: `(14, 3)` float32, metres in our frame, the pelvis at the origin: hip, knee and ankle of the right and
            of the left leg, neck, head, shoulder, elbow and wrist of the left and of the right arm.
        box: left, top, right, bottom of the person in the picture, in pixels.
    """

    sequence: str
    frame: int
    licence: str
    joints: np.ndarray
    image: Path
    box: tuple[float, float, float, float]


def count_human36m(root: str | Path) -> int:
    """The number of images in the file of the second protocol.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: there are several, or it is damaged.
    """
    return len(_load(_file(root))[0])


def read_human36m(root: str | Path) -> Iterator[JointRecord]:
    """The pictures of the second protocol, looked for in the folder `images` below `root`.

    Raises:
        FileNotFoundError, ValueError: as `count_human36m`.
    """
    path = _file(root)
    return _records(Path(root), path, *_load(path))


def _file(root):
    return only_file(Path(root), _PATTERN, LICENCES["Human3.6M"].how)


def _load(path):
    """Names of the pictures, joints `(n, 14, 3)` and boxes `(n, 4)`."""
    arrays = read_npz(path, "imgname", "center", "scale", *_JOINTS)
    try:
        joints = next(arrays[name] for name in _JOINTS if name in arrays)[..., :3]
        joints = (joints[:, _CHOSEN] - joints[:, [_PELVIS]]) @ OPENCV_TO_OURS
        names, boxes = as_text(arrays["imgname"]), boxes_of(arrays["center"], arrays["scale"])
        if len({len(names), len(joints), len(boxes)}) != 1:
            raise ValueError("different numbers of rows")
    except (KeyError, IndexError, StopIteration, ValueError) as error:
        raise ValueError(
            f"{path} does not have the layout of Human3.6M's second protocol ({error!r}); download it again."
        ) from None
    return names, joints.astype(np.float32), boxes


def _records(root, path, names, joints, boxes):
    with skipping("Human3.6M") as skip:
        for row, name in enumerate(names):
            image = root / "images" / name
            if not image.is_file():
                skip(f"There is no picture {image}: {LICENCES['Human3.6M'].how}.")
            elif not (np.isfinite(joints[row]).all() and np.isfinite(boxes[row]).all()):
                skip(f"{path} holds NaN or infinite numbers in row {row}.")
            else:
                licence = LICENCES["Human3.6M"].terms
                yield JointRecord(name, row, licence, joints[row].copy(), image, tuple(boxes[row].tolist()))
