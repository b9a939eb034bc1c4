# SPDX-License-Identifier: Apache-2.0
"""The paper's ablations as tables: one row for each of several models, evaluated by the same protocols.

The models are trained separately, each with one change, and evaluated by `unipose evaluate --output`; `--compare`
combines their reports. UniPose's printed values are shown below only for the differences between rows: the paper does
not state the data and the retrieval protocol, and its other tables have other values for the same tasks.
"""

from typing import NamedTuple

from unipose_hf.evaluation.protocols.pose_protocols import FULL_SET, ONE_AT_A_TIME
from unipose_hf.evaluation.protocols.text_protocols import TEXT_PROTOCOL


class Ablation(NamedTuple):
    """`columns`: task, beginning of the protocol's name, figure. `published`: row -> a value for each of `printed`."""

    title: str
    columns: tuple[tuple[str, str, str], ...]
    printed: tuple[str, ...]
    published: dict[str, tuple[float, ...]]


_TEXT = ("bleu4", "rouge_l", "meteor")
_ERRORS = ("mpjpe_mm", "pa_mpjpe_mm")
_RECALL = tuple(f"{way}_r@{k}" for way in ("t2p", "p2t") for k in (5, 10, 20))

ABLATIONS = (
    Ablation(
        "Orientation noise of the pose tokenizer (supplement, Table 5)",
        tuple(
            ("tokenizer", protocol, name)
            for protocol in ("reconstruction", "reconstruction, turned")
            for name in _ERRORS
        ),
        ("AMASS mpjpe_mm", "AMASS pa_mpjpe_mm", "MOYO mpjpe_mm", "MOYO pa_mpjpe_mm"),
        {"without": (6.7, 3.8, 32.6, 11.7), "with": (6.2, 3.7, 23.1, 11.3)},
    ),
    Ablation(
        "Visual encoders (Table 6)",
        (
            *(("image-to-pose", "root-aligned", name) for name in _ERRORS),
            *(("image-to-pose-text", TEXT_PROTOCOL, name) for name in _TEXT),
        ),
        (*_ERRORS, *_TEXT),
        {
            "CLIP": (193.4, 86.1, 11.1, 30.2, 33.9),
            "Pose-ViT": (96.3, 59.1, 12.5, 31.0, 34.8),
            "both": (96.1, 58.9, 13.3, 31.7, 35.2),
        },
    ),
    Ablation(
        "Attention (Table 7)",
        (
            *(("text-to-pose", FULL_SET, name) for name in _RECALL),
            ("text-to-pose", ONE_AT_A_TIME, "seconds"),
            *(("pose-to-text", TEXT_PROTOCOL, name) for name in _TEXT),
        ),
        (*_RECALL, "seconds", *_TEXT),
        {
            "causal": (9.0, 14.2, 20.8, 9.3, 14.7, 22.3, 2.5, 26.9, 39.5, 38.0),
            "mixed": (13.8, 20.3, 28.8, 15.9, 23.0, 32.0, 0.2, 25.0, 39.1, 36.7),
        },
    ),
)


def ablation_rows(ablation: Ablation, models: dict[str, list[dict]]) -> dict[str, dict[str, dict[str, float]]]:
    """Figures of every model on every data set shared by all tasks of its columns.

    Args:
        models: name -> results, `Result.to_dict()` of each task.

    Returns:
        data set -> model -> "task: figure" -> mean; tasks that a model was not evaluated on are omitted.
    """
    rows = {}
    for model, results in models.items():
        for task, protocol, name in ablation.columns:
            for result in results:
                figures = _protocol(result["figures"], protocol) if result["task"] == task else {}
                if name in figures:
                    label = f"{task}, {protocol}: {name}"
                    rows.setdefault(result["data"], {}).setdefault(model, {})[label] = figures[name]["mean"]
    return rows


def _protocol(figures, beginning):
    """The protocol with exactly this name, or the first with this prefix, since joint names follow "root-aligned"."""
    if beginning in figures:
        return figures[beginning]
    return next((named for protocol, named in figures.items() if protocol.startswith(beginning)), {})
