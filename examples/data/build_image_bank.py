# SPDX-License-Identifier: Apache-2.0
"""Builds a bank of rendered people with their poses and precomputed BlazePose features, to train the pose head and the
stages on open poses.

    python examples/data/build_image_bank.py --output_dir runs/tiny/images --count 40960 --processes 2

About 10 pictures per second and process, 70 KB each. If interrupted, run it again to resume. With `--photo_like 0.5`,
half of the pictures are like photographs (docs/data.md); use a new folder for another share.
"""

import argparse
from pathlib import Path

from unipose_hf.data.captured_poses import load_captured_poses
from unipose_hf.modeling.blazepose_unipose import BlazePoseBackbone
from unipose_hf.training.experimental.image_bank import build_image_bank

BLAZEPOSE = Path(__file__).parents[2] / "src/unipose_hf/checkpoints/blazepose-full"

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--count", type=int, default=40960)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--photo_like", type=float, default=0.0, help="share of pictures like photographs")
    parser.add_argument("--captured", help="folder of more captured poses for these (open_mocap.safetensors)")
    options = parser.parse_args()
    build_image_bank(
        BlazePoseBackbone.from_pretrained(BLAZEPOSE),
        options.output_dir,
        options.count,
        processes=options.processes,
        photo_like=options.photo_like,
        captured=None if options.captured is None else load_captured_poses(options.captured),
    )
