# SPDX-License-Identifier: Apache-2.0
"""BVH files as written by other programs: the same motion on rigs with different names, rest poses and axes."""

import numpy as np
import roma
import torch

from unipose_hf.body import JOINT_NAMES, PARENTS, load_body

MIXAMO = {
    **{"pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck", "head": "Head"},
    **{
        f"{side}_{ours}": side.capitalize() + theirs
        for side in ("left", "right")
        for ours, theirs in (
            ("hip", "UpLeg"),
            ("knee", "Leg"),
            ("ankle", "Foot"),
            ("foot", "ToeBase"),
            ("collar", "Shoulder"),
            ("shoulder", "Arm"),
            ("elbow", "ForeArm"),
            ("wrist", "Hand"),
        )
    },
}
CHILDREN = [[child for child in range(22) if PARENTS[child] == joint] for joint in range(22)]


def t_pose_rig():
    """`(22, 3)` rest places of an exact T-pose: arms along x, legs and trunk as the bundled body has them."""
    rest = load_body(size="small").rest_joints.double().clone()
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for joint, above in (("elbow", "shoulder"), ("wrist", "elbow")):
            joint, above = JOINT_NAMES.index(f"{side}_{joint}"), JOINT_NAMES.index(f"{side}_{above}")
            bone = (load_body(size="small").rest_joints[joint] - load_body(size="small").rest_joints[above]).norm()
            rest[joint] = rest[above] + torch.tensor([sign * bone, 0, 0])
    return rest


def in_one_line(rest):
    """`(22, 3, 3)` joint frames of a rig whose bones all lie along x, as LaFAN1's and Rokoko's do."""
    frames = torch.eye(3, dtype=torch.float64).repeat(22, 1, 1)
    trunk = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)  # columns: up, front, left
    for joint, name in enumerate(JOINT_NAMES):
        frames[joint] = trunk
        if "_" in name and CHILDREN[joint]:
            bone = rest[CHILDREN[joint][0]] - rest[joint]
            frames[joint] = roma.rotvec_to_rotmat(torch.zeros(3, dtype=torch.float64)) @ _along(bone)
        elif "_" in name:
            frames[joint] = frames[PARENTS[joint]]
    return frames


def _along(bone):
    x = bone / bone.norm()
    y = torch.linalg.cross(torch.tensor([0.3, 0.5, 0.8], dtype=torch.float64), x)
    y = y / y.norm()
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def write_rig(path, poses, *, frames=None, world=None, names=MIXAMO, root=(0.0, 0.0, 0.0), rest=None, grounded=False):
    """Write poses `(F, 22, 3)` of ours as a BVH.

    frames: `(22, 3, 3)`, how each joint's own axes stand in the T-pose (identity: the rest pose is the T-pose).
    world: `(3, 3)`, from our world into the file's. root: of the pelvis, in ours; grounded: on the floor instead.
    """
    rest = t_pose_rig() if rest is None else rest
    frames = torch.eye(3, dtype=torch.float64).repeat(22, 1, 1) if frames is None else frames
    world = torch.eye(3, dtype=torch.float64) if world is None else world
    local = roma.rotvec_to_rotmat(torch.as_tensor(np.asarray(poses), dtype=torch.float64))
    turns, places = [], []
    for joint, parent in enumerate(PARENTS):
        turns.append(local[:, joint] if parent < 0 else turns[parent] @ local[:, joint])
        offset = rest[joint] - (rest[parent] if parent >= 0 else rest[joint])
        places.append(offset.expand(len(local), 3) if parent < 0 else places[parent] + turns[parent] @ offset)
    theirs = [world @ turn @ frame for turn, frame in zip(turns, frames, strict=True)]
    own = [t if p < 0 else theirs[p].mT @ t for t, p in zip(theirs, PARENTS, strict=True)]
    angles = roma.rotmat_to_euler("ZXY", torch.stack(own, dim=1), degrees=True).numpy()  # (F, 22, 3)
    pelvis = torch.tensor(root, dtype=torch.float64).expand(len(local), 3).clone()
    if grounded:
        pelvis[:, 1] = -torch.stack(places, dim=1)[..., 1].min(dim=1).values + 0.08
    pelvis = pelvis @ world.T

    lines, order = ["HIERARCHY"], []

    def add(joint, pad):
        parent = PARENTS[joint]
        offset = torch.zeros(3) if parent < 0 else frames[parent].T @ (rest[joint] - rest[parent])
        order.append(joint)
        lines.append(f"{pad}{'ROOT' if parent < 0 else 'JOINT'} {names[JOINT_NAMES[joint]]}")
        lines.append(pad + "{")
        lines.append(f"{pad}\tOFFSET {' '.join(f'{100 * v:.5f}' for v in offset.tolist())}")
        turning = "Zrotation Xrotation Yrotation"
        moving = "6 Xposition Yposition Zposition " if parent < 0 else "3 "
        lines.append(f"{pad}\tCHANNELS {moving}{turning}")
        for child in CHILDREN[joint]:
            add(child, pad + "\t")
        if not CHILDREN[joint]:
            tip = [0.0, 0.0, 5.0] if "foot" in JOINT_NAMES[joint] else [0.0, 1.0, 0.0]
            tip = (frames[joint].T @ torch.tensor(tip, dtype=torch.float64)).tolist()
            tip = " ".join(f"{value:.5f}" for value in tip)
            lines.append(f"{pad}\tEnd Site\n{pad}\t{{\n{pad}\t\tOFFSET {tip}\n{pad}\t}}")
        lines.append(pad + "}")

    add(0, "")
    lines += ["MOTION", f"Frames: {len(local)}", "Frame Time: 0.0333333"]
    for place, turn in zip(100 * pelvis, angles, strict=True):
        values = [*place.tolist(), *(value for joint in order for value in turn[joint])]
        lines.append(" ".join(f"{value:.6f}" for value in values))
    path.write_text("\n".join(lines) + "\n")
    return path
