# SPDX-License-Identifier: Apache-2.0
"""Evaluates pose accuracy on photographs, with and without boxes, and person detection.

    python examples/benchmarks/photographs.py ../shared/photos --output examples/benchmarks/results/photographs.md

The folder contains pictures and `people.json` with one row per person: `image`, `box`, `keypoints` `(12, 3)` (x, y,
visible; left and right shoulder, elbow, wrist, hip, knee, ankle), `visible` (their number) and `alone`. The predicted
joints, projected orthographically, are aligned to the visible keypoints by scale and translation; a joint is correct
within 0.2 of the torso length. All joints of a person who was not detected count as incorrect.
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import pipeline

import unipose_hf  # noqa: F401  registers the pipelines
from unipose_hf.modeling.pose_unipose import write_file

JOINTS = [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8]
NEAR, SAME_BOX = 0.2, 0.5
ROUNDS = 3


def torso(row: dict) -> float:
    """The longer shoulder-to-opposite-hip distance in pixels, or 0.3 of the box's longer side."""
    points = np.array(row["keypoints"], dtype=float)
    pairs = [(a, b) for a, b in ((0, 7), (1, 6)) if points[a, 2] > 0 and points[b, 2] > 0]
    x0, y0, x1, y1 = row["box"]
    return max((np.linalg.norm(points[a, :2] - points[b, :2]) for a, b in pairs), default=0.3 * max(x1 - x0, y1 - y0))


def near(row: dict, person: dict) -> np.ndarray:
    """Which of the visible joints are correct."""
    points = np.array(row["keypoints"], dtype=float)
    seen = points[:, 2] > 0
    target, found = points[seen, :2], person["pose"].joints[JOINTS][seen, :2] * [1, -1]
    if not len(target):
        return np.zeros(0, dtype=bool)
    found = found - found.mean(0)
    scale = (found * (target - target.mean(0))).sum() / max((found**2).sum(), 1e-12)
    return np.linalg.norm(scale * found + target.mean(0) - target, axis=1) < NEAR * torso(row)


def overlap(one: list[float], other: list[float]) -> float:
    """Intersection over union of two boxes."""
    sides = [max(0.0, min(one[i + 2], other[i + 2]) - max(one[i], other[i])) for i in (0, 1)]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return sides[0] * sides[1] / (sum(areas) - sides[0] * sides[1])


def ranks(values: list[float]) -> np.ndarray:
    """Ranks, with ties averaged."""
    values = np.array(values)
    return np.array([(values < value).sum() + ((values == value).sum() - 1) / 2 for value in values])


def main(folder: Path, output: Path | None) -> None:
    warnings.simplefilter("ignore")
    rows = json.loads((folder / "people.json").read_text(encoding="utf-8"))
    pictures = {name: Image.open(folder / name).convert("RGB") for name in sorted({row["image"] for row in rows})}
    estimate = pipeline("image-to-pose")
    lines = ["| figure | refined | as the model answers |", "| --- | --- | --- |"]
    columns = []
    for refine in (True, False):
        boxed = estimate([{"image": pictures[r["image"]], "box": r["box"]} for r in rows], batch_size=8, refine=refine)
        hits = [near(row, person) for row, [person] in zip(rows, boxed, strict=True)]
        judged = [n for n, hit in enumerate(hits) if len(hit)]
        right, scores = [hits[n].mean() for n in judged], [boxed[n][0]["score"] for n in judged]
        began = time.perf_counter()
        for _ in range(ROUNDS):
            found = dict(zip(pictures, estimate(list(pictures.values()), batch_size=8, refine=refine), strict=True))
        rate = ROUNDS * len(pictures) / (time.perf_counter() - began)
        everybody, alone, matched, taken = [], [], 0, 0
        for row in rows:
            people = found[row["image"]]
            best = max(people, key=lambda person: overlap(row["box"], person["box"]), default=None)
            same = best is not None and overlap(row["box"], best["box"]) >= SAME_BOX
            matched += same
            hit = near(row, best) if same else np.zeros(row["visible"], dtype=bool)
            everybody.append(hit)
            alone += [hit] if row["alone"] else []
        taken = sum(map(len, found.values()))
        columns.append(
            {
                "joints near, true box": f"{np.concatenate(hits).mean():.3f}",
                "joints near, no box, people alone in the picture": f"{np.concatenate(alone).mean():.3f}",
                "joints near, no box, everybody": f"{np.concatenate(everybody).mean():.3f}",
                "people found (IoU at least 0.5)": f"{matched} of {len(rows)}",
                "others found": f"{taken - matched} in {len(pictures)} pictures",
                "rank correlation of score and share near": f"{np.corrcoef(ranks(scores), ranks(right))[0, 1]:.2f}",
                "pictures a second": f"{rate:.1f}",
                "people a second": f"{rate * taken / len(pictures):.1f}",
            }
        )
    lines += [f"| {name} | {value} | {columns[1][name]} |" for name, value in columns[0].items()]
    blank = [Image.new("RGB", (640, 480), colour) for colour in ("black", "white")]
    blank.append(Image.fromarray(np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)))
    lines.append(f"| people in a black, a white and a noisy picture | {sum(map(len, estimate(blank)))} | |")
    print("\n".join(lines))
    note = f"`python {' '.join(sys.argv)}`, {torch.get_num_threads()} threads, {len(rows)} people."
    if output is not None:
        _, mark, others = (output.read_text(encoding="utf-8") if output.exists() else "").partition("\n## ")
        write_file(output, "\n".join(["# Photographs", "", note, "", *lines, mark + others]).encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path)
    main(**vars(parser.parse_args()))
