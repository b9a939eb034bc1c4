# SPDX-License-Identifier: Apache-2.0
"""Evaluates plain-English prompts: accuracy by decoding method, usefulness of the score, time per answer.

    python examples/benchmarks/plain_english.py ../shared/plain_english \\
        --output examples/benchmarks/results/plain_english.md

The folder contains `run.py` and `prompts.json`, which check answers against measured facts.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from transformers import pipeline

import unipose_hf  # noqa: F401  registers the pipelines
from unipose_hf.modeling.pose_unipose import write_file

DECODINGS = ({}, {"steps": 2}, {"steps": 4}, {"steps": 8}, {"decoding": "argmax"}, {"decoding": "argmax", "steps": 8})


def area_under_curve(scores: np.ndarray, right: np.ndarray) -> float:
    """Area under the ROC curve: how often a right answer has a higher score than a wrong one."""
    higher = scores[right][:, None] - scores[~right]
    return float(((higher > 0) + 0.5 * (higher == 0)).mean())


def main(prompts: Path, model: str | None, output: Path | None) -> None:
    sys.path.insert(0, str(prompts))
    import run as judge

    warnings.simplefilter("ignore")
    starts = {name: np.array(pose) for name, pose in judge.PROMPTS["start_poses"].items()}
    texts, edits = judge.PROMPTS["text_to_pose"], judge.PROMPTS["pose_editing"]
    asked = [{"pose": starts[item["start"]], "text": item["text"]} for item in edits]
    make, edit = (pipeline(task, model=model, named=False) for task in ("text-to-pose", "pose-editing"))

    def right(item, answer, start=None):
        return not judge.judged(item, np.array(answer["pose"].axis_angle), start)["lacks"]

    lines = ["| decoding | text-to-pose right | edits right | score: area under the curve | seconds an answer |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for options in DECODINGS:
        began = time.perf_counter()
        made = [make(item["text"], **options) for item in texts]
        seconds = (time.perf_counter() - began) / len(texts)
        good = np.array([right(item, answer) for item, answer in zip(texts, made, strict=True)])
        edited = edit(asked, batch_size=10, **options)
        changed = sum(right(i, a, starts[i["start"]]) for i, a in zip(edits, edited, strict=True))
        area = area_under_curve(np.array([answer["score"] for answer in made]), good)
        name = ", ".join(f"{key}={value}" for key, value in options.items()) or "as bundled: expected, one step"
        lines.append(
            f"| {name} | {good.sum()} of {len(good)} | {changed} of {len(edits)} | {area:.2f} | {seconds:.3f} |"
        )
        print(lines[-1], flush=True)
    note = f"`python {' '.join(sys.argv)}`, {torch.get_num_threads()} threads. Seconds include the score."
    if output is not None:
        write_file(output, "\n".join(["# Plain English", "", note, "", *lines, ""]).encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", type=Path)
    parser.add_argument("--model", help="folder or Hub id; the bundled model by default")
    parser.add_argument("--output", type=Path)
    main(**vars(parser.parse_args()))
