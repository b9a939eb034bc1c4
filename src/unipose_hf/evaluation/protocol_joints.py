# SPDX-License-Identifier: Apache-2.0
"""The joints that pose estimation is measured on: which ones, and where they come from, changes every figure.

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
from unipose_hf.body.smpl_file import read_smpl_file

# Both evaluations with 14 joints take them from the 17 that a matrix draws from the mesh: all but the pelvis, which
# is the root, the spine and the nose.
ROWS_OF_17 = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16)
NEAREST_14 = [
    JOINT_NAMES.index(name)
    for name in (
        *(f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle")),
        *(f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "elbow", "wrist")),
        "neck",
        "head",
    )
]
LEFT_WRIST, RIGHT_WRIST = JOINT_NAMES.index("left_wrist"), JOINT_NAMES.index("right_wrist")


class JointSet(NamedTuple):
    """`name` says in reports what was measured; `joints(body, rotations, betas)` gives it."""

    name: str
    joints: Callable


def body_joints() -> JointSet:
    """The 22 joints of the body itself, the pelvis being the root."""
    return JointSet("22 body joints", lambda body, rotations, betas=None: body.joints(rotations, betas))


def fourteen_body_joints() -> JointSet:
    """The 14 of the body's own joints that come nearest to those of 3DPW's and Human3.6M's evaluations. Needs no file,
    and does not compare with published figures, whose joints are drawn from SMPL's mesh."""
    return JointSet(
        "14 of the body joints", lambda body, rotations, betas=None: body.joints(rotations, betas)[..., NEAREST_14, :]
    )


def fourteen_mesh_joints(regressor: str | PathLike) -> JointSet:
    """The 14 joints of the 3DPW and Human3.6M evaluations (Kolotouros et al., SPIN, ICCV 2019), on an SMPL body.

    Args:
        regressor: the field's `J_regressor_h36m.npy`, a matrix `(17, 6890)`; it is published with SPIN's data.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds another matrix.
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


def twenty_four_joints(smpl_file: str | PathLike) -> JointSet:
    """The 24 joints of SMPL, as EMDB's evaluation takes them (Kaufmann et al., ICCV 2023): the 22 of the body, and the
    two hands, which hang on the wrists without turning by themselves.

    Args:
        smpl_file: the SMPL file (24 joints) that the body was loaded from.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not of SMPL with its 24 joints.
    """
    arrays = read_smpl_file(smpl_file)
    if arrays["J_regressor"].shape[0] != 24:
        raise ValueError(
            f"{smpl_file} has {arrays['J_regressor'].shape[0]} joints; the 24 joints of EMDB need an SMPL file."
        )
    regressor, template, shapes = (
        torch.from_numpy(np.asarray(arrays[name], dtype=np.float32))
        for name in ("J_regressor", "v_template", "shapedirs")
    )
    # of each hand the way from its wrist, in rest and for each shape component
    ends = regressor[[22, 23]] - regressor[[LEFT_WRIST, RIGHT_WRIST]]
    rest, directions = ends @ template, torch.einsum("hv,vck->hck", ends, shapes)

    def joints(body, rotations, betas=None):
        places, turned = forward_kinematics(rotations, body.rest(betas).joints)
        offsets = rest if betas is None else rest + torch.einsum("...k,hck->...hc", betas, directions[..., :10])
        wrists = [LEFT_WRIST, RIGHT_WRIST]
        hands = places[..., wrists, :] + (turned[..., wrists, :, :] @ offsets[..., None])[..., 0]
        return torch.cat((places, hands), -2)

    return JointSet("24 SMPL joints", joints)
