# SPDX-License-Identifier: Apache-2.0
"""Reads whole motions: the rotations of `read_poses`, with frame rate, path of the pelvis and body shape."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from unipose_hf.body import JOINT_NAMES, load_body
from unipose_hf.modeling.pose_unipose import own_betas

from .bvh import Bvh, parse_bvh
from .bvh_orientation import pelvis_positions
from .glb_file import read_glb
from .pose_files import TurnedBvh, read_poses, stores_single_object, turned_bvh
from .smpl_rows import frame_rate, read_archive, root_translations, turned_to_our_frame

_LEG = ("left_hip", "left_knee", "left_ankle")


class MotionArrays(NamedTuple):
    """A motion in our frame.

    Attributes:
        rotations: `(F, 22, 3)` float32 axis-angle.
        translation: `(F, 3)` pelvis positions in metres; zeros if the file has none.
        frame_rate: frames per second; None if the file does not specify it.
        betas: `(10,)` shape of the bundled body, or None.
    """

    rotations: np.ndarray
    translation: np.ndarray
    frame_rate: float | None
    betas: np.ndarray | None = None


def read_motion(
    path: str | os.PathLike,
    *,
    up: str | None = None,
    facing: str | None = None,
    joint_map: dict[str, str] | None = None,
    person: str | None = None,
) -> MotionArrays:
    """Reads a motion from any file that `read_poses` reads; arguments and errors as there.

    Translation and frame rate are read from .bvh, AMASS-style .npz, and our own .glb. Those of a .bvh are scaled by
    the length of its legs, which gives metres and steps of the right length on our body. Those of an .npz are kept.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        bvh = parse_bvh(path)
        turned = turned_bvh(bvh, path, joint_map, up, facing)
        rate = 1 / bvh.frame_time if bvh.frame_time > 0 else None
        # six decimals of seconds, so that 30 frames a second read as 30.0003
        rate = float(round(rate)) if rate is not None and abs(rate - round(rate)) < 2e-4 * rate else rate
        return MotionArrays(turned.rotations.numpy(), _bvh_translation(bvh, turned), rate)
    if suffix == ".glb":
        return MotionArrays(*read_glb(path))
    if suffix == ".npz" and not stores_single_object(arrays := read_archive(path)):
        rotations, turn = turned_to_our_frame(arrays, path, up, facing)
        translation = root_translations(arrays, len(rotations)) @ turn.T
        return MotionArrays(rotations, translation.astype(np.float32), frame_rate(arrays), own_betas(arrays))
    rotations = read_poses(path, up=up, facing=facing, joint_map=joint_map, person=person).numpy()
    return MotionArrays(rotations, np.zeros((len(rotations), 3), dtype=np.float32), None)


def _bvh_translation(bvh: Bvh, turned: TurnedBvh) -> np.ndarray:
    """`(F, 3)` pelvis positions in metres on our body."""
    positions = pelvis_positions(bvh, turned.joints["pelvis"])
    if positions is None:
        return np.zeros((len(bvh.rotations), 3), dtype=np.float32)
    scale = 1.0
    if not turned.own:  # our own files are in metres, for a body that may have another shape
        theirs = bvh.rest_positions()[[turned.joints[name] for name in _LEG]]
        ours = load_body(size="small").rest_joints[[JOINT_NAMES.index(name) for name in _LEG]]
        scale = float(_length(ours) / _length(theirs))
    return (scale * positions @ turned.turn.T).to(torch.float32).numpy()


def _length(chain: torch.Tensor) -> torch.Tensor:
    return (chain[1:] - chain[:-1]).norm(dim=-1).sum()
