# SPDX-License-Identifier: Apache-2.0
"""Retrieval of poses by text: recall over a whole set, and R-precision over small random pools.

Row `i` of the queries belongs to row `i` of the gallery; similarity is the dot product, which for unit vectors gives
the same ranking as the Euclidean distance. The rank of the match among ties is random, so a model that embeds
everything alike gains nothing.
"""

from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike

TILE = 2048  # rows and columns of similarities in memory at once: 16 MB for any number of items
NUMBERS_AT_ONCE = 2**24  # numbers in the vectors of pools held at once: 64 MB
ROUNDING = 1e-6  # of float32 similarities of unit vectors: smaller differences count as ties


def match_ranks(queries, gallery) -> tuple[torch.Tensor, torch.Tensor]:
    """The rank of each row's match among all rows of the other side, in both directions, in one pass.

    Args:
        queries, gallery: `(n, d)`.

    Returns:
        How many others are more similar than the match, and how many are tied with it, both `(2, n)`: first for
        queries searching the gallery, then for gallery items searching the queries.

    Raises:
        ValueError: the shapes differ, or a value is not finite.
    """
    queries, gallery = _checked(queries, gallery)
    slack = ROUNDING * float(queries.norm(dim=1).max() * gallery.norm(dim=1).max())
    own = (queries * gallery).sum(1)  # (n,)
    closer, not_farther = torch.zeros(2, 2, len(queries), dtype=torch.int32, device=queries.device)
    parts = [slice(start, start + TILE) for start in range(0, len(queries), TILE)]
    for rows in parts:
        for columns in parts:
            scores = queries[rows] @ gallery[columns].T  # (rows, columns)
            for direction, part, match in ((0, rows, own[rows, None]), (1, columns, own[None, columns])):
                # Summed in 32 bits: with the default 64 bits, the sums take longer than the product.
                closer[direction, part] += (scores > match + slack).sum(1 - direction, dtype=torch.int32)
                not_farther[direction, part] += (scores >= match - slack).sum(1 - direction, dtype=torch.int32)
    return closer, not_farther - closer - 1


def sampled_recall(queries, gallery, ks=(5, 10, 20), pool: int = 32, repetitions: int = 10, seed: int = 0):
    """For each `k`, the percentage of queries whose match is in the top `k` of a random pool containing it: "random
    sampling".

    Returns the mean over the repetitions. The values are meaningless without the pool size.
    """
    closer, level = _pool_ranks(queries, gallery, pool, repetitions, seed)
    return {k: _percentage(closer, level, k) for k in ks}


def retrieval_recall(
    text_embeds: ArrayLike, pose_embeds: ArrayLike, ks: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """Recall over the whole set in both directions, in per cent (PoseScript, ECCV 2022).

    Args:
        text_embeds, pose_embeds: `(n, d)` unit vectors; text `i` describes pose `i` (or pair of poses).
        ks: lengths of the result lists.

    Returns:
        `t2p_r@k` (a text searches poses) and `p2t_r@k` for each `k`, and `mrecall`, the mean of all.

    Raises:
        ValueError: the shapes differ, or a value is not finite.
    """
    closer, level = match_ranks(text_embeds, pose_embeds)
    directions = zip(("t2p", "p2t"), closer, level, strict=True)
    found = {f"{name}_r@{k}": _percentage(above, tied, k) for name, above, tied in directions for k in ks}
    return found | {"mrecall": sum(found.values()) / len(found)}


def r_precision(
    text_embeds: ArrayLike,
    pose_embeds: ArrayLike,
    ks: Sequence[int] = (1, 2, 3),
    pool: int = 32,
    repetitions: int = 10,
    seed: int = 0,
) -> dict[str, float]:
    """R-precision: a text searches a pool of its own pose and random others (PoseFix, ICCV 2023; UniPose, Table 2).

    Args:
        text_embeds, pose_embeds: `(n, d)` unit vectors; text `i` belongs to pose `i` (or pair of poses).
        pool: pool size, including the match; guessing reaches `k / pool`.
        repetitions: number of pools per text.
        seed: random seed of the pools.

    Returns:
        In per cent, for each `k`: `top{k}`, how often the pose is in the top `k`, averaged over pools; and
        `top{k}_of_average_rank`, how many texts have an average zero-based rank over their pools below `k`, which the
        published code of PoseScript prints as R-precision. The two differ, so state which one you use.

    Raises:
        ValueError: the shapes differ, a value is not finite, or there are fewer items than the pool size.
    """
    closer, level = _pool_ranks(text_embeds, pose_embeds, pool, repetitions, seed)
    average = (closer + level / 2).double().mean(1)
    figures = {f"top{k}": _percentage(closer, level, k) for k in ks}
    return figures | {f"top{k}_of_average_rank": 100 * float((average < k).double().mean()) for k in ks}


def _percentage(closer, level, k) -> float:
    return 100 * float(((k - closer) / (level + 1)).clamp(0, 1).double().mean())


def _pool_ranks(queries, gallery, pool, repetitions, seed):
    """Like `match_ranks`, in `repetitions` random pools for each query: both `(n, repetitions)`."""
    queries, gallery = _checked(queries, gallery)
    count, width = queries.shape
    if not 2 <= pool <= count:
        raise ValueError(f"Pools of {pool} cannot be drawn from {count} items; choose a pool between 2 and {count}.")
    generator = torch.Generator().manual_seed(seed)
    rows = max(1, NUMBERS_AT_ONCE // (pool * width))
    closer = torch.empty(count, repetitions, dtype=torch.long)
    level = torch.empty_like(closer)
    for repetition in range(repetitions):
        members = torch.cat((torch.arange(count)[:, None], _draw_others(count, pool - 1, generator)), 1)
        for start in range(0, count, rows):
            part = slice(start, start + rows)
            candidates = gallery[members[part].to(gallery.device)]  # (rows, pool, d), the match first
            scores = (candidates @ queries[part, :, None])[..., 0]  # (rows, pool)
            closer[part, repetition] = (scores[:, 1:] > scores[:, :1]).sum(1).cpu()
            level[part, repetition] = (scores[:, 1:] == scores[:, :1]).sum(1).cpu()
    return closer, level


def _draw_others(count: int, draws: int, generator: torch.Generator) -> torch.Tensor:
    """For each of `count` rows, `draws` different other rows, `(count, draws)`, uniformly.

    Floyd's algorithm (Communications of the ACM 30, 1987), for all rows at once: memory is proportional to the number
    of draws.
    """
    chosen = torch.empty(count, 0, dtype=torch.long)
    for last in range(count - 1 - draws, count - 1):
        draw = torch.randint(last + 1, (count, 1), generator=generator)
        is_taken = (chosen == draw).any(1, keepdim=True)
        chosen = torch.cat((chosen, torch.where(is_taken, last, draw)), 1)
    own = torch.arange(count)[:, None]
    return chosen + (chosen >= own)


def _checked(queries, gallery):
    queries, gallery = torch.as_tensor(queries), torch.as_tensor(gallery)
    if queries.ndim != 2 or queries.shape != gallery.shape or not len(queries):
        raise ValueError(
            f"Embeddings must have one shape (n, d), found {tuple(queries.shape)} and {tuple(gallery.shape)}."
        )
    queries, gallery = queries.detach().float(), gallery.detach().float()
    if not (queries.isfinite().all() and gallery.isfinite().all()):
        raise ValueError("Embeddings hold NaN or infinite values; expected finite vectors.")
    return queries, gallery
