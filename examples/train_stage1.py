# SPDX-License-Identifier: Apache-2.0
"""Stage 1, alignment of poses and text.

    accelerate launch examples/train_stage1.py --config examples/configs/stage1.yaml --output_dir runs/stage1

The arguments are those of `StageArguments` and `UniPoseSFTConfig`. Started again with the same ones, it goes on from
its last checkpoint.
"""

from unipose_hf.training.stages import run_stage

if __name__ == "__main__":
    run_stage("alignment")
