# SPDX-License-Identifier: Apache-2.0
"""The joint sets for pose estimation; every value depends on their choice and source.

A `JointSet` gives joints `(n, J, 3)` in metres, its root at the origin, from a body, rotations `(n, 22, 3, 3)` and
betas `(n, 10)` or None.
"""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from unipose_hf.body import JOINT_NAMES, forward_kinematics
from unipose_hf.body.smpl import WRISTS

# Both evaluations with 14 joints select them from the 17 that a matrix regresses from the mesh: all but the pelvis,
# which is the root, the spine and the nose. Human3.6M's measured joints have the same order.
ROWS_OF_17 = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16)
NEAREST_14 = [
    JOINT_NAMES.index(name)
    for name in (
        *(f"{side}_{part}" for side in ("right", "left") for part in ("hip", "knee", "ankle")),
        "neck",
        "head",
        *(f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "elbow", "wrist")),
    )
]


class JointSet(NamedTuple):
    """`name` identifies the set in reports; `joints(body, rotations, betas)` computes it."""

    name: str
    joints: Callable


def body_joints() -> JointSet:
    """The 22 joints of the body itself, with the pelvis as root."""
    return JointSet("22 body joints", lambda body, rotations, betas=None: body.joints(rotations, betas))


def fourteen_body_joints() -> JointSet:
    """The 14 body joints nearest to those of 3DPW's and Human3.6M's evaluations. Needs no file, but is not comparable
    with published values, whose joints are regressed from SMPL's mesh."""
    return JointSet(
        "14 of the body joints", lambda body, rotations, betas=None: body.joints(rotations, betas)[..., NEAREST_14, :]
    )


def fourteen_mesh_joints(regressor: str | PathLike) -> JointSet:
    """The 14 joints of the 3DPW and Human3.6M evaluations (Kolotouros et al., SPIN, ICCV 2019), on an SMPL body.

    Args:
        regressor: the widely used `J_regressor_h36m.npy`, a matrix `(17, 6890)` published with SPIN's data.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file has another matrix.
    """
    path = Path(regressor)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no joint regressor {path}; get J_regressor_h36m.npy with the data of "
            "https://github.com/nkolot/SPIN, or measure on fourteen_body_joints()."
        )
    matrix = np.load(path, allow_pickle=False)
    if matrix.ndim != 2 or len(matrix) != 17:
        raise ValueError(f"{path} holds an array of shape {matrix.shape}; expected (17, vertices).")
    matrix = torch.from_numpy(matrix.astype(np.float32))

    def joints(body, rotations, betas=None):
        vertices = body(rotations, betas).vertices
        if vertices.shape[-2] != matrix.shape[1]:
            raise ValueError(
                f"The joint regressor {path} is for {matrix.shape[1]} vertices, but the body has "
                f"{vertices.shape[-2]}; give the SMPL body to load_body."
            )
        points = matrix @ vertices
        return points[..., ROWS_OF_17, :] - points[..., :1, :]

    return JointSet("14 joints from the mesh", joints)


def twenty_four_joints() -> JointSet:
    """The 24 joints of SMPL, as the evaluations on EMDB (Kaufmann et al., ICCV 2023) and on MOYO (Xia et al., HSMR,
    CVPR 2025) use them: the 22 of the body, and the two hands, which are fixed to the wrists. Needs an SMPL body;
    `joints` raises `ValueError` for others."""

    def joints(body, rotations, betas=None):
        if getattr(body, "model_type", None) != "smpl":
            raise ValueError("The 24 joints are those of SMPL; give an SMPL file to load_body.")
        joints, turned = forward_kinematics(rotations, body.rest(betas).joints)
        offsets = body.hand_offsets
        if betas is not None:
            offsets = offsets + torch.einsum("...k,hck->...hc", betas, body.hand_shapedirs)
        hands = joints[..., WRISTS, :] + (turned[..., WRISTS, :, :] @ offsets[..., None])[..., 0]
        return torch.cat((joints, hands), -2)

    return JointSet("24 SMPL joints", joints)
