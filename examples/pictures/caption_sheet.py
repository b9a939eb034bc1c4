# SPDX-License-Identifier: Apache-2.0
"""Draws held-out poses with their captions, and pairs with their instructions, for visual inspection.

    python examples/pictures/caption_sheet.py sheet.png
    python examples/pictures/caption_sheet.py sheet.png --poses 8 --pairs 6 --seed 3

The person faces the viewer, so the body's left side is on the right in the picture.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image

from unipose_hf.body import remove_yaw
from unipose_hf.captions import caption_poses, instruct_pairs, pose_geometry, turn_between
from unipose_hf.data import farthest_points
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.visualization import contact_sheet, draw_pose
from unipose_hf.visualization.panels import save_png

APART = 3  # number of kept frames from A to B; adjacent frames differ little
VIEW = {"azimuth": 15, "elevation": 8}


def unlike(poses, count):
    """Indices of `count` poses that differ as much as possible."""
    joints, _ = pose_geometry(poses)
    return farthest_points(joints, min(count, len(poses)), progress=False)


def pairs_of_clips(held_out, count):
    """(indices of A, indices of B) for poses close to each other in a clip, chosen for the most diverse A."""
    first = (held_out.clip_id[APART:] == held_out.clip_id[:-APART]).nonzero()[:, 0]
    first = first[unlike(held_out.axis_angle[first], count)]
    return first, first + APART


def draw(poses, size, cell):
    """The poses side by side, in a square picture of `cell` pixels."""
    picture = Image.new("RGB", (cell, cell), "white")
    for place, pose in enumerate(poses):
        picture.paste(draw_pose(pose, size=size, **VIEW), (place * cell // len(poses), 0))
    return picture


def draw_sheet(num_poses, num_pairs, seed, cell):
    held_out = load_open_poses("test")
    poses = held_out.axis_angle[unlike(held_out.axis_angle, num_poses)]
    first, second = (held_out.axis_angle[rows] for rows in pairs_of_clips(held_out, num_pairs))
    pictures = [draw([pose], cell, cell) for pose in remove_yaw(poses)]
    pictures += [draw(pair, (cell // 2, cell), cell) for pair in remove_yaw(torch.stack((first, second), dim=1))]
    texts = caption_poses(poses, seed=seed)
    texts += instruct_pairs(first, second, seed=seed, rotation_change=turn_between(first, second))
    labels = [f"{number}. {text}" for number, text in enumerate(texts, start=1)]
    return contact_sheet(pictures, columns=5, labels=labels, cell=cell, gap=16)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="output .png file")
    parser.add_argument("--poses", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cell", type=int, default=320, help="side of each picture, in pixels")
    options = parser.parse_args()
    sheet = draw_sheet(options.poses, options.pairs, options.seed, options.cell)
    save_png(sheet, options.path)
    print(f"{options.path}: {sheet.width} x {sheet.height} pixels")


if __name__ == "__main__":
    main()
