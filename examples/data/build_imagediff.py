# SPDX-License-Identifier: Apache-2.0
"""Builds ImageDiff from the open poses: pairs of pictures with three texts each on how to get from A to B.

    python examples/data/build_imagediff.py --size 500 --retrieval FOLDER

Pairs are mined with a text-pose retrieval model as in the paper, or by joint positions if none is given.
See `unipose build-data imagediff --help` for all options.
"""

import argparse

from unipose_hf.data.builders.build import build_data
from unipose_hf.visualization.panels import Cell, Panel, draw_overview, save_png

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build ImageDiff from the open poses.")
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", default="runs/imagediff")
    parser.add_argument("--retrieval", help="folder of a text-pose retrieval model")
    given = parser.parse_args()
    print(build_data("imagediff", given.output, size=given.size, processes=given.processes, retrieval=given.retrieval))

    from datasets import load_dataset

    rows = load_dataset(given.output, "A", split="train").take(6)
    panels = [
        Panel("", (Cell(row["image_a"], "A"), Cell(row["image_b"], "B")), (Cell(row["texts"][1]),)) for row in rows
    ]
    save_png(draw_overview([[panel] for panel in panels]), f"{given.output}/sheet.png")
