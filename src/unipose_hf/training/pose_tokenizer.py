# SPDX-License-Identifier: Apache-2.0
"""Training of the pose tokenizer on `transformers.Trainer`, as in UniPose's supplement B.1."""

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from numpy.typing import ArrayLike
from torch import nn
from transformers import EvalPrediction, Trainer, TrainingArguments

from unipose_hf.body import LIMBS, NUM_JOINTS, BodyModel, load_body, mirror_pose
from unipose_hf.data.captured_poses import load_captured_poses
from unipose_hf.data.language.composer import Composer
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.synthesis.sampling import PoseSampler, random_turns
from unipose_hf.evaluation.metrics.pose_errors import mpjpe, pa_mpjpe
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.training.callbacks import ReturnFreeMemory, SaveOnInterrupt
from unipose_hf.training.experimental.custom_loss import CustomLoss
from unipose_hf.training.pose_rows import PoseRows
from unipose_hf.training.resuming import SafeCheckpoints


@dataclass
class PoseTokenizerTrainingArguments(TrainingArguments):
    """Arguments of [`PoseTokenizerTrainer`]: those of `transformers.TrainingArguments`, with the published values."""

    learning_rate: float = field(default=2e-4, metadata={"help": "Peak learning rate of AdamW."})
    per_device_train_batch_size: int = field(default=256, metadata={"help": "Poses per batch and device."})
    per_device_eval_batch_size: int = field(default=256, metadata={"help": "Poses per evaluation batch and device."})
    num_train_epochs: float = field(default=240, metadata={"help": "Epochs over the training poses."})
    adam_beta2: float = field(default=0.99, metadata={"help": "Second beta of AdamW."})
    weight_decay: float = field(default=1e-5, metadata={"help": "Weight decay of AdamW."})
    warmup_steps: float = field(
        default=500, metadata={"help": "Steps of linear warm-up; below 1, a share of all steps."}
    )
    lr_scheduler_type: str = field(
        default="constant_with_warmup",
        metadata={"help": "Learning rate schedule; the default one drops it at `learning_rate_drops`."},
    )
    learning_rate_drops: list[float] = field(
        default_factory=lambda: [2 / 3, 11 / 12],
        metadata={
            "help": "Shares of the run after which the learning rate is divided by ten: epochs 160 and 220 of 240."
        },
    )
    rotation_weight: float = field(
        default=20.0, metadata={"help": "Loss weight of the squared error of rotation matrices."}
    )
    vertex_weight: float = field(
        default=100.0, metadata={"help": "Loss weight of the squared error of vertices in metres; 0 skips the mesh."}
    )
    joint_weight: float = field(
        default=100.0, metadata={"help": "Loss weight of the squared error of joints in metres."}
    )
    commitment_weight: float = field(
        default=1.0, metadata={"help": "Loss weight of the distance between latents and their codes."}
    )
    orientation_noise: bool = field(
        default=True,
        metadata={"help": "Rotate bodies randomly, by 45 degrees about the vertical and 20 about x and z (Table 5)."},
    )
    full_yaw_share: float = field(
        default=0.0, metadata={"help": "Share of a batch that is rotated about the vertical by any angle instead."}
    )
    joint_noise: list[float] = field(
        default_factory=lambda: [0.01, 0.05, 0.1, 0.1, 0.5],
        metadata={
            "help": "Scale of the noise on a limb's 6D rotations in each period of `joint_noise_every` steps; 0 for "
            "none. "
            "These are the values of the published code, which drew such noise without adding it."
        },
    )
    joint_noise_every: int = field(default=5000, metadata={"help": "Steps between increases of the joint noise."})
    body: str | None = field(
        default=None, metadata={"help": "SMPL-family file for vertices and joints; default: the bundled small body."}
    )
    num_open_poses: int = field(
        default=131_072, metadata={"help": "Poses drawn from the open clips if no training poses are given."}
    )

    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate: no, steps or epoch."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save: no, steps, epoch or best."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints to keep; the best one is kept."})
    metric_for_best_model: str | None = field(
        default="mpjpe_mm", metadata={"help": "Metric that selects the best checkpoint."}
    )
    greater_is_better: bool | None = field(default=False, metadata={"help": "Whether a higher value is better."})
    logging_steps: float = field(default=100, metadata={"help": "Steps between two log entries."})
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Off: a loss that is not finite stops the run."}
    )
    dataloader_pin_memory: bool = field(default=False, metadata={"help": "Batches are small."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Batches only hold what the trainer needs."})


class PoseTokenizerTrainer(CustomLoss, SafeCheckpoints, Trainer):
    """
    Trains a [`PoseTokenizerModel`] to reconstruct poses.

    It logs the unweighted losses, the MPJPE of the (augmented) training poses, and the share of the codebook used
    since the last log entry (`codebook_use`) and its perplexity. Evaluation reports MPJPE and PA-MPJPE in mm and the
    same codebook metrics. The moving averages of an EMA codebook are buffers of the model, so checkpoints include
    them. All randomness comes from torch's generator, whose state is also in the checkpoints: a resumed run ends with
    the same weights as an uninterrupted one.

    Args:
        model: the tokenizer.
        args: [`PoseTokenizerTrainingArguments`].
        train_dataset: poses as for [`PoseRows`]; by default recombined poses of the open training clips.
        eval_dataset: the same; by default the open held-out poses.
        kwargs: further arguments of `transformers.Trainer`.

    Raises:
        FloatingPointError: the model's output is not finite; the message names the poses of the batch.
        OSError: a checkpoint cannot be written; earlier ones are kept.
        ValueError: poses that [`PoseRows`] refuses, or options for another loss.
    """

    loss_is_scaled_for_ga = False  # a mean over each batch

    def __init__(
        self,
        model: PoseTokenizerModel,
        args: PoseTokenizerTrainingArguments,
        train_dataset: ArrayLike | Dataset | None = None,
        eval_dataset: ArrayLike | Dataset | None = None,
        **kwargs: Any,
    ) -> None:
        train = pose_pool(args.seed, args.num_open_poses) if train_dataset is None else train_dataset
        evaluation = load_open_poses("test").axis_angle if eval_dataset is None else eval_dataset
        super().__init__(
            model,
            args,
            data_collator=lambda batch: batch,
            train_dataset=PoseRows(train),
            eval_dataset=PoseRows(evaluation),
            compute_metrics=self._measure,
            **kwargs,
        )
        self.body = (load_body(size="small") if args.body is None else load_body(args.body)).to(args.device)
        self.add_callback(SaveOnInterrupt())
        self.add_callback(ReturnFreeMemory())
        self._reset_log()

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        args = self.args
        if self.lr_scheduler is None and args.lr_scheduler_type == "constant_with_warmup":
            warmup = max(1, args.get_warmup_steps(num_training_steps))
            drops = [share * num_training_steps for share in args.learning_rate_drops]

            def factor(step):
                return min(1.0, (step + 1) / warmup) * 0.1 ** sum(step >= drop for drop in drops)

            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, factor)
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        rotations, noise = inputs["rotations"], None
        if model.training:
            rotations, scale = self._rotate_randomly(rotations), self._noise_scale()
            noise = limb_noise(len(rotations), scale, rotations.device) if scale > 0 else None
        output = model(rotations, noise=noise)
        if not (output.rotations.isfinite().all() and output.commitment_loss.isfinite()):
            raise FloatingPointError(
                f"The decoded poses or codes of step {self.state.global_step + 1} are not finite, for the poses in "
                f"rows {inputs['rows'].tolist()}; resume from the last checkpoint with a lower learning rate."
            )
        losses = reconstruction_losses(output.rotations, rotations, self.body, self.args.vertex_weight > 0)
        losses["commitment"] = output.commitment_loss
        loss = sum(
            getattr(self.args, f"{name}_weight") * value for name, value in losses.items() if name != "mpjpe_mm"
        )
        if model.training:
            self._accumulate(losses, output.codes)
        return (loss, output) if return_outputs else loss

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple:
        with torch.no_grad():
            inputs = self._prepare_inputs(inputs)
            loss, output = self.compute_loss(model, inputs, return_outputs=True)
            joints = self.body.joints(inputs["rotations"])
        return loss, (self.body.joints(output.rotations), output.codes), joints

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self._steps:
            means = self.accelerator.reduce(self._sums, reduction="mean")
            logs |= {name: (value / self._steps).item() for name, value in means.items()}
            logs |= codebook_metrics(self.accelerator.reduce(self._code_counts))
            self._reset_log()
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        return 0  # transformers would assume a language model

    def _rotate_randomly(self, rotations):
        """(b, 22, 3, 3) -> the same poses with random global rotations."""
        if not self.args.orientation_noise:
            return rotations
        full = round(self.args.full_yaw_share * len(rotations))
        turns = torch.cat([random_turns(full, full_yaw=True), random_turns(len(rotations) - full)]).to(rotations)
        return torch.cat([(turns @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)

    def _noise_scale(self) -> float:
        sizes = self.args.joint_noise
        return sizes[min(len(sizes) - 1, self.state.global_step // self.args.joint_noise_every)]

    def _measure(self, prediction: EvalPrediction) -> dict[str, float]:
        decoded, codes = prediction.predictions
        counts = torch.bincount(torch.from_numpy(codes).flatten(), minlength=self.model.config.codebook_size)
        errors = {"mpjpe_mm": mpjpe, "pa_mpjpe_mm": pa_mpjpe}
        errors = {name: 1000 * error(decoded, prediction.label_ids).mean().item() for name, error in errors.items()}
        return errors | codebook_metrics(counts)

    def _accumulate(self, losses, codes):
        for name, value in losses.items():
            name = name if name == "mpjpe_mm" else f"{name}_loss"
            self._sums[name] = self._sums.get(name, 0) + value.detach()
        self._code_counts += torch.bincount(codes.flatten(), minlength=len(self._code_counts))
        self._steps += 1

    def _reset_log(self):
        self._sums, self._steps = {}, 0
        self._code_counts = torch.zeros(self.model.config.codebook_size, dtype=torch.long, device=self.args.device)


def limb_noise(poses: int, scale: float, device: torch.device | None = None) -> torch.Tensor:
    """Noise `(poses, 22, 6)`: U(-scale, scale) on the 6D rotations of one random limb in about half of the poses, else
    0.

    The limbs are the head, arms and legs, each with all of its joints.
    """
    limbs = torch.zeros(len(LIMBS), NUM_JOINTS, device=device)
    for row, joints in enumerate(LIMBS.values()):
        limbs[row, list(joints)] = 1
    chosen = limbs[torch.randint(len(LIMBS), (poses,), device=device)]
    chosen = chosen * (torch.rand(poses, 1, device=device) < 0.5)
    noise = (2 * torch.rand(poses, NUM_JOINTS, 6, device=device) - 1) * scale
    return noise * chosen[..., None]


def reconstruction_losses(
    decoded: torch.Tensor, target: torch.Tensor, body: BodyModel, with_vertices: bool = True
) -> dict[str, torch.Tensor]:
    """Mean squared errors between rotation matrices `(b, 22, 3, 3)`, their joints and vertices on `body`; MPJPE in mm.

    Joints and vertices are in metres, the pelvis at the origin. The supplement writes plain norms, but the published
    code uses these squared errors, which the weights fit.
    """
    rotation = (decoded - target).square().mean()
    if with_vertices:
        with torch.no_grad():
            joints, vertices = body(target)
        decoded_joints, decoded_vertices = body(decoded)
        losses = {"rotation": rotation, "vertex": (decoded_vertices - vertices).square().mean()}
    else:
        joints, decoded_joints = body.joints(target), body.joints(decoded)
        losses = {"rotation": rotation}
    errors = decoded_joints - joints
    return losses | {"joint": errors.square().mean(), "mpjpe_mm": 1000 * errors.detach().norm(dim=-1).mean()}


def codebook_metrics(counts: torch.Tensor) -> dict[str, float]:
    """Counts of the codes `(codebook_size,)` -> the share of codes used at all, and their perplexity."""
    share = counts / counts.sum()
    perplexity = torch.special.entr(share).sum().exp().item()
    return {"codebook_use": (counts > 0).float().mean().item(), "perplexity": perplexity}


@functools.lru_cache(maxsize=1)
def pose_pool(seed: int, count: int = 131_072) -> torch.Tensor:
    """Poses `(count, 22, 3)` drawn from the open training clips, all at once because that is cheaper."""
    poses = load_open_poses("train")
    return PoseSampler(poses.axis_angle, poses.clip_id).sample(count, torch.Generator().manual_seed(seed))


def wide_pose_pool(open_data: str, count: int, seed: int) -> torch.Tensor:
    """Poses `(n, 22, 3)` with more variety than the open clips: `count` recombined ones, the captured ones in a folder
    with their mirror images, and `count` from the language bank.
    """
    captured = load_captured_poses(Path(open_data) / "mocap")
    composer = Composer(captured)
    named = [composer.prompts(4096, seed + number).poses[:, 0] for number in range(-(-count // 4096))]
    return torch.cat([pose_pool(seed, count), captured, mirror_pose(captured), torch.cat(named)[:count]])
