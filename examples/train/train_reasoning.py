# SPDX-License-Identifier: Apache-2.0
"""Finetunes a model to estimate the pose of one of several people, chosen by a description (supplement D).

    accelerate launch examples/train/train_reasoning.py --config examples/configs/reasoning.yaml \\
        --output_dir runs/reasoning

The arguments are those of `StageArguments` and `UniPoseSFTConfig`. Run it again with the same arguments to resume from
the last checkpoint.
"""

from unipose_hf.training.stages import run_stage

if __name__ == "__main__":
    run_stage("reasoning")
