# SPDX-License-Identifier: Apache-2.0
"""The language bank: poses and states of limbs in plain English, and samples composed from them."""

from .angles import ANGLES, STANDING, angles_to_axis_angle, axis_angle_to_angles, set_angles
from .bank import LanguageBank, find_named, load_language_bank, named_pose, search_poses
from .changes import describe_changes
from .commands import edit_by_command, find_pose
from .describe import describe_poses
from .fitting import fit_to_text
from .statements import Statement, judge_changes, judge_descriptions

__all__ = [
    "ANGLES",
    "STANDING",
    "LanguageBank",
    "Statement",
    "angles_to_axis_angle",
    "axis_angle_to_angles",
    "describe_changes",
    "describe_poses",
    "edit_by_command",
    "find_named",
    "find_pose",
    "fit_to_text",
    "judge_changes",
    "judge_descriptions",
    "load_language_bank",
    "named_pose",
    "search_poses",
    "set_angles",
]
