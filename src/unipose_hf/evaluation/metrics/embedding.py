# SPDX-License-Identifier: Apache-2.0
"""Wraps a trained retrieval model as the two functions that protocols take."""

import torch

from unipose_hf.evaluation.reporting.results import Embedder
from unipose_hf.modeling.pipeline_pose_retrieval import embed_poses, embed_texts
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix


def embedder(model, tokenizer) -> Embedder:
    """The embedder of a [`PoseTextRetrievalModel`] or [`PosePairTextRetrievalModel`] and its tokenizer."""
    model.eval()

    def texts(given):
        # a model may give an empty answer, which has no features
        return embed_texts(model, tokenizer, [text or "." for text in given])

    def poses(*given):
        rotations = axis_angle_to_matrix(torch.stack(given, 1))  # (n, poses, 22, 3, 3)
        return embed_poses(model, rotations if len(given) > 1 else rotations[:, 0])

    return Embedder(texts, poses)
