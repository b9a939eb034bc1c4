# SPDX-License-Identifier: Apache-2.0
"""Draws four sampled answers to each of some prompts, unfiltered.

python examples/pictures/four_answers.py docs/four_answers.jpg
"""

import argparse
from pathlib import Path

import torch
from transformers import pipeline

import unipose_hf  # noqa: F401  registers the pipelines
from unipose_hf.visualization import contact_sheet, draw_pose

PROMPTS = ("sitting on a chair", "dancing with one arm up")
SAMPLING = {"num_return_sequences": 4, "decoding": "sample", "steps": 4, "temperature": 0.6}


def main(output: Path, cell: int, seed: int) -> None:
    torch.manual_seed(seed)
    generate = pipeline("text-to-pose")
    answers = [(text, answer) for text in PROMPTS for answer in generate(text, **SAMPLING)]
    pictures = [draw_pose(answer["pose"].axis_angle, size=cell, azimuth=25, elevation=8) for _, answer in answers]
    labels = [f"{text}: {answer['score']:.2f}" for text, answer in answers]
    sheet = contact_sheet(pictures, columns=4, labels=labels, cell=cell, gap=4)
    sheet.save(output, quality=85)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--cell", type=int, default=200, help="side of each picture, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
