# SPDX-License-Identifier: Apache-2.0
"""Creates the package's sample motion: three cycles of the open walk, with interpolated frames.

python examples/data/sample_motion.py
"""

from pathlib import Path

import roma
import torch

import unipose_hf
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.visualization.export import write_bvh

CLIP, ROUNDS, FRAMES = "walk", 3, 40  # frames per cycle: 4/3 seconds at 30 fps


def walk() -> list[torch.Tensor]:
    """Frames `(22, 3)` axis-angle."""
    poses = load_open_poses("all")
    keys = poses.axis_angle[poses.clip_id == poses.clip_names.index(CLIP)]
    keys = roma.rotvec_to_unitquat(torch.cat([keys, keys[:1]]))  # the last pose leads back to the first
    frames = []
    for frame in range(FRAMES):
        place = frame / FRAMES * (len(keys) - 1)
        before = int(place)
        share = torch.tensor([place - before])
        between = roma.unitquat_slerp(keys[before], keys[before + 1], share, shortest_arc=True)[0]
        frames.append(roma.unitquat_to_rotvec(between))
    return frames * ROUNDS


if __name__ == "__main__":
    print(write_bvh(Path(unipose_hf.__file__).parent / "assets" / "walk.bvh", walk()))
