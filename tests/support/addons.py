# SPDX-License-Identifier: Apache-2.0
"""Loads the packs of integrations/ as the programs do that they are for, and makes armatures to pose."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import roma
import torch

from unipose_hf import Pose
from unipose_hf.body import JOINT_NAMES, PARENTS
from unipose_hf.body.joints import MIXAMO_NAMES

INTEGRATIONS = Path(__file__).parents[2] / "integrations"
NAMES = {"mixamo": MIXAMO_NAMES, "smpl": JOINT_NAMES}
# Blender's world: z up, characters look along -y; columns are the body's left, up and front
BLENDER = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
Y_UP = np.eye(3)  # Mixamo's armatures, whose objects are turned upright


def load_pack(folder, name):
    """A folder of integrations/, imported under a name."""
    spec = importlib.util.spec_from_file_location(name, INTEGRATIONS / folder / "__init__.py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unload_pack(name):
    for loaded in [loaded for loaded in sys.modules if loaded == name or loaded.startswith(f"{name}.")]:
        del sys.modules[loaded]


def resting_joints(arms_down=0.0, legs_apart=0.0, elbows_bent=0.0):
    """(22, 3) joints of a body that rests in a T-pose, or an A-pose by degrees, in our frame; its feet stand flat."""
    turns = np.zeros((22, 3))
    for side, sign in (("left", 1), ("right", -1)):
        for part, axis, degrees in (
            ("shoulder", 2, -sign * arms_down),
            ("elbow", 1, -sign * elbows_bent),
            ("hip", 2, sign * legs_apart),
            ("ankle", 2, -sign * legs_apart),
        ):
            turns[JOINT_NAMES.index(f"{side}_{part}"), axis] = np.radians(degrees)
    return Pose(turns).joints.astype(np.float64)


def bones_of(joints, seed, straight=False):
    """(22, 3) where bones from these joints end: at a child, or anywhere, as importers draw them."""
    random, ends = np.random.default_rng(seed), np.empty((22, 3))
    for joint in range(22):
        children = [child for child in range(22) if PARENTS[child] == joint]
        if straight and children:
            ends[joint] = joints[children[len(children) // 2]]
        else:
            away = random.normal(size=3)
            ends[joint] = joints[joint] + 0.1 * away / np.linalg.norm(away)
    return ends


def some_poses(count=6, seed=0, largest=1.4):
    """Poses whose every joint is turned, in every direction."""
    random = np.random.default_rng(seed)
    turns = random.normal(size=(count, 22, 3))
    turns *= random.uniform(0, largest, size=(count, 22, 1)) / np.linalg.norm(turns, axis=-1, keepdims=True)
    return [Pose(one) for one in turns]


def degrees_of_bones(ours, theirs):
    """The largest angle between the directions from joint to joint of two bodies (22, 3), (22, 3), in one frame."""
    a, b = ((joints[1:] - joints[list(PARENTS[1:])]).astype(np.float64) for joints in (ours, theirs))
    a, b = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (a, b))
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), (a * b).sum(1))).max())


def degrees_of_turns(ours, theirs):
    """The largest angle between rotations (..., 3, 3)."""
    a, b = (torch.from_numpy(np.array(one, dtype=np.float64)) for one in (ours, theirs))
    return float(torch.rad2deg(roma.rotmat_geodesic_distance(a, b)).max())
