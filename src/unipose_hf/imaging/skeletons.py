# SPDX-License-Identifier: Apache-2.0
"""Draws OpenPose skeletons exactly as the pictures that ControlNets were trained on (Zhang et al. 2023).

Every limb is an ellipse filled with its colour at 60 %, every keypoint a disc of radius 4 in its full colour, on
black. Pixels are those of OpenCV's polygon filling, which the published annotators use.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from .figures import checked_size
from .keypoints import OPENPOSE_NAMES, openpose_keypoints

STYLES = ("openpose", "dwpose")
# The 18 hues go round the colour wheel; limb i and keypoint i share colour i.
COLORS: tuple[tuple[int, int, int], ...] = (
    (255, 0, 0),
    (255, 85, 0),
    (255, 170, 0),
    (255, 255, 0),
    (170, 255, 0),
    (85, 255, 0),
    (0, 255, 0),
    (0, 255, 85),
    (0, 255, 170),
    (0, 255, 255),
    (0, 170, 255),
    (0, 85, 255),
    (0, 0, 255),
    (85, 0, 255),
    (170, 0, 255),
    (255, 0, 255),
    (255, 0, 170),
    (255, 0, 85),
)
_LIMB_NAMES = (
    ("neck", "right_shoulder"),
    ("neck", "left_shoulder"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("neck", "right_hip"),
    ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"),
    ("neck", "left_hip"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
    ("neck", "nose"),
    ("nose", "right_eye"),
    ("right_eye", "right_ear"),
    ("nose", "left_eye"),
    ("left_eye", "left_ear"),
)
# (17, 2) in the order in which they are drawn
LIMBS: tuple[tuple[int, int], ...] = tuple(
    (OPENPOSE_NAMES.index(start), OPENPOSE_NAMES.index(end)) for start, end in _LIMB_NAMES
)
DIM = 0.6  # limbs beside keypoints
STICK_WIDTH = 4  # half the width of a limb, pixels
_DISC = (0, 2, 3, 3, 4, 3, 3, 2, 0)  # half-widths of the rows of OpenCV's disc of radius 4


def draw_skeletons(
    people: Any,
    size: int | tuple[int, int] = 512,
    *,
    style: str = "openpose",
    stick_width: int = STICK_WIDTH,
    **view: Any,
) -> Image.Image:
    """Draw the skeletons of people on black: a conditioning picture for a ControlNet.

    Args:
        people: poses, arrays (22, 3) of axis-angle, dicts with `pose` and `camera` such as `pipeline("image-to-pose")`
            returns, or keypoints (18, 3) or (people, 18, 3) such as `read_openpose_json` returns.
        size: width and height in pixels, or one number for both.
        style: "openpose" draws one person after the other, "dwpose" first the limbs of all people and then their
            keypoints; they differ only where people overlap.
        stick_width: half the width of a limb in pixels, 4 as published at any size. The ControlNets of xinsir for SDXL
            were trained on wider ones: 12 at 1024 pixels.
        view: see `openpose_keypoints`: `camera`, `azimuth`, `elevation`, `keep_hidden`.

    Returns:
        An RGB `PIL.Image.Image`.

    Raises:
        ValueError: an unknown style, or a wrong size, camera or width.
    """
    if style not in STYLES:
        raise ValueError(f"style is {style!r}; use one of {', '.join(STYLES)}.")
    if stick_width < 1:
        raise ValueError(f"stick_width is {stick_width}; expected at least 1 pixel.")
    width, height = checked_size(size)
    keypoints = _given_keypoints(people)
    if keypoints is None:
        keypoints = openpose_keypoints(people, (width, height), **view)
    elif view:
        raise ValueError(f"{', '.join(view)} cannot change keypoints that are already in the picture; leave it out.")
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    # "openpose" finishes one person before the next, "dwpose" the limbs of all people before their keypoints
    for group in [keypoints] if style == "dwpose" else [[person] for person in keypoints]:
        for (start, end), color in zip(LIMBS, COLORS, strict=False):
            for person in group:
                if person[start, 2] > 0 and person[end, 2] > 0:
                    dimmed = [int(DIM * value) for value in color]
                    _fill(canvas, _ellipse(person[start, :2], person[end, :2], stick_width), dimmed)
        for number, color in enumerate(COLORS):
            for person in group:
                if person[number, 2] > 0:
                    _draw_disc(canvas, int(person[number, 0]), int(person[number, 1]), color)
    return Image.fromarray(canvas)


def _given_keypoints(people: Any) -> np.ndarray | None:
    """(n, 18, 3) if `people` are keypoints already."""
    shapes = {np.shape(person) for person in people if not isinstance(person, dict)} if _is_list(people) else set()
    if shapes == {(3,)} and len(people) == 18:
        return np.asarray(people, dtype=np.float32)[None]
    if shapes == {(18, 3)}:
        return np.asarray(people, dtype=np.float32)
    if isinstance(people, np.ndarray) and people.ndim == 3 and people.shape[0] == 0:
        return np.zeros((0, 18, 3), dtype=np.float32)
    return None


def _is_list(people: Any) -> bool:
    return isinstance(people, Sequence | np.ndarray) and not hasattr(people, "axis_angle")


def _ellipse(start: np.ndarray, end: np.ndarray, half_width: int) -> np.ndarray:
    """Corners (n, 2), whole pixels, of the ellipse along a limb: one a degree, rounded, as in OpenCV."""
    (x1, y1), (x2, y2) = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    center = int((x1 + x2) / 2), int((y1 + y2) / 2)
    half_length = int(math.hypot(x1 - x2, y1 - y2) / 2)
    angle = math.radians(int(math.degrees(math.atan2(y1 - y2, x1 - x2))))
    around = np.radians(np.arange(361))
    # OpenCV's table of sines has seven digits: without them, halves of a pixel are rounded to the other side
    along = half_length * _seven_digits(np.cos(around))
    across = half_width * _seven_digits(np.sin(around))
    cos, sin = _seven_digits(math.cos(angle)), _seven_digits(math.sin(angle))
    corners = np.stack([center[0] + along * cos - across * sin, center[1] + along * sin + across * cos], axis=1)
    return np.rint(corners).astype(np.int64)


def _seven_digits(value):
    return np.round(value, 7).astype(np.float32).astype(np.float64)


def _fill(canvas: np.ndarray, corners: np.ndarray, color: Sequence[int]) -> None:
    """Fill a closed convex polygon, in each row from the outermost pixel on the left to that on the right."""
    height, width = canvas.shape[:2]
    x, y = np.concatenate([_outline(corners[:-1], corners[1:]), _crossings(corners[:-1], corners[1:])], axis=1)
    first = y.min()
    rows = y.max() - first + 1
    left, right = np.full(rows, np.iinfo(np.int64).max), np.full(rows, np.iinfo(np.int64).min)
    np.minimum.at(left, y - first, x)
    np.maximum.at(right, y - first, x)
    for row in range(max(first, 0), min(first + rows, height)):
        start, stop = max(left[row - first], 0), min(right[row - first] + 1, width)
        if start < stop:
            canvas[row, start:stop] = color


def _outline(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Pixels (2, n), x and y, of lines between whole pixels as OpenCV draws them: from the left, halves down."""
    swap = starts[:, 0] > ends[:, 0]
    starts, ends = np.where(swap[:, None], ends, starts), np.where(swap[:, None], starts, ends)
    delta = ends - starts
    steps = np.abs(delta).max(1)
    line, step = _steps(steps + 1)
    longest = np.maximum(steps[line], 1)[:, None]
    moved = (2 * step[:, None] * np.abs(delta)[line] + longest - 1) // (2 * longest)
    return (starts[line] + np.sign(delta)[line] * moved).T


def _crossings(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Pixels (2, n) where lines cross the rows between their ends, in OpenCV's steps of 1/65536, halves rounded up."""
    swap = starts[:, 1] > ends[:, 1]
    upper, lower = np.where(swap[:, None], ends, starts), np.where(swap[:, None], starts, ends)
    tall = lower[:, 1] - upper[:, 1] > 1
    upper, (across, down) = upper[tall], (lower - upper)[tall].T
    slope = np.trunc((across * 131072 + down) / np.maximum(2 * down, 1)).astype(np.int64)
    line, step = _steps(down - 1)
    step = step + 1
    return np.stack([upper[line, 0] + ((step * slope[line] + 32768) >> 16), upper[line, 1] + step])


def _steps(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For counts (2, 3): the numbers (0, 0, 1, 1, 1) of their items, and (0, 1, 0, 1, 2) within each."""
    item = np.repeat(np.arange(len(counts)), counts)
    return item, np.arange(len(item)) - np.repeat(np.cumsum(counts) - counts, counts)


def _draw_disc(canvas: np.ndarray, x: int, y: int, color: Sequence[int]) -> None:
    height, width = canvas.shape[:2]
    for row, half in enumerate(_DISC, start=y - len(_DISC) // 2):
        if 0 <= row < height:
            canvas[row, max(x - half, 0) : min(x + half + 1, width)] = color
