# SPDX-License-Identifier: Apache-2.0
"""Draws built samples for visual inspection: pictures with captions, pairs with instructions, and several people.

    python examples/pictures/sample_sheet.py docs/samples.jpg
    python examples/pictures/sample_sheet.py sheet.jpg --rows 4 --seed 3

Each row has one sample of each kind. For pictures of several people, the ground truth of the described person is drawn
next to the picture. Left and right are the person's own: for someone facing the viewer, the left hand is on the right.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from unipose_hf.data.builders.build import build_data
from unipose_hf.visualization import draw_pose
from unipose_hf.visualization.panels import Cell, Panel, draw_overview

KINDS = ("imagescript", "imagediff", "multi-person")
WIDTH = 1760  # width of the sheet, in pixels


def built_rows(kind, folder, count, seed):
    """Random training rows of a data set built for the sheet."""
    from datasets import load_dataset

    build_data(kind, folder / kind, size=4 * count, seed=seed)
    rows = load_dataset(str(folder / kind), "A", split="train", cache_dir=str(folder / "cache"))
    return rows.select(np.random.default_rng(seed).choice(len(rows), count, replace=False))


def panels(script, diff, group, number):
    text = number % 3  # cycle through the three automatic texts
    person = draw_pose(np.array(group["pose"]), size=260, azimuth=0, elevation=0)
    return [
        Panel("ImageScript", (Cell(script["image"]),), (Cell(script["texts"][text]),)),
        Panel("ImageDiff", (Cell(diff["image_a"], "A"), Cell(diff["image_b"], "B")), (Cell(diff["texts"][text]),)),
        Panel("several people", (Cell(group["image"]), Cell(group["hint"])), (Cell(person, "who is meant"),)),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="output .jpg file")
    parser.add_argument("--rows", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kinds = [built_rows(kind, Path(folder), options.rows, options.seed) for kind in KINDS]
        sheet = draw_overview([panels(*rows, number) for number, rows in enumerate(zip(*kinds, strict=True))], 2700)
    sheet = sheet.resize((WIDTH, WIDTH * sheet.height // sheet.width), Image.Resampling.LANCZOS)
    sheet.save(options.path, quality=75, optimize=True)
    print(f"{options.path}: {sheet.width} x {sheet.height} pixels, {options.path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
