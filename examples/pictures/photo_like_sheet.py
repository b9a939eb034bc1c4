# SPDX-License-Identifier: Apache-2.0
"""Draws photo-like training pictures with their labels for visual inspection.

    python examples/pictures/photo_like_sheet.py sheet.jpg
    python examples/pictures/photo_like_sheet.py sheet.jpg --captured ../shared/mocap --seed 3

On the right of each picture, the same with the box of what is visible and the skeleton of the labelled pose,
its left in red.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from unipose_hf.body import JOINT_NAMES, PARENTS
from unipose_hf.data.captured_poses import load_captured_poses
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.synthesis.photo_like import render_photo_like_images
from unipose_hf.data.synthesis.photo_poses import PhotoPoses


def main(path: Path, count: int, columns: int, size: int, seed: int, captured: Path | None, body: str) -> None:
    poses = PhotoPoses(load_open_poses("train"), None if captured is None else load_captured_poses(captured))
    sampled = poses.sample(count, torch.Generator().manual_seed(seed))
    made = render_photo_like_images(sampled, seed=seed, size=size, body=body)
    sheet = Image.new("RGB", (columns * 2 * size, -(-count // columns) * size), "white")
    for number in range(count):
        place = number % columns * 2 * size, number // columns * size
        picture = Image.fromarray(made.images[number])
        sheet.paste(picture, place)
        labelled = Image.fromarray((0.4 * made.images[number] + 153).astype(np.uint8))
        draw = ImageDraw.Draw(labelled)
        points = [tuple(map(float, point)) for point in made.keypoints[number]]
        for joint, parent in enumerate(PARENTS[1:], 1):
            color = "red" if JOINT_NAMES[joint].startswith("left") else "blue"
            draw.line((points[joint], points[parent]), fill=color, width=2)
        draw.rectangle(tuple(map(float, made.boxes[number])), outline="green")
        draw.text((4, 2), f"{number}: {100 * made.occluded[number]:.0f} % hidden", fill="black")
        sheet.paste(labelled, (place[0] + size, place[1]))
    sheet.save(path, quality=85)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="output file")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--captured", type=Path, help="folder of more captured poses (open_mocap.safetensors)")
    parser.add_argument("--body", default="small", choices=("small", "full"))
    main(**vars(parser.parse_args()))
