# SPDX-License-Identifier: Apache-2.0
"""Evaluates scores for poses from plain English: does a right answer have a higher one than a wrong answer?

    python examples/benchmarks/retrieval_score.py ../shared/plain_english --output scores.md

Compares the score of `text-to-pose`, the share of named poses that are less similar to the prompt, with the similarity
itself and with its distance from the mean of the named poses. The folder is that of `plain_english.py`. `--answers`
keeps the answers for another retrieval model.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from plain_english import area_under_curve  # next to this file
from transformers import AutoModel, AutoTokenizer, pipeline

import unipose_hf  # noqa: F401  registers the pipelines
from unipose_hf.auto import RETRIEVAL_CHECKPOINT
from unipose_hf.body import remove_yaw
from unipose_hf.data.language.angles import angles_to_axis_angle
from unipose_hf.data.language.bank import load_language_bank
from unipose_hf.modeling.pipeline_pose_retrieval import embed_poses, embed_texts
from unipose_hf.modeling.pose_unipose import write_file
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix


def answered(prompts: Path, model: str | None) -> dict[str, np.ndarray]:
    """The answers to all prompts, their scores, and whether they are right."""
    sys.path.insert(0, str(prompts))
    import run as judge

    make, texts = pipeline("text-to-pose", model=model, named=False), judge.PROMPTS["text_to_pose"]
    made = [make(item["text"]) for item in texts]
    poses = [np.array(answer["pose"].axis_angle) for answer in made]
    right = [not judge.judged(item, pose)["lacks"] for item, pose in zip(texts, poses, strict=True)]
    scores = [answer["score"] for answer in made]
    return {
        "texts": np.array([item["text"] for item in texts]),
        "poses": np.stack(poses),
        "scores": np.array(scores),
        "right": np.array(right),
    }


def main(prompts: Path, model: str | None, retrieval: str, answers: Path | None, output: Path | None) -> None:
    warnings.simplefilter("ignore")
    if answers is not None and answers.exists():
        with np.load(answers) as arrays:
            found = dict(arrays)
    else:
        found = answered(prompts, model)
        if answers is not None:
            np.savez(answers, **found)
    encoder, tokenizer = AutoModel.from_pretrained(retrieval).eval(), AutoTokenizer.from_pretrained(retrieval)

    def embedded(poses):
        return embed_poses(encoder, axis_angle_to_matrix(remove_yaw(poses)))

    texts = embed_texts(encoder, tokenizer, found["texts"].tolist())
    similarity = (texts * embedded(torch.from_numpy(found["poses"]).float())).sum(1)
    others = texts @ embedded(angles_to_axis_angle(load_language_bank().named_angles)).T  # (prompts, named poses)
    distance = (similarity - others.mean(1)) / others.std(1)
    scores = {
        "score of text-to-pose": found["scores"],
        "similarity by the retrieval model": similarity.numpy(),
        "its distance from the mean of the named poses, in standard deviations": distance.numpy(),
    }
    right = found["right"]
    lines = ["| score | area under the curve |", "| --- | --- |"]
    lines += [f"| {name} | {area_under_curve(values, right):.2f} |" for name, values in scores.items()]
    print(*lines, sep="\n")
    note = f"`python {' '.join(sys.argv)}`: {right.sum()} of {len(right)} answers are right."
    if output is not None:
        write_file(output, "\n".join(["# Scores of answers", "", note, "", *lines, ""]).encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", type=Path)
    parser.add_argument("--model", help="folder or Hub id; the bundled model by default")
    parser.add_argument("--retrieval", default=str(RETRIEVAL_CHECKPOINT))
    parser.add_argument("--answers", type=Path, help="file (.npz) to keep the answers in")
    parser.add_argument("--output", type=Path)
    main(**vars(parser.parse_args()))
