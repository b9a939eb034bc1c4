# SPDX-License-Identifier: Apache-2.0
"""Training of the pose tokenizer: rotation and joint losses over an endless stream of poses (supplement B.1)."""

import functools
from pathlib import Path

import torch

from unipose_hf.body import forward_kinematics, load_body
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.sampling import PoseSampler, random_global_turn
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix
from unipose_hf.training.loop import LoopArguments, train_loop

ROTATION_WEIGHT, JOINT_WEIGHT = 20.0, 100.0


def reconstruction_losses(decoded: torch.Tensor, target: torch.Tensor, rest_joints: torch.Tensor) -> dict:
    """Losses between rotation matrices (..., 22, 3, 3): mean squared matrix entries and joints, and MPJPE in mm.

    Joints are in metres, the pelvis at the origin. Weighted 20 and 100 as published.
    """
    joints = forward_kinematics(target, rest_joints)[0]
    decoded_joints = forward_kinematics(decoded, rest_joints)[0]
    rotation = (decoded - target).square().mean()
    joint = (decoded_joints - joints).square().mean()
    return {
        "loss": ROTATION_WEIGHT * rotation + JOINT_WEIGHT * joint,
        "rotation": rotation.detach(),
        "mpjpe_mm": 1000 * (decoded_joints - joints).norm(dim=-1).mean().detach(),
    }


@functools.lru_cache(maxsize=1)
def pose_pool(seed: int, count: int = 131_072) -> torch.Tensor:
    """Poses `(count, 22, 3)` drawn at once from the open training clips: many are cheaper than few at a time."""
    poses = load_open_poses("train")
    return PoseSampler(poses.axis_angle, poses.clip_id).sample(count, torch.Generator().manual_seed(seed))


def train_pose_tokenizer(
    model: PoseTokenizerModel,
    arguments: LoopArguments,
    folder: str | Path,
    batch_size: int = 256,
    noise_every: int = 5000,
    name: str = "pose_tokenizer",
    stop_at: int | None = None,
) -> None:
    """Trains `model` on recombined poses of the open training clips, half with the paper's turns, half with full yaw.

    The limb noise grows by steps of `noise_every`: 0.01, 0.05, 0.1, 0.1, then 0.5 of the 6D range (supplement B.1)
    scaled down to a tenth, since here it really reaches the input.
    """
    pool = pose_pool(arguments.seed)
    rest_joints = load_body(size="small").rest_joints
    model.train()

    def step_losses(step, generator):
        batch = pool[torch.randint(len(pool), (batch_size,), generator=generator)]
        half = batch_size // 2
        batch = torch.cat(
            [
                random_global_turn(batch[:half], generator, full_yaw=False),
                random_global_turn(batch[half:], generator, full_yaw=True),
            ]
        )
        target = axis_angle_to_matrix(batch)
        noise_scale = 0.1 * (0.01, 0.05, 0.1, 0.1, 0.5)[min(4, step // noise_every)]
        output = model(target, noise_scale=noise_scale)
        losses = reconstruction_losses(output.rotations, target, rest_joints)
        losses["loss"] = losses["loss"] + output.commitment_loss
        return losses | {"perplexity": output.perplexity}

    train_loop(name, model, step_losses, arguments, folder, stop_at=stop_at)
    model.eval()
