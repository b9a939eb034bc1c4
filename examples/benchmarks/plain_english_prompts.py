# SPDX-License-Identifier: Apache-2.0
"""Judges models' answers to the plain-English benchmark; the bundled one for plain English by default.

    python examples/benchmarks/plain_english_prompts.py --output examples/benchmarks/results/plain_english_prompts.md
    python hub_cards/fill.py plain-english

The second command copies the table into the card of the data set.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import torch

from unipose_hf.auto import PLAIN_CHECKPOINT
from unipose_hf.evaluation.plain_english import evaluate_prompts, prompts_table
from unipose_hf.modeling.pose_unipose import write_file


def main(models: list[str], output: Path | None) -> None:
    warnings.simplefilter("ignore")
    lines = ["# Prompts in plain English", ""]
    lines += [f"`python {' '.join(sys.argv)}`, {time.strftime('%Y-%m-%d')}, {torch.get_num_threads()} threads.", ""]
    for model in models:
        began = time.perf_counter()
        figures = evaluate_prompts(model, log=None if output else print)
        seconds = time.perf_counter() - began
        lines += [f"## {Path(model).name}", "", prompts_table(figures), "", f"In {seconds:.0f} s. Not right: "]
        lines[-1] += f"{', '.join(figures['wrong']) or 'none'}."
        lines += [""]
    print("\n".join(lines))
    if output is not None:
        write_file(output, "\n".join(lines).encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=[str(PLAIN_CHECKPOINT)], help="folders or Hub ids")
    parser.add_argument("--output", type=Path)
    main(**vars(parser.parse_args()))
