# SPDX-License-Identifier: Apache-2.0
"""Evaluates the retrieval models on the held-out clips of the open poses with automatic texts, and on held-out
captured poses with plain-English texts.
"""

from pathlib import Path

import torch

from unipose_hf.body import remove_yaw
from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.data.language.composer import load_described
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.evaluation.metrics.retrieval_metrics import r_precision, retrieval_recall
from unipose_hf.modeling.pipeline_pose_retrieval import embed_poses, embed_texts
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix

from .held_out import choose_poses, other_of_clip


def evaluate_retrieval(model, tokenizer, count: int | None = None, seed: int = 0) -> dict[str, float]:
    """Recall over the held-out poses, in per cent, as in `retrieval_recall`, and the number of `rows` searched.

    Texts state everything that the caption engine says about a pose, or about the change from another pose of its
    clip.

    Args:
        model: a [`PoseTextRetrievalModel`] or a [`PosePairTextRetrievalModel`].
        tokenizer: the tokenizer used in training.
        count: number of poses, spread over all clips; all of them by default.
        seed: random seed of texts and pairs.
    """
    model.eval()
    poses, texts = held_out_pairs(count, seed) if model.config.num_poses == 2 else held_out_poses(count, seed)
    rotations = axis_angle_to_matrix(remove_yaw(poses))
    return {"rows": len(texts)} | retrieval_recall(embed_texts(model, tokenizer, texts), embed_poses(model, rotations))


def evaluate_described(model, tokenizer, folder: str | Path) -> dict[str, dict[str, float]]:
    """Recall over the held-out described poses (or pairs), in per cent, for their `short` and `full` texts.

    Each style has the number of `rows`, `top1`, the R-precision in pools of 32, and the values of `retrieval_recall`.

    Args:
        model: a [`PoseTextRetrievalModel`] or a [`PosePairTextRetrievalModel`].
        tokenizer: the tokenizer used in training.
        folder: folder with the described poses and pairs, as for `load_described`.

    Raises:
        FileNotFoundError: the folder has no such files.
    """
    model.eval()
    pairs = model.config.num_poses == 2
    described = load_described(folder, "pairs" if pairs else "poses", kept_back=True)
    poses = described.poses if pairs else described.poses[:, 0]
    poses = embed_poses(model, axis_angle_to_matrix(remove_yaw(poses)))
    figures = {}
    for voice in ("short", "full"):
        texts = embed_texts(model, tokenizer, [texts[voice] for texts in described.texts])
        precision = r_precision(texts, poses, ks=(1,))["top1"]
        figures[voice] = {"rows": len(poses), "top1": precision} | retrieval_recall(texts, poses)
    return figures


def held_out_poses(count: int | None = None, seed: int = 0) -> tuple[torch.Tensor, list[str]]:
    """The test poses `(n, 22, 3)` and a caption of each."""
    poses = load_open_poses("test").axis_angle
    if count is not None:
        poses = poses[torch.linspace(0, len(poses) - 1, min(count, len(poses))).round().long()]
    return poses, caption_poses(poses, seed=seed)


def held_out_pairs(count: int | None = None, seed: int = 0) -> tuple[torch.Tensor, list[str]]:
    """Pairs `(n, 2, 22, 3)` of test poses of one clip and the instruction of each; every pose is the second one
    once."""
    poses = load_open_poses("test")
    chosen = choose_poses(poses.clip_id, count)
    second, clips = poses.axis_angle[chosen], poses.clip_id[chosen]
    first = second[other_of_clip(clips, torch.Generator().manual_seed(seed))]
    return torch.stack([first, second], 1), instruct_pairs(first, second, seed=seed)
