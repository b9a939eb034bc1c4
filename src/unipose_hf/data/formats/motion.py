# SPDX-License-Identifier: Apache-2.0
"""Readers of motion files: BVH of any skeleton, and the JSON clips of DeepMimic.

Both return `(F, 22, 3)` local axis-angle rotations (radians, float32) of the 22 SMPL joints in our frame: y up,
identity = T-pose facing +z, the body's left = +x. See `retarget` for what is preserved of the motion.
"""

import json
from pathlib import Path

import roma
import torch
from torch import Tensor

from unipose_hf.body import JOINT_NAMES
from unipose_hf.modeling.rotation_unipose import world_turn

from .bvh import Bvh, parse_bvh
from .bvh_calibration import calibrate_arms, calibrate_legs, calibrate_trunk, feet_backwards, leaning_neck
from .bvh_names import NEEDED
from .bvh_orientation import rest_frame, world_up
from .retarget import LIMB_BONES, rest_alignment, retarget


def read_bvh(
    path: str | Path, joint_map: dict[str, str], *, up: str | None = None, facing: str | None = None
) -> Tensor:
    """Reads the poses of a BVH motion with any rest pose and any axes.

    Args:
        path: the file.
        joint_map: our joint name -> the file's joint name. It must contain `pelvis` and the shoulders, elbows, wrists,
            hips, knees and ankles. Missing spine and neck joints share the rotation of the next joint that is present;
            other missing joints follow their parent.
        up: the axis of the file's world that points up ("y", "z", "-y" ...); by default detected from rest pose and
            motion.
        facing: the axis that points towards the viewer; by default "z" in a y-up world and "-y" in a z-up one.

    Returns:
        `(F, 22, 3)` axis-angle, float32, our frame.

    Raises:
        FileNotFoundError, ValueError: the file does not exist; it is not a BVH file; a joint is missing or unknown;
            left and right are swapped; the up axis is unclear.
    """
    return bvh_poses(parse_bvh(path), joint_map, path, up, facing)


def bvh_poses(
    bvh: Bvh, joint_map: dict[str, str], where: object, up: str | None = None, facing: str | None = None
) -> Tensor:
    """`read_bvh` of a file that is already parsed; messages begin with `where`."""
    return turned_bvh_poses(bvh, joint_map, where, up, facing)[0]


def turned_bvh_poses(
    bvh: Bvh, joint_map: dict[str, str], where: object, up: str | None = None, facing: str | None = None
) -> tuple[Tensor, Tensor]:
    """`bvh_poses`, and the (3, 3) float64 rotation from the file's world into our frame."""
    missing = sorted(set(NEEDED) - set(joint_map))
    unknown = sorted(set(joint_map) - set(JOINT_NAMES)) + sorted(set(joint_map.values()) - set(bvh.names))
    if missing or unknown:
        raise ValueError(
            f"joint_map for {where} lacks {missing or 'nothing'} and names unknown joints {unknown or 'none'}; "
            f"the file's joints are {bvh.names}."
        )
    index = {ours: bvh.names.index(theirs) for ours, theirs in joint_map.items()}
    _check_bones(bvh, index, where)
    frame = rest_frame(bvh, index)  # None: the rest pose is uninformative, so nothing is relative to it
    turn = world_turn(up or world_up(bvh, index, None if frame is None else frame[:, 1], where), facing)
    body = torch.eye(3, dtype=torch.float64) if frame is None else frame
    turns, positions = bvh.global_rotations(), bvh.positions()
    turns = {name: turn @ turns[:, joint] @ body for name, joint in index.items()}
    positions = {name: positions[:, joint] @ turn.T for name, joint in index.items()}
    rest = bvh.rest_positions() @ body
    bones = {name: rest[index[end]] - rest[index[name]] for name, (_, end) in LIMB_BONES.items()}

    align = {} if frame is not None else calibrate_trunk(turns, positions)
    pelvis, chest = (turns[name] @ align.get(name, torch.eye(3).double()) for name in ("pelvis", _top(index)))
    hanging = frame is not None and _legs_hang(bones)
    spread = frame is not None and _arms_spread(bones, rest, index)
    # the rest pose shows where the feet point, if the legs hang in it
    stood = {name: rest[joint].expand(1, 3) for name, joint in index.items()} if hanging else positions
    if feet_backwards(stood, torch.eye(3).double().expand(1, 3, 3) if hanging else pelvis):
        raise ValueError(
            f"{where} is mirrored, or left and right are swapped in its joint names: the feet point to the back; "
            "swap the sides with --joint-map FILE (joint_map in Python)."
        )
    known = {name: b for name, b in bones.items() if _is_known(name, hanging, spread)}
    align |= rest_alignment(known | _foot_bones(bvh, index, rest, body))
    if frame is not None and not hanging:
        align |= leaning_neck({name: rest[joint] for name, joint in index.items()})
    if not hanging:
        align |= calibrate_legs(turns, positions, pelvis)
    if not spread:
        align |= calibrate_arms(turns, positions, chest)
    return retarget(turns, align), turn


def _check_bones(bvh, index, where):
    rest = bvh.rest_positions()
    flat = [n for n, (_, end) in LIMB_BONES.items() if (rest[index[end]] - rest[index[n]]).norm() < 1e-9]
    if flat:
        raise ValueError(
            f"{where} has rest bones of length zero at {', '.join(flat)}; check its offsets and joint_map."
        )
    for joint in ("hip", "shoulder"):
        if (rest[index[f"left_{joint}"]] - rest[index[f"right_{joint}"]]).norm() < 1e-6 * rest.abs().max():
            raise ValueError(
                f"{where} has both {joint}s at the same position, so it is unclear where the body faces; check its "
                "offsets and joint_map."
            )


def _foot_bones(bvh: Bvh, index: dict[str, int], rest: Tensor, body: Tensor) -> dict[str, Tensor]:
    """Rest bones `(3,)` from the ankles to the toes, and from the toes to their tips if these are somewhere else."""
    bones = {}
    for side in ("left", "right"):
        toes = index.get(f"{side}_foot")
        if toes is None:
            continue
        bones[f"{side}_ankle"] = rest[toes] - rest[index[f"{side}_ankle"]]
        child = next((joint for joint, parent in enumerate(bvh.parents) if parent == toes), None)
        tip = bvh.end_offsets.get(toes) if child is None else bvh.offsets[child]
        if tip is not None and tip.any():
            bones[f"{side}_foot"] = tip @ body
    return bones


def _top(index):
    return next(name for name in ("spine3", "spine2", "spine1", "pelvis") if name in index)


def _is_known(name, hanging, spread):
    return hanging if name.endswith(("hip", "knee")) else spread


def _legs_hang(bones: dict[str, Tensor]) -> bool:
    """Whether thighs and shins point down in the rest pose, as in a standing person."""
    return all(b[1] < -0.5 * b.norm() for name, b in bones.items() if name.endswith(("hip", "knee")))


def _arms_spread(bones: dict[str, Tensor], rest: Tensor, index: dict[str, int]) -> bool:
    """Whether the arms of the rest pose are plausible: they go sideways from the chest, and then not up or across."""
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for joint in ("shoulder", "elbow"):
            bone = bones[f"{side}_{joint}"] / bones[f"{side}_{joint}"].norm()
            if bone[1] > 0.5 or sign * bone[0] < -0.5:
                return False
        if f"{side}_collar" in index:
            collar = rest[index[f"{side}_shoulder"]] - rest[index[f"{side}_collar"]]
            if sign * collar[0] < 0.3 * collar.norm():
                return False
    return True


# DeepMimic's frame: x forward, y up, z to the body's right. Columns: its axes in our frame.
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
        FileNotFoundError, ValueError: the file does not exist or is not a humanoid clip.
    """
    turns = deepmimic_rotations(path)
    down = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
    return retarget(turns, rest_alignment(dict.fromkeys(LIMB_BONES, down)))


def deepmimic_rotations(path: str | Path) -> dict[str, Tensor]:
    """World rotations `(F, 3, 3)` of a DeepMimic clip's joints, in our axes, relative to *its* rest pose."""
    try:
        frames = torch.tensor(json.loads(_existing(path).read_text(encoding="utf-8"))["Frames"], dtype=torch.float64)
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a DeepMimic clip (JSON with equally long Frames): {error}.") from error
    if frames.ndim != 2 or frames.shape[1] != _DEEPMIMIC_WIDTH:
        raise ValueError(
            f"{path} holds frames of shape {tuple(frames.shape)}, expected (F, {_DEEPMIMIC_WIDTH}) as for the "
            "humanoid; give a humanoid clip."
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
