# SPDX-License-Identifier: Apache-2.0
"""Teach the bundled model your poses and words: `python examples/everyday/finetune_own_poses.py mine runs/mine`.

The folder has pairs of files: NAME.npz (or .bvh, .json, .glb; first frame only) and NAME.txt, one text per line.
It needs the extra `train`. The result is a folder for `pipeline(..., model="runs/mine")` and `unipose evaluate`.
"""

import argparse
from pathlib import Path

from datasets import Dataset

from unipose_hf import UniPoseForConditionalGeneration, UniPoseProcessor
from unipose_hf.auto import PLAIN_CHECKPOINT
from unipose_hf.data.formats.pose_files import read_pose
from unipose_hf.data.samples import make_samples
from unipose_hf.training.arguments import UniPoseSFTConfig
from unipose_hf.training.stages import save_whole_model
from unipose_hf.training.trainer import UniPoseTrainer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output")
    parser.add_argument("--model", default=PLAIN_CHECKPOINT, help="a folder or a name on the Hub")
    parser.add_argument("--steps", type=int, default=500)
    args = parser.parse_args()
    rows = []
    for texts in sorted(args.folder.glob("*.txt")):
        [file] = (file for file in args.folder.glob(f"{texts.stem}.*") if file != texts)
        rows.append({"pose": read_pose(file).axis_angle, "texts": texts.read_text(encoding="utf-8").splitlines()})
    model = UniPoseForConditionalGeneration.from_pretrained(args.model)
    processor = UniPoseProcessor.from_pretrained(args.model)
    samples = Dataset.from_list(list(make_samples(rows, ("text-to-pose", "pose-to-text"))))
    config = UniPoseSFTConfig(
        args.output, stage="alignment", max_steps=args.steps, per_device_train_batch_size=8, report_to="none"
    )
    trainer = UniPoseTrainer(model, config, samples, processor)
    trainer.train()
    save_whole_model(trainer, args.model)


if __name__ == "__main__":
    main()
