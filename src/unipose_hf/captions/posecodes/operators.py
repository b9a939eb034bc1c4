# SPDX-License-Identifier: Apache-2.0
"""The measuring rules behind posecodes and paircodes: thresholds, category names and tolerances, in one table.

A value falls into the first category whose upper threshold it does not exceed (a value equal to a threshold goes low).
``"-"`` marks a category nobody would mention. Source: PoseScript (Delmas et al., 2022/2024) and PoseFix (2023).
"""

from typing import NamedTuple


class Operator(NamedTuple):
    thresholds: tuple[float, ...]  # increasing; degrees for angles, metres for lengths
    categories: tuple[str, ...]  # one more than thresholds, from low values to high ones
    tolerance: float  # half-width of the optional uniform noise


def _five(a, b, c, d, low, slightly_low, slightly_high, high, tolerance):
    return Operator((a, b, c, d), (low, slightly_low, "-", slightly_high, high), tolerance)


_ALONG = (-0.15, -0.05, 0.05, 0.15)

POSE_OPERATORS = {
    "angle": Operator(
        (45, 75, 105, 135, 160),
        ("completely bent", "bent more", "right angle", "bent less", "slightly bent", "straight"),
        5,
    ),
    "distance": Operator((0.20, 0.40, 0.80), ("close", "shoulder width", "spread", "wide"), 0.05),
    "rel_x": Operator(_ALONG, ("at right", "-", "x-aligned", "-", "at left"), 0.05),
    "rel_y": Operator(_ALONG, ("below", "-", "y-aligned", "-", "above"), 0.05),
    "rel_z": Operator(_ALONG, ("behind", "-", "z-aligned", "-", "front"), 0.05),
    "vertical_axis": Operator((10, 80), ("vertical", "-", "horizontal"), 5),
    "on_ground": Operator((0.10,), ("on ground", "-"), 0.05),
    "body_pitch": _five(-50, -20, 20, 50, "backward", "slightly backward", "slightly forward", "forward", 5),
    "body_twist": _five(-50, -20, 20, 50, "left", "slightly left", "slightly right", "right", 5),
    "body_lean": _five(-30, -15, 15, 30, "right", "slightly right", "slightly left", "left", 5),
    "head_pitch": Operator((-45, 30), ("backward", "-", "forward"), 5),
    "head_turn": _five(-30, -15, 15, 30, "right", "slightly right", "slightly left", "left", 5),
    "head_tilt": Operator((-30, 30), ("left", "-", "right"), 5),
}

# Values are A minus B, so something that shrinks from A to B is positive.
PAIR_OPERATORS = {
    "pair_angle": Operator(
        (-80, -45, -18, 18, 45, 80),
        (
            "bent much less",
            "bent less",
            "bent slightly less",
            "-",
            "bent slightly more",
            "bent more",
            "bent much more",
        ),
        5,
    ),
    "pair_distance": _five(-0.40, -0.10, 0.10, 0.40, "farther", "slightly farther", "slightly closer", "closer", 0.05),
    "pair_x": _five(
        -0.40, -0.15, 0.15, 0.40, "more left", "slightly more left", "slightly more right", "more right", 0.05
    ),
    "pair_y": _five(-0.40, -0.15, 0.15, 0.40, "higher", "slightly higher", "slightly lower", "lower", 0.05),
    "pair_z": _five(
        -0.40, -0.15, 0.15, 0.40, "more front", "slightly more front", "slightly more back", "more back", 0.05
    ),
    "pair_pitch": _five(
        -45, -20, 20, 45, "forward more", "slightly forward more", "slightly backward more", "backward more", 5
    ),
    "pair_twist": _five(-45, -20, 20, 45, "right more", "slightly right more", "slightly left more", "left more", 5),
    "pair_lean": _five(-30, -15, 15, 30, "left more", "slightly left more", "slightly right more", "right more", 5),
    "pair_head_pitch": Operator((-30, 30), ("incline forward more", "-", "incline backward more"), 5),
    "pair_head_turn": _five(
        -30, -15, 15, 30, "turn left more", "turn slightly left", "turn slightly right", "turn right more", 5
    ),
}

# The rotation of the whole person between two poses (degrees about the vertical, left positive).
TURN_OPERATOR = Operator(
    (-150, -120, -60, -20, 20, 60, 120, 150),
    (
        "around",
        "around to the right",
        "a quarter right",
        "slightly right",
        "-",
        "slightly left",
        "a quarter left",
        "around to the left",
        "around",
    ),
    10,
)
