# SPDX-License-Identifier: Apache-2.0
"""The `model-index` of a card: measured figures, in the form in which the Hub shows them next to a model."""

import re

from huggingface_hub import EvalResult, ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index
from huggingface_hub.utils import yaml_dump

# The Hub's task nearest to each of ours; the name of ours is given with it.
HUB_TASKS = {
    "tokenizer": "feature-extraction",
    "text-to-pose": "text-to-3d",
    "pose-editing": "text-to-3d",
    "image-to-pose": "image-to-3d",
    "pose-to-text": "text-generation",
    "pose-diff": "text-generation",
    "image-to-pose-text": "image-to-text",
    "image-diff": "image-to-text",
    "pose-retrieval": "feature-extraction",
}
# Kinds of data that figures are measured on: name in the index, name for readers.
OPEN_POSES = ("unipose-open-poses", "held-out open poses")
PROMPTS = ("unipose-plain-english", "plain-English prompts")
DESCRIBED = ("unipose-described-poses", "held-out described poses")


def result(task: str, data: tuple[str, str], config: str, metric: str, name: str, value: float) -> EvalResult:
    """One figure.

    Args:
        task: one of ours, a key of `HUB_TASKS`.
        data: one of the kinds of data above.
        config: which part of the data. The Hub shows figures of the same Hub task, data and part as one group, under
            the task of the first, so figures of different tasks need different parts.
        metric: short name of the metric.
        name: description of the figure, with its unit.
        value: the figure.
    """
    kind, shown = data
    return EvalResult(
        task_type=HUB_TASKS[task],
        task_name=task,
        dataset_type=kind,
        dataset_name=shown,
        dataset_config=config,
        dataset_split="test",
        metric_type=metric,
        metric_name=name,
        metric_value=value,
    )


def retrieval_results(figures: dict) -> list[EvalResult]:
    """The figures of a retrieval model, as `evaluate_retrieval` returns them, with those of `evaluate_described`."""
    groups = [(OPEN_POSES, "pose-retrieval", figures)]
    groups += [(DESCRIBED, voice, own) for voice, own in figures.get("described", {}).items()]
    sides = {"t2p": "text to pose", "p2t": "pose to text"}
    found = []
    for data, config, own in groups:
        for key, value in own.items():
            if key in ("rows", "described"):
                continue
            side, _, metric = key.rpartition("_")
            name = f"{metric}, {sides[side]}, %" if side else f"{key}, %"
            found.append(result("pose-retrieval", data, config, metric.lower(), name, round(value, 1)))
    return found


def split_front_matter(text: str) -> tuple[str, str]:
    """The metadata of a card, without the lines `---` around it, and the rest of the card.

    Raises:
        ValueError: the card does not begin with metadata.
    """
    parts = re.fullmatch(r"---\n(.*?\n)---\n(.*)", text, re.S)
    if parts is None:
        raise ValueError(f"A card begins with its metadata between two lines '---', but this one with {text[:20]!r}.")
    return parts[1], parts[2]


def with_model_index(text: str, name: str, results: list[EvalResult]) -> str:
    """A card with these figures in its metadata; an earlier `model-index` is replaced.

    Args:
        text: the card.
        name: name of the model.
        results: its figures, at least one.

    Raises:
        ValueError: the card has no metadata or invalid metadata, or the Hub's library reads other figures from it.
    """
    front, body = split_front_matter(text)
    front = re.sub(r"^model-index:\n([ -].*\n)*", "", front, flags=re.M)
    index = yaml_dump({"model-index": eval_results_to_model_index(name, results)})
    filled = f"---\n{front}{index}---\n{body}"
    read = ModelCard(filled).data
    if read.model_name != name or sorted(map(repr, read.eval_results)) != sorted(map(repr, results)):
        raise ValueError(f"The figures of {name} cannot be read back: two tasks share a part of the same data.")
    return filled
