# SPDX-License-Identifier: Apache-2.0
"""Texts about rendered people: read from the pictures' features, or through estimated poses.

    python examples/benchmarks/texts_of_images.py --output examples/benchmarks/results/texts_of_images.md

The pictures are those of `unipose evaluate`; each shows one person, whose box is the whole picture. Truth and number
of statements are measured on the true poses: those of captions by the caption engine, those in plain English by
`judge_descriptions` and `judge_changes`, which allow more, so only rows of one kind can be compared. About 25 minutes
on one thread.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import pipeline

from unipose_hf.auto import BUNDLED_CHECKPOINT, PLAIN_CHECKPOINT
from unipose_hf.body import remove_yaw
from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.data.language import describe_changes, describe_poses, judge_changes, judge_descriptions
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.evaluation.metrics.text_truth import caption_truth, instruction_truth
from unipose_hf.evaluation.protocols.answers import answer_texts
from unipose_hf.evaluation.protocols.held_out import CLAUSES, MAX_NEW_TOKENS, _HeldOut, choose_poses
from unipose_hf.modeling.pose_unipose import write_file
from unipose_hf.modeling.processing_unipose import task_messages

STEADY = 0.1  # radians: a measured statement must survive such a rotation of any joint


def main(count: int | None, output: Path | None) -> None:
    poses = load_open_poses("test")
    chosen = choose_poses(poses.clip_id, count)
    estimate = pipeline("image-to-pose", model=str(BUNDLED_CHECKPOINT))
    run = _HeldOut(estimate.model, estimate.processor, poses.axis_angle[chosen], poses.clip_id[chosen], 16, seed=0)
    pictures = [Image.fromarray(np.asarray(picture)) for picture in run.pictures.images]
    target, sources = remove_yaw(torch.from_numpy(run.pictures.axis_angle)), run.sources
    lines = ["| text | source | true | statements |", "| --- | --- | --- | --- |"]

    def report(task, source, truth):
        lines.append(f"| {task} | {source} | {truth['codes_true']:.3f} | {truth['codes_per_text']:.2f} |")
        print(lines[-1], flush=True)

    def answers(task, **given):
        rows = range(len(chosen))
        messages = [task_messages(task, **{key: values[row] for key, values in given.items()}) for row in rows]
        return answer_texts(run, messages, MAX_NEW_TOKENS)

    pairs = [(int(source), row) for row, source in enumerate(sources)]
    features = answers("image-to-pose-text", images=[[picture] for picture in pictures])
    report("description", "features", caption_truth(features, target, seed=0))
    features = answers("image-diff", images=[[pictures[a], pictures[b]] for a, b in pairs])
    report("difference", "features", instruction_truth(features, target[sources], target, seed=0))
    for refine, name in ((True, "refined poses"), (False, "poses as the model answers")):
        people = [estimate({"image": p, "box": (0, 0, *p.size)}, refine=refine)[0]["pose"] for p in pictures]
        found = remove_yaw(torch.from_numpy(np.stack([pose.axis_angle for pose in people])).float())
        texts = answers("pose-to-text", poses=[[pose] for pose in found])
        report("description", f"{name}, by the model", caption_truth(texts, target, seed=0))
        texts, _ = caption_poses(found, seed=0, max_clauses=CLAUSES, steady=STEADY, return_codes=True)
        report("description", f"{name}, by measuring", caption_truth(texts, target, seed=0))
        texts = answers("pose-diff", poses=[[found[a], found[b]] for a, b in pairs])
        report("difference", f"{name}, by the model", instruction_truth(texts, target[sources], target, seed=0))
        texts, _ = instruct_pairs(found[sources], found, seed=0, max_clauses=CLAUSES, steady=STEADY, return_codes=True)
        report("difference", f"{name}, by measuring", instruction_truth(texts, target[sources], target, seed=0))
        judged_in_plain_english(found, sources, target, name, lines)
    if output is not None:
        head = f"# Texts about pictures\n\n`python {' '.join(sys.argv)}`, one thread, {len(chosen)} renders.\n\n"
        write_file(output, (head + "\n".join(lines) + "\n").encode())


def judged_in_plain_english(found, sources, target, name, lines):
    """Adds the rows of texts in plain English about estimated poses, judged on the true ones."""
    describe, compare = (pipeline(task, model=str(PLAIN_CHECKPOINT)) for task in ("pose-to-text", "pose-diff"))
    pairs = list(zip(found[sources].numpy(), found.numpy(), strict=True))
    described = [answer["text"] for answer in describe(list(found.numpy()), batch_size=32)]
    compared = [answer["text"] for answer in compare([{"poses": pair} for pair in pairs], batch_size=32)]
    before = target[sources]
    for task, source, judged in (
        ("description", "unipose-plain", judge_descriptions(described, target)),
        ("description", "measuring", judge_descriptions(describe_poses(found), target)),
        ("difference", "unipose-plain", judge_changes(compared, before, target)),
        ("difference", "measuring", judge_changes(describe_changes(found[sources], found), before, target)),
    ):
        true = np.mean([statement.true for text in judged for statement in text])
        count = np.mean([len(text) for text in judged])
        lines.append(f"| {task} in plain English | {name}, by {source} | {true:.3f} | {count:.2f} |")
        print(lines[-1], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, help="number of pictures; all by default")
    parser.add_argument("--output", type=Path)
    main(**vars(parser.parse_args()))
