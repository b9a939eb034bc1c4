# SPDX-License-Identifier: Apache-2.0
"""Writes what was measured into the cards of this folder, between their marks `<!-- name -->` and `<!-- /name -->`.

    python hub_cards/fill.py

The memory of the 7B model is worked out from its configuration, the error of the pose tokenizer is measured on the
spot, speeds are lines of `examples/benchmarks/generation.md`.
"""

import re
from pathlib import Path

import torch
from transformers import AutoModelForMultimodalLM

import unipose_hf  # noqa: F401  registers the model
from unipose_hf.auto import BUNDLED_CHECKPOINT
from unipose_hf.body import forward_kinematics, load_body
from unipose_hf.cli.memory_plan import plan_memory, print_plan, read_config
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.evaluation import mpjpe, pa_mpjpe
from unipose_hf.modeling.pose_unipose import write_file
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix

CARDS = Path(__file__).parent
SPEEDS = CARDS.parent / "examples/benchmarks/generation.md"


def memory():
    lines = []
    print_plan(plan_memory(read_config(CARDS / "unipose-7b")), None, lines.append)
    return "\n".join(["```text", *lines, "```"])


def speed(beginning):
    """The lines of the benchmark that begin like this, as a table."""
    lines = [line for line in SPEEDS.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return "\n".join([*lines[:2], *(line for line in lines if line.startswith(f"| {beginning}"))])


@torch.no_grad()
def tokenizer_errors():
    """Mean, deviation and quantiles over the held-out poses."""
    tokenizer = AutoModelForMultimodalLM.from_pretrained(BUNDLED_CHECKPOINT).model.pose_tokenizer
    rotations = axis_angle_to_matrix(load_open_poses("test").axis_angle)
    decoded = tokenizer.decode(tokenizer.encode(rotations).codes).rotations
    truth, found = (forward_kinematics(each, load_body().rest_joints)[0] for each in (rotations, decoded))
    lines = [
        f"| {len(rotations)} held-out poses | mean | deviation | median | 95 of 100 below |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, error in (("MPJPE, mm", mpjpe(found, truth)), ("PA-MPJPE, mm", pa_mpjpe(found, truth))):
        values = (error.mean(), error.std(), error.median(), error.quantile(0.95))
        lines.append(f"| {name} | " + " | ".join(f"{1000 * value:.1f}" for value in values) + " |")
    return "\n".join(lines)


# card, mark -> what stands there
MEASURED = {
    ("unipose-7b/README.md", "memory"): memory,
    ("pose-tokenizer.md", "tokenizer"): tokenizer_errors,
    ("pose-tokenizer.md", "speed"): lambda: speed("pose tokenizer"),
}


def filled(text, mark, content):
    """The card's text with the content between its marks.

    Raises:
        ValueError: the card has not exactly one such place.
    """
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    parts = re.split(f"{re.escape(begin)}.*?{re.escape(end)}", text, flags=re.S)
    if len(parts) != 2:
        raise ValueError(f"The card has {len(parts) - 1} places {begin} ... {end}; expected one.")
    return f"{parts[0]}{begin}\n{content}\n{end}{parts[1]}"


def main():
    for (card, mark), measure in MEASURED.items():
        file = CARDS / card
        write_file(file, filled(file.read_text(encoding="utf-8"), mark, measure()).encode())


if __name__ == "__main__":
    main()
