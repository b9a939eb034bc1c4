# SPDX-License-Identifier: Apache-2.0
"""Trains the pose branch of the bundled BlazePose on rendered people from `examples/data/build_image_bank.py`.

    python examples/train/train_pose_encoder.py --image_bank runs/tiny/images --head_only true \\
        --output_dir runs/tiny/pose_head
    python examples/train/train_pose_encoder.py --image_bank runs/tiny/images \\
        --model runs/tiny/pose_head --share 0.8 --output_dir runs/tiny/pose_encoder

Train the head first, then the whole branch; `--share` interpolates between the weights before and after the second
step, which keeps the model accurate on photographs.

The arguments are those of `ScriptArguments` and `PoseEncoderTrainingArguments`. If interrupted, run it again to resume
from the last checkpoint. The result is a `BlazePoseBackbone` for `examples/train/new_tiny_model.py`.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers.trainer_utils import set_seed
from trl import TrlParser

from unipose_hf.modeling.blazepose_unipose import BlazePoseBackbone
from unipose_hf.training.experimental.image_bank import ImageBankRows
from unipose_hf.training.experimental.pose_encoder import (
    PoseEncoderTrainer,
    PoseEncoderTrainingArguments,
    blend,
    fold,
    with_pose_head,
)
from unipose_hf.training.resuming import checkpoint_to_resume

BLAZEPOSE = Path(__file__).parents[1] / "src/unipose_hf/checkpoints/blazepose-full"


@dataclass
class ScriptArguments:
    image_bank: str = field(metadata={"help": "Output folder of examples/data/build_image_bank.py."})
    model: str | None = field(default=None, metadata={"help": "Pose encoder to start from; a new branch by default."})
    share: float = field(default=1.0, metadata={"help": "Weight of the result in the average with --model."})


def main(script: ScriptArguments, args: PoseEncoderTrainingArguments) -> None:
    set_seed(args.seed)

    def begun():
        if script.model is None:
            return with_pose_head(BlazePoseBackbone.from_pretrained(BLAZEPOSE))
        return BlazePoseBackbone.from_pretrained(script.model, dtype=torch.float32)

    backbone, before = begun(), begun()
    trainer = PoseEncoderTrainer(backbone, args, ImageBankRows(script.image_bank))
    trainer.train(resume_from_checkpoint=checkpoint_to_resume(args))
    trainer.save_state()  # with the log
    fold(backbone.pose_head)
    blend(before.pose_head, backbone.pose_head, script.share)
    before.half().save_pretrained(args.output_dir)  # float16 on disk, like the published one; loaded in float32


if __name__ == "__main__":
    main(*TrlParser((ScriptArguments, PoseEncoderTrainingArguments)).parse_args_and_config())
