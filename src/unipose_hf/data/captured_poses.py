# SPDX-License-Identifier: Apache-2.0
"""More captured poses than the package holds: `open_mocap.safetensors` of a folder, where there is one."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from unipose_hf.body import remove_yaw

_SHARE_ALIKE = 3  # licence_id of CC BY-SA clips, from which weights could not be published freely
_HELD_OUT = "cmu_01_"  # takes of the subject of a held-out clip
RAREST = 250  # poses least like the others, kept back to be measured on


def load_captured_poses(folder: str | Path, *, rarest: bool = False) -> Tensor:
    """Poses `(n, 22, 3)`, axis-angle, our frame, yaw removed, of which no clip is like a held-out one.

    Args:
        rarest: give instead the 250 poses that are least like the others, which are kept back.

    Raises:
        FileNotFoundError: the folder has no such files.
    """
    arrays = load_file(Path(folder) / "open_mocap.safetensors")
    clips = json.loads((Path(folder) / "open_mocap_clips.json").read_text(encoding="utf-8"))
    held_out = torch.tensor([clip["name"].startswith(_HELD_OUT) for clip in clips])
    is_rare = (arrays["fps_rank"] >= 0) & (arrays["fps_rank"] < RAREST)
    trained = (arrays["licence_id"] < _SHARE_ALIKE) & ~held_out[arrays["clip_id"].long()] & ~is_rare
    chosen = is_rare if rarest else trained
    return remove_yaw(arrays["axis_angle"][chosen].float())
