# SPDX-License-Identifier: Apache-2.0
"""Reads poses from any supported file: motions, results of other programs, our own files."""

import os
from pathlib import Path
from typing import NamedTuple

import roma
import torch
from torch import Tensor

from unipose_hf.body.joints import JOINT_NAMES, MIXAMO_NAMES, PARENTS
from unipose_hf.files.foreign_tensors import load_tensors_only
from unipose_hf.files.plain import read_json, read_npz_object
from unipose_hf.files.unpickle import read_pickle
from unipose_hf.modeling.pose_unipose import Pose
from unipose_hf.modeling.rotation_unipose import axis_vector, world_turn

from .bvh import Bvh, parse_bvh
from .bvh_names import complete_joint_map, guess_joint_map
from .bvh_orientation import world_up
from .glb_file import read_glb
from .motion import read_deepmimic, turned_bvh_poses
from .smpl_rows import read_archive, to_our_frame
from .tool_results import read_results

__all__ = ["IN_FOLDERS", "READABLE", "guess_joint_map", "read_pose", "read_poses"]

READABLE = (".npz", ".bvh", ".json", ".glb", ".pkl", ".pt", ".pth")
IN_FOLDERS = READABLE[:3]  # searched for in folders; the other kinds are more often meshes and weights

_T_POSE_COSINE = 0.97  # arms point sideways and legs down within 14 degrees


def read_poses(
    path: str | os.PathLike,
    *,
    up: str | None = None,
    facing: str | None = None,
    joint_map: dict[str, str] | None = None,
    person: str | None = None,
) -> Tensor:
    """
    Reads all frames of a file, as axis-angle `(F, 22, 3)` float32 in our frame.

    Supports .bvh with any common skeleton; AMASS-style .npz; .json and .glb of `Pose.save`; and results of other
    programs with rotations (.pkl, .pt, .pth, .json, .npz, see `tool_results`).

    Args:
        up: the axis of the file's world that points up: "y", "z", "-y" (camera frame) ...; by default detected from
            the file.
        facing: the axis that points towards the viewer; by default the usual one for this `up`.
        joint_map: our joint name -> the .bvh file's, for joints with unknown names.
        person: which of several people in the results of a program to read.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: unknown suffix, damaged file, no rotations, unknown joints, or unclear up axis.
    """
    path = Path(path)
    poses = _read(path, {"up": up, "facing": facing}, joint_map, person)
    if not torch.isfinite(poses).all():
        frame = int((~torch.isfinite(poses)).any(-1).any(-1).nonzero()[0])
        raise ValueError(f"{path} holds NaN or infinite numbers in frame {frame}; expected finite rotation vectors.")
    return poses


def read_pose(path: str | os.PathLike, frame: int = 0, **reading) -> Pose:
    """Reads one frame of a file like `read_poses`; includes the body shape if `Pose.save` wrote the file."""
    path = Path(path)
    if path.suffix.lower() == ".npz" and not stores_single_object(read_archive(path)):
        return Pose.from_npz(path, frame, reading.get("up"), reading.get("facing"))
    poses = read_poses(path, **reading)
    if not -len(poses) <= frame < len(poses):
        raise ValueError(f"frame is {frame}, but {path} has {len(poses)} frames; choose 0 to {len(poses) - 1}.")
    if path.suffix.lower() == ".json" and _is_own(read_json(path, object)):
        return Pose.from_json(path)
    return Pose(poses[frame])


def _read(path: Path, world: dict, joint_map, person) -> Tensor:
    suffix = path.suffix.lower()
    if suffix not in READABLE:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise ValueError(f"{path} has {found}; poses are read from {', '.join(READABLE)}.")
    if suffix == ".bvh":
        bvh = parse_bvh(path)
        return turned_bvh(bvh, path, joint_map, **world).rotations
    if suffix == ".glb":
        return torch.from_numpy(read_glb(path).rotations)
    if suffix == ".npz":
        arrays = read_archive(path)
        if not stores_single_object(arrays):
            return torch.from_numpy(to_our_frame(arrays, path, **world))
        content = read_npz_object(path, "results")
    elif suffix == ".json":
        content = read_json(path, object)
        if _is_own(content):
            return torch.from_numpy(Pose.from_json(path).axis_angle.copy())[None]
        if isinstance(content, dict) and "Frames" in content:
            return read_deepmimic(path)
    else:
        content = read_pickle(path) if suffix == ".pkl" else load_tensors_only(path)
    return read_results(content, path, person=person, **world)


def stores_single_object(arrays: dict) -> bool:
    """Whether an .npz stores a single object, as ROMP does, instead of arrays."""
    return "results" in arrays and all(array is None for array in arrays.values())


def _is_own(content) -> bool:
    return isinstance(content, dict) and "axis_angle" in content


class TurnedBvh(NamedTuple):
    """A BVH file in our frame.

    Attributes:
        rotations: `(F, 22, 3)` axis-angle.
        joints: our joint name -> the index of the file's joint.
        turn: `(3, 3)` float64, from the file's world into our frame.
        own: whether the skeleton is ours, as `save` writes it.
    """

    rotations: Tensor
    joints: dict[str, int]
    turn: Tensor
    own: bool


def turned_bvh(
    bvh: Bvh, path: Path, joint_map: dict[str, str] | None, up: str | None = None, facing: str | None = None
) -> TurnedBvh:
    """Finds the joints of any skeleton, and rotates its poses into our frame."""
    own = None if joint_map else _own_rotations(bvh, path, up, facing)
    if own is not None:
        return own
    joint_map = complete_joint_map(bvh, joint_map or {}, path)
    index = {ours: bvh.names.index(theirs) for ours, theirs in joint_map.items() if theirs in bvh.names}
    rotations, turn = turned_bvh_poses(bvh, joint_map, path, up, facing)
    return TurnedBvh(rotations, index, turn, False)


def _own_rotations(bvh: Bvh, path: Path, up: str | None, facing: str | None) -> TurnedBvh | None:
    """The poses of a file with our own skeleton in its T-pose, as `save` writes it, unchanged except for the world's
    axes; None for every other skeleton."""
    names = next((names for names in (JOINT_NAMES, MIXAMO_NAMES) if sorted(bvh.names) == sorted(names)), None)
    if names is None:
        return None
    index = [bvh.names.index(name) for name in names]
    parents = [bvh.parents[joint] for joint in index]
    if parents != [index[parent] if parent >= 0 else -1 for parent in PARENTS]:
        return None
    rest = bvh.offsets[index] / bvh.offsets[index].norm(dim=-1, keepdim=True).clamp(min=1e-9)
    tee = rest.new_tensor([[1, 0, 0], [-1, 0, 0], [0, -1, 0], [0, -1, 0]])
    ends = [JOINT_NAMES.index(name) for name in ("left_elbow", "right_elbow", "left_knee", "right_knee")]
    if (rest[ends] * tee).sum(-1).min() < _T_POSE_COSINE:
        return None
    joints = dict(zip(JOINT_NAMES, index, strict=True))
    turn = world_turn(up or world_up(bvh, joints, axis_vector("y"), path), facing)
    rotations = bvh.rotations[:, index]
    rotations[:, 0] = turn @ rotations[:, 0]
    return TurnedBvh(roma.rotmat_to_rotvec(rotations).float(), joints, turn, True)
