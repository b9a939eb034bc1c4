# SPDX-License-Identifier: Apache-2.0
"""The bundled open poses: 1,378 distinct poses of real people, from freely licensed motion clips.

PROVENANCE.md names every source. Whole clips are either training or test clips, so that no test frame comes from the
same take as a training frame.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

OPEN_POSES_FILE = Path(__file__).parent / "assets" / "open_poses.safetensors"
SPLITS = ("train", "test", "all")

# Rotation vectors are stored as 16-bit integers: one step is 0.0055 degrees.
_STEP = math.pi / 32767


@dataclass(frozen=True)
class OpenPoses:
    """Poses of one split.

    Attributes:
        axis_angle: `(N, 22, 3)` float32, radians, our frame, turn about the vertical axis removed.
        clip_id: `(N,)` long, index into `clips`, the same whatever the split.
        clips: for every bundled clip, a dict with `name`, `source`, `licence`, `split`.
    """

    axis_angle: Tensor
    clip_id: Tensor
    clips: list[dict[str, str]]

    @property
    def clip_names(self) -> list[str]:
        """Names of all bundled clips, in the order of `clip_id`."""
        return [clip["name"] for clip in self.clips]

    def __len__(self) -> int:
        return len(self.axis_angle)


def load_open_poses(split: str = "train") -> OpenPoses:
    """Read the bundled poses of a split: `"train"`, `"test"` or `"all"`.

    Raises:
        ValueError: there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"There is no split {split!r} of the open poses; choose one of {', '.join(SPLITS)}.")
    with safe_open(OPEN_POSES_FILE, framework="np") as file:
        axis_angle = dequantise(file.get_tensor("axis_angle"))
        clip_id = torch.from_numpy(file.get_tensor("clip_id")).long()
        clips = json.loads(file.metadata()["clips"])
    if split != "all":
        wanted = torch.tensor([clip["split"] == split for clip in clips])[clip_id]
        axis_angle, clip_id = axis_angle[wanted], clip_id[wanted]
    return OpenPoses(axis_angle, clip_id, clips)


def quantise(axis_angle: Tensor) -> np.ndarray:
    """Rotation vectors of at most pi radians -> int16, error below 0.005 degrees per component."""
    return (axis_angle.double() / _STEP).round().clamp(-32767, 32767).to(torch.int16).numpy()


def dequantise(steps: np.ndarray) -> Tensor:
    """The inverse of `quantise`: float32 radians."""
    return torch.from_numpy(steps.astype(np.float64) * _STEP).float()
