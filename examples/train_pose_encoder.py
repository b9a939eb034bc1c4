# SPDX-License-Identifier: Apache-2.0
"""Trains the branch of the bundled BlazePose that tells poses, on rendered people of `examples/build_image_bank.py`.

    python examples/train_pose_encoder.py --image_bank runs/tiny/images --head_only true \\
        --output_dir runs/tiny/pose_head
    python examples/train_pose_encoder.py --image_bank runs/tiny/images --model runs/tiny/pose_head --share 0.8 \\
        --output_dir runs/tiny/pose_encoder

First its head alone, then all of it; of the second not quite all is kept, for the sake of photographs.

The arguments are those of `ScriptArguments` and of `PoseEncoderTrainingArguments`. Kill it and start it again: it goes
on from its last checkpoint. What it leaves is a `BlazePoseBackbone`, for `examples/new_tiny_model.py`.
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
    image_bank: str = field(metadata={"help": "Rendered people, as examples/build_image_bank.py leaves them."})
    model: str | None = field(default=None, metadata={"help": "Pose encoder to go on from; by default a new branch."})
    share: float = field(default=1.0, metadata={"help": "How far to go from there to what was learnt."})


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
    before.half().save_pretrained(args.output_dir)  # as small as the published one; it is loaded in float32


if __name__ == "__main__":
    main(*TrlParser((ScriptArguments, PoseEncoderTrainingArguments)).parse_args_and_config())
