# SPDX-License-Identifier: Apache-2.0
"""Frechet distance between two sets of features, https://arxiv.org/abs/1706.08500."""

import torch
from numpy.typing import ArrayLike


def fid(features: ArrayLike, reference_features: ArrayLike) -> float:
    """Frechet distance between the Gaussians fitted to two sets of features; zero for a set and itself.

    For poses, use the unit features of a text-pose retrieval model's pose encoder (PoseScript, TPAMI 2024); values
    from different encoders are not comparable. Covariances are divided by `n - 1`; nothing is rescaled.

    Args:
        features `(n, d)`, reference_features `(m, d)`: at least two rows each.

    Raises:
        ValueError: inconsistent shapes, too few rows, or a value that is not finite.
    """
    ours, theirs = (torch.as_tensor(x).detach().double() for x in (features, reference_features))
    if ours.ndim != 2 or theirs.ndim != 2 or ours.shape[1] != theirs.shape[1] or min(len(ours), len(theirs)) < 2:
        raise ValueError(
            "Features must have the shapes (n, d) and (m, d) with at least two rows each, found "
            f"{tuple(ours.shape)} and {tuple(theirs.shape)}."
        )
    if not (ours.isfinite().all() and theirs.isfinite().all()):
        raise ValueError("Features hold NaN or infinite values; expected finite vectors.")
    covariances = [torch.cov(x.T).reshape(x.shape[1], x.shape[1]) for x in (ours, theirs)]
    roots = [_square_root(covariance) for covariance in covariances]
    # The eigenvalues of C1 C2 are the squared singular values of sqrt(C1) sqrt(C2): real and non-negative, even with
    # fewer rows than columns, when the square root of the matrix product fails.
    cross = torch.linalg.svdvals(roots[0] @ roots[1]).sum()
    distance = (ours.mean(0) - theirs.mean(0)).square().sum() + sum(c.trace() for c in covariances) - 2 * cross
    return max(0.0, float(distance))


def _square_root(covariance: torch.Tensor) -> torch.Tensor:
    """The symmetric square root of a covariance matrix `(d, d)`."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T
