# SPDX-License-Identifier: Apache-2.0
"""The pose in a .glb file that `Pose.save` wrote."""

import os
from pathlib import Path

import numpy as np
import roma
import torch

from unipose_hf.body import JOINT_NAMES


def read_glb(path: str | os.PathLike) -> np.ndarray:
    """`(22, 3)` rotation vectors of the skeleton in a file of `write_glb`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or another program's: the rest pose of any other skeleton is not known.
    """
    from pygltflib import GLTF2

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        file = GLTF2.load_binary(str(path))
    except Exception as error:  # what a damaged file does is open
        raise ValueError(f"{path} cannot be read as a .glb file ({error}).") from None
    nodes = {} if file is None else {node.name: node for node in file.nodes}
    if not nodes or file.asset.generator != "unipose_hf" or not set(JOINT_NAMES) <= set(nodes):
        raise ValueError(f"{path} is not a .glb file of Pose.save; give the pose as .npz, .json or .bvh.")
    turns = [nodes[name].rotation or [0.0, 0.0, 0.0, 1.0] for name in JOINT_NAMES]
    return roma.unitquat_to_rotvec(roma.quat_normalize(torch.tensor(turns, dtype=torch.float64))).float().numpy()
