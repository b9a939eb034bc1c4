# SPDX-License-Identifier: Apache-2.0
"""A short CPU training on mixed batches, in one or two processes, for `test_distributed.py`."""

import os
from pathlib import Path

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from datasets import Dataset
from PIL import Image
from transformers.trainer_utils import set_seed

from test_sft import StopAfter
from tiny_training import arguments, sample, text_model_and_processor
from unipose_hf.training.stages import save_whole_model
from unipose_hf.training.trainer import UniPoseTrainer

PROCESSES = 2
# One sample per process: pictures, expected poses and statements are in one of them, in both or in none.
TASKS = ("image-to-pose", "text-to-pose", "pose-to-text", "image-diff")
TASKS += ("text-to-pose", "pose-editing", "pose-diff", "pose-to-text")
KNEE, ELBOW = "angle/left_hip|left_knee|left_ankle", "angle/left_shoulder|left_elbow|left_wrist"
STATED = {1: [(KNEE, "right angle"), (ELBOW, "straight")], 4: [(KNEE, "straight")]}
SETTINGS = {
    "full": dict(joint_loss_weight=3.0, rotation_loss_weight=1.0, stated_loss_weight=1.0),
    "lora": dict(use_lora=True, lora_r=2, gradient_checkpointing=True),
}


def mixed_samples() -> Dataset:
    """As of a built data set, whose pictures are read when they are asked for."""
    picture = Image.radial_gradient("L").convert("RGB").resize((24, 32))

    def make(numbers):
        samples = [sample(TASKS[n], n, picture) | {"stated": STATED.get(n, [])} for n in numbers["number"]]
        return {key: [one[key] for one in samples] for key in samples[0]}

    return Dataset.from_dict({"number": range(len(TASKS))}).with_transform(make)


def train(folder: Path, processes: int, **settings) -> None:
    """Four steps into `folder`: the losses of all steps in `losses.pt`, and the whole model.

    With several processes the run is stopped in the middle and resumed.
    """
    if processes > 1:
        broken = trainer_of(folder, processes, **settings)
        broken.add_callback(StopAfter(2))
        broken.train()
    trainer = trainer_of(folder, processes, **settings)
    trainer.train(resume_from_checkpoint=True)
    save_whole_model(trainer, str(folder / "start"))
    if trainer.args.should_save:
        losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
        torch.save(losses, folder / "losses.pt")


def trainer_of(folder: Path, processes: int, **settings) -> UniPoseTrainer:
    set_seed(0)
    model, processor = text_model_and_processor()
    model.save_pretrained(folder / "start")
    settings = dict(stage="instruction", train_sampling_strategy="sequential") | settings
    args = arguments(folder, per_device_train_batch_size=PROCESSES // processes, ddp_timeout=60, **settings)
    return UniPoseTrainer(model, args, mixed_samples(), processor)


def train_as(rank: int, folder: Path, port: int) -> None:
    """What each of the two processes does: all settings, replicated (DDP) and sharded (FSDP2)."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(PROCESSES)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for name, settings in SETTINGS.items():
        train(folder / f"ddp {name}", PROCESSES, **settings)
    shard_on_processors()
    for name, settings in SETTINGS.items():
        train(folder / f"fsdp2 {name}", PROCESSES, **settings)
    torch.distributed.destroy_process_group()


def shard_on_processors() -> None:
    """FSDP2 as `accelerate launch` asks for it; on processors accelerate would silently go on with DDP."""
    os.environ |= {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT"}
    os.environ |= {"FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP"}
    begin = AcceleratorState.__init__

    def with_fsdp(self, *args, fsdp_plugin=None, **kwargs):
        begin(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = with_fsdp
