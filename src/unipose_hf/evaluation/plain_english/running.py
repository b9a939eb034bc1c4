# SPDX-License-Identifier: Apache-2.0
"""Runs a model on the prompts and counts right answers."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from transformers import pipeline

import unipose_hf  # noqa: F401  registers the pipelines

from .judging import KEPT_DEGREES, Judgement, judge_pose
from .prompts import TASKS, load_prompts

BATCH = 20


def evaluate_prompts(
    model: Any = None, processor: Any = None, log: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """
    Answers all prompts with the pipelines `text-to-pose` and `pose-editing`, and judges the answers.

    Args:
        model, processor: for `transformers.pipeline`: a folder or Hub id, or a model and its processor; by default the
            bundled model for plain English.
        log: called with a sentence for each wrong answer that says what it lacks.

    Returns:
        `{"kinds": {kind: {"right", "asked", "held"}}, "edits": {...}, "kept", "wrong"}`: `held` is the share of
        predicates that hold, `edits` the same for each kind of edit, `kept` the share of limbs to keep that were, and
        `wrong` the ids of the prompts that were not answered right.
    """
    texts, edits = map(load_prompts, TASKS)
    make, edit = (pipeline(task, model=model, processor=processor) for task in TASKS)
    answers = make([prompt["text"] for prompt in texts], batch_size=BATCH)
    asked = [{"pose": np.array(prompt["pose"], dtype=np.float32), "text": prompt["text"]} for prompt in edits]
    answers += edit(asked, batch_size=BATCH)
    prompts = texts + edits
    found = [judge_pose(p, answer["pose"].axis_angle) for p, answer in zip(prompts, answers, strict=True)]
    for prompt, judgement in zip(prompts, found, strict=True):
        if log is not None and not judgement.right:
            log(f"{prompt['id']} {prompt['text']!r} lacks {'; '.join(_lacks(judgement))}")
    return summary(prompts, found)


def summary(prompts: Iterable[dict[str, Any]], judgements: Iterable[Judgement]) -> dict[str, Any]:
    """The figures of `evaluate_prompts` for judged answers to these prompts."""
    kinds, edits, kept, wrong = defaultdict(list), defaultdict(list), [], []
    for prompt, judgement in zip(prompts, judgements, strict=True):
        if "pose" in prompt:
            edits[prompt["kind"]].append(judgement)
        kinds["edit" if "pose" in prompt else prompt["kind"]].append(judgement)
        kept += [turn <= KEPT_DEGREES for turn in judgement.turned.values()]
        wrong += [] if judgement.right else [prompt["id"]]
    counted = ({kind: _count(group) for kind, group in each.items()} for each in (kinds, edits))
    return dict(zip(("kinds", "edits"), counted, strict=True)) | {
        "kept": round(float(np.mean(kept)), 3) if kept else None,
        "wrong": wrong,
    }


def prompts_table(figures: dict[str, Any]) -> str:
    """The figures of `evaluate_prompts` as Markdown."""
    groups = figures["kinds"] | {f"edit, {kind}": group for kind, group in figures["edits"].items()}
    lines = ["| prompts | right | predicates held |", "| --- | --- | --- |"]
    lines += [f"| {kind} | {g['right']} of {g['asked']} | {g['held']:.0%} |" for kind, g in groups.items()]
    if figures["kept"] is not None:
        lines += ["", f"Of the limbs that edits should leave alone, {figures['kept']:.0%} were kept."]
    return "\n".join(lines)


def _count(group):
    held = [holds for judgement in group for holds in judgement.held.values()]
    right = sum(judgement.right for judgement in group)
    return {"right": right, "asked": len(group), "held": round(float(np.mean(held)), 3)}


def _lacks(judgement):
    turned = [f"{limb} turned {turn:.0f}" for limb, turn in judgement.turned.items() if turn > KEPT_DEGREES]
    return [predicate for predicate, holds in judgement.held.items() if not holds] + turned
