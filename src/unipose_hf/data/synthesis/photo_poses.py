# SPDX-License-Identifier: Apache-2.0
"""Poses for photo-like pictures: sampled and captured ones, many that sit, and named poses of the language bank."""

from __future__ import annotations

import roma
import torch
from torch import Tensor

from unipose_hf.body import mirror_pose
from unipose_hf.data.open_poses import OpenPoses

from .sampling import PoseSampler, random_global_turn

_NAMED, _CAPTURED, _SITTING = 0.3, 0.3, 0.15  # shares; the rest is sampled from the open poses


def sits(poses: Tensor) -> Tensor:
    """Which poses `(n, 22, 3)` sit or crouch with an upright trunk: thighs nearly level, `(n,)` bool."""
    turns = roma.rotvec_to_rotmat(poses[:, :3].float())
    trunk, thighs = turns[:, 0], turns[:, :1] @ turns[:, 1:]
    down = -thighs[..., 1, 1]  # height of the direction of each thigh, -1 hangs down
    return (trunk[:, 1, 1] > 0.6) & (down.abs() < 0.55).all(1)


class PhotoPoses:
    """Draws poses that are seen in photographs.

    Args:
        poses: open poses, recombined as `PoseSampler` does.
        captured: `(n, 22, 3)` more captured poses, drawn unchanged; open poses again if None.
    """

    def __init__(self, poses: OpenPoses, captured: Tensor | None = None):
        from unipose_hf.data.language.angles import angles_to_axis_angle
        from unipose_hf.data.language.bank import load_language_bank

        self.sampler = PoseSampler(poses.axis_angle, poses.clip_id)
        self.captured = (poses.axis_angle if captured is None else captured).float()
        bank = load_language_bank()
        self.angles, self.loose, self.from_angles = bank.named_angles, bank.named_loose, angles_to_axis_angle
        named = angles_to_axis_angle(bank.named_angles)
        self.sitting = torch.cat([part[sits(part)] for part in (named, self.captured, poses.axis_angle)])

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`(count, 22, 3)` axis-angle, turned anywhere about the vertical and tilted up to 20 degrees."""
        kind = torch.rand(count, generator=generator)
        rows = torch.randint(len(self.angles), (count,), generator=generator)
        noise = torch.randn(count, self.angles.shape[1], generator=generator).clamp(-2, 2)
        named = self.from_angles(self.angles[rows] + noise * self.loose[rows])
        poses = self.sampler.sample(count, generator)
        start = 0.0
        for share, source in ((_NAMED, named), (_CAPTURED, self.captured), (_SITTING, self.sitting)):
            chosen = (kind >= start) & (kind < start + share)
            pick = source
            if source is not named:
                pick = source[torch.randint(len(source), (count,), generator=generator)]
            poses = torch.where(chosen[:, None, None], pick, poses)
            start += share
        mirrored = torch.rand(count, generator=generator) < 0.5
        poses = torch.where(mirrored[:, None, None], mirror_pose(poses), poses)
        return random_global_turn(poses, generator, full_yaw=True)
