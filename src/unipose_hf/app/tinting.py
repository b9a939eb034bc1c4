# SPDX-License-Identifier: Apache-2.0
"""Tints the limbs that a change moved, in the GLB that the page shows; files to download stay as they are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..modeling.pose_unipose import write_file
from .limbs import PARTS

TINT = (1.0, 0.58, 0.08)  # linear RGB; `web/tint.js` and `.changed` of the page's style have the same colour
SHARE = 0.7


def write_tinted(glb: Path, parts: Sequence[str], path: Path) -> Path:
    """A copy of a GLB written by `Pose.save`, in which vertices of these limbs are tinted by their skin weights."""
    from pygltflib import GLTF2

    file = GLTF2().load_binary(str(glb))
    blob = bytearray(file.binary_blob())
    attributes = file.meshes[0].primitives[0].attributes

    def column(number: int, kind: type) -> np.ndarray:
        accessor = file.accessors[number]
        start = file.bufferViews[accessor.bufferView].byteOffset
        return np.frombuffer(blob, kind, 4 * accessor.count, start).reshape(-1, 4)

    joints = [joint for part in parts for joint in PARTS[part]]
    inside = np.isin(column(attributes.JOINTS_0, np.uint8), joints)
    share = SHARE * (column(attributes.WEIGHTS_0, np.float32) * inside).sum(1, keepdims=True)
    colors = column(attributes.COLOR_0, np.uint16)
    colors[:, :3] = np.round((1 - share) * colors[:, :3] + share * 65535 * np.array(TINT))
    file.set_binary_blob(bytes(blob))
    return write_file(path, b"".join(file.save_to_bytes()))
