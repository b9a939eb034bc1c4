# SPDX-License-Identifier: Apache-2.0
"""The bundled body: linear blend skinning of a CC0 mesh on the 22-joint skeleton, in plain torch."""

from os import PathLike
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from .joints import NUM_JOINTS
from .kinematics import check_rotations, forward_kinematics

ASSET_FOLDER = Path(__file__).parent / "assets"
NUM_BETAS = 10


def asset_path(size: str, folder: Path = ASSET_FOLDER) -> Path:
    """The path of the bundled body of a given size."""
    return Path(folder) / f"body_{size}.safetensors"


class BodyOutput(NamedTuple):
    """A posed body: `joints (..., 22, 3)` and `vertices (..., V, 3)`, metres, pelvis joint at the origin."""

    joints: Tensor
    vertices: Tensor


class BodyModel(nn.Module):
    """A skinned body. Frame: y up, facing +z, the body's left on +x, metres, pelvis at the origin.

    Args:
        v_template: `(V, 3)` vertices of the average body in the T-pose.
        faces: `(F, 3)` triangles, counter-clockwise from outside.
        rest_joints: `(22, 3)` joints of the average body in the T-pose.
        lbs_weights: `(V, 22)` skinning weights; each row sums to one.
        shapedirs: `(V, 3, 10)` change of the vertices for one standard deviation of each shape component.
        joint_shapedirs: `(22, 3, 10)` the same for the joints.

    All leading batch dimensions are free, and broadcast between rotations and betas. Differentiable in both.
    """

    v_template: Tensor
    faces: Tensor
    rest_joints: Tensor
    lbs_weights: Tensor
    shapedirs: Tensor
    joint_shapedirs: Tensor

    def __init__(
        self,
        v_template: Tensor,
        faces: Tensor,
        rest_joints: Tensor,
        lbs_weights: Tensor,
        shapedirs: Tensor,
        joint_shapedirs: Tensor,
    ):
        super().__init__()
        self.register_buffer("v_template", v_template, persistent=False)
        self.register_buffer("faces", faces, persistent=False)
        self.register_buffer("rest_joints", rest_joints, persistent=False)
        self.register_buffer("lbs_weights", lbs_weights, persistent=False)
        self.register_buffer("shapedirs", shapedirs, persistent=False)
        self.register_buffer("joint_shapedirs", joint_shapedirs, persistent=False)

    @property
    def num_vertices(self) -> int:
        return len(self.v_template)

    @property
    def num_betas(self) -> int:
        return self.shapedirs.shape[-1]

    def rest(self, betas: Tensor | None = None) -> BodyOutput:
        """The body of shape `betas (..., 10)` in the T-pose; the average body when None."""
        if betas is None:
            return BodyOutput(self.rest_joints, self.v_template)
        check_betas(betas, self.num_betas)
        vertices = self.v_template + torch.einsum("...k,vck->...vc", betas.to(self.shapedirs), self.shapedirs)
        return BodyOutput(self._rest_joints(betas), vertices)

    def _rest_joints(self, betas: Tensor | None) -> Tensor:
        if betas is None:
            return self.rest_joints
        check_betas(betas, self.num_betas)
        directions = self.joint_shapedirs
        return self.rest_joints + torch.einsum("...k,jck->...jc", betas.to(directions), directions)

    def joints(self, rotations: Tensor, betas: Tensor | None = None) -> Tensor:
        """Only the joints `(..., 22, 3)`, without skinning.

        Args:
            rotations: `(..., 22, 3, 3)` local rotation matrices.
            betas: `(..., 10)` shape in standard deviations, or None for the average body.

        Raises:
            ValueError: wrong shape or dtype, or NaN.
        """
        check_finite(rotations)
        return forward_kinematics(rotations.to(self.rest_joints), self._rest_joints(betas))[0]

    def forward(self, rotations: Tensor, betas: Tensor | None = None) -> BodyOutput:
        """Pose the body.

        Args:
            rotations: `(..., 22, 3, 3)` local rotation matrices; the first is the global orientation.
            betas: `(..., 10)` shape in standard deviations (the first makes the body taller), or None.

        Returns:
            `BodyOutput(joints (..., 22, 3), vertices (..., V, 3))`.

        Raises:
            ValueError: wrong shape or dtype, or NaN.
        """
        check_finite(rotations)
        rest_joints, rest_vertices = self.rest(betas)
        joints, turned = forward_kinematics(rotations.to(rest_joints), rest_joints)
        shift = joints - (turned @ rest_joints[..., None])[..., 0]
        transforms = torch.cat([turned, shift[..., None]], dim=-1).flatten(-2)  # (..., 22, 12)
        # Channels before vertices: one matrix product, then three multiply-adds over long rows, no tiny 3x3 products.
        blended = (transforms.mT @ self.lbs_weights.T).unflatten(-2, (3, 4))  # (..., 3, 4, V)
        x, y, z = rest_vertices[..., None, :, :].unbind(-1)  # (..., 1, V) each
        rows = blended.unbind(-2)  # 4 of (..., 3, V)
        vertices = torch.addcmul(torch.addcmul(torch.addcmul(rows[3], rows[0], x), rows[1], y), rows[2], z)
        return BodyOutput(joints, vertices.mT)


def check_finite(rotations: Tensor) -> None:
    """Raise `ValueError` unless `rotations` is a finite floating-point `(..., 22, 3, 3)` tensor."""
    check_rotations(rotations)
    if not torch.compiler.is_compiling() and not torch.isfinite(rotations).all():
        raise ValueError("rotations hold NaN or infinite values; pass finite rotation matrices.")


def check_betas(betas: Tensor, num_betas: int = NUM_BETAS) -> None:
    """Raise `ValueError` unless `betas` is a floating-point `(..., num_betas)` tensor."""
    if not torch.is_tensor(betas) or not betas.is_floating_point():
        found = betas.dtype if torch.is_tensor(betas) else type(betas).__name__
        raise ValueError(f"betas must be a floating-point torch tensor of shape (..., {num_betas}), found {found}.")
    if betas.ndim == 0 or betas.shape[-1] != num_betas:
        raise ValueError(f"betas must have shape (..., {num_betas}), found {tuple(betas.shape)}.")


def load_body(path: str | PathLike | None = None, size: str = "full") -> nn.Module:
    """Load a body.

    Args:
        path: None for the bundled body; else a user's SMPL, SMPL-H or SMPL-X file (extra `smpl`).
        size: the bundled body's mesh, "full" (13,718 vertices) or "small" (1,229, for tests and thumbnails).

    Returns:
        A `BodyModel`, or a `SmplBody` with the same interface.

    Raises:
        ValueError: unknown size, or a file that is not of the SMPL family.
        FileNotFoundError: no such file.
        ImportError: the extra `smpl` is not installed.
    """
    if path is not None:
        from .smpl import load_smpl_body

        return load_smpl_body(path)
    if size not in ("full", "small"):
        raise ValueError(f'size must be "full" or "small", found {size!r}.')
    asset = asset_path(size)
    if not asset.exists():
        raise FileNotFoundError(f"The bundled body {asset} is missing; reinstall unipose-hf.")
    arrays = {
        name: torch.from_numpy(array.astype("int64" if array.dtype.kind == "u" else "float32"))
        for name, array in load_file(asset).items()
    }
    values = arrays["weight_values"]
    weights = torch.zeros(len(values), NUM_JOINTS).scatter_add_(1, arrays["weight_joints"], values)
    return BodyModel(
        v_template=arrays["v_template"],
        faces=arrays["faces"],
        rest_joints=arrays["rest_joints"],
        lbs_weights=weights / weights.sum(dim=1, keepdim=True),
        shapedirs=arrays["shapedirs"],
        joint_shapedirs=arrays["joint_shapedirs"],
    )
