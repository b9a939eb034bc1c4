# SPDX-License-Identifier: Apache-2.0
"""Writes what was measured into the cards of this folder, between their marks `<!-- name -->` and `<!-- /name -->`,
and the cards of the bundled models from their templates here and their `figures.json`. Copies `plain-english.md`
next to the prompts of the benchmark.

    python hub_cards/fill.py                                # all of them
    python hub_cards/fill.py unipose-tiny pose-retrieval    # cards of this name alone

The memory of the 7B model is worked out from its configuration, the error of the pose tokenizer is measured on the
spot, speeds are lines of `examples/benchmarks/results/generation.md`.
"""

import argparse
import json
import re
from pathlib import Path

import torch
from transformers import AutoModelForMultimodalLM

import unipose_hf  # noqa: F401  registers the model
from unipose_hf.auto import BUNDLED_CHECKPOINT
from unipose_hf.body import forward_kinematics, load_body
from unipose_hf.cli.memory_plan import plan_memory, print_plan, read_config
from unipose_hf.data.language import STANDING, angles_to_axis_angle
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.evaluation import mpjpe, pa_mpjpe
from unipose_hf.evaluation.plain_english import judge_pose, load_prompts
from unipose_hf.evaluation.plain_english.prompts import CARD, TASKS
from unipose_hf.evaluation.plain_english.running import summary
from unipose_hf.evaluation.reporting.card import card_of
from unipose_hf.evaluation.reporting.model_index import retrieval_results, split_front_matter, with_model_index
from unipose_hf.modeling.pose_unipose import write_file
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix

CARDS = Path(__file__).parent
RESULTS = CARDS.parent / "examples/benchmarks/results"
SPEEDS = RESULTS / "generation.md"


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


def prompt_baselines():
    """What answers that ignore the prompt get, and the witnesses."""
    standing, prompts = angles_to_axis_angle(STANDING), [prompt for task in TASKS for prompt in load_prompts(task)]
    answers = {
        "the witness": [prompt["witness"] for prompt in prompts],
        "standing, or the pose unchanged": [prompt.get("pose", standing) for prompt in prompts],
        "the witness of the prompt before it": [prompts[row - 1]["witness"] for row in range(len(prompts))],
    }
    lines = []
    for name, poses in answers.items():
        found = summary(prompts, [judge_pose(*each) for each in zip(prompts, poses, strict=True)])["kinds"]
        if not lines:
            lines = [f"| answer | {' | '.join(found)} |", "| --- " * (len(found) + 1) + "|"]
        counts = (f"{count['right']} of {count['asked']}, {count['held']:.0%}" for count in found.values())
        lines.append(f"| {name} | {' | '.join(counts)} |")
    return "\n".join(lines)


def prompt_results():
    """The tables of `plain_english_prompts.md` with the names of the models."""
    results = RESULTS / "plain_english_prompts.md"
    if not results.is_file():
        return "Not measured yet."
    text = results.read_text(encoding="utf-8")
    return "\n\n".join(
        f"`{name}`:\n\n{table.strip()}"
        for name, table in re.findall(r"^## (.*?)\n(.*?)(?=^In |\Z)", text, re.S | re.M)
    )


# card, mark -> what stands there
MEASURED = {
    ("unipose-7b/README.md", "memory"): memory,
    ("pose-tokenizer.md", "tokenizer"): tokenizer_errors,
    ("pose-tokenizer.md", "speed"): lambda: speed("pose tokenizer"),
    ("plain-english.md", "baselines"): prompt_baselines,
    ("plain-english.md", "results"): prompt_results,
}
# bundled models with measured figures, and the names of their templates
BUNDLED = {
    "unipose-tiny": "unipose-tiny",
    "unipose-plain": "unipose-plain",
    "pose-text-retrieval": "pose-retrieval",
    "pose-text-retrieval-plain": "pose-retrieval",
    "pose-pair-text-retrieval": "pose-retrieval",
}


def bundled_card(name):
    """The card of a bundled model. That of a retrieval model keeps all but its metadata, since only the training
    script knows how the weights were trained.
    """
    folder, template = BUNDLED_CHECKPOINT.with_name(name), CARDS / f"{BUNDLED[name]}.md"
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    if template.stem != "pose-retrieval":
        return card_of(template, figures, name)
    front, _ = split_front_matter(template.read_text(encoding="utf-8"))
    _, body = split_front_matter((folder / "README.md").read_text(encoding="utf-8"))
    return with_model_index(f"---\n{front}---\n{body}", name, retrieval_results(figures))


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


def main(names):
    for (card, mark), measure in MEASURED.items():
        if not names or card.removesuffix("/README.md").removesuffix(".md") in names:
            file = CARDS / card
            write_file(file, filled(file.read_text(encoding="utf-8"), mark, measure()).encode())
    if not names or "plain-english" in names:
        write_file(CARD, (CARDS / "plain-english.md").read_bytes())
    for name, template in BUNDLED.items():
        if not names or {name, template} & set(names):
            write_file(BUNDLED_CHECKPOINT.with_name(name) / "README.md", bundled_card(name).encode())


if __name__ == "__main__":
    known = sorted({card.removesuffix("/README.md").removesuffix(".md") for card, _ in MEASURED} | {*BUNDLED})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all by default; {', '.join(known)}")
    given = parser.parse_args().names
    if unknown := {*given} - {*known} - {*BUNDLED.values()}:
        parser.error(f"there is no card {unknown.pop()}; there are {', '.join(known)}")
    main(given)
