# SPDX-License-Identifier: Apache-2.0
"""Trains the head of the bundled BlazePose that tells poses, on rendered people of `examples/build_image_bank.py`.

    python examples/train_pose_encoder.py --image_bank runs/tiny/images --output_dir runs/tiny/pose_encoder

The arguments are those of `ScriptArguments` and of `PoseEncoderTrainingArguments`. Kill it and start it again: it goes
on from its last checkpoint. What it leaves is a `BlazePoseBackbone`, for `examples/new_tiny_model.py`.
"""

from dataclasses import dataclass, field
from pathlib import Path

from transformers.trainer_utils import set_seed
from trl import TrlParser

from unipose_hf.modeling.blazepose_unipose import BlazePoseBackbone
from unipose_hf.training.image_bank import ImageBankRows
from unipose_hf.training.pose_encoder import PoseEncoderTrainer, PoseEncoderTrainingArguments, fold, with_pose_head

BLAZEPOSE = Path(__file__).parents[1] / "src/unipose_hf/checkpoints/blazepose-full"


@dataclass
class ScriptArguments:
    image_bank: str = field(metadata={"help": "Rendered people, as examples/build_image_bank.py leaves them."})


def main(script: ScriptArguments, args: PoseEncoderTrainingArguments) -> None:
    set_seed(args.seed)
    backbone = with_pose_head(BlazePoseBackbone.from_pretrained(BLAZEPOSE))
    trainer = PoseEncoderTrainer(backbone, args, ImageBankRows(script.image_bank))
    trainer.train(resume_from_checkpoint=True)
    trainer.save_state()  # with the log
    fold(backbone.pose_head)
    backbone.half().save_pretrained(args.output_dir)  # as small as the published one; it is loaded in float32


if __name__ == "__main__":
    main(*TrlParser((ScriptArguments, PoseEncoderTrainingArguments)).parse_args_and_config())
