# SPDX-License-Identifier: Apache-2.0
"""The language-model stages of UniPose on the open data (paper section 3.4), for a model small enough for a processor.

Stage 1 aligns poses and text, stage 2 trains the projector of the frozen pose encoder, stage 3 trains all seven tasks.
Batches are drawn without end: poses from the sampler, texts from the caption engine, pictures from the image bank.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers.modeling_outputs import BaseModelOutputWithPooling

from unipose_hf.body import forward_kinematics, load_body, remove_yaw
from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import TASKS, UniPoseProcessor
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix
from unipose_hf.training.batches import task_batch
from unipose_hf.training.code_loss import stated_code_loss
from unipose_hf.training.loop import LoopArguments, train_loop
from unipose_hf.training.pose_tokenizer import pose_pool

# How often each task is drawn. A step holds rows of one task: many small steps teach more here than few large ones.
STAGES = {
    "alignment": {"text-to-pose": 3, "pose-editing": 2, "pose-to-text": 3, "pose-diff": 2},
    "vision": {"image-to-pose": 1},
    "all-tasks": {
        "text-to-pose": 2,
        "pose-editing": 2,
        "pose-to-text": 3,
        "pose-diff": 2,
        "image-to-pose": 3,
        "image-to-pose-text": 1,
        "image-diff": 1,
    },
}
ROWS = 48  # of a step
ROWS_OF_PICTURES = 96  # to pose, since these have no words: a step takes about as long as the others
ANSWER_CLAUSES = 9  # statements of a text to be written, as in the evaluation
PROMPT_CLAUSES = 4, 12  # of a text to be read: users write short ones too


@dataclass
class PoseLossWeights:
    """
    Weights of the losses on the expected pose, beside the cross-entropy of its codes.

    The expected pose is decoded from the code vectors averaged under the predicted distributions; its joints and
    rotations are compared with the truth. Published token-based estimators feed the decoder in the same way.
    """

    joints: float = 10.0  # for each metre of mean joint error
    rotations: float = 5.0  # for the mean squared matrix entry
    codes: float = 1.0  # for the mean distance to what the caption states, in the units of `code_loss`


class TaskStream:
    """Endless batches of any task. The same generator gives the same batch."""

    def __init__(
        self,
        processor: UniPoseProcessor,
        model: UniPoseForConditionalGeneration,
        seed: int,
        images=None,
    ):
        self.pool = remove_yaw(pose_pool(seed))
        self.processor, self.model, self.images = processor, model, images

    def batch(self, task: str, rows: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """One batch: what `task_batch` returns, with the `features` of the pictures, the `target` rotations and what
        the caption of a pose to make has `stated`; None where the task has none.
        """
        rule = TASKS[task]
        count = max(1, rule.images + rule.poses, 2 if task == "pose-editing" else 1)
        features = None
        if rule.images:
            chosen = torch.randint(len(self.images["poses"]), (rows * count,), generator=generator)
            features = self.images["features"][chosen].float()
            poses = self.images["poses"][chosen]
        elif count == 1:
            poses = self._draw(rows, generator)
        else:
            poses = self._pairs(rows, generator).flatten(0, 1)
        poses = poses.unflatten(0, (rows, count))  # (rows, poses, 22, 3)
        seed = int(torch.randint(2**31, (1,), generator=generator))
        texts, stated = [""] * rows, None
        clauses = ANSWER_CLAUSES
        if rule.text:
            fewest, most = PROMPT_CLAUSES
            clauses = int(torch.randint(fewest, most + 1, (1,), generator=generator))
        if task in ("pose-editing", "pose-diff", "image-diff"):
            texts = instruct_pairs(poses[:, 0], poses[:, 1], seed=seed, max_clauses=clauses)
        elif task != "image-to-pose":
            texts, stated = caption_poses(poses[:, 0], seed=seed, max_clauses=clauses, return_codes=True)
        rotations = axis_angle_to_matrix(poses)
        codes = self.model.get_pose_codes(rotations)  # (rows, poses, num_codes)
        answer = codes[:, -1] if rule.answer == "pose" else None
        batch = task_batch(self.processor, self.model.config, task, texts, codes[:, : rule.poses], answer)
        target = rotations[:, -1] if rule.answer == "pose" else None
        return batch | {"features": features, "target": target, "stated": stated if rule.answer == "pose" else None}

    def _draw(self, rows, generator):
        return self.pool[torch.randint(len(self.pool), (rows,), generator=generator)]

    def _pairs(self, rows, generator):
        """Two poses `(rows, 2, 22, 3)`: half unrelated, half sharing some of the limbs, as neighbours in a clip do."""
        first, second = self._draw(rows, generator), self._draw(rows, generator)
        kept = torch.zeros(rows, 22, dtype=torch.bool)
        related = torch.rand(rows, generator=generator) < 0.5
        for limb in LIMB_GROUPS:
            keep = (torch.rand(rows, generator=generator) < 0.6) & related
            kept[:, limb] = keep[:, None]
        return torch.stack([first, torch.where(kept[..., None], first, second)], 1)


# root and trunk with head, left arm, right arm, left leg, right leg: what two frames of one movement may share
LIMB_GROUPS = (
    [0, 3, 6, 9, 12, 15],
    [13, 16, 18, 20],
    [14, 17, 19, 21],
    [1, 4, 7, 10],
    [2, 5, 8, 11],
)


def batch_losses(model, batch, rest_joints, weights: PoseLossWeights) -> dict[str, torch.Tensor]:
    """Cross-entropy of the answer's tokens, and for pose answers the losses on the expected pose."""
    images = {}
    if batch["features"] is not None:
        rows = model.model.multi_modal_projector(batch["features"][:, None])
        images = {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=rows)}}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False, **images
        )
        labelled = batch["shift_labels"] != -100
        logits = model.lm_head(hidden.last_hidden_state[labelled]).float()
    labels = batch["shift_labels"][labelled]
    losses = {"ce": F.cross_entropy(logits, labels)}
    losses["loss"] = losses["ce"]
    if batch["target"] is not None:
        is_query = (batch["input_ids"] == model.config.pose_query_token_id)[labelled]
        code_logits = model.code_logits(logits[is_query]).unflatten(0, (len(batch["target"]), -1))
        expected = model.model.pose_tokenizer.decode_expected(code_logits.softmax(-1)).rotations
        joints = forward_kinematics(expected, rest_joints)[0]
        target_joints = forward_kinematics(batch["target"], rest_joints)[0]
        joint_error = (joints - target_joints).norm(dim=-1).mean()
        rotation_error = (expected - batch["target"]).square().mean()
        losses["mpjpe_mm"] = 1000 * joint_error.detach()
        losses["loss"] = losses["loss"] + weights.joints * joint_error + weights.rotations * rotation_error
        if batch["stated"] is not None:
            code_error = stated_code_loss(expected, joints, batch["stated"])
            losses["codes"] = code_error.detach()
            losses["loss"] = losses["loss"] + weights.codes * code_error
    return losses


def set_trainable(model: UniPoseForConditionalGeneration, stage: str) -> None:
    """Stage 2 trains the projector alone; the others everything but the frozen encoder and the pose tokenizer."""
    model.requires_grad_(stage != "vision")
    model.model.multi_modal_projector.requires_grad_(True)
    model.model.pose_tokenizer.requires_grad_(False)
    model.model.pose_vision_tower.requires_grad_(False)


def train_stage(
    stage: str,
    model: UniPoseForConditionalGeneration,
    processor: UniPoseProcessor,
    arguments: LoopArguments,
    folder: str | Path,
    images: dict[str, torch.Tensor] | None = None,
    weights: PoseLossWeights | None = None,
    stop_at: int | None = None,
) -> None:
    """Trains one of `STAGES` on `model`, resuming from `folder`. `images` is the bank that the vision stages need."""
    weights = weights or PoseLossWeights()
    rest_joints = load_body(size="small").rest_joints
    stream = TaskStream(processor, model, arguments.seed, images)
    set_trainable(model, stage)
    model.train()
    tasks, shares = zip(*STAGES[stage].items(), strict=True)
    shares = torch.tensor(shares, dtype=torch.float)

    def step_losses(step, generator):
        task = tasks[int(torch.multinomial(shares, 1, generator=generator))]
        rows = ROWS_OF_PICTURES if task == "image-to-pose" else ROWS
        losses = batch_losses(model, stream.batch(task, rows, generator), rest_joints, weights)
        return {"loss": losses.pop("loss")} | {f"{task}/{key}": value.detach() for key, value in losses.items()}

    train_loop(stage, model, step_losses, arguments, folder, stop_at=stop_at)
    model.eval()


@torch.no_grad()
def seed_embeddings(model: UniPoseForConditionalGeneration) -> None:
    """Starting values of the embeddings of a model trained from nothing.

    Input rows and queries get unit size: beside rows of the usual 0.02, what the layers add at first, nearly the same
    for all, drowns which token or query it is. Codes with similar vectors start with similar rows, in the embedding
    and in the head: random projections of smooth functions of the vector (random Fourier features, Rahimi and Recht
    2007).
    """
    codebook = model.model.pose_tokenizer.quantizer.codebook  # (codebook_size, code_dim)
    features = 256
    waves = torch.cos(codebook @ (2 * torch.randn(codebook.shape[1], features)) + 6.2832 * torch.rand(features))
    first = model.config.pose_code_offset
    torch.nn.init.normal_(model.get_input_embeddings().weight)
    torch.nn.init.normal_(model.model.pose_query_embeddings.weight)
    for table, size in ((model.get_input_embeddings(), 1.0), (model.lm_head, model.config.initializer_range)):
        rows = waves @ torch.randn(features, table.weight.shape[1]) / (features / 2) ** 0.5
        table.weight[first : first + len(codebook)] = rows * size
