# SPDX-License-Identifier: Apache-2.0
"""A trained retrieval model as the two functions that protocols take."""

import torch

from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix

from .results import Embedder


def embedder(model, tokenizer, batch_size: int = 256) -> Embedder:
    """Of a [`PoseTextRetrievalModel`] or [`PosePairTextRetrievalModel`] and the tokenizer of its texts."""

    @torch.no_grad()
    def texts(given):
        rows = []
        for start in range(0, len(given), batch_size):
            # a model may answer with nothing, but nothing has no features
            batch = [text or "." for text in given[start : start + batch_size]]
            inputs = tokenizer(batch, padding=True, truncation=True, return_tensors="pt").to(model.device)
            rows.append(model.get_text_features(inputs["input_ids"], inputs["attention_mask"]).float().cpu())
        return torch.cat(rows)

    @torch.no_grad()
    def poses(*given):
        rotations = [axis_angle_to_matrix(pose) for pose in given]
        rotations = rotations[0] if len(rotations) == 1 else torch.stack(rotations, 1)
        batches = rotations.to(model.device).split(batch_size)
        return torch.cat([model.get_pose_features(batch).float().cpu() for batch in batches])

    model.eval()
    return Embedder(texts, poses)
