# SPDX-License-Identifier: Apache-2.0
"""Stage 2: trains the projector of the vision encoders.

    accelerate launch examples/train/train_stage2.py --config examples/configs/stage2.yaml --output_dir runs/stage2

The arguments are those of `StageArguments` and `UniPoseSFTConfig`. Run it again with the same arguments to resume from
the last checkpoint.
"""

from unipose_hf.training.stages import run_stage

if __name__ == "__main__":
    run_stage("projector")
