# SPDX-License-Identifier: Apache-2.0
"""Measures how many pictures of one person a second `image-to-pose` estimates, and where the time goes.

    python examples/benchmarks/picture_speed.py --output examples/benchmarks/results/picture_speed.md

The pictures are the bundled photograph in many sizes, loaded before the clock starts. Each figure is the best of
several rounds, since other programs only ever slow a round down.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import pipeline

import unipose_hf
from unipose_hf.modeling import pipeline_unipose
from unipose_hf.modeling.pose_unipose import write_file

BOX = (265 / 730, 100 / 820, 700 / 730, 790 / 820)  # of the person, in widths and heights of the photograph
LEAST, MOST = 480, 1200  # pixels that the pictures are high


def pictures(count: int) -> list[dict]:
    """One person each, no two alike."""
    photo = Image.open(unipose_hf.sample("photo.jpg")).convert("RGB")
    found = []
    for number, height in enumerate(np.linspace(LEAST, MOST, count).round().astype(int).tolist()):
        size = round(height * photo.width / photo.height), height
        picture, (x0, y0, x1, y1) = photo.resize(size, Image.Resampling.LANCZOS), BOX
        if number % 2:
            picture, x0, x1 = ImageOps.mirror(picture), 1 - x1, 1 - x0
        box = (x0 * size[0], y0 * size[1], x1 * size[0], y1 * size[1])
        found.append({"image": picture, "box": box})
    return found


class Clock:
    """Adds up the time that functions take, without that of the watched functions that they call."""

    def __init__(self):
        self.seconds, self.open = defaultdict(float), []

    def watch(self, owner, name: str, stage: str) -> None:
        """Replaces `owner.name` by a version that is counted under `stage`."""
        work = getattr(owner, name)

        def timed(*args, **kwargs):
            began = time.perf_counter()
            self.open.append(0.0)
            try:
                return work(*args, **kwargs)
            finally:
                took = time.perf_counter() - began
                self.seconds[stage] += took - self.open.pop()
                if self.open:
                    self.open[-1] += took

        setattr(owner, name, timed)


def rate(run, count: int, rounds: int) -> float:
    """Pictures a second in the fastest round."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return count / best


def main(count: int, batch_size: int, threads: int, rounds: int, output: Path | None) -> None:
    torch.set_num_threads(threads)
    given = pictures(count)
    found = [one["image"] for one in given]
    estimate = pipeline("image-to-pose")
    if not all(len(people) == 1 for people in estimate(found, batch_size=batch_size)):
        raise RuntimeError("Each picture must have one person.")
    lines = ["| pictures a second | refined | as the model answers |", "| --- | --- | --- |"]
    for name, inputs in (("with the detector", found), ("with a given box", given)):
        rates = [
            rate(lambda: estimate(inputs, batch_size=batch_size, refine=refine), len(inputs), rounds)  # noqa: B023
            for refine in (True, False)
        ]
        lines.append(f"| {name} | {rates[0]:.1f} | {rates[1]:.1f} |")
    clock, model = Clock(), estimate.model.model
    clock.watch(estimate, "_people_in", "views of the picture")
    clock.watch(estimate, "_collate", "views of the picture")
    clock.watch(estimate, "_finder", "detector")
    clock.watch(model.pose_vision_tower, "forward", "landmarks")
    clock.watch(estimate.model, "generate_pose", "language model and pose decoder")
    clock.watch(pipeline_unipose, "pull_to_landmarks", "refinement")
    clock.watch(estimate, "postprocess", "results")
    began = time.perf_counter()
    for _ in range(rounds):
        estimate(found, batch_size=batch_size)
    took = time.perf_counter() - began
    lines += ["", "| stage | ms a picture |", "| --- | --- |"]
    stages = {**clock.seconds, "everything else": took - sum(clock.seconds.values())}
    lines += [f"| {stage} | {1000 * seconds / rounds / len(found):.1f} |" for stage, seconds in stages.items()]
    print("\n".join(lines))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    machine = f"{os.cpu_count()} cores ({platform.machine()}), {threads} threads, batches of {batch_size}"
    note = f"`python {' '.join(sys.argv)}`, commit {commit}, {machine}."
    if output is not None:
        write_file(output, "\n".join(["# Speed of image-to-pose", "", note, "", *lines, ""]).encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", dest="count", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    main(**vars(parser.parse_args()))
