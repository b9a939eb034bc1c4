# SPDX-License-Identifier: Apache-2.0
"""Caption a folder of motion capture: `python examples/everyday/caption_library.py clips captions.jsonl`.

Reads .bvh, AMASS-style .npz and every other file that `unipose describe` reads. Captions are measured, so they are
true. Each line of the result is {"file", "frame", "text"}.
"""

import argparse
import json
from pathlib import Path

from unipose_hf.captions import caption_poses
from unipose_hf.data.formats.pose_files import read_poses


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--every", type=int, default=30, help="frames from one caption to the next")
    parser.add_argument("--max_clauses", type=int, default=9, help="statements of a caption")
    args = parser.parse_args()
    with args.output.open("w", encoding="utf-8") as output:
        for file in sorted(file for file in args.clips.rglob("*") if file.suffix.lower() in (".bvh", ".npz")):
            poses = read_poses(file)[:: args.every]  # (frames, 22, 3)
            for number, text in enumerate(caption_poses(poses, max_clauses=args.max_clauses)):
                name = str(file.relative_to(args.clips))
                output.write(json.dumps({"file": name, "frame": number * args.every, "text": text}) + "\n")
            print(f"{file.name}: {len(poses)} captions")


if __name__ == "__main__":
    main()
