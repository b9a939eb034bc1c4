# SPDX-License-Identifier: Apache-2.0
"""Posecodes and paircodes: measures poses as codes and words the codes as plain sentences."""

from .describe import CAPTION_VERSIONS, CaptionVersion, caption_joints, caption_poses, pose_geometry
from .flip import flip_text
from .instruct import INSTRUCTION_VERSIONS, InstructionVersion, instruct_pairs, turn_between
from .posecodes.measure import Posecodes, caption_eligibility, measure_posecodes
from .posecodes.measure_pairs import Paircodes, instruction_eligibility, measure_paircodes, target_eligibility
from .reading.read import Reading, read_caption, read_instruction
from .reading.scoring import TextTruth, codes_satisfied, codes_true, paircodes_satisfied, paircodes_true

__all__ = [
    "CAPTION_VERSIONS",
    "CaptionVersion",
    "INSTRUCTION_VERSIONS",
    "InstructionVersion",
    "Paircodes",
    "Posecodes",
    "Reading",
    "TextTruth",
    "caption_eligibility",
    "caption_joints",
    "caption_poses",
    "codes_satisfied",
    "codes_true",
    "flip_text",
    "instruct_pairs",
    "instruction_eligibility",
    "measure_paircodes",
    "measure_posecodes",
    "paircodes_satisfied",
    "paircodes_true",
    "pose_geometry",
    "read_caption",
    "read_instruction",
    "target_eligibility",
    "turn_between",
]
