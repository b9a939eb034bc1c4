# SPDX-License-Identifier: Apache-2.0
"""3DPW (von Marcard et al. 2018): people outdoors, SMPL poses in a world with a moving camera, in pickles.

The pickles are read as plain data and run no code. Frames with an unknown camera position are skipped.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unipose_hf.data.formats.smpl_rows import body_joints

from ...files.unpickle import read_pickle
from ..frames import from_opencv
from ..licences import LICENCES
from ..records import PoseRecord, one_of, skipping

SPLITS = {"train": "train", "val": "validation", "test": "test"}
FRAME_RATE = 30.0  # of the images and of their poses
_GENDERS = {"f": "female", "m": "male"}
_JOINTS_FOR_A_BOX = 6
_MARGIN = 0.1  # the body extends beyond its joints: this share of the box is added on each side


def list_threedpw(root: str | Path, split: str) -> list[Path]:
    """The sequence files of a split: "train", "val" or "test".

    Raises:
        FileNotFoundError: there are none.
        ValueError: no such split.
    """
    folder = Path(root) / "sequenceFiles" / SPLITS[one_of(SPLITS, split, "split")]
    files = sorted(folder.glob("*.pkl"))
    if not files:
        raise FileNotFoundError(f"{folder} has no sequences (*.pkl) of 3DPW: {LICENCES['3DPW'].how}.")
    return files


def read_threedpw(root: str | Path, split: str) -> Iterator[PoseRecord]:
    """Everyone in every frame with an image, in the camera frame; `sequence` is the name and the person's index.

    Raises:
        FileNotFoundError, ValueError: as `list_threedpw`.
    """
    return _records(Path(root), list_threedpw(root, split))


def _records(root, files):
    with skipping("3DPW") as skip:
        for path in files:
            try:
                people = _people(read_pickle(path), path)
            except ValueError as error:
                skip(error)
                continue
            pictures = root / "imageFiles" / path.stem
            for number, person in enumerate(people):
                yield from _frames(person, pictures, f"{path.stem}/{number}", skip)


def _people(content, path):
    """For each person, the frames with a camera, poses in our frame, joints in the image, betas and gender."""
    people = []
    try:
        cameras = np.asarray(content["cam_poses"], dtype=np.float64)[:, :3, :3]
        for number, poses in enumerate(content["poses"]):
            poses = body_joints(np.asarray(poses), path)
            valid = np.asarray(content["campose_valid"][number]).astype(bool)
            joints = np.asarray(content["poses2d"][number], dtype=np.float64)  # (F, 3, 18)
            if len({len(cameras), len(poses), len(valid), len(joints), len(content["img_frame_ids"])}) != 1:
                raise ValueError("different numbers of frames")
            betas = np.asarray(content["betas"][number]).reshape(-1)[:10].astype(np.float32)
            gender = _GENDERS.get(str(content["genders"][number]))
            people.append((np.flatnonzero(valid), from_opencv(poses, cameras), joints, betas, gender))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} does not have the layout of a 3DPW sequence ({error!r}); download it again."
        ) from None
    return people


def _frames(person, pictures, sequence, skip):
    frames, poses, joints, betas, gender = person
    for frame in frames.tolist():
        # Images are numbered like the poses. `img_frame_ids` counts frames at 60 per second and would give other
        # images.
        image = pictures / f"image_{frame:05d}.jpg"
        if not image.is_file():
            skip(f"There is no picture {image}: {LICENCES['3DPW'].how}.")
        elif not np.isfinite(poses[frame]).all():
            skip(f"{sequence} holds NaN or infinite numbers in frame {frame}.")
        else:
            pose, box, licence = poses[frame].copy(), _box(joints[frame]), LICENCES["3DPW"].terms
            yield PoseRecord("3DPW", sequence, frame, licence, pose, betas, gender, FRAME_RATE, image, box)


def _box(joints):
    """The box around the detected joints `(3, 18)`: x, y, confidence; None if there are too few."""
    found = joints[:2, joints[2] > 0]
    if found.shape[1] < _JOINTS_FOR_A_BOX:
        return None
    low, high = found.min(axis=1), found.max(axis=1)
    margin = _MARGIN * (high - low)
    return tuple((*(low - margin).tolist(), *(high + margin).tolist()))
