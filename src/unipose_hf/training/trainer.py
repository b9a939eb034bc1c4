# SPDX-License-Identifier: Apache-2.0
"""TRL's `SFTTrainer` for the stages of UniPose, with losses on whole poses and safe checkpoints."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from datasets import Dataset
from peft import LoraConfig
from torch import nn
from trl import SFTTrainer

from unipose_hf.body import forward_kinematics, load_body
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import TASKS, UniPoseProcessor
from unipose_hf.modeling.rotation_unipose import matrix_to_axis_angle
from unipose_hf.training.arguments import UniPoseSFTConfig
from unipose_hf.training.callbacks import ReturnFreeMemory, SaveOnInterrupt
from unipose_hf.training.collator import UniPoseCollator
from unipose_hf.training.experimental.code_loss import stated_code_loss
from unipose_hf.training.experimental.contact_loss import contact_loss
from unipose_hf.training.experimental.custom_loss import CustomLoss
from unipose_hf.training.experimental.muon import MuonByArgument
from unipose_hf.training.experimental.reading_loss import reading_errors
from unipose_hf.training.experimental.self_training import sample_texts
from unipose_hf.training.resuming import SafeCheckpoints
from unipose_hf.training.sampler import LengthGroupedSampler, add_lengths

LINEAR_LAYERS = r"model\.language_model\..*\.(q|k|v|o|gate|up|down)_proj"
NEW_ROWS = ["lm_head", "pose_query_embeddings"]
# what `UniPoseCollator` adds to a batch for the losses on whole poses
POSES = ("answer_pose_values", "answer_weights", "stated_bounds")
POSES += ("prompt_pose_values", "prompt_pose_follows", "pictured_pose_values", "pictured_pose_follows")
# the losses on whole poses are means over these
COUNTED = ("answer_pose_values", "stated_bounds", "prompt_pose_values", "pictured_pose_values")


def set_trainable(model: UniPoseForConditionalGeneration, stage: str) -> None:
    """Freezes what a stage does not train: always the encoders and the pose tokenizer; in `"projector"`, all but that.

    Frozen encoders stay in evaluation mode. The projector is frozen in `"alignment"`, which has no images.
    """
    model.requires_grad_(stage != "projector")
    if model.model.multi_modal_projector is not None:
        model.model.multi_modal_projector.requires_grad_(stage != "alignment")
    for part in (model.model.pose_tokenizer, model.model.vision_tower, model.model.pose_vision_tower):
        if part is not None:
            part.requires_grad_(False)
    model.train()


def lora_config(model: UniPoseForConditionalGeneration, args: UniPoseSFTConfig) -> LoraConfig | None:
    """LoRA on the linear layers of the language model, with the new vocabulary rows, the queries and, if trained, the
    projector in full. None if the stage trains no language model, or all of it.
    """
    if args.stage == "projector" or not args.use_lora:
        return None
    config = model.config
    first = min(config.pose_start_token_id, config.pose_end_token_id, config.pose_code_offset)
    projector = ["multi_modal_projector"] if args.stage != "alignment" else []
    return LoraConfig(
        r=args.lora_r,
        lora_alpha=args.lora_alpha,
        lora_dropout=args.lora_dropout,
        target_modules=LINEAR_LAYERS,
        trainable_token_indices={"embed_tokens": list(range(first, config.text_config.vocab_size))},
        modules_to_save=NEW_ROWS + projector,
        ensure_weight_tying=False,
    )


class UniPoseTrainer(CustomLoss, MuonByArgument, SafeCheckpoints, SFTTrainer):
    """
    [`trl.SFTTrainer`] on samples `{"task", "messages", "images", "poses"}`.

    Without losses on whole poses it computes TRL's own loss, which is the model's. With them, and under FSDP, it logs
    the mean cross-entropy and the `mpjpe_mm` of the expected poses, per task if a batch has a single task.

    Args:
        model: a full model or a `PeftModel`; the stage determines which parts are trained.
        args: [`UniPoseSFTConfig`].
        train_dataset: a `datasets.Dataset` of samples.
        processing_class: the processor of the model.
        data_collator: by default a [`UniPoseCollator`].
        kwargs: further arguments of `SFTTrainer`.

    Raises:
        FloatingPointError: a loss is not finite; the message names the samples of the batch.
        OSError: a checkpoint cannot be written; earlier ones are kept.
        ValueError: options for another loss are given (`label_smoothing_factor`, `compute_loss_func`; with losses on
            whole poses and under FSDP also `loss_type` and the auxiliary loss of a mixture of experts).
    """

    _tag_names = ["trl", "sft", "unipose"]
    _name = "UniPose"

    def __init__(
        self,
        model: UniPoseForConditionalGeneration,
        args: UniPoseSFTConfig,
        train_dataset: Dataset,
        processing_class: UniPoseProcessor,
        data_collator: Callable[[list[dict]], dict] | None = None,
        **kwargs: Any,
    ) -> None:
        set_trainable(model, args.stage)
        if (
            args.train_sampling_strategy == "group_by_length"
            and args.length_column_name not in train_dataset.column_names
        ):
            train_dataset = add_lengths(train_dataset, processing_class, args.length_column_name)
        pose_tokenizer, inner = model.model.pose_tokenizer, model.model
        collator = data_collator or UniPoseCollator(processing_class, pose_tokenizer, pose_targets=args.pose_losses)
        super().__init__(
            model,
            args,
            data_collator=collator,
            train_dataset=train_dataset,
            processing_class=processing_class,
            peft_config=lora_config(model, args),
            **kwargs,
        )
        if args.truth_loss_weight and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            raise ValueError(
                "truth_loss_weight generates texts with an unsharded model, which FSDP and DeepSpeed may shard; "
                "leave it out, or train with the whole model on every GPU (DDP)."
            )
        if self._computes_loss and (args.loss_type != "nll" or self.aux_loss_enabled):
            raise ValueError(
                f"loss_type is {args.loss_type!r} and router_aux_loss_coef {self.router_aux_loss_coef}, but losses "
                "on whole poses, and training under FSDP, only support 'nll' and 0.0; set these."
            )
        self.pose_tokenizer, self.unipose_config = pose_tokenizer, model.config
        self._num_codes = model.config.pose_config.num_codes
        projector = inner.multi_modal_projector if self.accelerator.num_processes > 1 else None
        self._joined_channels = projector.linear_1.in_features if projector and args.stage != "alignment" else 0
        if self.is_fsdp_enabled:
            self._shard_language_model(inner)
        self.rest_joints = load_body(size="small").rest_joints.to(self.args.device)
        self.add_callback(SaveOnInterrupt())
        self.add_callback(ReturnFreeMemory())

    def _shard_language_model(self, inner):
        """FSDP gathers a shard from all ranks when it is used, so only modules that all ranks use in every step can be
        sharded.

        The frozen encoders, which a rank without images does not use, are not sharded, nor is the pose tokenizer,
        which must not be cast to bfloat16 and is used outside `forward`.
        """
        plugin = self.accelerator.state.fsdp_plugin
        plugin.transformer_cls_names_to_wrap = list(inner.language_model._no_split_modules)
        frozen = (inner.pose_tokenizer, inner.vision_tower, inner.pose_vision_tower)
        plugin.ignored_modules = [part.to(self.args.device) for part in frozen if part is not None]

    def _get_train_sampler(self, train_dataset=None):
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        samples = self.train_dataset if train_dataset is None else train_dataset
        # without its format: otherwise every sample would be made just for its length
        lengths = samples.with_format(None)[self.args.length_column_name]
        samples_per_step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return LengthGroupedSampler(lengths, samples_per_step, self.args.seed)

    @property
    def _computes_loss(self) -> bool:
        """Whether to compute the loss here: TRL's does not know poses, and under FSDP it gathers the shards of the
        head without summing their gradients over the ranks.
        """
        return self.args.pose_losses or self.is_fsdp_enabled

    def get_batch_samples(
        self, epoch_iterator: Iterator, num_batches: int, device: torch.device
    ) -> tuple[list, torch.Tensor | int | None]:
        """Also counts the poses of all batches of a step over all ranks, as transformers counts tokens."""
        batches, num_items_in_batch = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self._computes_loss:
            self._total_counts = self._sum_over_ranks([sum(map(len, tensors)) for tensors in _counted(batches)])
        return batches, num_items_in_batch

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        ids, tasks = inputs.pop("sample_ids", []), inputs.pop("tasks", [])
        self._prefix = f"{tasks[0]}/" if len(tasks) == 1 else ""
        self._writes = len(tasks) == 1 and TASKS[tasks[0]].answer == "text"
        poses = {name: inputs.pop(name, None) for name in POSES}
        if self._joined_channels:
            self._join_projector(inputs)
        if self._computes_loss and not return_outputs:
            loss = self._losses(model, inputs, poses, num_items_in_batch)
        else:
            loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if not torch.isfinite(loss[0] if return_outputs else loss):
            raise FloatingPointError(
                f"The loss of step {self.state.global_step + 1} is not finite, for the samples {', '.join(ids)}; "
                "check them, or resume from the last checkpoint with a lower learning rate."
            )
        return loss

    def _join_projector(self, inputs):
        """Gives a rank without images an empty batch of them if other ranks have images: the projector's gradients are
        summed over all ranks, and the others would wait for it.
        """
        has_images = any(name in inputs for name in ("pixel_values", "pose_pixel_values", "vision_features"))
        if self._sum_over_ranks([has_images])[0] and not has_images:
            inputs["vision_features"] = torch.zeros(0, 1, self._joined_channels, device=self.args.device)

    def _sum_over_ranks(self, counts):
        """Must be called by every rank, or the others wait."""
        return self.accelerator.reduce(torch.tensor(counts, device=self.args.device).long(), "sum").tolist()

    def _losses(self, model, inputs, poses, num_items_in_batch):
        """TRL's cross-entropy, and the losses on whole poses: means over the answers, the statements, the poses of
        prompts and those in their images, over all batches of a step and all ranks. With these losses, the
        cross-entropy of codes is over the codes only, since the grammar allows nothing else there.
        """
        labels, reading = inputs.pop("shift_labels"), self.args.reading_loss_weight > 0
        inputs.pop("labels")
        target, weights, bounds, *read = (poses[name] for name in POSES)
        labelled = labels != -100
        answers = inputs["input_ids"] == self.unipose_config.pose_query_token_id
        if weights is None:
            # without losses on whole poses, the cross-entropy is over the whole vocabulary, as in the model
            answers = torch.zeros_like(answers)
        codes = (labels[answers] - self.unipose_config.pose_code_offset).unflatten(0, (-1, self._num_codes))
        given, original_ids = self._given_codes(codes), inputs["input_ids"]
        inputs["input_ids"] = inputs["input_ids"].masked_scatter(
            answers,
            torch.where(
                given, codes + self.unipose_config.pose_code_offset, inputs["input_ids"][answers].view_as(codes)
            ),
        )
        output = model(
            **inputs,
            use_cache=False,
            logits_to_keep=labelled & ~answers,
            code_mask=answers,
            output_hidden_states=reading,
        )
        logits, code_logits = output.logits.float(), output.pose_logits.float()
        tokens = F.cross_entropy(logits, labels[labelled & ~answers], reduction="sum")
        count = int(labelled.sum())
        if len(codes):
            code_logits = code_logits.log_softmax(-1)
            nll = -code_logits.gather(-1, codes[..., None])[..., 0]
            code_weights = F.interpolate(weights[:, None], self._num_codes)[:, 0] * ~given  # (answers, num_codes)
            tokens = tokens + (nll * code_weights).sum()
        self._log_metric("cross_entropy", tokens.detach() / max(1, count))
        processes = self.accelerator.num_processes
        local_counts = [sum(map(len, tensors)) for tensors in _counted([poses])]
        if num_items_in_batch is None:  # a single batch
            loss, steps, totals = tokens / max(1, count), 1, self._sum_over_ranks(local_counts)
        else:  # one batch of a step; gradients are averaged over ranks and summed over batches
            steps, totals = self.current_gradient_accumulation_steps, self._total_counts
            loss = tokens * processes / torch.as_tensor(num_items_in_batch).clamp(min=1)
        scales = [processes * local / max(1, total) for local, total in zip(local_counts, totals, strict=True)]
        with torch.autocast(logits.device.type, enabled=False):
            if local_counts[0]:
                expected = self.pose_tokenizer.decode_expected(
                    code_logits.exp(), codes.masked_fill(~given, -1)
                ).rotations
                on_poses, on_statements = self._pose_losses(expected, target, weights, bounds)
                loss = loss + on_poses * scales[0] + on_statements * scales[1]
            if reading and local_counts[2]:
                loss = loss + self._reading_loss("read", output, original_ids, *read[:2]) * scales[2]
            if reading and local_counts[3]:
                loss = loss + self._reading_loss("seen", output, original_ids, *read[2:]) * scales[3]
        if self.args.truth_loss_weight and self._writes and (local_counts[2] or local_counts[3]):
            described = read[:2] if local_counts[2] else read[2:]
            loss = loss + self.args.truth_loss_weight / steps * self._truth_loss(model, inputs, labelled, *described)
        return loss

    def _truth_loss(self, model, inputs, labelled, rotations, follows):
        """Loss on texts that the model writes about the poses of its prompts or images."""
        poses = matrix_to_axis_angle(rotations)
        poses = torch.stack(poses.tensor_split((~follows).nonzero()[1:, 0].tolist()))  # (samples, 1 or 2, 22, 3)
        texts = sample_texts(self.accelerator.unwrap_model(model), self.processing_class, inputs, labelled, poses)
        self._log_metric("true_codes", texts.true)
        self._log_metric("stated_codes", texts.codes)
        inputs = inputs | {"input_ids": texts.input_ids, "attention_mask": texts.attention_mask}
        before = texts.weights[:, 1:] != 0  # logits predict the next token
        keep = F.pad(before, (0, 1))
        logits = model(**inputs, use_cache=False, logits_to_keep=keep).logits.float()
        # as during generation; otherwise its probability would grow
        logits[:, self.unipose_config.pose_start_token_id] = -torch.inf
        nll = F.cross_entropy(logits, texts.input_ids[:, 1:][before], reduction="none")
        self._log_metric("sampled_cross_entropy", nll.detach().sum() / max(1, len(nll)))
        return (nll * texts.weights[:, 1:][before]).sum() / max(1, len(nll))

    def _given_codes(self, codes):
        """Mask `(answers, num_codes)` of codes that are given instead of predicted: a random part in a share of the
        answers, as when a pose is decoded in several steps.
        """
        chosen = torch.rand(len(codes), 1, device=codes.device) < self.args.given_share * self.model.training
        return (torch.rand(codes.shape, device=codes.device) < torch.rand(len(codes), 1, device=codes.device)) & chosen

    def _pose_losses(self, expected, target, weights, bounds):
        """Expected and true rotations (answers, 22, 3, 3), joint weights (answers, 22), statements (bounds, 5) -> mean
        loss over the answers and over the statements.
        """
        joints = forward_kinematics(expected, self.rest_joints)[0]
        true_joints = forward_kinematics(target, self.rest_joints)[0]
        errors = (joints - true_joints).norm(dim=-1)  # (answers, 22)
        self._log_metric("mpjpe_mm", 1000 * errors.detach().mean())
        turned = (expected - target).square().mean((-1, -2))
        loss = self.args.joint_loss_weight * (errors * weights).mean()
        loss = loss + self.args.rotation_loss_weight * (turned * weights).mean()
        if self.args.contact_loss_weight:
            contact = contact_loss(joints, true_joints, weights).mean()
            self._log_metric("contact", contact.detach())
            loss = loss + self.args.contact_loss_weight * contact
        if not self.args.stated_loss_weight or bounds is None or not len(bounds):
            return loss, 0.0
        stated = stated_code_loss(expected, joints, bounds)
        self._log_metric("stated", stated.detach())
        return loss, self.args.stated_loss_weight * stated

    def _reading_loss(self, name, output, input_ids, rotations, follows):
        """Loss on the poses that were `read` from their codes, or `seen` in images."""
        config = self.unipose_config
        first, size = config.pose_code_offset, config.pose_config.codebook_size
        is_code = (input_ids >= first) & (input_ids < first + size)
        pose_mask = is_code if name == "read" else input_ids == config.image_token_id
        errors = reading_errors(output.hidden_states, pose_mask, rotations, follows, self.rest_joints)
        self._log_metric(f"{name}_joints_mm", 1000 * errors.joints.detach().mean())
        self._log_metric(f"{name}_relations_mm", 1000 * errors.relations.detach().mean())
        if follows.any():
            self._log_metric(f"{name}_displacements_mm", 1000 * errors.displacements.detach().sum() / follows.sum())
        return self.args.reading_loss_weight * sum(errors).mean()

    def _log_metric(self, name, value):
        self._metrics["train" if self.model.training else "eval"][self._prefix + name].append(float(value))


def _counted(batches):
    """For each entry of `COUNTED`, its tensors in the batches."""
    return [[batch[name] for batch in batches if batch.get(name) is not None] for name in COUNTED]
