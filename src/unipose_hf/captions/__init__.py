# SPDX-License-Identifier: Apache-2.0
"""Posecodes and paircodes: poses measured into codes, codes put into plain sentences."""

from .describe import caption_poses, pose_geometry
from .instruct import instruct_pairs, turn_between
from .measure import Posecodes, caption_eligibility, measure_posecodes
from .measure_pairs import Paircodes, instruction_eligibility, measure_paircodes
from .scoring import codes_satisfied, paircodes_satisfied

__all__ = [
    "Paircodes",
    "Posecodes",
    "caption_eligibility",
    "caption_poses",
    "codes_satisfied",
    "instruct_pairs",
    "instruction_eligibility",
    "measure_paircodes",
    "measure_posecodes",
    "paircodes_satisfied",
    "pose_geometry",
    "turn_between",
]
