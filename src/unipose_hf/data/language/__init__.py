# SPDX-License-Identifier: Apache-2.0
"""The language bank: poses and states of limbs in plain English, and samples composed from them."""

from .angles import ANGLES, STANDING, angles_to_axis_angle, axis_angle_to_angles, set_angles
from .bank import LanguageBank, load_language_bank, named_pose, search_poses
from .describe import describe_poses
from .fitting import fit_to_text

__all__ = [
    "ANGLES",
    "STANDING",
    "LanguageBank",
    "angles_to_axis_angle",
    "axis_angle_to_angles",
    "describe_poses",
    "fit_to_text",
    "load_language_bank",
    "named_pose",
    "search_poses",
    "set_angles",
]
