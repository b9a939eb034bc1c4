# SPDX-License-Identifier: Apache-2.0
"""Metrics, and the evaluation on the held-out clips."""

from .metrics import mpjpe, pa_mpjpe

__all__ = ["mpjpe", "pa_mpjpe"]
