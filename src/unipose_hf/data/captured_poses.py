# SPDX-License-Identifier: Apache-2.0
"""More captured poses than the package contains, from an `open_mocap.safetensors` file."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from unipose_hf.body import remove_yaw

_SHARE_ALIKE = 3  # licence_id of CC BY-SA clips; weights trained on them could not be published freely
_HELD_OUT = "cmu_01_"  # takes of the subject of a held-out clip
RAREST = 250  # poses least like the others, held out for evaluation


def load_captured_poses(folder: str | Path, *, rarest: bool = False) -> Tensor:
    """Poses `(n, 22, 3)`, axis-angle, our frame, yaw removed, without clips similar to held-out ones.

    Args:
        rarest: return the 250 held-out poses that are least like the others instead.

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
