# SPDX-License-Identifier: Apache-2.0
"""Texts in plain English about held-out poses and pairs: how true they are, how much they say, and how specific."""

from types import SimpleNamespace

import numpy as np
import torch

from unipose_hf.body import remove_yaw
from unipose_hf.data.language import describe_changes, describe_poses, judge_changes, judge_descriptions
from unipose_hf.data.language.fitting import pose_features, text_features
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.evaluation.metrics.retrieval_metrics import r_precision
from unipose_hf.modeling.processing_unipose import task_messages

from .answers import answer_texts
from .held_out import choose_poses, other_of_clip

POOL = 32


def evaluate_plain_texts(model, processor, count: int | None = None) -> dict[str, dict[str, float]]:
    """Judges full texts of `pose-to-text` and `pose-diff` in plain English on held-out poses.

    Pairs are two poses of one clip. `judge_descriptions` and `judge_changes` judge the statements. For each task, and
    for `"measured pose-to-text"` and `"measured pose-diff"`, the texts of `describe_poses` and `describe_changes`:
    `true`, the share of statements that are true, `statements` in a text, `true_of_other_texts`, the share of true
    statements in texts of other poses, and `found`, the percentage of texts of which more is true of their own pose
    (or pair) than of 31 random others (ties count in part). Descriptions also have `top1`, R-precision by the bundled
    plain-English retrieval model in pools of 32.

    Args:
        model, processor: a [`UniPoseForConditionalGeneration`] trained on plain English, and its processor.
        count: number of poses; all by default.
    """
    held_out = load_open_poses("test")
    chosen = choose_poses(held_out.clip_id, count)
    generator = torch.Generator().manual_seed(0)
    after = remove_yaw(held_out.axis_angle[chosen])
    before = after[other_of_clip(held_out.clip_id[chosen], generator)]
    setting = SimpleNamespace(model=model.eval(), processor=processor, batch_size=32, generation_seconds=0.0)

    def answers(task, *poses):
        rows = zip(*poses, strict=True)
        return answer_texts(setting, [task_messages(task, poses=list(row), style="full") for row in rows])

    descriptions = {
        "pose-to-text": answers("pose-to-text", after),
        "measured pose-to-text": describe_poses(after),
    }
    changes = {"pose-diff": answers("pose-diff", before, after), "measured pose-diff": describe_changes(before, after)}
    figures = {}
    for name, texts in descriptions.items():
        figures[name] = _judged(
            lambda rows, texts=texts: judge_descriptions(texts, after[rows]), len(after), generator
        )
        if len(after) >= POOL:
            figures[name]["top1"] = r_precision(text_features(texts), pose_features(after), pool=POOL)["top1"]
    for name, texts in changes.items():

        def judge(rows, texts=texts):
            return judge_changes(texts, before[rows], after[rows])

        figures[name] = _judged(judge, len(after), generator)
    return {name: {key: round(value, 3) for key, value in row.items()} for name, row in figures.items()}


def _judged(judge, count, generator):
    """The figures of texts; `judge` takes the row of the pose that each text is said of, `(count,)`."""
    own = judge(torch.arange(count))
    share = _true(own)
    others = [torch.randperm(count, generator=generator) for _ in range(POOL - 1)]
    others = [torch.where(rows == torch.arange(count), (rows + 1) % count, rows) for rows in others]
    shares = np.stack([_true(judge(rows)) for rows in others])  # (31, count)
    tied = (shares == share).sum(0)
    return {
        "true": float(np.mean([statement.true for text in own for statement in text])),
        "statements": float(np.mean([len(text) for text in own])),
        "true_of_other_texts": float(shares[0].mean()),
        "found": 100 * float(np.mean(np.where((shares > share).any(0), 0.0, 1 / (tied + 1)))),
    }


def _true(judged):
    """The share of true statements of each text."""
    return np.array([np.mean([statement.true for statement in text]) if text else 0.0 for text in judged])
