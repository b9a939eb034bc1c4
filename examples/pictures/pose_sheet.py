# SPDX-License-Identifier: Apache-2.0
"""Draws the named poses of the language bank with their names.

python examples/pictures/pose_sheet.py docs/named_poses.jpg
"""

import argparse
from pathlib import Path

from unipose_hf.data.language import angles_to_axis_angle, load_language_bank
from unipose_hf.visualization import contact_sheet, draw_pose


def main(output: Path, columns: int, cell: int) -> None:
    bank = load_language_bank()
    poses = angles_to_axis_angle(bank.named_angles)
    order = sorted(range(len(poses)), key=lambda row: bank.named[row].name.lower())
    pictures = [draw_pose(poses[row], size=cell, azimuth=20, elevation=8) for row in order]
    labels = [bank.named[row].name for row in order]
    contact_sheet(pictures, columns=columns, labels=labels, cell=cell, gap=4).save(output, quality=75)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--cell", type=int, default=96, help="side of each picture, in pixels")
    main(**vars(parser.parse_args()))
