# SPDX-License-Identifier: Apache-2.0
"""Draws built samples for people to check: pictures with captions, pairs with instructions, and several people.

    python examples/sample_sheet.py docs/samples.jpg
    python examples/sample_sheet.py sheet.jpg --rows 4 --seed 3

Each row has one of each kind. Of several people the one that the words single out stands beside the picture, as posed
in its truth. Sides are the person's own: someone who faces the viewer has the left hand at the right.
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
WIDTH = 1760  # of the sheet, pixels


def built_rows(kind, folder, count, seed):
    """Training rows of a data set that is built for the sheet, drawn by the seed."""
    from datasets import load_dataset

    build_data(kind, folder / kind, size=4 * count, seed=seed)
    rows = load_dataset(str(folder / kind), "A", split="train", cache_dir=str(folder / "cache"))
    return rows.select(np.random.default_rng(seed).choice(len(rows), count, replace=False))


def panels(script, diff, group, number):
    text = number % 3  # each of the three automatic texts in turn
    person = draw_pose(np.array(group["pose"]), size=260, azimuth=0, elevation=0)
    return [
        Panel("ImageScript", (Cell(script["image"]),), (Cell(script["texts"][text]),)),
        Panel("ImageDiff", (Cell(diff["image_a"], "A"), Cell(diff["image_b"], "B")), (Cell(diff["texts"][text]),)),
        Panel("several people", (Cell(group["image"]), Cell(group["hint"])), (Cell(person, "who is meant"),)),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="the .jpg to write")
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
