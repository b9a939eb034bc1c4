# SPDX-License-Identifier: Apache-2.0
"""A loss on what the language model reads of the poses in a prompt: where each joint is, and how far it has moved.

Codes may tell of each joint how it is turned against its parent; texts tell where hands and feet are, which takes the
whole chain of rotations up to the pelvis. Answers alone teach that slowly: they name a few joints each. This loss asks
for all of them, within the model, at the codes of the joint. The read-out is fixed, so that there is nothing beside
the model to learn, to save or to throw away. It is ours, not the paper's.
"""

import torch
import torch.nn.functional as F

from unipose_hf.body import forward_kinematics


def reading_errors(
    hidden_states: tuple[torch.Tensor, ...],
    is_code: torch.Tensor,
    rotations: torch.Tensor,
    follows: torch.Tensor,
    rest_joints: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Args:
        hidden_states: of the language model, one more than it has layers, `(samples, columns, hidden)` each.
        is_code: where the codes of the prompts' poses stand, `(samples, columns)`.
        rotations: what these poses are, in their order, `(poses, 22, 3, 3)`.
        follows: whether the pose before is of the same prompt, `(poses,)`.
        rest_joints: of the body, `(22, 3)` metres.

    Returns:
        mean distance in metres between joints and where the middle layer has them, relative to the pelvis, `(poses,)`;
        the same for the way that joints go from the pose before, at three quarters of the layers, 0 for a pose that
        follows none.

    Raises:
        ValueError: the joints of this pose tokenizer have no codes of their own.
    """
    poses, layers, count = len(rotations), len(hidden_states) - 1, rotations.shape[1]
    codes = int(is_code.sum())
    if codes % (poses * count):
        raise ValueError(
            f"The {poses} poses of the prompts have {codes / poses:g} codes each, which cannot be those of {count} "
            "joints; leave reading_loss_weight 0, or train a pose tokenizer with kernel_size 1 and no lengths."
        )
    joints = forward_kinematics(rotations, rest_joints)[0]
    joints = joints - joints[:, :1]  # (poses, 22, 3)
    ways = joints - joints.roll(1, dims=0)
    directions = _directions(hidden_states[0].shape[-1]).to(joints.device)

    def distance(layer, directions, target):
        hidden = hidden_states[layer][is_code].float().view(poses, count, -1, hidden_states[0].shape[-1]).mean(2)
        found = F.linear(F.rms_norm(hidden, hidden.shape[-1:]), directions)  # (poses, 22, 3)
        return (found - target).norm(dim=-1).mean(-1)

    return distance(layers // 2, directions[:3], joints), distance(3 * layers // 4, directions[3:], ways) * follows


def _directions(hidden_size):
    """Six directions at right angles, always the same, `(6, hidden_size)`; 3 is a metre, where entries have size 1."""
    generator = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(hidden_size, 6, generator=generator)).Q.T / 3
