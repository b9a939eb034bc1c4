# SPDX-License-Identifier: Apache-2.0
"""Stage 2, the projector of the vision encoders.

    accelerate launch examples/train_stage2.py --config examples/configs/stage2.yaml --output_dir runs/stage2

The arguments are those of `StageArguments` and `UniPoseSFTConfig`. Started again with the same ones, it goes on from
its last checkpoint.
"""

from unipose_hf.training.stages import run_stage

if __name__ == "__main__":
    run_stage("projector")
