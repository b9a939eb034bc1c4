# SPDX-License-Identifier: Apache-2.0
"""Custom losses: gradient accumulation equals one large batch, and conflicting options are rejected."""

import pytest
import torch
from datasets import Dataset

from distributed_runs import mixed_samples
from test_pose_retrieval import TEXTS, known_poses, tiny_retrieval
from test_pose_tokenizer_training import FSQ, QUIET
from test_pose_tokenizer_training import make_trainer as pose_tokenizer_trainer
from test_retrieval_training import trainer_of as retrieval_trainer
from test_sft import ALL_LOSSES, trainer_of
from tiny import BLAZEPOSE
from tiny_training import arguments, text_model_and_processor
from unipose_hf.modeling.blazepose_unipose import BlazePoseBackbone, BlazePoseConfig
from unipose_hf.training.experimental.pose_encoder import (
    PoseEncoderTrainer,
    PoseEncoderTrainingArguments,
    with_pose_head,
)
from unipose_hf.training.trainer import UniPoseTrainer

PLAIN = dict(optim="sgd", max_grad_norm=0.0, lr_scheduler_type="constant", warmup_steps=0, weight_decay=0.0)


def unipose(folder, rows, batches, **settings):
    """On samples of which some have poses to answer, some statements, and some neither."""
    model, processor = text_model_and_processor()
    settings = dict(stage="instruction", train_sampling_strategy="sequential", max_steps=2) | settings
    args = arguments(folder, per_device_train_batch_size=rows, gradient_accumulation_steps=batches, **settings)
    return UniPoseTrainer(model, args, mixed_samples(), processor)


def pose_tokenizer(folder, rows, batches, **settings):
    settings = dict(per_device_train_batch_size=rows, gradient_accumulation_steps=batches) | QUIET | settings
    return pose_tokenizer_trainer(folder, FSQ, max_steps=2, learning_rate=1e-3, **settings)


def pose_encoder(folder, rows, batches, **settings):
    """On the same pictures in each batch, by whose own mean and variance they are normalised."""
    torch.manual_seed(0)
    config = BlazePoseConfig(**{key: value for key, value in BLAZEPOSE.items() if key != "model_type"})
    backbone = with_pose_head(BlazePoseBackbone(config).eval())
    with torch.no_grad():
        maps = backbone.landmarker.first_stages(torch.rand(4, 3, 256, 256))
    poses, square = 0.3 * torch.randn(4, 22, 3), torch.tensor([128.0, 128, 256, 0])
    data = [dict(maps=maps[n], squares=square, poses=poses[n]) for n in range(4)] * 4
    settings = dict(train_sampling_strategy="sequential", max_steps=2, save_strategy="no") | settings
    settings |= dict(per_device_train_batch_size=4, gradient_accumulation_steps=batches, learning_rate=1e-3)
    settings |= dict(use_cpu=True, report_to="none", disable_tqdm=True)
    return PoseEncoderTrainer(backbone, PoseEncoderTrainingArguments(str(folder), **settings), data)


def retrieval(folder, rows, batches, **settings):
    """Of the same texts in each batch, since they are told from those of their batch alone."""
    settings = dict(flip=False, use_muon=False, train_sampling_strategy="sequential", max_steps=2) | settings
    settings |= dict(per_device_train_batch_size=4, gradient_accumulation_steps=batches)
    data = Dataset.from_dict({"text": TEXTS * 4, "pose": known_poses().repeat(4, 1, 1).numpy()})
    return retrieval_trainer(folder, tiny_retrieval(), data, **settings)


TRAINERS = {
    "cross-entropy": unipose,
    "losses on whole poses": lambda *a, **b: unipose(*a, reading_loss_weight=2.0, **ALL_LOSSES | b),
    "pose tokenizer": pose_tokenizer,
    "pose encoder": pose_encoder,
    "retrieval": retrieval,
}


@pytest.mark.parametrize("name", TRAINERS)
def test_a_step_in_several_batches_is_one_large_batch(name, tmp_path):
    moves, losses = [], []
    for rows, batches in ((4, 1), (1, 4), (2, 2)):
        trainer = TRAINERS[name](tmp_path, rows, batches, **PLAIN, logging_steps=1)
        start = {key: weight.clone() for key, weight in trainer.model.named_parameters()}
        trainer.train()
        moves.append(torch.cat([(p - start[key]).flatten() for key, p in trainer.model.named_parameters()]))
        losses.append([line["loss"] for line in trainer.state.log_history if "loss" in line])
    assert moves[0].norm() > 0 and len(losses[0]) == 2
    for move, loss in zip(moves[1:], losses[1:], strict=True):
        assert (move - moves[0]).norm() < 1e-3 * moves[0].norm()
        assert loss == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("name", TRAINERS)
def test_options_of_another_loss_are_refused(name, tmp_path):
    with pytest.raises(
        ValueError, match="label_smoothing_factor is 0.1, but .*Trainer has its own loss.*leave it at 0"
    ):
        TRAINERS[name](tmp_path, 4, 1, label_smoothing_factor=0.1)


@pytest.mark.parametrize("losses", [{}, ALL_LOSSES])
def test_a_loss_function_is_refused(losses, tmp_path):
    trainer = trainer_of(tmp_path, **losses)
    with pytest.raises(ValueError, match="compute_loss_func was given, but UniPoseTrainer has its own loss"):
        UniPoseTrainer(
            trainer.model,
            trainer.args,
            trainer.train_dataset,
            trainer.processing_class,
            compute_loss_func=lambda outputs, labels, num_items_in_batch=None: outputs.logits.sum(),
        )


def test_a_loss_type_that_would_be_overlooked_is_refused(tmp_path):
    trainer_of(tmp_path, loss_type="dft")
    with pytest.raises(ValueError, match="loss_type is 'dft'.*only support 'nll'"):
        trainer_of(tmp_path, loss_type="dft", **ALL_LOSSES)
