# SPDX-License-Identifier: Apache-2.0
"""Training data: open poses, sampled and selected poses, pairs, rendered images, and the user's files."""

from .mining.selection import farthest_points
from .sources.posest_open import load_posest_open_slice

__all__ = ["farthest_points", "load_posest_open_slice"]
