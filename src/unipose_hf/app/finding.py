# SPDX-License-Identifier: Apache-2.0
"""Finds poses by words or by likeness; the page's tab Search, and two of its tools."""

from typing import Any

import torch

from ..data.language import describe_poses, load_language_bank, search_poses
from ..data.language.fitting import text_features
from ..modeling.pose_unipose import Pose
from .actions import read
from .gallery import Gallery, joints_facing, load_gallery, sources

MIN_DISTANCE = 0.02  # metres; of poses that differ by less, as in one clip, only the first is returned


def search(words: str, limit: int = 24, where: list[str] | None = None) -> list[dict[str, Any]]:
    """Find poses by words.

    Args:
        words: words such as "kneel" or "crawling on hands and knees". Finds the poses whose names or descriptions
            contain all of the words or, if there are none, those that fit them best by the retrieval model. Empty for
            all.
        limit: maximum number of results.
        where: "named", "open" (motion capture) and "folder" (the folder given to `unipose app --folder`). By default,
            the named poses.

    Returns:
        One dictionary for each pose: `name`, `source`, `description` and `pose`.

    Raises:
        ValueError: `limit` below 1, or an unknown source.
    """
    galleries = _galleries(limit, ["named"] if where is None else where)
    found: list[tuple[str, Gallery, int]] = []
    if "named" in galleries:
        rows = {pose.name: row for row, pose in enumerate(load_language_bank().named)}
        found += [("named", galleries["named"], rows[one.name]) for one in search_poses(words)[:limit]]
    wanted = words.lower().split()
    for source, gallery in galleries.items():
        if source != "named":
            named = [row for row, name in enumerate(gallery.names) if all(word in name.lower() for word in wanted)]
            found += _without_near_copies([(source, gallery, row) for row in named], limit - len(found))
    if wanted and not found:
        found = _without_near_copies(_by_words(words, galleries), limit)
    return _answers(found)


def nearest(pose: dict[str, Any], limit: int = 12, where: list[str] | None = None) -> list[dict[str, Any]]:
    """Find the poses that are most similar to a pose.

    Args:
        pose: a pose, as another function returned it.
        limit: maximum number of results.
        where: "named" (yoga, sports, gestures, everyday postures), "open" (motion capture) and "folder" (the folder
            given to `unipose app --folder`). By default, all of these.

    Returns:
        One dictionary for each pose, nearest first: `name`, `source`, `description`, `distance` and `pose`. The
        distance is the mean over the joints in metres, with both bodies facing the viewer and their hips in one place.

    Raises:
        ValueError: `limit` below 1, an unknown source, or something that is not a pose.
    """
    galleries = _galleries(limit, list(sources()) if where is None else where)
    joints = joints_facing(torch.tensor(read(pose).axis_angle))
    ranked = _by_distance(joints, galleries)
    distances = {(source, row): distance for distance, source, _, row in ranked}
    found = _without_near_copies([(source, gallery, row) for _, source, gallery, row in ranked], limit)
    return [
        answer | {"distance": round(distances[source, row], 4)}
        for answer, (source, _, row) in zip(_answers(found), found, strict=True)
    ]


def _galleries(limit: int, where: list[str]) -> dict[str, Gallery]:
    if limit < 1:
        raise ValueError(f"limit is {limit}; ask for at least one pose.")
    if not where:
        raise ValueError(f"No source is given; choose at least one of {', '.join(sources())}.")
    return {source: load_gallery(source) for source in where}


def _by_words(words: str, galleries: dict[str, Gallery]) -> list[tuple[str, Gallery, int]]:
    """Every pose of the galleries, best match first."""
    wanted = text_features([words])[0]
    found = [
        (similarity, source, gallery, row)
        for source, gallery in galleries.items()
        for row, similarity in enumerate((gallery.features @ wanted).tolist())
    ]
    return [one[1:] for one in sorted(found, key=lambda one: -one[0])]


def _by_distance(joints: torch.Tensor, galleries: dict[str, Gallery]) -> list[tuple[float, str, Gallery, int]]:
    """Every pose of the galleries with its distance, nearest first."""
    found = [
        (distance, source, gallery, row)
        for source, gallery in galleries.items()
        for row, distance in enumerate(gallery.distances(joints).tolist())
    ]
    return sorted(found, key=lambda one: one[0])


def _without_near_copies(found: list[tuple[str, Gallery, int]], limit: int) -> list[tuple[str, Gallery, int]]:
    """The first `limit` of them, without near copies of earlier ones."""
    chosen: list[tuple[str, Gallery, int]] = []
    kept = torch.zeros(0, 22, 3)
    for source, gallery, row in found:
        if len(chosen) >= limit:
            break
        joints = gallery.joints[row]
        if len(kept) and (kept - joints).norm(dim=-1).mean(dim=-1).min() < MIN_DISTANCE:
            continue
        kept = torch.cat([kept, joints[None]])
        chosen.append((source, gallery, row))
    return chosen


def _answers(found: list[tuple[str, Gallery, int]]) -> list[dict[str, Any]]:
    if not found:
        return []
    poses = [Pose(gallery.axis_angle[row].numpy()) for _, gallery, row in found]
    texts = describe_poses([pose.axis_angle for pose in poses])
    named = load_language_bank().named
    return [
        {
            "name": gallery.names[row],
            "source": source,
            "description": named[row].texts[0] if source == "named" else text,
            "pose": pose.to_dict(),
        }
        for (source, gallery, row), pose, text in zip(found, poses, texts, strict=True)
    ]
