# SPDX-License-Identifier: Apache-2.0
"""How well poses fit a text, by the bundled retrieval model."""

import functools

import numpy as np
import torch
from torch import Tensor
from transformers import pipeline

from unipose_hf.modeling.pipeline_pose_retrieval import embed_poses, embed_texts
from unipose_hf.modeling.pose_unipose import Pose
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix

from .angles import angles_to_axis_angle
from .bank import load_language_bank


def fit_to_text(pose: Pose, text: str) -> float:
    """
    How well a pose fits a text, in [0, 1]: the share of the bank's named poses that are less similar to the text.

    Similarities are those of the bundled plain-English retrieval model. A similarity by itself says less, because
    some texts are similar to every pose (examples/benchmarks/results/retrieval_score.md). The heading is ignored.

    ```python
    >>> from unipose_hf.data.language import fit_to_text, named_pose
    >>> fit_to_text(named_pose("squat"), "a deep squat") > 0.9 > fit_to_text(named_pose("T-pose"), "a deep squat")
    True

    ```
    """
    search, wanted = _search(), text_features([text])[0]
    similarity = embed_poses(search.model, search.read_pose(pose)[None])[0] @ wanted
    return float((_named_features() @ wanted < similarity).float().mean())


def log_likelihoods(text: str, poses: list[Pose]) -> np.ndarray:
    """Log-likelihoods `(n,)` of a text as the description of each of the poses, up to a constant.

    They are the retrieval model's logits, similarities times its temperature; it was trained to tell by their softmax
    which pose a text describes. The heading is ignored.
    """
    search = _search()
    embedded = embed_poses(search.model, torch.stack([search.read_pose(pose) for pose in poses]))
    return (search.model.temperature.detach().cpu() * (embedded @ text_features([text])[0])).numpy()


def text_features(texts: list[str]) -> Tensor:
    """Unit vectors `(n, embed_dim)` of texts, to compare with `pose_features`."""
    search = _search()
    return embed_texts(search.model, search.tokenizer, texts)


def pose_features(axis_angle: Tensor) -> Tensor:
    """Unit vectors `(n, embed_dim)` of poses `(n, 22, 3)`, in radians, that face the viewer."""
    return embed_poses(_search().model, axis_angle_to_matrix(axis_angle))


@functools.cache
def _search():
    return pipeline("pose-retrieval", device="cpu")


@functools.cache
def _named_features() -> Tensor:
    return pose_features(angles_to_axis_angle(load_language_bank().named_angles))
