# SPDX-License-Identifier: Apache-2.0
"""Readers of motion files: BVH of any skeleton, and the JSON clips of DeepMimic.

Both give `(F, 22, 3)` local axis-angle rotations (radians, float32) of the 22 SMPL joints in our frame: y up,
identity = T-pose that faces +z, the body's left = +x. The conversion keeps *directions*: a source joint turned by `G`
in the world gives our joint the turn `G @ A`, where the constant `A` carries our T-pose bone onto the source's rest
bone. Bone lengths and the place of the root are dropped.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor

from unipose_hf.body import JOINT_NAMES, PARENTS

# The bone of our T-pose that each limb joint turns: its direction, and the joint at the bone's far end. Bodies of the
# SMPL family, the bundled one too, stand in their T-pose with legs a little apart: 5 degrees each.
_LEG_X = math.tan(math.radians(5.3))
_LIMB_BONES = {
    f"{side}_{joint}": ((sign * x, y, 0.0), f"{side}_{end}")
    for side, sign in (("left", 1.0), ("right", -1.0))
    for joint, end, x, y in (
        ("shoulder", "elbow", 1.0, 0.0),
        ("elbow", "wrist", 1.0, 0.0),
        ("hip", "knee", _LEG_X, -1.0),
        ("knee", "ankle", _LEG_X, -1.0),
    )
}
# A skeleton with fewer spine or neck joints than ours: the missing ones share the turn of the next joint it has.
_SHARED = ("spine1", "spine2", "neck")

# Elbow bend (radians) from which its axis begins to set the upper arm's twist, and from which it sets it wholly.
_HINGE_FROM, _HINGE_FULL = math.radians(10.0), math.radians(30.0)


@dataclass
class Bvh:
    """A BVH file as it is written: no frame change, no retargeting.

    Attributes:
        names: J joint names, parents first (end sites are not joints).
        parents: J indices, -1 for the root.
        offsets: `(J, 3)` rest offset from the parent, in the file's unit.
        end_offsets: the end sites' offsets, keyed by the index of their joint.
        channels: of each joint the names of its motion values, in small letters.
        rotations: `(F, J, 3, 3)` local rotation matrices.
        frame_time: seconds from one frame to the next.
    """

    names: list[str]
    parents: list[int]
    offsets: Tensor
    end_offsets: dict[int, Tensor]
    channels: list[list[str]]
    rotations: Tensor
    frame_time: float

    def global_rotations(self) -> Tensor:
        """`(F, J, 3, 3)` rotations in the file's world."""
        out = []
        for joint, parent in enumerate(self.parents):
            local = self.rotations[:, joint]
            out.append(local if parent < 0 else out[parent] @ local)
        return torch.stack(out, dim=1)

    def positions(self) -> Tensor:
        """`(F, J, 3)` joint positions with the root at the origin, in the file's unit."""
        turns = self.global_rotations()
        out = [torch.zeros_like(turns[:, 0, 0])]
        for joint, parent in enumerate(self.parents[1:], start=1):
            out.append(out[parent] + turns[:, parent] @ self.offsets[joint])
        return torch.stack(out, dim=1)


def parse_bvh(path: str | Path) -> Bvh:
    """Read a BVH file: any hierarchy, channels in any order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a BVH file, or its motion does not fit its channels.
    """
    tokens = iter(_existing(path).read_text(encoding="utf-8", errors="replace").split())
    if next(tokens, "") != "HIERARCHY":
        raise ValueError(f"{path} does not start with HIERARCHY, so it is not a BVH file; pass a .bvh motion file.")
    try:
        bvh, declared, values = _parse_tokens(tokens)
    except (StopIteration, IndexError, TypeError, ValueError):  # a word is missing or no number; braces do not match
        raise ValueError(f"{path} breaks off, or is not laid out as a BVH file; fetch it again.") from None
    width = sum(len(kinds) for kinds in bvh.channels)
    # Some files hold one frame more than they declare; the declared ones are read.
    if declared < 1 or width == 0 or values.size % width or values.size < declared * width:
        raise ValueError(
            f"{path} holds {values.size} motion values, expected {declared} frames x {width} channels; the file is "
            "cut or damaged, fetch it again."
        )
    frames = torch.from_numpy(values).reshape(-1, width)[:declared]
    if not (frames.isfinite().all() and bvh.offsets.isfinite().all()):
        raise ValueError(f"{path} holds NaN or infinite numbers; expected finite angles and offsets.")
    bvh.rotations = _local_rotations(bvh.channels, frames)
    return bvh


_CHANNELS = {f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation")}


def _parse_tokens(tokens) -> tuple[Bvh, int, np.ndarray]:
    """The words after HIERARCHY -> the file without its rotations, the declared number of frames, all motion values.

    Raises:
        StopIteration, IndexError, TypeError, ValueError: they are not laid out as they should be.
    """
    names, parents, offsets, channels, end_offsets = [], [], [], [], {}
    stack: list[int | None] = []  # open braces: a joint's index, or None for an end site
    joint = -1
    for token in tokens:
        if token in ("ROOT", "JOINT"):
            joint = len(names)
            names.append(next(tokens))
            parents.append(stack[-1] if stack else -1)
            offsets.append(None)
            channels.append([])
        elif token == "End":
            next(tokens)
            joint = None
        elif token == "{":
            stack.append(joint)
        elif token == "}":
            stack.pop()
        elif token == "OFFSET":
            offset = torch.tensor([float(next(tokens)) for _ in range(3)], dtype=torch.float64)
            if stack[-1] is None:
                end_offsets[stack[-2]] = offset
            else:
                offsets[stack[-1]] = offset
        elif token == "CHANNELS":
            channels[stack[-1]] = [next(tokens).lower() for _ in range(int(next(tokens)))]
        elif token == "MOTION":
            break
    if stack or not names or not _CHANNELS.issuperset(kind for kinds in channels for kind in kinds):
        raise ValueError("an open brace, no joint or an unknown channel")
    header = {}
    for token in tokens:
        if token == "Frames:":
            header["frames"] = int(next(tokens))
        elif token == "Time:":
            header["time"] = float(next(tokens))
            break
    if len(header) < 2:
        raise ValueError("no Frames: or no Frame Time:")
    values = np.array(list(tokens), dtype=np.float64)
    bvh = Bvh(names, parents, torch.stack(offsets), end_offsets, channels, torch.empty(0), header["time"])
    return bvh, header["frames"], values


def _local_rotations(channels: list[list[str]], frames: Tensor) -> Tensor:
    """Motion values `(F, all channels)` -> `(F, J, 3, 3)`."""
    rotations = torch.eye(3, dtype=torch.float64).repeat(len(frames), len(channels), 1, 1)
    column = 0
    for joint, kinds in enumerate(channels):
        turning = [(kind[0].upper(), column + k) for k, kind in enumerate(kinds) if kind.endswith("rotation")]
        if turning:
            axes = "".join(axis for axis, _ in turning)
            angles = frames[:, [c for _, c in turning]]
            # Channels apply from the left: "Zrotation Xrotation Yrotation" means Rz @ Rx @ Ry.
            rotations[:, joint] = roma.euler_to_rotmat(axes, angles, degrees=True)
        column += len(kinds)
    return rotations


def read_bvh(path: str | Path, joint_map: dict[str, str]) -> Tensor:
    """Poses of a BVH motion whose rest pose stands upright, y up, facing +z (arms and legs in any direction).

    Args:
        path: the file.
        joint_map: our joint name -> the file's joint name. It must hold `pelvis` and, of every limb, shoulder, elbow,
            wrist, hip, knee and ankle. Missing spine and neck joints share the turn of the next joint that is
            there; other missing joints follow their parent.

    Returns:
        `(F, 22, 3)` axis-angle, float32, our frame.

    Raises:
        FileNotFoundError, ValueError: no such file; not a BVH file; a joint is missing or unknown.
    """
    bvh = parse_bvh(path)
    needed = ["pelvis", *_LIMB_BONES, *(end for _, end in _LIMB_BONES.values())]
    missing = sorted(set(needed) - set(joint_map))
    unknown = sorted(set(joint_map) - set(JOINT_NAMES)) + sorted(set(joint_map.values()) - set(bvh.names))
    if missing or unknown:
        raise ValueError(
            f"joint_map for {path} lacks {missing or 'nothing'} and names unknown joints {unknown or 'none'}; "
            f"the file's joints are {bvh.names}."
        )
    index = {ours: bvh.names.index(theirs) for ours, theirs in joint_map.items()}
    rest = [torch.zeros(3, dtype=torch.float64)]
    for joint, parent in enumerate(bvh.parents[1:], start=1):
        rest.append(rest[parent] + bvh.offsets[joint])
    rest_bones = {name: rest[index[end]] - rest[index[name]] for name, (_, end) in _LIMB_BONES.items()}
    flat = [name for name, bone in rest_bones.items() if bone.norm() < 1e-9]
    if flat:
        raise ValueError(
            f"{path} gives the rest bones of {', '.join(flat)} no length; check its offsets and joint_map."
        )
    turns = bvh.global_rotations()
    try:
        return _retarget({name: turns[:, j] for name, j in index.items()}, rest_bones)
    except ValueError as error:
        raise ValueError(f"{path} cannot be retargeted: {error}") from error


# DeepMimic's frame: x forward, y up, z to the body's right. Columns: where its axes lie in ours.
_DEEPMIMIC_TO_OURS = torch.tensor([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
# Order of a frame's values after duration (1) and root position (3): joint, parent, numbers (4 = quaternion w first,
# 1 = angle about z).
_DEEPMIMIC_JOINTS = (
    ("pelvis", None, 4),
    ("spine3", "pelvis", 4),
    ("head", "spine3", 4),
    ("right_hip", "pelvis", 4),
    ("right_knee", "right_hip", 1),
    ("right_ankle", "right_knee", 4),
    ("right_shoulder", "spine3", 4),
    ("right_elbow", "right_shoulder", 1),
    ("left_hip", "pelvis", 4),
    ("left_knee", "left_hip", 1),
    ("left_ankle", "left_knee", 4),
    ("left_shoulder", "spine3", 4),
    ("left_elbow", "left_shoulder", 1),
)
_DEEPMIMIC_WIDTH = 4 + sum(size for _, _, size in _DEEPMIMIC_JOINTS)


def read_deepmimic(path: str | Path) -> Tensor:
    """Poses of a DeepMimic humanoid clip (JSON with `Frames` of 44 numbers; its rest pose has the arms hanging down).

    Returns:
        `(F, 22, 3)` axis-angle, float32, our frame. Wrists, toes and collars stay at rest: the source has none.

    Raises:
        FileNotFoundError, ValueError: no such file; not a humanoid clip.
    """
    turns = deepmimic_rotations(path)
    down = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
    return _retarget(turns, dict.fromkeys(_LIMB_BONES, down))


def deepmimic_rotations(path: str | Path) -> dict[str, Tensor]:
    """World rotations `(F, 3, 3)` of a DeepMimic clip's joints, axes turned to ours, relative to *its* rest pose."""
    try:
        frames = torch.tensor(json.loads(_existing(path).read_text(encoding="utf-8"))["Frames"], dtype=torch.float64)
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a DeepMimic clip (JSON with equally long Frames): {error}.") from error
    if frames.ndim != 2 or frames.shape[1] != _DEEPMIMIC_WIDTH:
        raise ValueError(
            f"{path} holds frames of shape {tuple(frames.shape)}, expected (F, {_DEEPMIMIC_WIDTH}) as the humanoid "
            "has; pass a humanoid clip."
        )
    turns: dict[str, Tensor] = {}
    column = 4
    for name, parent, size in _DEEPMIMIC_JOINTS:
        value = frames[:, column : column + size]
        column += size
        if size == 4:
            local = roma.unitquat_to_rotmat(roma.quat_normalize(roma.quat_wxyz_to_xyzw(value)))
        else:
            local = roma.rotvec_to_rotmat(value * value.new_tensor([0.0, 0.0, 1.0]))
        local = _DEEPMIMIC_TO_OURS @ local @ _DEEPMIMIC_TO_OURS.T
        turns[name] = local if parent is None else turns[parent] @ local
    return turns


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no motion file {path}; check the path.")
    return path


def _retarget(turns: dict[str, Tensor], rest_bones: dict[str, Tensor]) -> Tensor:
    """World rotations of the source's joints -> `(F, 22, 3)` local axis-angle of ours (see the top of this file)."""
    align: dict[str, Tensor] = {}
    for name, (bone, _) in _LIMB_BONES.items():
        before = align.get(JOINT_NAMES[PARENTS[JOINT_NAMES.index(name)]], torch.eye(3, dtype=torch.float64))
        align[name] = _shortest_turn(before @ before.new_tensor(bone), rest_bones[name]) @ before
    for side in ("left", "right"):
        # A hand rests in line with the forearm. A foot is level when its shin is upright, in every rig.
        align[f"{side}_wrist"] = align[f"{side}_elbow"]
        upright = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
        align[f"{side}_ankle"] = align[f"{side}_foot"] = _shortest_turn(upright, rest_bones[f"{side}_knee"])

    world: dict[str, Tensor] = {}
    for joint, name in enumerate(JOINT_NAMES):
        if name in turns:
            world[name] = turns[name] @ align[name] if name in align else turns[name]
        elif name not in _SHARED:
            world[name] = world[JOINT_NAMES[PARENTS[joint]]]
        else:
            world[name] = _shared_turn(name, turns, world[JOINT_NAMES[PARENTS[joint]]])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        world[f"{side}_shoulder"] = _hinged_upper_arm(world[f"{side}_shoulder"], world[f"{side}_elbow"], sign)
    local = [
        world[name] if PARENTS[j] < 0 else world[JOINT_NAMES[PARENTS[j]]].mT @ world[name]
        for j, name in enumerate(JOINT_NAMES)
    ]
    return roma.rotmat_to_rotvec(torch.stack(local, dim=1)).float()


def _hinged_upper_arm(upper: Tensor, fore: Tensor, sign: float) -> Tensor:
    """The upper arm's world rotation, twisted about its own bone until the elbow bends as a hinge about y.

    Skeletons disagree about the upper arm's twist (some carry the elbow's axis 30 degrees off), and no bone direction
    shows it. Fixing it by the elbow's own axis makes the same arm the same rotations whatever file it came from. The
    forearm, and with it the hand, stays as it was. A nearly straight elbow has no axis, so there the twist fades out.
    """
    bone = upper.new_tensor([sign, 0.0, 0.0])
    forearm = (upper.mT @ fore) @ bone  # (F, 3) seen from the upper arm
    axis = torch.linalg.cross(bone.expand_as(forearm), forearm)
    bend = torch.atan2(axis.norm(dim=-1), forearm @ bone)
    twist = torch.atan2(-sign * axis[..., 2], -sign * axis[..., 1])
    share = ((bend - _HINGE_FROM) / (_HINGE_FULL - _HINGE_FROM)).clamp(0.0, 1.0)
    return upper @ roma.rotvec_to_rotmat((share * twist)[..., None] * twist.new_tensor([1.0, 0.0, 0.0]))


def _shared_turn(name: str, turns: dict[str, Tensor], parent: Tensor) -> Tensor:
    """An equal share of the turn from the parent to the next spine or neck joint that the source has."""
    chain = ("neck", "head") if name == "neck" else ("spine1", "spine2", "spine3")
    after = chain[chain.index(name) :]
    steps = next((k for k, other in enumerate(after) if other in turns), None)
    if steps is None:
        return parent
    whole = roma.rotmat_to_rotvec(parent.mT @ turns[after[steps]])
    return parent @ roma.rotvec_to_rotmat(whole / (steps + 1))


def _shortest_turn(start: Tensor, end: Tensor) -> Tensor:
    """`(3, 3)` rotation by the smallest angle that turns direction `start` into direction `end`."""
    start, end = start / start.norm(), end / end.norm()
    axis = torch.linalg.cross(start, end)
    sine, cosine = axis.norm(), start @ end
    if sine < 1e-9:
        if cosine > 0:
            return torch.eye(3, dtype=start.dtype)
        raise ValueError("A rest bone points opposite to the T-pose's, so its turn is not defined; check joint_map.")
    return roma.rotvec_to_rotmat(axis / sine * torch.atan2(sine, cosine))
