# SPDX-License-Identifier: Apache-2.0
"""Collates samples `{"task", "messages", "images", "poses"}` into a batch, for any trainer.

`SFTTrainer` computes the loss from `shift_labels` if the batch has them; otherwise it shifts `labels` by one position,
which is wrong for a pose: the logits at a query predict the code at the same position. `label_smoothing_factor` and
most functions for `compute_loss_func` also shift, in any trainer; `UniPoseTrainer` refuses both.
"""

import logging
from collections.abc import Sequence

import torch
from datasets import Dataset
from numpy.typing import ArrayLike

from unipose_hf.body import NUM_JOINTS, remove_yaw
from unipose_hf.data.samples import filled_messages
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.modeling.modeling_unipose import make_shift_labels
from unipose_hf.modeling.processing_unipose import UniPoseProcessor
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix
from unipose_hf.training.experimental.code_loss import stated_bounds

logger = logging.getLogger(__name__)


class UniPoseCollator:
    """
    Besides the four keys of every sample it reads these optional ones: `pose_codes`, the codes of its poses (see
    `add_pose_codes`; otherwise poses are tokenized here every time); `vision_features`, features of the frozen
    encoders instead of images; `pictured`, the poses of the people in the images; `stated`, what the text states about
    the pose to be predicted; `weights` `(22,)`, the weight of each joint of that pose; and `id`.

    A sample that cannot be read is logged and dropped from its batch.

    Args:
        processor: the processor of the model in training.
        pose_tokenizer: the pose tokenizer of the same model.
        pose_targets: add what the losses on whole poses need: for the answers, `answer_pose_values`
            `(answers, 22, 3, 3)`, `answer_weights` `(answers, 22)` and, for samples with `stated`, `stated_bounds`
            `(bounds, 5)`; for the prompts, `prompt_pose_values` `(poses, 22, 3, 3)`, yaw removed, and
            `prompt_pose_follows` `(poses,)`, whether the previous pose belongs to the same prompt; for samples with
            `pictured`, likewise `pictured_pose_values` and `pictured_pose_follows`.

    Returns, when called with a list of samples:
        `input_ids`, `attention_mask`, `labels` and `shift_labels`, all `(samples, sequence_length)`, padded on the
        right, `sample_ids`, the `tasks` among them, and, with images, `pixel_values`, `pose_pixel_values` or
        `vision_features`.

    Raises:
        ValueError: no sample of the batch can be read.
    """

    def __init__(self, processor: UniPoseProcessor, pose_tokenizer: PoseTokenizerModel, pose_targets: bool = False):
        self.processor, self.pose_tokenizer, self.pose_targets = processor, pose_tokenizer, pose_targets

    def __call__(self, samples: list[dict]) -> dict:
        try:
            return self._collate(samples)
        except (ValueError, OSError):
            good = [sample for sample in samples if self._readable(sample)]
            if not good:
                raise ValueError(
                    f"None of the samples {', '.join(map(sample_id, samples))} can be read; see the log for the "
                    "reasons."
                ) from None
            return self._collate(good)

    def _readable(self, sample):
        try:
            self._collate([sample])
        except (ValueError, OSError) as error:
            logger.warning("Skipping sample %s: %s", sample_id(sample), error)
            return False
        return True

    def _collate(self, samples):
        chats = [filled_messages(self._with_codes(sample)) for sample in samples]
        batch = self.processor.apply_chat_template(
            chats,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            answer_queries=True,
            processor_kwargs={"padding": True, "padding_side": "right", "return_tensors": "pt"},
        )
        input_ids, codes = batch["input_ids"], batch.pop("answer_pose_codes", None)
        is_answer = torch.as_tensor(batch.pop("assistant_masks")).bool()
        labels = input_ids.masked_fill(~is_answer, -100)
        if codes is not None:
            queries = input_ids == self.processor.pose_query_token_id
            labels = labels.masked_scatter(queries, codes.flatten() + self.processor.pose_code_offset)
        batch.pop("mm_token_type_ids", None)  # the model does not use them
        batch = dict(batch) | {"labels": labels, "shift_labels": make_shift_labels(labels, input_ids, self.processor)}
        if self.pose_targets:
            batch |= self._targets(samples)
        tasks = {sample["task"] for sample in samples}
        names = {"sample_ids": [sample_id(sample) for sample in samples], "tasks": sorted(tasks)}
        return batch | names

    def _with_codes(self, sample):
        codes = sample.get("pose_codes")
        return {**sample, "poses": pose_codes(self.pose_tokenizer, sample["poses"]) if codes is None else codes}

    def _targets(self, samples):
        """True poses of the answers, with what their texts state, of the prompts, and of the prompts' images."""
        answers, weights, stated, prompts, pictured = [], [], [], [], []
        for sample in samples:
            poses = [torch.as_tensor(pose, dtype=torch.float32) for pose in sample["poses"]]
            if sample["messages"][-1]["content"][-1]["type"] == "pose":
                answers.append(poses.pop())
                weights.append(sample.get("weights") or [1.0] * NUM_JOINTS)
                stated.append(sample.get("stated") or [])
            prompts.append(poses)
            pictured.append([torch.as_tensor(pose, dtype=torch.float32) for pose in sample.get("pictured") or []])
        targets = {}
        if answers:
            targets["answer_pose_values"] = axis_angle_to_matrix(torch.stack(answers))
            targets["stated_bounds"] = stated_bounds(stated)
            targets["answer_weights"] = torch.tensor(weights)
        for name, groups in (("prompt", prompts), ("pictured", pictured)):
            if any(groups):
                poses = torch.stack([pose for group in groups for pose in group])
                targets[f"{name}_pose_values"] = axis_angle_to_matrix(remove_yaw(poses))
                follows = [index > 0 for group in groups for index in range(len(group))]
                targets[f"{name}_pose_follows"] = torch.tensor(follows)
        return targets


def sample_id(sample: dict) -> str:
    """The sample's `id`, or its task and first words if it has none."""
    if sample.get("id") is not None:
        return str(sample["id"])
    texts = [part["text"] for turn in sample["messages"] for part in turn["content"] if part["type"] == "text"]
    return f"{sample['task']}: {' '.join(texts)[:60]!r}"


@torch.no_grad()
def pose_codes(pose_tokenizer: PoseTokenizerModel, poses: torch.Tensor | Sequence[ArrayLike]) -> list[list[int]]:
    """Axis-angle poses `(n, 22, 3)`, or a list of them -> `num_codes` codes each."""
    if not len(poses):
        return []
    poses = torch.stack([torch.as_tensor(pose, dtype=torch.float32) for pose in poses])
    device = next(pose_tokenizer.parameters()).device
    return pose_tokenizer.encode(axis_angle_to_matrix(poses).to(device)).codes.tolist()


def add_pose_codes(dataset: Dataset, pose_tokenizer: PoseTokenizerModel, batch_size: int = 256) -> Dataset:
    """Adds `pose_codes` to a `datasets.Dataset` of samples, so each pose is tokenized once; `datasets` caches the
    result.

    The pose tokenizer is frozen in all stages, so its codes do not change.
    """

    def tokenize(samples):
        counts = [len(poses) for poses in samples["poses"]]
        codes = iter(pose_codes(pose_tokenizer, [pose for poses in samples["poses"] for pose in poses]))
        return {"pose_codes": [[next(codes) for _ in range(count)] for count in counts]}

    return dataset.map(tokenize, batched=True, batch_size=batch_size, desc="tokenizing poses")
