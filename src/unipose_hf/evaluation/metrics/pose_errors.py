# SPDX-License-Identifier: Apache-2.0
"""Errors between poses, as plain functions on tensors with any leading dimensions. Metres and radians."""

from typing import NamedTuple

import torch
from numpy.typing import ArrayLike


def _checked(predicted, target, things="joints"):
    predicted, target = torch.as_tensor(predicted).float(), torch.as_tensor(target).float()
    if predicted.shape != target.shape or predicted.shape[-1:] != (3,) or predicted.ndim < 2:
        raise ValueError(
            f"{things.capitalize()} must have one shape (..., {things}, 3), found {tuple(predicted.shape)} and "
            f"{tuple(target.shape)}."
        )
    return predicted, target


def mpjpe(predicted: ArrayLike, target: ArrayLike, root: int | None = 0) -> torch.Tensor:
    """Mean per-joint position error: joints `(..., joints, 3)` in metres -> error `(...)` in metres.

    Both sets are translated to put the joint `root` at the origin, by default the first, the pelvis; with None they
    are not translated.

    Raises:
        ValueError: the shapes differ or are not those of joints.
    """
    predicted, target = _checked(predicted, target)
    if root is None:
        return (predicted - target).norm(dim=-1).mean(-1)
    return (predicted - predicted[..., root, None, :] - target + target[..., root, None, :]).norm(dim=-1).mean(-1)


def pa_mpjpe(predicted: ArrayLike, target: ArrayLike) -> torch.Tensor:
    """MPJPE after the best rotation, scale and translation (Procrustes; Umeyama 1991, no reflections).

    Joints `(..., joints, 3)` in metres -> error `(...)` in metres.

    Raises:
        ValueError: the shapes differ or are not those of joints.
    """
    predicted, target = _checked(predicted, target)
    predicted = predicted - predicted.mean(-2, keepdim=True)
    target = target - target.mean(-2, keepdim=True)
    u, singular, vt = torch.linalg.svd(predicted.mT @ target)  # (..., 3, 3)
    sign = torch.ones_like(singular)
    sign[..., -1] = torch.linalg.det(u @ vt).sign()
    rotation = u @ (sign[..., None] * vt)
    scale = (singular * sign).sum(-1) / predicted.square().sum((-1, -2)).clamp_min(1e-12)
    return (scale[..., None, None] * predicted @ rotation - target).norm(dim=-1).mean(-1)


def pve(
    predicted: ArrayLike,
    target: ArrayLike,
    predicted_root: ArrayLike | None = None,
    target_root: ArrayLike | None = None,
) -> torch.Tensor:
    """Per-vertex error: vertices `(..., vertices, 3)` in metres -> mean distance `(...)` in metres.

    The roots `(..., 3)`, the pelvis joints, are moved to the origin; without them the vertices are not translated,
    which is the same for the bodies of `unipose_hf.body`, whose pelvis is at the origin.

    Raises:
        ValueError: the shapes differ or are not those of vertices.
    """
    predicted, target = _checked(predicted, target, "vertices")
    if predicted_root is not None:
        predicted = predicted - torch.as_tensor(predicted_root).float()[..., None, :]
    if target_root is not None:
        target = target - torch.as_tensor(target_root).float()[..., None, :]
    return (predicted - target).norm(dim=-1).mean(-1)


def geodesic_error(predicted: ArrayLike, target: ArrayLike) -> torch.Tensor:
    """Angle between rotations: matrices `(..., joints, 3, 3)` -> mean over the joints `(...)`, radians in [0, pi].

    Raises:
        ValueError: the shapes differ or are not those of matrices.
    """
    import roma

    predicted, target = torch.as_tensor(predicted).float(), torch.as_tensor(target).float()
    if predicted.shape != target.shape or predicted.shape[-2:] != (3, 3) or predicted.ndim < 3:
        raise ValueError(
            f"Rotations must have one shape (..., joints, 3, 3), found {tuple(predicted.shape)} and "
            f"{tuple(target.shape)}."
        )
    return roma.rotmat_geodesic_distance(predicted, target).mean(-1)


class SampleErrors(NamedTuple):
    """Errors of several answers to one question, each `(...)`: the mean, the best, and the mean of the best few."""

    mean: torch.Tensor
    best: torch.Tensor
    top: torch.Tensor


def errors_over_samples(errors, top: int = 6) -> SampleErrors:
    """Errors `(..., samples)` of answers to the same question -> their mean, their minimum, and the mean of the `top`
    smallest (PoseScript, TPAMI 2024: 30 samples, best 1 and best 6).

    Raises:
        ValueError: fewer samples than `top`.
    """
    errors = torch.as_tensor(errors)
    if not errors.ndim or not 1 <= top <= errors.shape[-1]:
        raise ValueError(f"Cannot take the {top} best of errors of shape {tuple(errors.shape)}; draw more samples.")
    least = errors.sort(dim=-1).values
    return SampleErrors(errors.mean(-1), least[..., 0], least[..., :top].mean(-1))
