# SPDX-License-Identifier: Apache-2.0
"""Trains the pose encoder's pose head on rendered people, with `transformers.Trainer`.

The network itself stays as published, because it was trained on photographs, not on renders. The outputs of its first
stages, which cost the most, are therefore computed once (`image_bank`). The head starts as a copy of the network's
last stages. Fully trained on renders it is far better on these, but less reliable on photographs; [`blend`] therefore
only goes most of the way (Wortsman et al., "Robust fine-tuning of zero-shot models",
https://arxiv.org/abs/2109.01903).
"""

from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.data import default_collate
from transformers import Trainer, TrainingArguments

from unipose_hf.body import forward_kinematics, load_body
from unipose_hf.evaluation.metrics.pose_errors import mpjpe, pa_mpjpe
from unipose_hf.modeling.blazepose_unipose import BlazePoseBackbone, BlazePoseConfig, PoseHead
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix, rotation_6d_to_matrix
from unipose_hf.training.callbacks import ReturnFreeMemory, SaveOnInterrupt
from unipose_hf.training.experimental.custom_loss import CustomLoss
from unipose_hf.training.resuming import SafeCheckpoints

BLOCKS_BEFORE = 2  # additional blocks, on the full 8x8 maps
CALIBRATION = 512  # images for the statistics of batch normalisation
IDENTITY_6D = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # first two rows of the identity


@dataclass
class PoseEncoderTrainingArguments(TrainingArguments):
    """Arguments of [`PoseEncoderTrainer`]: those of `transformers.TrainingArguments`, with defaults that worked well
    here."""

    learning_rate: float = field(default=1e-3, metadata={"help": "Peak learning rate of AdamW."})
    per_device_train_batch_size: int = field(default=128, metadata={"help": "Images per batch and device."})
    per_device_eval_batch_size: int = field(default=256, metadata={"help": "Images per evaluation batch and device."})
    num_train_epochs: float = field(default=32, metadata={"help": "Epochs over the images."})
    weight_decay: float = field(default=0.05, metadata={"help": "Weight decay of AdamW."})
    max_grad_norm: float = field(default=5.0, metadata={"help": "Maximum norm of gradients."})
    warmup_steps: float = field(
        default=0.1, metadata={"help": "Steps of linear warm-up; below 1, a share of all steps."}
    )
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning rate schedule."})
    joint_weight: float = field(
        default=5.0, metadata={"help": "Loss weight per metre of joint error, direct and by rotations."}
    )
    rotation_weight: float = field(
        default=3.0, metadata={"help": "Loss weight of the mean squared error of rotations."}
    )
    head_only: bool = field(default=False, metadata={"help": "Keep the copied stages frozen."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save: no, steps or epoch."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints to keep."})
    logging_steps: float = field(default=100, metadata={"help": "Steps between two log entries."})
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Off: a loss that is not finite stops the run."}
    )
    dataloader_pin_memory: bool = field(default=False, metadata={"help": "Batches are small."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Batches only hold what the trainer needs."})


def with_pose_head(backbone: BlazePoseBackbone) -> BlazePoseBackbone:
    """A copy of a backbone without a pose head, with a pose head initialised from the landmark branch."""
    settings = backbone.config.to_dict() | {"hidden_size": None}
    config = BlazePoseConfig(**settings | {"pose_head_depths": [BLOCKS_BEFORE, *backbone.config.head_depths]})
    new = BlazePoseBackbone(config)
    new.landmarker.load_state_dict(backbone.landmarker.state_dict())
    head, trained = new.pose_head, backbone.landmarker
    copied = [*trained.blocks[trained.num_shared :], *trained.neck, *trained.head]
    for layer, source in zip((*head.stages, *head.neck, *head.blocks[BLOCKS_BEFORE:]), copied, strict=True):
        layer.load_state_dict(source.state_dict())
    for block in head.blocks[:BLOCKS_BEFORE]:  # these start as the identity
        nn.init.zeros_(block.pointwise.weight)
        nn.init.zeros_(block.pointwise.bias)
    pose = head.pose
    nn.init.normal_(pose.weight, std=0.1 / pose.weight[0].numel() ** 0.5)
    nn.init.zeros_(pose.bias)
    with torch.no_grad():
        pose.bias[-22 * 6 :] = pose.bias.new_tensor(IDENTITY_6D).repeat(22)
    return new


@torch.no_grad()
def blend(head: PoseHead, other: PoseHead, share: float) -> None:
    """Moves the weights of a head by `share` of the way towards those of another head that was trained from it."""
    for weights, others in zip(head.parameters(), other.parameters(), strict=True):
        weights.lerp_(others, share)


@torch.no_grad()
def normalise(head: PoseHead, maps: torch.Tensor, squares: torch.Tensor) -> None:
    """Separates batch normalisation, which the published weights have folded in, from the convolutions of a head.

    Without it they are hard to train: some weights are about 0.005, others 30. The head computes the same as before,
    as far as the statistics of these maps `(n, C, s, s)` of squares `(n, 4)` represent all images. Frozen convolutions
    do not change.
    """
    moments = {}

    def store_moments(conv, _, out):
        moments[conv] = torch.var_mean(out, (0, 2, 3), correction=0)

    convolutions = [
        module
        for module in head.modules()
        if isinstance(module, nn.Conv2d) and module is not head.pose and module.weight.requires_grad
    ]
    hooks = [conv.register_forward_hook(store_moments) for conv in convolutions]
    head(maps, squares)
    for hook in hooks:
        hook.remove()
    for parent in list(head.modules()):
        for name, conv in parent.named_children():
            if conv not in moments:
                continue
            var, mean = moments[conv]
            norm = nn.BatchNorm2d(conv.out_channels)
            norm.bias.copy_(mean)
            size = conv.weight.flatten(1).norm(dim=1)
            if size.any():
                size[size == 0] = 1.0
                norm.running_var.copy_(var / size.square())
                norm.running_mean.copy_((mean - conv.bias) / size)
                norm.weight.copy_((norm.running_var + norm.eps).sqrt() * size)
                conv.weight /= size[:, None, None, None]
            else:  # a block that starts as the identity
                conv.reset_parameters()
                nn.init.zeros_(norm.weight)
            conv.bias = None
            setattr(parent, name, nn.Sequential(conv, norm))


@torch.no_grad()
def fold(head: PoseHead) -> None:
    """Undoes [`normalise`] after training."""
    for parent in list(head.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Sequential) and isinstance(child[-1], nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(*child.eval()))


class PoseEncoderTrainer(CustomLoss, SafeCheckpoints, Trainer):
    """
    Trains only the pose head of a [`BlazePoseBackbone`]. The head is [`normalise`]d during training; [`fold`] it
    afterwards.

    The loss is on the predicted joints, on the joints of the predicted rotations, and on these rotations; evaluation
    reports MPJPE and PA-MPJPE in mm of the predicted joints.

    Args:
        backbone: a backbone with a pose head, see [`with_pose_head`].
        args: [`PoseEncoderTrainingArguments`].
        train_dataset, eval_dataset: rows of `maps`, `squares` and `poses`, as in `image_bank`.
        kwargs: further arguments of `transformers.Trainer`.

    Raises:
        FloatingPointError: a loss is not finite.
        OSError: a checkpoint cannot be written; earlier ones are kept.
        ValueError: options for another loss are given.
    """

    loss_is_scaled_for_ga = False  # a mean over each batch

    def __init__(self, backbone: BlazePoseBackbone, args, train_dataset, eval_dataset=None, **kwargs):
        backbone.requires_grad_(False)
        backbone.pose_head.requires_grad_(True)
        if args.head_only:
            backbone.pose_head.stages.requires_grad_(False)
            backbone.pose_head.neck.requires_grad_(False)
        first = default_collate([train_dataset[row] for row in range(min(CALIBRATION, len(train_dataset)))])
        normalise(backbone.pose_head, first["maps"].float(), first["squares"])
        super().__init__(
            backbone.pose_head,
            args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            compute_metrics=_measure,
            **kwargs,
        )
        self.rest_joints = load_body(size="small").rest_joints.to(self.args.device)
        self.add_callback(SaveOnInterrupt())
        self.add_callback(ReturnFreeMemory())

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        true = axis_angle_to_matrix(inputs["poses"])
        target = self._joints(true)
        maps = inputs["maps"].float().contiguous(memory_format=torch.channels_last)  # faster on a CPU
        joints, rows = model(maps, inputs["squares"])
        rotations = rotation_6d_to_matrix(rows.flatten(2))
        error = _distance(joints, target) + _distance(self._joints(rotations), target)
        loss = self.args.joint_weight * error + self.args.rotation_weight * (rotations - true).square().mean()
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"The loss of step {self.state.global_step + 1} is not finite; resume from the last checkpoint with a "
                "lower learning rate."
            )
        return (loss, (joints, target)) if return_outputs else loss

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        with torch.no_grad():
            loss, (joints, target) = self.compute_loss(model, self._prepare_inputs(inputs), return_outputs=True)
        return loss, joints, target

    def _joints(self, rotations):
        joints = forward_kinematics(rotations, self.rest_joints)[0]
        return joints - joints[:, :1]


def _distance(joints, target):
    return (joints - target).norm(dim=-1).mean()


def _measure(prediction):
    errors = {"mpjpe_mm": mpjpe, "pa_mpjpe_mm": pa_mpjpe}
    predicted, true = (torch.as_tensor(joints) for joints in (prediction.predictions, prediction.label_ids))
    return {name: 1000 * error(predicted, true).mean().item() for name, error in errors.items()}
