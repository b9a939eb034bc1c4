# SPDX-License-Identifier: Apache-2.0
"""Metrics as plain functions: errors between poses, retrieval, text, distances between distributions."""

from .fid import fid
from .pose_errors import geodesic_error, mpjpe, pa_mpjpe, pve
from .retrieval_metrics import r_precision, retrieval_recall

__all__ = ["fid", "geodesic_error", "mpjpe", "pa_mpjpe", "pve", "r_precision", "retrieval_recall"]
