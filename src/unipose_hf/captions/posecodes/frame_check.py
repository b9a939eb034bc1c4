# SPDX-License-Identifier: Apache-2.0
"""Detects positions that are not in our frame or not in metres."""

import warnings

import torch

from unipose_hf.body import JOINT_NAMES

MAX_HEIGHT = 10.0  # metres; a person in centimetres or millimetres is far above
_MIN_POSES = 8  # fewer poses may all be lying down
_SHARE = 0.75  # of poses of all kinds; some always crawl, sit or tumble
_ALONG = 0.7  # cosine, 45 degrees
_STANDING_FEET = (-0.8, -0.1)  # cosine of ankle to toe with the up direction; a lying body's foot hangs further down
_HANGING_HANDS = -0.1  # metres a hand is above its shoulder on average: standing people mostly let their arms hang


def check_size(joints, name):
    """Raises `ValueError` if a pose of (N, J, 3) is too large for a person in metres."""
    extent = joints.amax(dim=1) - joints.amin(dim=1) if len(joints) else joints.new_zeros(1, 3)
    if extent.max() > MAX_HEIGHT:
        pose = int(extent.amax(dim=1).argmax())
        raise ValueError(
            f"{name} of pose {pose} span {extent.max():.0f} m, expected a person in metres; "
            "are these millimetres? Divide them by 1000 (centimetres by 100)."
        )


def warn_if_z_is_up(joints):
    """Warn if a batch (N, >= 22, 3) looks like people standing along z instead of y.

    A single such pose could be lying down. So there must be at least 8 poses, most of them stretched along z with the
    feet and arms of standing people: lying people stretch their feet and rest their hands anywhere. A batch of people
    who lie exactly as others stand gives a false warning.
    """
    if len(joints) < _MIN_POSES:
        return
    feet = (_at(joints, "left_ankle") + _at(joints, "right_ankle")) / 2
    along = _along_z(_at(joints, "neck") - feet)
    stretched = along.abs() > _ALONG
    if stretched.float().mean() < _SHARE:
        return
    joints, up = joints[stretched], along[stretched].sign()
    toes = [_along_z(_at(joints, f"{side}_foot") - _at(joints, f"{side}_ankle")) * up for side in ("left", "right")]
    hands = [(_at(joints, f"{side}_wrist") - _at(joints, f"{side}_shoulder"))[:, 2] * up for side in ("left", "right")]
    lowest, highest = _STANDING_FEET
    if lowest < torch.stack(toes).median() < highest and torch.stack(hands).mean() < _HANGING_HANDS:
        warnings.warn(
            "Most of these people seem to stand along the z axis, but captions expect y up; if the positions are "
            "z-up (AMASS, SMPL worlds), turn them: (x, y, z) -> (x, z, -y).",
            stacklevel=3,
        )


def _at(joints, name):
    return joints[:, JOINT_NAMES.index(name)]


def _along_z(vectors):
    return vectors[:, 2] / vectors.norm(dim=-1).clamp_min(1e-9)
