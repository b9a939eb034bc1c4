# SPDX-License-Identifier: Apache-2.0
"""Searches a gallery of poses or texts by a text or a pose: `pipeline("pose-retrieval")`."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from transformers import Pipeline

from .pipeline_base_unipose import _turn_about_vertical
from .pose_unipose import Pose

BATCH = 256  # gallery rows embedded per batch


@torch.no_grad()
def embed_texts(model, tokenizer, texts) -> torch.Tensor:
    """Texts -> unit vectors `(n, embed_dim)`, on the CPU."""
    features = []
    for start in range(0, len(texts), BATCH):
        words = tokenizer(texts[start : start + BATCH], padding=True, truncation=True, return_tensors="pt")
        ids, mask = words["input_ids"].to(model.device), words["attention_mask"].to(model.device)
        features.append(model.get_text_features(ids, mask, return_dict=True).pooler_output.float().cpu())
    return torch.cat(features)


@torch.no_grad()
def embed_poses(model, rotations) -> torch.Tensor:
    """Rotations `(n, 22, 3, 3)`, or `(n, 2, 22, 3, 3)` for pairs, facing the viewer -> features `(n, embed_dim)`."""
    chunks = (chunk.to(model.device) for chunk in rotations.split(BATCH))
    features = [model.get_pose_features(chunk, return_dict=True).pooler_output for chunk in chunks]
    return torch.cat(features).float().cpu()


class PoseRetrievalPipeline(Pipeline):
    """
    `pipeline("pose-retrieval", model=..., gallery=...)`: a text or a pose -> the most similar rows of the gallery,
    best first, each `{"score": cosine similarity, "index": row, "pose" | "poses" | "text": content of the row}`.

    A gallery is a list of texts; poses, as a list or an array `(n, 22, 3)` of axis-angle or `(n, 22, 3, 3)` of
    matrices; or a `datasets.Dataset` with a column `text`, `pose` or both. With both, a text searches the poses and a
    pose the texts. For a pair model every pose is a pair: a tuple, an array `(2, 22, 3)`, or a column `poses`.

    A gallery given here is embedded once; one given to a call is used for that call only. The heading of poses does
    not matter. A list is a batch of queries. `top_k` rows are returned, 5 by default. The search is exact and uses
    `faiss` if it is installed.

    Raises:
        ValueError: no gallery, an empty one, one with neither texts nor poses, an empty text, a pose with a wrong
            shape or non-finite values, a pair for a model of single poses or vice versa, `top_k` below 1.
    """

    _load_tokenizer = True
    _load_processor = _load_image_processor = _load_video_processor = _load_feature_extractor = False

    def _sanitize_parameters(self, gallery=None, top_k=None, **unknown):
        if unknown:
            raise ValueError(f"pose-retrieval takes the options gallery and top_k, but not {', '.join(unknown)}.")
        options = {}
        if gallery is not None:
            options["gallery"] = PoseGallery(self, gallery)
        if top_k is not None:
            if top_k < 1:
                raise ValueError(f"top_k is {top_k}; ask for at least one row.")
            options["top_k"] = top_k
        return {}, {}, options

    def __call__(self, query: Any, **kwargs: Any) -> list:
        if isinstance(query, list) and not query:
            return []
        return super().__call__(query, **kwargs)

    def preprocess(self, query: Any) -> dict[str, Any]:
        if isinstance(query, dict):  # possibly the result of another pipeline, with its score
            keys = [key for key in ("text", "pose", "poses") if key in query]
            if len(keys) != 1:
                raise ValueError(f"A query must have exactly one of 'text', 'pose' and 'poses', but has {keys}.")
            query = query[keys[0]]
        if isinstance(query, str):
            return {"texts": _checked_texts([query])}
        return {"rotations": self.read_pose(query)[None]}

    def _forward(self, query):
        if "texts" in query:
            return {"features": embed_texts(self.model, self.tokenizer, query["texts"]), "searched": "poses"}
        return {"features": embed_poses(self.model, query["rotations"]), "searched": "texts"}

    def postprocess(
        self, output: dict[str, Any], gallery: "PoseGallery | None" = None, top_k: int = 5
    ) -> list[dict[str, Any]]:
        if gallery is None:
            raise ValueError("There is no gallery to search; give gallery=... to the pipeline or to the call.")
        return gallery.search(output["features"], output["searched"], top_k)

    def get_iterator(self, inputs: Any, num_workers: int, batch_size: int, *params: Any) -> Iterator:
        # A batch may mix texts and poses, and a query is cheap compared to its gallery.
        return (self.run_single(one, *params) for one in inputs)

    def read_pose(self, given: Pose | ArrayLike | list[Pose] | tuple[Pose, Pose]) -> torch.Tensor:
        """A pose, or a pair for a pair model -> rotations as the model takes them, facing the viewer."""
        count = self.model.config.num_poses
        if count == 1:
            return _facing_viewer(_as_pose(given))
        poses = list(given) if isinstance(given, list | tuple | np.ndarray | torch.Tensor) else [given]
        if len(poses) != count:
            raise ValueError(f"This model compares pairs of poses, but {len(poses)} poses were given instead of two.")
        return torch.stack([_facing_viewer(_as_pose(pose)) for pose in poses])


class PoseGallery:
    """The rows to search. Texts and poses are embedded when they are first needed."""

    def __init__(self, pipeline, gallery):
        self.pipeline = pipeline
        self.pose_key = "pose" if pipeline.model.config.num_poses == 1 else "poses"
        self.columns = {}  # "text" and "pose" or "poses", where the gallery holds them
        if hasattr(gallery, "column_names"):
            names = [name for name in ("text", self.pose_key) if name in gallery.column_names]
            self.columns = {name: list(gallery[name]) for name in names}
            if not names:
                found = ", ".join(gallery.column_names)
                raise ValueError(f"The gallery has the columns {found}; expected 'text', {self.pose_key!r} or both.")
        else:
            rows = list(gallery)
            self.columns = {"text" if rows and isinstance(rows[0], str) else self.pose_key: rows}
        if "text" in self.columns:
            _checked_texts(self.columns["text"])
        if not len(next(iter(self.columns.values()))):
            raise ValueError("The gallery is empty; give at least one text or pose.")
        if self.pose_key in self.columns:
            self.rotations = torch.stack([pipeline.read_pose(row) for row in self.columns[self.pose_key]])

    @functools.cached_property
    def texts(self):
        return _Index(embed_texts(self.pipeline.model, self.pipeline.tokenizer, self.columns["text"]))

    @functools.cached_property
    def poses(self):
        return _Index(embed_poses(self.pipeline.model, self.rotations))

    def search(self, features, searched, top_k):
        if len(self.columns) == 1:
            searched = "texts" if "text" in self.columns else "poses"
        scores, indices = getattr(self, searched).nearest(features, top_k)
        return [{"score": s, "index": i, **self._row(i)} for s, i in zip(scores, indices, strict=True)]

    def _row(self, index):
        row = {name: values[index] for name, values in self.columns.items()}
        if "pose" in row:
            row["pose"] = _as_pose(row["pose"])
        if "poses" in row:
            row["poses"] = tuple(_as_pose(pose) for pose in row["poses"])
        return row


class _Index:
    """Exact nearest-neighbour search in features `(n, embed_dim)`."""

    def __init__(self, features):
        self.features, self.faiss = features, None
        try:
            import faiss
        except ImportError:
            return
        self.faiss = faiss.IndexFlatIP(features.shape[1])
        self.faiss.add(features.numpy())

    def nearest(self, features, top_k):
        """A query's features `(1, embed_dim)` -> similarities and indices of the nearest rows, best first."""
        top_k = min(top_k, len(self.features))
        if self.faiss is not None:
            scores, indices = self.faiss.search(features.numpy(), top_k)
        else:
            scores, indices = (features @ self.features.T).topk(top_k)
        return scores[0].tolist(), indices[0].tolist()


def _checked_texts(texts):
    for i, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            found = "an empty text" if isinstance(text, str) else type(text).__name__
            raise ValueError(f"Text {i} is {found}; expected a sentence.")
    return texts


def _as_pose(given):
    """A `Pose`, axis-angle `(22, 3)` or matrices `(22, 3, 3)` -> a `Pose`."""
    is_matrices = not hasattr(given, "axis_angle") and np.shape(given)[-2:] == (3, 3)
    return Pose.from_matrix(given) if is_matrices else Pose(given)


def _facing_viewer(pose):
    """A `Pose` -> its rotations `(22, 3, 3)` without the rotation about the vertical axis."""
    rotations = np.array(pose.matrix)
    rotations[0] = _turn_about_vertical(rotations[0]).T @ rotations[0]
    return torch.from_numpy(rotations)
