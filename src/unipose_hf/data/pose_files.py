# SPDX-License-Identifier: Apache-2.0
"""Poses out of whatever file a user has: AMASS-style .npz, .bvh of the usual skeletons, .json of `Pose.save`."""

import os
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor

from unipose_hf.body import JOINT_NAMES, PARENTS
from unipose_hf.modeling.pose_unipose import Pose

from .frames import from_z_up
from .motion import parse_bvh, read_bvh

READABLE = (".npz", ".bvh", ".json")

# Names of limb joints (ours -> without side, in small letters, only letters), by the two conventions in use:
# SMPL's and the one of Mixamo, CMU and MotionBuilder. They contradict each other, so one of them must fit as a whole.
_CONVENTIONS = (
    {
        "hip": ("hip",),
        "knee": ("knee",),
        "ankle": ("ankle",),
        "foot": ("foot", "toe", "toes", "toebase"),
        "collar": ("collar", "clavicle"),
        "shoulder": ("shoulder",),
        "elbow": ("elbow",),
        "wrist": ("wrist",),
    },
    {
        "hip": ("upleg", "thigh", "upperleg"),
        "knee": ("leg", "lowleg", "lowerleg", "shin", "calf"),
        "ankle": ("foot",),
        "foot": ("toebase", "toe", "toes"),
        "collar": ("shoulder", "clavicle", "collar"),
        "shoulder": ("arm", "uparm", "upperarm"),
        "elbow": ("forearm", "lowarm", "lowerarm"),
        "wrist": ("hand",),
    },
)
_OPTIONAL = ("foot", "collar")
_T_POSE_COSINE = 0.97  # arms point sideways and legs down within 14 degrees


def read_poses(path: str | os.PathLike) -> Tensor:
    """
    All frames of a file, as axis-angle `(F, 22, 3)` float32 in our frame.

    BVH rest poses must stand upright, y up, facing +z, as `read_bvh` says.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another suffix, a damaged file, or a BVH skeleton with unknown names.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in READABLE:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise ValueError(f"{path} has {found}; poses are read from {', '.join(READABLE)}.")
    if suffix == ".bvh":
        own = _own_rotations(path)
        return read_bvh(path, guess_joint_map(path)) if own is None else own
    if suffix == ".json":
        return torch.from_numpy(Pose.from_json(path).axis_angle.copy())[None]
    Pose.from_npz(path)  # says what is wrong with the file
    with np.load(path, allow_pickle=False) as data:
        poses = torch.from_numpy(data["poses"][:, :66].astype(np.float32)).reshape(-1, 22, 3)
    if not torch.isfinite(poses).all():
        frame = int((~torch.isfinite(poses)).any(-1).any(-1).nonzero()[0])
        raise ValueError(f"{path} holds NaN or infinite numbers in frame {frame}; expected finite rotation vectors.")
    return torch.from_numpy(from_z_up(poses.numpy()))


def read_pose(path: str | os.PathLike, frame: int = 0) -> Pose:
    """One frame of a file; with the body shape where the file is one of `Pose.save`."""
    path = Path(path)
    if path.suffix.lower() == ".npz":
        return Pose.from_npz(path, frame)
    poses = read_poses(path)
    if not -len(poses) <= frame < len(poses):
        raise ValueError(f"frame is {frame}, but {path} has {len(poses)} frames; choose 0 to {len(poses) - 1}.")
    return Pose.from_json(path) if path.suffix.lower() == ".json" else Pose(poses[frame])


def guess_joint_map(path: str | os.PathLike) -> dict[str, str]:
    """
    Our joint names -> those of a BVH file (for `read_bvh`): limbs by their names, the spine by where it is.

    Raises:
        FileNotFoundError, ValueError: no such file; not a BVH file; limbs are missing or named otherwise.
    """
    bvh = parse_bvh(path)
    sided = {_side_and_part(name): name for name in reversed(bvh.names)}
    best = {}
    for convention in _CONVENTIONS:
        found = {}
        for side in ("left", "right"):
            for joint, parts in convention.items():
                name = next((sided[side, part] for part in parts if (side, part) in sided), None)
                if name is not None:
                    found[f"{side}_{joint}"] = name
        missing = [f"{s}_{j}" for s in ("left", "right") for j in convention if j not in _OPTIONAL]
        missing = [name for name in missing if name not in found]
        if not missing:
            return found | _middle(bvh, found)
        best = max(best, found, key=len)
    raise ValueError(
        f"{path} has no joints that look like the limbs of a person (found {', '.join(best) or 'none'}); rename them "
        f"as SMPL (left_hip, left_knee ...) or Mixamo (LeftUpLeg, LeftLeg ...) do. Its joints are {bvh.names}."
    )


def _own_rotations(path: Path) -> Tensor | None:
    """The rotations `(F, 22, 3)` of a file with our own skeleton in its T-pose, as `Pose.save` writes it, exactly as
    they stand there; None for every other skeleton."""
    bvh = parse_bvh(path)
    if sorted(bvh.names) != sorted(JOINT_NAMES):
        return None
    index = [bvh.names.index(name) for name in JOINT_NAMES]
    parents = [bvh.parents[joint] for joint in index]
    if parents != [index[parent] if parent >= 0 else -1 for parent in PARENTS]:
        return None
    rest = bvh.offsets[index] / bvh.offsets[index].norm(dim=-1, keepdim=True).clamp(min=1e-9)
    tee = rest.new_tensor([[1, 0, 0], [-1, 0, 0], [0, -1, 0], [0, -1, 0]])
    ends = [JOINT_NAMES.index(name) for name in ("left_elbow", "right_elbow", "left_knee", "right_knee")]
    if (rest[ends] * tee).sum(-1).min() < _T_POSE_COSINE:
        return None
    return roma.rotmat_to_rotvec(bvh.rotations[:, index]).float()


def _side_and_part(name: str) -> tuple[str, str]:
    """`mixamorig:LeftUpLeg`, `left_hip`, `l_hip` -> (side, part in small letters); side "" for the middle."""
    words = name.split(":")[-1]
    letters = "".join(character for character in words.lower() if character.isalpha())
    for side in ("left", "right"):
        if letters.startswith(side):
            return side, letters[len(side) :]
        if words[:2].lower() in (f"{side[0]}_", f"{side[0]}."):
            return side, letters[1:]
    return "", letters


def _middle(bvh, limbs: dict[str, str]) -> dict[str, str]:
    """Pelvis, spine, neck and head: the way from where the legs part to where the arms part, and on to the head."""

    def way_up(name: str) -> list[int]:
        way = [bvh.names.index(name)]
        while bvh.parents[way[-1]] >= 0:
            way.append(bvh.parents[way[-1]])
        return way

    def parting(left: str, right: str) -> int:
        other = set(way_up(limbs[right]))
        return next(joint for joint in way_up(limbs[left]) if joint in other)

    pelvis, chest = parting("left_hip", "right_hip"), parting("left_shoulder", "right_shoulder")
    found = {"pelvis": bvh.names[pelvis]}
    spine = _between(way_up(bvh.names[chest]), pelvis)
    if spine:
        found["spine3"] = bvh.names[spine[-1]]
    if len(spine) > 1:
        found["spine1"] = bvh.names[spine[0]]
    if len(spine) > 2:
        found["spine2"] = bvh.names[spine[len(spine) // 2]]
    head = next((name for name in bvh.names if _side_and_part(name) == ("", "head")), None)
    if head is not None:
        found["head"] = head
        necks = _between(way_up(head), chest)[:-1]
        if necks:
            found["neck"] = bvh.names[necks[-1]]
    return found


def _between(way_up: list[int], below: int) -> list[int]:
    """The joints of a way, from the one above `below` to the way's own; none where the way does not lead there."""
    return way_up[: way_up.index(below)][::-1] if below in way_up else []
