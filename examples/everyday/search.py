# SPDX-License-Identifier: Apache-2.0
"""Find poses by words: `python examples/everyday/search.py "crawling on hands and knees" --clips FOLDER`.

Searches the frames of .bvh and .npz files, or without a folder the open poses of the package.
"""

import argparse
from pathlib import Path

import torch
from transformers import pipeline

from unipose_hf import Pose
from unipose_hf.data.formats.pose_files import read_poses
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.visualization import contact_sheet


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--top", type=int, default=6)
    parser.add_argument("--output", type=Path, default=Path("found.png"))
    args = parser.parse_args()
    names, poses = ["open poses"], [load_open_poses("all").axis_angle]
    if args.clips:
        files = sorted(file for file in args.clips.rglob("*") if file.suffix.lower() in (".bvh", ".npz"))
        names, poses = [file.name for file in files], [read_poses(file) for file in files]
    places = [(name, frame) for name, clip in zip(names, poses, strict=True) for frame in range(len(clip))]
    found = pipeline("pose-retrieval", gallery=torch.cat(poses))(args.text, top_k=args.top)
    for one in found:
        print(f"{one['score']:.2f}", *places[one["index"]])
    contact_sheet([Pose(one["pose"]) for one in found]).save(args.output)


if __name__ == "__main__":
    main()
