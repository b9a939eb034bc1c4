# SPDX-License-Identifier: Apache-2.0
"""Moving people: `Motion`, clips, tracking, and the pipeline from clips to motions."""

from .motion import Motion

__all__ = ["Motion"]
