# SPDX-License-Identifier: Apache-2.0
"""Stage 3: instruction finetuning on all seven tasks.

    accelerate launch examples/train/train_stage3.py --config examples/configs/stage3.yaml --output_dir runs/stage3

The arguments are those of `StageArguments` and `UniPoseSFTConfig`. Run it again with the same arguments to resume from
the last checkpoint.
"""

from unipose_hf.training.stages import run_stage

if __name__ == "__main__":
    run_stage("instruction")
