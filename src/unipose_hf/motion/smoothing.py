# SPDX-License-Identifier: Apache-2.0
"""Interpolates and smooths rotations and positions over time."""

import numpy as np
import roma
import torch

DEGREE = 2  # of the polynomials; a constant or a line would flatten hits and jumps


def interpolate_rotations(axis_angle: np.ndarray, at: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """Rotation vectors (T, ..., 3) -> (K, ..., 3) float32 at other times, by slerp.

    Args:
        at: (K,) times; those before the first or after the last of `times` give the first or last rotation.
        times: (T,) ascending times of the rotations; by default their indices.
    """
    before, share = _between(len(axis_angle), at, times)
    turns = roma.rotvec_to_unitquat(torch.from_numpy(np.array(axis_angle, dtype=np.float64)))
    start, end = turns[before], turns[np.minimum(before + 1, len(turns) - 1)]
    step = roma.unitquat_to_rotvec(roma.quat_product(roma.quat_conjugation(start), end))  # the short way round
    share = torch.from_numpy(share).reshape(-1, *[1] * (step.ndim - 1))
    return roma.unitquat_to_rotvec(roma.quat_product(start, roma.rotvec_to_unitquat(share * step))).float().numpy()


def interpolate_positions(positions: np.ndarray, at: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """Numbers (T, n) -> (K, n) float32 at other times, linearly; arguments as for `interpolate_rotations`."""
    before, share = _between(len(positions), at, times)
    start, end = positions[before], positions[np.minimum(before + 1, len(positions) - 1)]
    return (start + share[:, None] * (end - start)).astype(np.float32)


def _between(count: int, at, times):
    """For each time the index of the row before it, and how far it is towards the next row, in [0, 1]."""
    times = np.arange(count) if times is None else np.asarray(times)
    rows = np.interp(at, times, np.arange(count))
    before = np.floor(rows).astype(int)
    return before, rows - before


def window_of(seconds: float, frame_rate: float) -> int:
    """The odd number of frames nearest to a time."""
    return 2 * round((seconds * frame_rate - 1) / 2) + 1


def smooth_rotations(axis_angle: np.ndarray, window: int) -> np.ndarray:
    """Rotation vectors (T, ..., 3) smoothed by a Savitzky-Golay filter, without lag.

    The filter fits polynomials to the entries of the rotation matrices, which, unlike angles, never jump; the nearest
    rotation to each result is returned.

    Args:
        window: number of frames that each result depends on, half of them before it and half after; odd. Fewer than 5
            change nothing.
    """
    window = _odd(window, len(axis_angle))
    if window <= DEGREE + 1:
        return np.array(axis_angle, dtype=np.float32)
    matrices = roma.rotvec_to_rotmat(torch.from_numpy(np.array(axis_angle, dtype=np.float64)))
    smooth = torch.from_numpy(_filter(matrices.numpy(), window))
    return roma.rotmat_to_rotvec(roma.special_procrustes(smooth)).float().numpy()


def smooth_positions(positions: np.ndarray, window: int) -> np.ndarray:
    """Numbers (T, n) smoothed in the same way."""
    window = _odd(window, len(positions))
    if window <= DEGREE + 1:
        return np.array(positions, dtype=np.float32)
    return _filter(np.asarray(positions, dtype=np.float64), window).astype(np.float32)


def _odd(window: int, count: int) -> int:
    """The largest odd window that is no longer than the given one and the motion."""
    return (min(window, count) - 1) // 2 * 2 + 1


def _filter(values, window):
    try:
        from scipy.signal import savgol_filter
    except ImportError:
        raise ImportError("Smoothing needs scipy: pip install unipose-hf[video]") from None
    return savgol_filter(values, window, DEGREE, axis=0, mode="interp")
