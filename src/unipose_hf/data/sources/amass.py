# SPDX-License-Identifier: Apache-2.0
"""AMASS (Mahmood et al. 2019): motion capture from many laboratories as SMPL-H or SMPL-X parameters, z up.

The folder has a sub-folder for each sub-dataset, with one .npz file per motion. The split is by sub-dataset: the one
that AMASS recommends, with BMLhandball, BMLmovi and DanceDB added to training, which came later and are in the
training data of UniPose's tokenizer. Other sub-datasets, such as DFaust or GRAB, are in no split.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unipose_hf.data.formats.smpl_rows import body_joints
from unipose_hf.files.plain import read_npz

from ..frames import from_z_up
from ..licences import LICENCES
from ..records import PoseRecord, Skipped, one_of, skipping

# Folder names of AMASS's releases; only letters and digits are compared.
SPLITS = {
    "train": "ACCAD BMLhandball BMLmovi BioMotionLab_NTroje BMLrub CMU DanceDB EKUT Eyes_Japan_Dataset "
    "EyesJapanDataset EyesJapan KIT MPI_Limits PosePrior MPI_Limits_PosePrior TCD_handMocap TCDHands TotalCapture",
    "val": "HumanEva HEva MPI_HDM05 HDM05 MPI_mosh MoSh SFU",
    "test": "SSM_synced SSM Transitions_mocap Transitions",
}


class Motion(NamedTuple):
    """A motion file: poses `(F, 22, 3)` float32 unchanged (z up), and the body that moves."""

    poses: np.ndarray
    betas: np.ndarray | None
    gender: str | None
    frame_rate: float | None


def list_amass(root: str | Path, split: str) -> list[Path]:
    """The motion files of a split: "train", "val" or "test".

    Raises:
        FileNotFoundError: none of the split's sub-datasets is present.
        ValueError: no such split.
    """
    root = Path(root)
    wanted = {_letters(name) for name in SPLITS[one_of(SPLITS, split, "split")].split()}
    folders = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    files = [f for p in folders if _letters(p.name) in wanted for f in sorted(p.rglob("*.npz")) if is_motion(f)]
    if not files:
        raise FileNotFoundError(
            f"{root} has no motions of AMASS's {split} split ({', '.join(SPLITS[split].split())}): "
            f"{LICENCES['AMASS'].how}."
        )
    return files


def read_amass(root: str | Path, split: str, *, every: int = 1) -> Iterator[PoseRecord]:
    """Every `every`-th frame of the motions of a split; `sequence` is the file's path below `root`.

    Raises:
        FileNotFoundError, ValueError: as `list_amass`.
    """
    return read_motions("AMASS", root, list_amass(root, split), every)


def read_motions(name: str, root: str | Path, files: list[Path], every: int) -> Iterator[PoseRecord]:
    """The frames of files with AMASS's layout."""
    with skipping(name) as skip:
        for path in files:
            try:
                motion = load_motion(path)
            except (ValueError, FileNotFoundError) as error:
                skip(error)
                continue
            sequence = path.relative_to(root).as_posix()
            yield from _frames(motion, name, sequence, range(0, len(motion.poses), every), skip)


def frame_reader(root: str | Path) -> Callable[[str, int], PoseRecord]:
    """Returns a function that reads one frame by the path of its file below `root` and its index.

    It caches the last 64 motions, so request frames of the same file together. It raises
    `FileNotFoundError` or `ValueError` for a file, frame or pose that is missing or damaged.

    Raises:
        FileNotFoundError: no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root} with AMASS: {LICENCES['AMASS'].how}.")
    motion = lru_cache(maxsize=64)(load_motion)

    def read(sequence: str, frame: int) -> PoseRecord:
        found = motion(root / sequence)
        if not 0 <= frame < len(found.poses):
            raise ValueError(f"{root / sequence} has {len(found.poses)} frames; there is no frame {frame}.")
        skip = Skipped()
        for record in _frames(found, "AMASS", sequence, range(frame, frame + 1), skip):
            return record
        raise ValueError(skip.first)

    return read


def is_motion(path: Path) -> bool:
    """Whether a file name is that of a motion; others contain bodies or markers."""
    return path.name.endswith(("_poses.npz", "_stageii.npz"))


def load_motion(path: Path) -> Motion:
    """Loads a motion file with AMASS's layout.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is damaged or has another layout.
    """
    arrays = read_npz(path, "poses", optional=("betas", "gender", "mocap_framerate", "mocap_frame_rate"))
    if "poses" not in arrays:
        raise ValueError(f"{path} has no poses, so it is not an AMASS motion.")
    # the releases name the rate differently
    rate = _single(arrays.get("mocap_framerate", arrays.get("mocap_frame_rate")))
    gender = _single(arrays.get("gender"))
    return Motion(
        body_joints(arrays["poses"], path),
        arrays["betas"].reshape(-1).astype(np.float32) if "betas" in arrays else None,
        gender.decode() if isinstance(gender, bytes) else gender,
        None if rate is None else float(rate),
    )


def _frames(motion, name, sequence, frames, skip):
    raw = motion.poses[frames.start : frames.stop : frames.step]
    finite = np.isfinite(raw).all(axis=(1, 2))
    for frame, pose, fine in zip(frames, from_z_up(raw), finite, strict=True):
        if fine:
            pose = pose.copy()  # a record must not keep its whole motion in memory
            licence = LICENCES[name].terms
            yield PoseRecord(name, sequence, frame, licence, pose, motion.betas, motion.gender, motion.frame_rate)
        else:
            skip(f"{sequence} holds NaN or infinite numbers in frame {frame}.")


def _single(array):
    """The one value of an array, as Python has it."""
    return array.item() if array is not None and array.size == 1 else None


def _letters(name):
    return "".join(c for c in name.lower() if c.isalnum())
