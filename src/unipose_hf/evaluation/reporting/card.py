# SPDX-License-Identifier: Apache-2.0
"""Writes measured figures into a table and a model card, so that no figure is typed by hand."""

import functools
import json
import operator
import statistics
from pathlib import Path

from huggingface_hub import EvalResult

from unipose_hf.modeling.pose_unipose import write_file

from .model_index import DESCRIBED, OPEN_POSES, PROMPTS, result, with_model_index

TEXT_TASKS = ("pose-to-text", "pose-diff", "image-to-pose-text", "image-diff")
# task, figure, description, baseline that ignores its input
ROWS = (
    ("tokenizer", ("mpjpe_mm",), "MPJPE, mm", None),
    ("tokenizer", ("pa_mpjpe_mm",), "PA-MPJPE, mm", None),
    ("text-to-pose", ("expected", "codes_satisfied"), "stated codes satisfied, expected pose", "shuffled captions"),
    ("text-to-pose", ("argmax", "codes_satisfied"), "stated codes satisfied, likeliest codes", "shuffled captions"),
    ("text-to-pose", ("expected", "mpjpe_mm"), "MPJPE, mm, expected pose", None),
    ("pose-editing", ("mpjpe_mm",), "MPJPE, mm", "source pose copied"),
    ("image-to-pose", ("mpjpe_mm",), "MPJPE, mm, rendered people", "mean pose"),
    ("image-to-pose", ("pa_mpjpe_mm",), "PA-MPJPE, mm, rendered people", "mean pose"),
    ("pose-to-text", ("codes_true",), "stated codes true of the pose", "texts of other poses"),
    ("pose-diff", ("codes_true",), "stated codes true of the pair", "texts of other pairs"),
    ("image-to-pose-text", ("codes_true",), "stated codes true, rendered people", "texts of other pictures"),
    ("image-diff", ("codes_true",), "stated codes true, rendered people", "texts of other pictures"),
    *((task, ("codes_per_text",), "codes stated in a text", None) for task in TEXT_TASKS),
    ("pose-to-text", ("bleu4",), "BLEU-4", "shuffled references"),
    ("pose-diff", ("bleu4",), "BLEU-4", "shuffled references"),
    ("image-to-pose-text", ("bleu4",), "BLEU-4, rendered people", "shuffled references"),
    ("image-diff", ("bleu4",), "BLEU-4, rendered people", "shuffled references"),
)
BASELINES = {
    "codes_satisfied": "codes_of_shuffled_captions_satisfied",
    "bleu4": "bleu4_of_shuffled_references",
    "codes_true": "codes_true_of_shuffled_texts",
    ("pose-editing", "mpjpe_mm"): "mpjpe_of_copied_source_mm",
    ("image-to-pose", "mpjpe_mm"): "mpjpe_of_mean_pose_mm",
    ("image-to-pose", "pa_mpjpe_mm"): "pa_mpjpe_of_mean_pose_mm",
}


def figures_table(figures: dict) -> str:
    """A Markdown table of the results of `evaluate_held_out`, with the baseline of each figure.

    `"runs"` may contain the figures of several runs of the model's last stage, including this one; their mean and
    variance get a column, as in supplement tables 6 and 7.
    """
    runs = figures.get("runs", ())
    names = ["task", "figure", "model", *([f"mean / variance of {len(runs)} runs"] if runs else []), "baseline"]
    lines = [_line(names), _line(["---"] * len(names))]
    for task, path, label, baseline_label in ROWS:
        if task not in figures:
            continue
        *groups, key = path

        def of(run, task=task, groups=groups):
            return functools.reduce(operator.getitem, groups, run[task])

        spread = []
        if runs:
            values = [of(run)[key] for run in runs]
            spread = [f"{statistics.mean(values):.4g} / {statistics.variance(values):.2g}"]
        baseline = ""
        if baseline_label:
            name = BASELINES.get((task, key)) or BASELINES[key]
            baseline = f"{of(figures)[name]} ({baseline_label})"
        lines.append(_line([task, label, of(figures)[key], *spread, baseline]))
    return "\n".join(lines)


def plain_english_table(judged: dict) -> str:
    """A Markdown table of correct answers to plain-English prompts, by kind.

    Args:
        judged: for each kind `right` of `asked` by the model alone, `right_by_name` of them with names of the bank
            looked up, and `right_not_in_bank` of `asked_not_in_bank`, those whose words are not in the bank; and
            `kept_limbs_turned_degrees`.
    """
    kinds = {kind: counts for kind, counts in judged.items() if isinstance(counts, dict)}
    names = ("prompts", "right", "of the model alone", "of the model alone, not in the language bank")
    lines = [_line(names), _line(["---"] * len(names))]
    for kind, counts in kinds.items():
        shares = (f"{counts[key]} of {counts['asked']}" for key in ("right_by_name", "right"))
        lines.append(_line([kind, *shares, f"{counts['right_not_in_bank']} of {counts['asked_not_in_bank']}"]))
    turned = judged["kept_limbs_turned_degrees"]
    return "\n".join([*lines, "", f"Limbs that an edit should leave alone turned by {turned} degrees on average."])


def described_table(described: dict) -> str:
    """A Markdown table of what `evaluate_described_prompts` returned."""
    lines = [_line(["texts", "poses", "MPJPE, mm", "MPJPE of the mean pose, mm"]), _line(["---"] * 4)]
    return "\n".join([*lines, *(_line([voice, *row.values()]) for voice, row in described.items())])


def plain_texts_table(texts: dict) -> str:
    """A Markdown table of what `evaluate_plain_texts` returned."""
    names = (
        "texts",
        "statements that are true, %",
        "of the texts of other poses",
        "statements",
        "pose found, %",
        "top-1",
    )
    lines = [_line(names), _line(["---"] * len(names))]
    for task, row in texts.items():
        shares = (f"{100 * row[key]:.1f}" for key in ("true", "true_of_other_texts"))
        top1 = f"{row['top1']:.1f}" if "top1" in row else ""
        lines.append(_line([task, *shares, f"{row['statements']:.1f}", f"{row['found']:.0f}", top1]))
    return "\n".join(lines)


def _line(cells):
    return f"| {' | '.join(map(str, cells))} |"


def eval_results(figures: dict) -> list[EvalResult]:
    """The figures of a model's tables, without baselines and further runs, for the `model-index` of its card."""
    found = []
    for task, path, label, _ in ROWS:
        if task in figures:
            value = functools.reduce(operator.getitem, path, figures[task])
            metric = path[-1].removesuffix("_mm").removesuffix("4")
            found.append(result(task, OPEN_POSES, task, metric, label, value))
    for kind, counts in figures.get("plain-english", {}).items():
        if isinstance(counts, dict):
            task = "pose-editing" if kind == "edit" else "text-to-pose"
            right = round(counts["right"] / counts["asked"], 3)
            found.append(result(task, PROMPTS, kind, "accuracy", f"right of {counts['asked']} prompts", right))
    for voice, row in figures.get("described", {}).items():
        found.append(result("text-to-pose", DESCRIBED, voice, "mpjpe", "MPJPE, mm", row["mpjpe_mm"]))
    return found


def card_of(template: str | Path, figures: dict, name: str) -> str:
    """The template with its `{{figures}}`, `{{poses}}`, `{{clips}}` and, for a model of plain English, `{{plain}}`,
    `{{texts}}` and `{{described}}` filled in, and the figures as the `model-index` of its metadata.

    Args:
        template: the file.
        figures: what was measured.
        name: name of the model.

    Raises:
        FileNotFoundError: no template.
        ValueError: the template has an unknown placeholder or no metadata.
    """
    template = Path(template)
    if not template.is_file():
        raise FileNotFoundError(f"The card template {template} does not exist.")
    text = template.read_text(encoding="utf-8")
    filled = {"figures": figures_table(figures), "poses": str(figures["poses"])}
    filled["clips"] = ", ".join(figures["clips"])
    if "plain-english" in figures:
        filled["plain"] = plain_english_table(figures["plain-english"])
    if "described" in figures:
        filled["described"] = described_table(figures["described"])
    if "texts" in figures:
        filled["texts"] = plain_texts_table(figures["texts"])
    for key, value in filled.items():
        text = text.replace("{{" + key + "}}", value)
    if "{{" in text:
        raise ValueError(f"{template} has a placeholder that no figure fills: {text[text.index('{{') :][:40]!r}.")
    return with_model_index(text, name, eval_results(figures))


def write_card(template: str | Path, figures: dict, folder: str | Path) -> None:
    """Writes a model's `README.md`, the card of [`card_of`], and its `figures.json`.

    Raises:
        FileNotFoundError: no template.
        ValueError: the template has an unknown placeholder or no metadata.
    """
    folder = Path(folder)
    text = card_of(template, figures, folder.resolve().name)
    for name, content in (("README.md", text), ("figures.json", json.dumps(figures, indent=1) + "\n")):
        write_file(folder / name, content.encode())
