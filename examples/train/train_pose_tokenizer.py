# SPDX-License-Identifier: Apache-2.0
"""Trains a pose tokenizer with the paper's sizes and hyperparameters, on the open poses or your own.

    python examples/train/train_pose_tokenizer.py --config examples/configs/pose_tokenizer_tiny.yaml \\
        --output_dir runs/tok
    accelerate launch examples/train/train_pose_tokenizer.py --dataset_name my-poses --output_dir runs/tok

The arguments are those of `ScriptArguments` and `PoseTokenizerTrainingArguments`. `--orientation_noise false` is the
ablation of supplement table 5. If interrupted, run it again to resume from the last checkpoint; in a single process,
the final weights are the same as for an uninterrupted run.

Data sets need a column `pose` of local axis-angle rotations `(22, 3)` in radians, y up, as written by `unipose
build-data`. To use your own poses:

    poses = np.stack([record.pose for record in read_amass("AMASS", "train", every=5)])
    datasets.Dataset.from_dict({"pose": poses}).to_parquet("my-poses/train.parquet")
"""

from dataclasses import dataclass, field

from datasets import load_dataset
from transformers.trainer_utils import set_seed
from trl import TrlParser

from unipose_hf.modeling.configuration_unipose import PoseTokenizerConfig
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.training.pose_tokenizer import PoseTokenizerTrainer, PoseTokenizerTrainingArguments, wide_pose_pool
from unipose_hf.training.resuming import checkpoint_to_resume


@dataclass
class ScriptArguments:
    tokenizer: dict | None = field(
        default=None, metadata={"help": "PoseTokenizerConfig fields; the paper's by default."}
    )
    model: str | None = field(default=None, metadata={"help": "Pose tokenizer to start from; a new one by default."})
    open_data: str | None = field(default=None, metadata={"help": "Folder with additional captured poses."})
    dataset_name: str | None = field(default=None, metadata={"help": "Folder or Hub name; the open poses by default."})
    dataset_config: str | None = field(default=None, metadata={"help": "Its configuration."})
    train_split: str = field(default="train", metadata={"help": "Training split."})
    eval_dataset_name: str | None = field(default=None, metadata={"help": "Folder or Hub name for evaluation."})
    eval_split: str = field(default="test", metadata={"help": "Evaluation split."})


def main(script: ScriptArguments, args: PoseTokenizerTrainingArguments) -> None:
    def poses(name, split):
        return name and load_dataset(name, script.dataset_config, split=split)

    set_seed(args.seed)
    model = PoseTokenizerModel(PoseTokenizerConfig(**script.tokenizer or {}))
    if script.model:
        model = PoseTokenizerModel.from_pretrained(script.model, **script.tokenizer or {})
    training_poses = poses(script.dataset_name, script.train_split)
    if script.open_data:
        training_poses = wide_pose_pool(script.open_data, args.num_open_poses, args.seed)
    trainer = PoseTokenizerTrainer(
        model,
        args,
        training_poses,
        poses(script.eval_dataset_name, script.eval_split),
    )
    trainer.train(resume_from_checkpoint=checkpoint_to_resume(args))
    trainer.save_model()
    trainer.save_metrics("eval", trainer.evaluate())
    if args.push_to_hub:
        trainer.push_to_hub()


if __name__ == "__main__":
    main(*TrlParser((ScriptArguments, PoseTokenizerTrainingArguments)).parse_args_and_config())
