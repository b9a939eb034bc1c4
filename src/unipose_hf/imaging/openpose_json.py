# SPDX-License-Identifier: Apache-2.0
"""OpenPose's JSON files of 2D keypoints, as OpenPose and the editors for ControlNets write them.

A file is `{"people": [{"pose_keypoints_2d": [x, y, confidence, ...]}]}`. Editors add `canvas_width` and
`canvas_height`, and ComfyUI a list around it (its POSE_KEYPOINT). A missing point is three zeros.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..files.plain import read_json
from ..modeling.pose_unipose import write_file
from .figures import checked_size

VERSION = 1.3  # of the format, as OpenPose 1.7 writes it
# The 18 keypoints among the 25 of OpenPose's BODY_25, which has the middle of the hips and the feet too.
_OF_BODY_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
_EMPTY = ("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d")


def openpose_dict(keypoints: ArrayLike, size: int | tuple[int, int]) -> dict[str, Any]:
    """Keypoints as the content of an OpenPose JSON file; a list with it is a POSE_KEYPOINT of ComfyUI.

    Args:
        keypoints: (people, 18, 3), x, y in pixels and the confidence, as `openpose_keypoints` returns.
        size: width and height of the picture in pixels, or one number for both.

    Raises:
        ValueError: another shape, or not finite.
    """
    keypoints = np.asarray(keypoints, dtype=np.float32)
    if keypoints.ndim != 3 or keypoints.shape[1:] != (18, 3) or not np.isfinite(keypoints).all():
        raise ValueError(f"keypoints have shape {keypoints.shape}; expected finite numbers (people, 18, 3).")
    width, height = checked_size(size)
    people = [
        {"person_id": [-1], "pose_keypoints_2d": [float(f"{value:.9g}") for value in person.reshape(-1)]}
        | {name: [] for name in _EMPTY}
        for person in keypoints
    ]
    return {"version": VERSION, "people": people, "canvas_width": width, "canvas_height": height}


def write_openpose_json(path: str | os.PathLike, keypoints: ArrayLike, size: int | tuple[int, int]) -> Path:
    """Write an OpenPose JSON file (see `openpose_dict`), and return its path."""
    return write_file(Path(path), (json.dumps(openpose_dict(keypoints, size)) + "\n").encode())


def read_openpose_json(source: str | os.PathLike | dict | list) -> tuple[np.ndarray, tuple[int, int] | None]:
    """The people of an OpenPose JSON file.

    Args:
        source: a file, or its content: a dict, or ComfyUI's list of one.

    Returns:
        Keypoints (people, 18, 3), x, y in pixels and the confidence, and the width and height of the picture, or None
        if the file does not specify them. Files with 25 points (BODY_25) lose the feet and the middle of the hips. If
        there is a size and no value exceeds 1, they are taken for shares of the width and height.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, several pictures, or another number of points.
    """
    name = "The content" if isinstance(source, dict | list) else str(source)
    content = source if isinstance(source, dict | list) else _content(Path(source))
    if isinstance(content, list):
        if len(content) != 1:
            raise ValueError(f"{name} has {len(content)} pictures; pass the content of one of them.")
        [content] = content
    if not isinstance(content, dict) or not isinstance(content.get("people"), list):
        raise ValueError(f'{name} has no list "people"; expected the keypoints that OpenPose writes.')
    width, height = content.get("canvas_width"), content.get("canvas_height")
    size = (int(width), int(height)) if width and height else None
    people = [_points(person, name, number) for number, person in enumerate(content["people"])]
    keypoints = np.stack(people) if people else np.zeros((0, 18, 3), dtype=np.float32)
    if size is not None and people and keypoints[..., :2].max() <= 1:
        keypoints[..., :2] *= size
    return keypoints, size


def _content(path):
    try:
        return read_json(path, dict)
    except ValueError as error:
        if "holds a list" in str(error):
            return read_json(path, list)
        raise


def _points(person, name, number):
    try:
        values = np.array(person["pose_keypoints_2d"], dtype=np.float32)
    except (TypeError, KeyError, ValueError):
        raise ValueError(f'{name}: person {number} has no numbers "pose_keypoints_2d".') from None
    if values.shape not in ((54,), (75,)) or not np.isfinite(values).all():
        raise ValueError(
            f"{name}: person {number} has {values.size} numbers; expected 54 or 75 finite ones (18 or 25 points)."
        )
    points = values.reshape(-1, 3)
    points = points[list(_OF_BODY_25)] if len(points) == 25 else points
    return np.where(points[:, 2:] > 0, points, 0).astype(np.float32)
