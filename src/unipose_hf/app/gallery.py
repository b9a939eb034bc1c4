# SPDX-License-Identifier: Apache-2.0
"""The poses that the page searches: named ones, the bundled open ones, and those of the user's own folder."""

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor

from ..body import forward_kinematics, load_body, remove_yaw
from ..data.language import angles_to_axis_angle, load_language_bank
from ..data.language.fitting import pose_features
from ..data.mining.selection import farthest_points
from ..data.open_poses import load_open_poses
from ..motion import Motion

SUFFIXES = (".bvh", ".glb", ".json", ".npz", ".pkl", ".pt")  # what `Motion.from_file` reads
MAX_FILES = 2000
MAX_POSES_PER_FILE = 24  # poses of a motion, the most different ones
_MAX_FRAMES = 600  # frames of a motion, at equal distances

_folder: Path | None = None


@dataclass(frozen=True, eq=False)
class Gallery:
    """names: one a pose. axis_angle: `(N, 22, 3)` radians, facing the viewer. joints: `(N, 22, 3)` metres, with the
    pelvis at the origin."""

    names: tuple[str, ...]
    axis_angle: Tensor
    joints: Tensor

    def distances(self, joints: Tensor) -> Tensor:
        """Distances `(N,)` in metres to the joints `(22, 3)` of a pose: means over the joints."""
        return (self.joints - joints).norm(dim=-1).mean(dim=-1)

    @functools.cached_property
    def features(self) -> Tensor:
        """Unit vectors `(N, embed_dim)` of the retrieval model."""
        return pose_features(self.axis_angle)


def joints_facing(axis_angle: Tensor) -> Tensor:
    """Joints `(..., 22, 3)` in metres of poses that are turned about the vertical axis to face the viewer."""
    return forward_kinematics(roma.rotvec_to_rotmat(remove_yaw(axis_angle)), load_body(size="small").rest_joints)[0]


def use_folder(folder: str | Path | None) -> None:
    """Search this folder too, with the folders in it; None: no folder.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    global _folder
    if folder is not None and not Path(folder).is_dir():
        raise FileNotFoundError(f"There is no folder {folder}; give the folder with your poses and motions.")
    _folder = None if folder is None else Path(folder)


def sources() -> tuple[str, ...]:
    """The sources of `search` and `nearest`: "named", "open" and, if there is one, "folder"."""
    return ("named", "open") if _folder is None else ("named", "open", "folder")


def load_gallery(source: str) -> Gallery:
    """The poses of a source; those of the folder are read again when a file was added, changed or removed.

    Raises:
        ValueError: there is no such source.
    """
    if source == "folder" and _folder is None:
        raise ValueError("There is no folder to search; start the page with `unipose app --folder DIR`.")
    if source not in sources():
        raise ValueError(f"There is no source {source!r}; choose one of {', '.join(sources())}.")
    if source == "folder":
        return _of_folder(_folder, _listing(_folder))
    return _of_named() if source == "named" else _of_open()


def _gallery(names: list[str], axis_angle: Tensor) -> Gallery:
    facing = remove_yaw(axis_angle)
    return Gallery(tuple(names), facing, joints_facing(facing))


@functools.cache
def _of_named() -> Gallery:
    bank = load_language_bank()
    return _gallery([pose.name for pose in bank.named], angles_to_axis_angle(bank.named_angles))


@functools.cache
def _of_open() -> Gallery:
    poses = load_open_poses("all")
    return _gallery([poses.clip_names[clip] for clip in poses.clip_id], poses.axis_angle)


def _listing(folder: Path) -> tuple[tuple[Path, float], ...]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if len(found) > MAX_FILES:
        warnings.warn(f"{folder} has {len(found)} files; the first {MAX_FILES} are searched.", stacklevel=2)
    return tuple((path, path.stat().st_mtime) for path in found[:MAX_FILES])


@functools.lru_cache(maxsize=1)
def _of_folder(folder: Path, listing: tuple[tuple[Path, float], ...]) -> Gallery:
    names, poses, unread = [], [torch.zeros(0, 22, 3)], []
    for path, _ in listing:
        try:
            motion = Motion.from_file(path)
        except (ValueError, OSError):
            unread.append(str(path.relative_to(folder)))
            continue
        frames = _different_frames(torch.tensor(motion.axis_angle))
        name = str(path.relative_to(folder))
        seconds = [f", {frame / motion.frame_rate:.1f} s" if len(motion) > 1 else "" for frame in frames]
        names += [name + second for second in seconds]
        poses.append(torch.tensor(motion.axis_angle[frames]))
    if unread:
        more = f" and {len(unread) - 3} more" if len(unread) > 3 else ""
        warnings.warn(f"These files of your folder hold no poses: {', '.join(unread[:3])}{more}.", stacklevel=2)
    return _gallery(names, torch.cat(poses))


def _different_frames(axis_angle: Tensor) -> list[int]:
    """Up to `MAX_POSES_PER_FILE` frames of a motion `(F, 22, 3)`, in their order."""
    candidates = np.unique(np.linspace(0, len(axis_angle) - 1, min(len(axis_angle), _MAX_FRAMES)).astype(int))
    joints = joints_facing(axis_angle[candidates])
    chosen = farthest_points(joints, min(len(joints), MAX_POSES_PER_FILE), progress=False)
    return sorted(candidates[chosen.numpy()].tolist())
