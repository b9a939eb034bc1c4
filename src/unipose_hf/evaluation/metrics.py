# SPDX-License-Identifier: Apache-2.0
"""Errors between poses, as plain functions on joints in metres."""

import torch


def _checked(predicted, target):
    predicted, target = torch.as_tensor(predicted).float(), torch.as_tensor(target).float()
    if predicted.shape != target.shape or predicted.shape[-1:] != (3,) or predicted.ndim < 2:
        raise ValueError(
            f"Joints must have one shape (..., joints, 3), found {tuple(predicted.shape)} and {tuple(target.shape)}."
        )
    return predicted, target


def mpjpe(predicted, target) -> torch.Tensor:
    """Mean per-joint position error: joints `(..., joints, 3)` in metres -> error `(...)` in metres.

    Both sets are moved to put their first joint, the pelvis, at the origin.

    Raises:
        ValueError: the shapes differ or are no joints.
    """
    predicted, target = _checked(predicted, target)
    return (predicted - predicted[..., :1, :] - target + target[..., :1, :]).norm(dim=-1).mean(-1)


def pa_mpjpe(predicted, target) -> torch.Tensor:
    """MPJPE after the best rotation, scale and translation (Procrustes; Umeyama 1991, no reflections).

    Joints `(..., joints, 3)` in metres -> error `(...)` in metres.

    Raises:
        ValueError: the shapes differ or are no joints.
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
