# SPDX-License-Identifier: Apache-2.0
"""Builds ImageScript from the open poses: pictures and poses with three captions each.

    python examples/data/build_imagescript.py --size 500 --processes 2

See `unipose build-data imagescript --help` for all options, such as the paper's own data sets and captions refined by
a language model.
"""

import argparse

from unipose_hf.data.builders.build import build_data
from unipose_hf.data.samples import IMAGE_ROW_TASKS, make_samples
from unipose_hf.visualization.panels import Cell, Panel, draw_overview, save_png

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build ImageScript from the open poses.")
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", default="runs/imagescript")
    given = parser.parse_args()
    print(build_data("imagescript", given.output, size=given.size, processes=given.processes))

    from datasets import load_dataset

    train = load_dataset(given.output, "A", split="train")
    for sample in make_samples(train.select([0]), IMAGE_ROW_TASKS):
        print(sample["task"], *(turn["content"] for turn in sample["messages"]), sep="\n  ")
    shown = train.select(range(0, len(train), -(-len(train) // 12)))
    panels = [Panel(row["sequence"], (Cell(row["image"]),), (Cell(row["texts"][-1]),)) for row in shown]
    save_png(draw_overview([panels[i : i + 2] for i in range(0, len(panels), 2)]), f"{given.output}/sheet.png")
