# SPDX-License-Identifier: Apache-2.0
"""Poses and pictures to learn from: the open ones, sampled and selected ones, pairs, and files of the user."""

from .builders.posest import load_posest_open_slice
from .mining.selection import farthest_points

__all__ = ["farthest_points", "load_posest_open_slice"]
