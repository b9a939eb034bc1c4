# SPDX-License-Identifier: Apache-2.0
"""Metrics, the protocols of the paper's tasks, and reports that compare with published figures."""

from .metrics.fid import fid
from .metrics.pose_errors import geodesic_error, mpjpe, pa_mpjpe, pve
from .metrics.retrieval_metrics import r_precision, retrieval_recall

__all__ = ["fid", "geodesic_error", "mpjpe", "pa_mpjpe", "pve", "r_precision", "retrieval_recall"]
