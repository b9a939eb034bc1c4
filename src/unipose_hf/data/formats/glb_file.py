# SPDX-License-Identifier: Apache-2.0
"""Reads the pose from a .glb file written by `Pose.save`."""

import os
from pathlib import Path

import numpy as np
import roma
import torch

from unipose_hf.body import JOINT_NAMES


def read_glb(path: str | os.PathLike) -> np.ndarray:
    """`(22, 3)` rotation vectors of the skeleton in a file written by `write_glb`.

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
    nodes = {} if file is None else {node.name: node for node in file.nodes}
    if not nodes or file.asset.generator != "unipose_hf" or not set(JOINT_NAMES) <= set(nodes):
        raise ValueError(f"{path} was not written by Pose.save; give the pose as .npz, .json or .bvh.")
    turns = [nodes[name].rotation or [0.0, 0.0, 0.0, 1.0] for name in JOINT_NAMES]
    return roma.unitquat_to_rotvec(roma.quat_normalize(torch.tensor(turns, dtype=torch.float64))).float().numpy()
