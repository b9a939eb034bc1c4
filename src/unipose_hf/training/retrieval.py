# SPDX-License-Identifier: Apache-2.0
"""Training of the retrieval models on `transformers.Trainer` (UniPose, supplement B.2), on any texts and poses.

    rows = datasets.Dataset.from_dict({"text": texts, "pose": poses})  # or "text", "pose_a" and "pose_b"
    tokenizer = retrieval_tokenizer(texts, vocab_size=2000)
    model = new_retrieval_model(tokenizer)  # pairs=True for rows of two poses
    trainer = RetrievalTrainer(model, RetrievalTrainingArguments("runs/mine"), rows, processing_class=tokenizer)
    trainer.train()
    trainer.save_model("my-retrieval")  # with its tokenizer, for the pipeline "pose-retrieval"

As published, training has two separate phases: automatic texts without end (`generated_rows`), then texts written by
people.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import (
    AutoTokenizer,
    EvalPrediction,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

from unipose_hf.body import mirror_pose, remove_yaw
from unipose_hf.captions.flip import flip_text
from unipose_hf.evaluation.metrics.retrieval_metrics import retrieval_recall
from unipose_hf.modeling.configuration_pose_retrieval import PosePairTextRetrievalConfig, PoseTextRetrievalConfig
from unipose_hf.modeling.configuration_unipose import PoseTokenizerConfig
from unipose_hf.modeling.modeling_pose_retrieval import PosePairTextRetrievalModel, PoseTextRetrievalModel
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix
from unipose_hf.training.callbacks import ReturnFreeMemory, SaveOnInterrupt
from unipose_hf.training.experimental.custom_loss import CustomLoss
from unipose_hf.training.experimental.muon import MuonByArgument
from unipose_hf.training.generated_rows import GeneratedRows
from unipose_hf.training.resuming import SafeCheckpoints
from unipose_hf.training.text_tokenizer import train_text_tokenizer

POSE_KEYS = {1: ("pose",), 2: ("pose_a", "pose_b")}  # by the number of poses per text
# The sizes of the bundled models. Their pose encoder is that of a pose tokenizer that encodes every joint separately;
# the convolutions after it combine joints.
SMALL_POSE_ENCODER = dict(
    hidden_size=64, kernel_size=1, encoder_lengths=[], num_downsamples=0, decoder_lengths=[], code_dim=32
)
SMALL = {"conv_channels": [64], "pose_hidden_size": 512, "word_embedding_size": 128, "embed_dim": 256}


def retrieval_tokenizer(texts: Iterable[str], vocab_size: int = 900, max_length: int = 256) -> PreTrainedTokenizerFast:
    """Trains a tokenizer on these texts; it can encode any other text too, falling back to bytes.

    Args:
        texts: those of the training rows; a few thousand are enough.
        vocab_size: its size without a few special tokens; smaller if the texts have fewer pieces.
        max_length: number of tokens to which texts are truncated.

    Raises:
        ValueError: there are no texts, or `vocab_size` leaves no room for the bytes.
    """
    texts = [text for text in texts if text]
    return train_text_tokenizer(texts, vocab_size, codebook_size=1, max_length=max_length)


def new_retrieval_model(
    tokenizer: PreTrainedTokenizerBase, pairs: bool = False, **changes: Any
) -> PoseTextRetrievalModel | PosePairTextRetrievalModel:
    """An untrained model with the bundled models' sizes and the vocabulary of a tokenizer.

    Args:
        pairs: for pairs of poses and instructions from the first to the second, instead of single poses.
        changes: other fields of [`PoseTextRetrievalConfig`].
    """
    config_class = PosePairTextRetrievalConfig if pairs else PoseTextRetrievalConfig
    model_class = PosePairTextRetrievalModel if pairs else PoseTextRetrievalModel
    settings = {"pose_config": PoseTokenizerConfig(**SMALL_POSE_ENCODER), "vocab_size": len(tokenizer), **SMALL}
    return model_class(config_class(**settings | changes))


@torch.no_grad()
def replace_text_vocabulary(
    model: PoseTextRetrievalModel,
    known: PreTrainedTokenizerBase,
    tokenizer: PreTrainedTokenizerBase,
    vectors: torch.Tensor | None = None,
) -> None:
    """Replaces a model's vocabulary, that of `known`, by that of `tokenizer`, in place.

    Pieces in both vocabularies keep their rows; a new piece starts as its row of `vectors`, or else as the sum of its
    former pieces, scaled to the length of a single row.

    Args:
        vectors: `(len(tokenizer), word_embedding_size)`, for example from [`plain_word_vectors`].
    """
    rows, vocabulary = model.get_input_embeddings().weight, known.get_vocab()
    table = torch.empty(len(tokenizer), rows.shape[1], dtype=rows.dtype)
    for piece, number in tokenizer.get_vocab().items():
        if piece not in vocabulary and vectors is not None:
            table[number] = vectors[number]
            continue
        text = piece.replace("▁", " ")
        parts = [vocabulary[piece]] if piece in vocabulary else known.encode(text, add_special_tokens=False)
        table[number] = rows[parts].sum(0) / max(1, len(parts)) ** 0.5
    model.set_input_embeddings(torch.nn.Embedding.from_pretrained(table, freeze=False))
    model.config.vocab_size = len(tokenizer)
    model.config.pad_token_id = tokenizer.pad_token_id


@torch.no_grad()
def plain_word_vectors(tokenizer: PreTrainedTokenizerBase, size: int, checkpoint: str | Path) -> torch.Tensor:
    """The word embeddings of a UniPose checkpoint for the pieces of a tokenizer, `(len(tokenizer), size)`.

    They are reduced to their principal components, and scaled so that components average a square of 1, as in an
    untrained model. Similar words start alike, so that a word that few training texts use is still understood.
    """
    known = AutoTokenizer.from_pretrained(checkpoint)
    model = UniPoseForConditionalGeneration.from_pretrained(checkpoint)
    rows = model.get_input_embeddings().weight
    pieces = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    vocabulary, table = known.get_vocab(), rows.new_zeros(len(pieces), rows.shape[1])
    for number, piece in enumerate(pieces):
        text = piece.replace("▁", " ")
        parts = [vocabulary[piece]] if piece in vocabulary else known.encode(text, add_special_tokens=False)
        table[number] = rows[parts].mean(0)
    table = table - table.mean(0)
    _, _, axes = torch.linalg.svd(table, full_matrices=False)
    return torch.nn.functional.normalize(table @ axes[:size].T) * size**0.5


@dataclass
class RetrievalTrainingArguments(TrainingArguments):
    """
    Arguments of [`RetrievalTrainer`]: those of `transformers.TrainingArguments`, with defaults that worked well here.

    The loss contrasts a text with the other texts of its batch on the same device. Gradient accumulation and further
    devices do not enlarge that batch.
    """

    learning_rate: float = field(default=2e-3, metadata={"help": "Peak learning rate of Muon and of AdamW."})
    per_device_train_batch_size: int = field(default=256, metadata={"help": "Texts per batch and device."})
    per_device_eval_batch_size: int = field(default=256, metadata={"help": "Texts per evaluation batch and device."})
    max_steps: int = field(default=2000, metadata={"help": "Number of steps; -1 to use num_train_epochs."})
    warmup_steps: float = field(
        default=100, metadata={"help": "Steps of linear warm-up; below 1, a share of all steps."}
    )
    lr_scheduler_type: str = field(
        default="cosine_with_min_lr", metadata={"help": "Learning rate schedule; a cosine by default."}
    )
    lr_scheduler_kwargs: dict | str | None = field(
        default_factory=lambda: {"min_lr_rate": 0.05},
        metadata={"help": "Options of the schedule; by default it ends at 0.05 of the peak."},
    )
    weight_decay: float = field(default=0.01, metadata={"help": "Weight decay, for matrices only."})
    adam_beta2: float = field(default=0.99, metadata={"help": "Second beta of AdamW."})
    use_muon: bool = field(default=True, metadata={"help": "Use Muon for the linear layers instead of AdamW."})
    flip: bool = field(
        default=True,
        metadata={"help": "Swap left and right in half of the rows, in text and poses (as published)."},
    )
    save_steps: float = field(default=100, metadata={"help": "Steps between two checkpoints."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints to keep."})
    logging_steps: float = field(default=50, metadata={"help": "Steps between two log entries."})
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Off: a loss that is not finite stops the run."}
    )
    dataloader_pin_memory: bool = field(default=False, metadata={"help": "Batches are small."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Rows only hold what the trainer needs."})


class RetrievalTrainer(CustomLoss, MuonByArgument, SafeCheckpoints, Trainer):
    """
    Trains a [`PoseTextRetrievalModel`] on rows of `text` and `pose`, a [`PosePairTextRetrievalModel`] on rows of
    `text`, `pose_a` and `pose_b`, whose text says how to get from the first pose to the second.

    A pose is local axis-angle rotations `(22, 3)` in radians, y up; its heading is removed. A `text` is a string, or a
    list of strings from which each step draws one. Rows with an empty text are skipped.

    It logs the loss, the share of a batch's texts whose pose ranks first (`recall@1`, in per cent) and the
    temperature; evaluation reports the recall over the whole set in both directions, as in `retrieval_recall`. All
    randomness comes from torch's generator, whose state is in the checkpoints: a resumed run ends with the same
    weights as an uninterrupted one.

    Args:
        model: the retrieval model.
        args: [`RetrievalTrainingArguments`].
        train_dataset: a `datasets.Dataset` or another map-style data set of such rows; [`GeneratedRows`] for automatic
            texts.
        eval_dataset: the same, for evaluation.
        processing_class: the tokenizer of the model.
        kwargs: further arguments of `transformers.Trainer`.

    Raises:
        FloatingPointError: the loss is not finite.
        OSError: a checkpoint cannot be written; earlier ones are kept.
        ValueError: rows lack the model's columns, or options for another loss are given.
    """

    loss_is_scaled_for_ga = False  # a mean over each batch

    def __init__(
        self,
        model: PoseTextRetrievalModel,
        args: RetrievalTrainingArguments,
        train_dataset: Dataset | None = None,
        eval_dataset: Dataset | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        **kwargs: Any,
    ) -> None:
        if processing_class is None:
            raise ValueError("The texts need a tokenizer; give it as processing_class (see retrieval_tokenizer).")
        if isinstance(train_dataset, GeneratedRows):
            args.train_sampling_strategy = "sequential"
        super().__init__(
            model,
            args,
            data_collator=functools.partial(collate_rows, keys=POSE_KEYS[model.config.num_poses]),
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            compute_metrics=_measure,
            **kwargs,
        )
        if args.n_gpu > 1:
            raise ValueError(
                f"{args.n_gpu} GPUs are visible to one process, which would split its batches; run it with "
                "accelerate launch, or select one GPU with CUDA_VISIBLE_DEVICES."
            )
        self.add_callback(SaveOnInterrupt())
        self.add_callback(ReturnFreeMemory())
        self._reset_log()

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        poses, choices = inputs["poses"], inputs["texts"]
        texts = [texts[0] for texts in choices]
        if model.training:
            draws = torch.rand(len(choices)).tolist()
            texts = [texts[int(draw * len(texts))] for draw, texts in zip(draws, choices, strict=True)]
            if self.args.flip:
                poses, texts = flip_some(poses, texts)
        words = self.processing_class(texts, padding=True, truncation=True, return_tensors="pt").to(poses.device)
        output = model(axis_angle_to_matrix(poses), words["input_ids"], words["attention_mask"])
        if not torch.isfinite(output.loss):
            raise FloatingPointError(
                f"The loss of step {self.state.global_step + 1} is not finite; resume from the last checkpoint with a "
                "lower learning rate."
            )
        if model.training:
            correct = output.logits.argmax(1) == torch.arange(len(texts), device=poses.device)
            self._sums += torch.stack([100 * correct.float().mean(), self.model.temperature.detach()])
            self._batches += 1
        return (output.loss, output) if return_outputs else output.loss

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple:
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad():
            loss, output = self.compute_loss(model, inputs, return_outputs=True)
        # without labels, transformers would not compute metrics
        rows = torch.arange(len(output.text_embeds), device=loss.device)
        return loss, (output.text_embeds, output.pose_embeds), rows

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self._batches:
            recall, temperature = self.accelerator.reduce(self._sums, reduction="mean") / self._batches
            logs |= {"recall@1": recall.item(), "temperature": temperature.item()}
            self._reset_log()
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        return 0  # transformers would assume a language model

    def _reset_log(self):
        self._sums, self._batches = torch.zeros(2, device=self.args.device), 0


def collate_rows(rows: list[dict], keys: Sequence[str]) -> dict:
    """Rows of `text` and the keys of their poses -> `poses` `(rows, 22, 3)`, or `(rows, 2, 22, 3)` for two keys,
    facing the viewer, and `texts`, a list for each row.
    """
    if missing := {"text", *keys} - rows[0].keys():
        raise ValueError(
            f"Rows must have text, {', '.join(keys)}, but have {', '.join(rows[0])} without "
            f"{', '.join(sorted(missing))}; rename the columns, or use the model for single poses or for pairs, "
            "whichever fits your rows."
        )
    texts = [[row["text"]] if isinstance(row["text"], str) else list(row["text"] or []) for row in rows]
    texts = [[text for text in choices if text] for choices in texts]
    kept = [number for number, choices in enumerate(texts) if choices]
    if not kept:
        raise ValueError(f"None of the {len(rows)} rows has a text; give each one or more strings that are not empty.")
    poses = remove_yaw(torch.stack([_poses(rows[number], keys) for number in kept]))
    return {"poses": poses[:, 0] if len(keys) == 1 else poses, "texts": [texts[number] for number in kept]}


def flip_some(
    poses: torch.Tensor, texts: Sequence[str], generator: torch.Generator | None = None
) -> tuple[torch.Tensor, list[str]]:
    """Swaps left and right in text and poses, in about half of the rows whose text can be flipped."""
    poses, texts = poses.clone(), list(texts)
    for i in (torch.rand(len(texts), generator=generator) < 0.5).nonzero()[:, 0].tolist():
        flipped = flip_text(texts[i])
        if flipped is not None:
            poses[i], texts[i] = mirror_pose(poses[i]), flipped
    return poses, texts


def _poses(row, keys) -> torch.Tensor:
    """(number of keys, 22, 3)"""
    poses = [torch.as_tensor(np.asarray(row[key], dtype=np.float32)) for key in keys]
    for key, pose in zip(keys, poses, strict=True):
        if pose.shape != (22, 3) or not pose.isfinite().all():
            found = f"shape {tuple(pose.shape)}" if pose.shape != (22, 3) else "NaN or infinity"
            raise ValueError(
                f"Each {key} must be (22, 3) finite axis-angle rotations, found {found} where the text is "
                f"{str(row['text'])[:60]!r}."
            )
    return torch.stack(poses)


def _measure(prediction: EvalPrediction) -> dict[str, float]:
    return retrieval_recall(*(torch.as_tensor(embeds) for embeds in prediction.predictions))
