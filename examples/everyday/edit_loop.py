# SPDX-License-Identifier: Apache-2.0
"""Edit a pose one sentence at a time: `python examples/everyday/edit_loop.py --start "standing relaxed"`.

Each line you type is an instruction; `undo` reverts the last one, and an empty line ends. --output saves the pose.
"""

import argparse

from transformers import pipeline

from unipose_hf import named_pose
from unipose_hf.captions import caption_poses


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--start", default="standing relaxed", help="a named pose, see `unipose poses`")
    parser.add_argument("--model", help="a folder or a name on the Hub; the bundled model by default")
    parser.add_argument("--output", default="edited.glb", help=".glb, .bvh, .obj, .npz or .json")
    args = parser.parse_args()
    edit = pipeline("pose-editing", model=args.model)
    poses = [named_pose(args.start)]
    while text := input("> ").strip():
        if text == "undo":
            poses = poses[:-1] or poses
        else:
            poses.append(edit({"pose": poses[-1], "text": text})["pose"])
        print(caption_poses(poses[-1].axis_angle[None], max_clauses=4)[0])
    print(poses[-1].save(args.output))


if __name__ == "__main__":
    main()
