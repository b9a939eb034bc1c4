# SPDX-License-Identifier: Apache-2.0
"""Shared helpers of training tests: samples of all tasks, and arguments for a few CPU steps."""

import numpy as np
import torch
from datasets import Dataset

from tiny_chat import tiny_model_and_processor
from unipose_hf.modeling.processing_unipose import TASKS, task_messages
from unipose_hf.training.arguments import UniPoseSFTConfig
from unipose_hf.training.open_samples import open_samples

WORDS = ("Raise the left arm.", "The right knee is bent.", "The torso leans forward and both arms are down.")
ON_A_PROCESSOR = dict(use_cpu=True, bf16=False, report_to="none", disable_tqdm=True, gradient_checkpointing=False)


def sample(task: str, seed: int = 0, picture=None) -> dict:
    """A sample of a task with random poses; `picture` where it has images."""
    rule, generator = TASKS[task], np.random.default_rng(seed)
    poses = generator.normal(size=(rule.poses + (rule.answer == "pose"), 22, 3)).astype(np.float32)
    text = WORDS[seed % len(WORDS)]
    chat = task_messages(
        task,
        text=text if rule.text else None,
        images=[picture] * rule.images,
        poses=poses[: rule.poses],
        answer=poses[-1] if rule.answer == "pose" else text,
    )
    for turn in chat:
        turn["content"] = [{k: v for k, v in part.items() if k in ("type", "text")} for part in turn["content"]]
    return {"task": task, "messages": chat, "images": [picture] * rule.images, "poses": list(poses)}


def text_model_and_processor(**changes):
    """The tiny random model, all of it trainable, in training mode."""
    model, processor = tiny_model_and_processor(**changes)
    return model.train(), processor


def arguments(folder, **changes) -> UniPoseSFTConfig:
    """Four steps of two samples in float32, everything trained in full."""
    settings = dict(max_steps=4, per_device_train_batch_size=2, learning_rate=1e-2, use_lora=False, logging_steps=1)
    return UniPoseSFTConfig(str(folder), **settings | dict(save_steps=2, stage="alignment") | ON_A_PROCESSOR | changes)


def some_samples(model, count=8, block=2, seed=0, shares=None) -> Dataset:
    """Samples of the open poses for the tasks without pictures."""
    shares = shares or {"text-to-pose": 1, "pose-to-text": 1}
    return open_samples(count, shares, model.model.pose_tokenizer, block=block, seed=seed, poses=256)


def weights(model) -> dict[str, torch.Tensor]:
    """A copy of everything in a model."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
