# SPDX-License-Identifier: Apache-2.0
"""Finetuning to estimate one of several people, singled out by words (supplement D).

    accelerate launch examples/train_reasoning.py --config examples/configs/reasoning.yaml --output_dir runs/reasoning

The arguments are those of `StageArguments` and `UniPoseSFTConfig`. Started again with the same ones, it goes on from
its last checkpoint.
"""

from unipose_hf.training.stages import run_stage

if __name__ == "__main__":
    run_stage("reasoning")
