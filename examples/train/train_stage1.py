# SPDX-License-Identifier: Apache-2.0
"""Stage 1: aligns poses and text.

    accelerate launch examples/train/train_stage1.py --config examples/configs/stage1.yaml --output_dir runs/stage1

The arguments are those of `StageArguments` and `UniPoseSFTConfig`. Run it again with the same arguments to resume from
the last checkpoint.
"""

from unipose_hf.training.stages import run_stage

if __name__ == "__main__":
    run_stage("alignment")
