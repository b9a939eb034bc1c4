# SPDX-License-Identifier: Apache-2.0
"""A user's own SMPL, SMPL-H or SMPL-X file behind the interface of `BodyModel`, posed by the `smplx` package."""

from os import PathLike

import numpy as np
import torch
from torch import Tensor

from .body_model import NUM_BETAS, BodyModel, BodyOutput, check_betas, check_finite
from .joints import JOINT_NAMES, NUM_JOINTS, PARENTS
from .smpl_file import read_smpl_file

WRISTS = [JOINT_NAMES.index("left_wrist"), JOINT_NAMES.index("right_wrist")]
MODEL_TYPES = {24: "smpl", 52: "smplh", 55: "smplx"}  # by number of joints


class SmplBody(BodyModel):
    """An SMPL-family body driven by its 22 body joints; hands are flat, the face is neutral.

    Same frame, inputs and outputs as `BodyModel`; the pelvis is put at the origin for every shape. Fingers, jaw and
    eyes do not move separately, so `lbs_weights (V, 22)` adds their weights to the wrists and the head.

    Attributes:
        model_type: "smpl", "smplh" or "smplx".
        hand_offsets, hand_shapedirs: for "smpl", the offset from each wrist to the hand joint, `(2, 3)`, and its
            change for each shape component, `(2, 3, 10)`: the two of SMPL's 24 joints that are not among the body's
            22.
    """

    file_template: Tensor
    file_shapedirs: Tensor
    joint_regressor: Tensor
    posedirs: Tensor
    parents: Tensor
    hand_offsets: Tensor
    hand_shapedirs: Tensor

    def __init__(self, arrays: dict[str, np.ndarray], model_type: str):
        number = {name: torch.from_numpy(np.asarray(array, dtype=np.float32)) for name, array in arrays.items()}
        template, shapedirs = number["v_template"], number["shapedirs"][..., :NUM_BETAS]
        regressor = number["J_regressor"][:NUM_JOINTS]
        joints = regressor @ template
        joint_shapedirs = torch.einsum("jv,vck->jck", regressor, shapedirs)
        super().__init__(
            v_template=template - joints[0],
            faces=torch.from_numpy(arrays["f"].astype(np.int64)),
            rest_joints=joints - joints[0],
            lbs_weights=_body_weights(number["weights"], arrays["kintree_table"][0]),
            shapedirs=shapedirs - joint_shapedirs[0],
            joint_shapedirs=joint_shapedirs - joint_shapedirs[0],
        )
        self.model_type = model_type
        # Unchanged from the file: the joint regressor need not follow a shift of the template exactly.
        self.register_buffer("file_template", template, persistent=False)
        self.register_buffer("file_shapedirs", shapedirs.contiguous(), persistent=False)
        self.register_buffer("joint_regressor", regressor, persistent=False)
        # Correctives of the 21 body joints; those of flat fingers are zero.  (21 * 9, V * 3)
        posedirs = number["posedirs"].flatten(0, 1)[:, : 9 * (NUM_JOINTS - 1)].T.contiguous()
        self.register_buffer("posedirs", posedirs, persistent=False)
        self.register_buffer("parents", torch.tensor(PARENTS), persistent=False)
        if model_type == "smpl":
            hands = number["J_regressor"][NUM_JOINTS:] - regressor[WRISTS]
            self.register_buffer("hand_offsets", hands @ template, persistent=False)
            self.register_buffer("hand_shapedirs", torch.einsum("hv,vck->hck", hands, shapedirs), persistent=False)

    def forward(self, rotations: Tensor, betas: Tensor | None = None) -> BodyOutput:
        """Pose the body; see `BodyModel.forward`. Includes SMPL's pose correctives."""
        from smplx.lbs import lbs

        check_finite(rotations)
        rotations = rotations.to(self.file_template)
        if betas is None:
            betas = rotations.new_zeros(self.num_betas)
        check_betas(betas, self.num_betas)
        batch = torch.broadcast_shapes(rotations.shape[:-3], betas.shape[:-1])
        rotations = rotations.expand(*batch, NUM_JOINTS, 3, 3).reshape(-1, NUM_JOINTS, 3, 3)
        betas = betas.to(rotations).expand(*batch, self.num_betas).reshape(-1, self.num_betas)
        vertices, joints = lbs(
            betas,
            rotations,
            self.file_template,
            self.file_shapedirs,
            self.posedirs,
            self.joint_regressor,
            self.parents,
            self.lbs_weights,
            pose2rot=False,
        )
        pelvis = joints[:, :1]
        return BodyOutput((joints - pelvis).reshape(*batch, -1, 3), (vertices - pelvis).reshape(*batch, -1, 3))


def _body_weights(weights: Tensor, parents: np.ndarray) -> Tensor:
    """`(V, 22)` from `(V, J)`: other joints give their weight to their nearest body ancestor."""
    folded = weights.new_zeros(len(weights), NUM_JOINTS)
    for joint in range(weights.shape[1]):
        target = joint
        while target >= NUM_JOINTS:
            target = int(parents[target])
        folded[:, target] += weights[:, joint]
    return folded


def load_smpl_body(path: str | PathLike) -> SmplBody:
    """Load an SMPL, SMPL-H or SMPL-X file, identified by its number of joints.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of the SMPL family.
        ImportError: the extra `smpl` is not installed.
    """
    arrays = read_smpl_file(path)
    try:
        import smplx.lbs  # noqa: F401  (fail here, not at the first pose)
    except ImportError as error:
        raise ImportError("SMPL-family bodies need smplx: pip install 'unipose-hf[smpl]'.") from error
    joints = arrays["kintree_table"].shape[-1]
    if joints not in MODEL_TYPES:
        raise ValueError(f"{path} holds a model with {joints} joints; expected 24 (SMPL), 52 (SMPL-H) or 55 (SMPL-X).")
    _check_shapes(path, arrays, joints)
    return SmplBody(arrays, MODEL_TYPES[joints])


def _check_shapes(path: str | PathLike, arrays: dict[str, np.ndarray], joints: int) -> None:
    vertices = len(arrays["v_template"])
    expected = {
        "v_template": (vertices, 3),
        "shapedirs": (vertices, 3, arrays["shapedirs"].shape[-1]),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "J_regressor": (joints, vertices),
        "weights": (vertices, joints),
        "f": (len(arrays["f"]), 3),
        "kintree_table": (2, joints),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{path}: {name} has shape {arrays[name].shape}, expected {shape}; is the file whole?")
    if tuple(int(parent) for parent in arrays["kintree_table"][0, 1:NUM_JOINTS]) != PARENTS[1:]:
        raise ValueError(f"{path}: its joints are not in SMPL's order; pass an SMPL, SMPL-H or SMPL-X model file.")
