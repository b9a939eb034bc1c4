# SPDX-License-Identifier: Apache-2.0
"""Reads poses and motions from .glb files written by `Pose.save` and `Motion.save`."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import roma
import torch

from unipose_hf.body.joints import JOINT_NAMES, MIXAMO_NAMES


class GlbMotion(NamedTuple):
    """Rotation vectors `(F, 22, 3)` float32, pelvis positions `(F, 3)` in metres, frames per second (None: a pose)."""

    rotations: np.ndarray
    translation: np.ndarray
    frame_rate: float | None


def read_glb(path: str | os.PathLike) -> GlbMotion:
    """The pose of the skeleton in a file written by `write_glb`, as a single frame, or all frames of its animation.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is damaged, or written by another program: the rest poses of other skeletons are unknown.
    """
    from pygltflib import GLTF2

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        file = GLTF2.load_binary(str(path))
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(f"{path} cannot be read as a .glb file ({error}).") from None
    nodes = {} if file is None else {node.name: number for number, node in enumerate(file.nodes)}
    names = next((names for names in (JOINT_NAMES, MIXAMO_NAMES) if set(names) <= set(nodes)), None)
    if not nodes or file.asset.generator != "unipose_hf" or names is None:
        raise ValueError(f"{path} was not written by Pose.save; give the pose as .npz, .json or .bvh.")
    joints = [nodes[name] for name in names]
    turns = torch.tensor([file.nodes[joint].rotation or [0.0, 0.0, 0.0, 1.0] for joint in joints]).double()[None]
    root = np.array([file.nodes[joints[0]].translation or [0.0, 0.0, 0.0]])
    rate = None
    if file.animations:
        try:
            root, turns, rate = _animation(file, joints)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"The animation in {path} is damaged ({error}); save the motion again.") from None
    binding = (
        _values(file, file.skins[0].inverseBindMatrices).reshape(22, 4, 4) if file.skins else np.zeros((22, 4, 4))
    )
    rotations = roma.unitquat_to_rotvec(roma.quat_normalize(turns)).float().numpy()
    # the inverse bind matrix, which glTF counts by columns, holds the pelvis of the T-pose
    return GlbMotion(rotations, (root + binding[0, 3, :3]).astype(np.float32), rate)


def _animation(file, joints: list[int]) -> tuple[np.ndarray, torch.Tensor, float]:
    """Pelvis positions `(F, 3)`, quaternions `(F, 22, 4)` and frame rate of the first animation."""
    animation, found = file.animations[0], {}
    for channel in animation.channels:
        found[channel.target.node, channel.target.path] = animation.samplers[channel.sampler]
    turns = [_values(file, found[joint, "rotation"].output) for joint in joints]
    root = found[joints[0], "translation"]
    times = _values(file, root.input).reshape(-1).astype(np.float64)
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 30.0
    # times are float32, so that 30 frames a second read as 29.999998
    rate = round(rate, 3)
    return _values(file, root.output), torch.from_numpy(np.stack(turns, axis=1)).double(), rate


def _values(file, number: int) -> np.ndarray:
    """The float32 rows of an accessor."""
    accessor = file.accessors[number]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor.type]
    start = file.bufferViews[accessor.bufferView].byteOffset or 0
    return np.frombuffer(file.binary_blob(), np.float32, accessor.count * width, start).reshape(-1, width)
