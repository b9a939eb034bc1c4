# SPDX-License-Identifier: Apache-2.0
"""Does a text find its pose among others? Recall over a whole set, and R-precision over small random pools.

Row `i` of the queries belongs to row `i` of the gallery; similarity is the dot product, which for vectors of unit
length ranks as the Euclidean distance does. Where others are as similar as the match, its place among them counts as
drawn at random, so that a model that embeds everything alike gains nothing.
"""

from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike

TILE = 2048  # rows and columns of the similarities held in memory: 16 MB, whatever the number of items
NUMBERS_AT_ONCE = 2**24  # of the vectors of pools: 64 MB
ROUNDING = 1e-6  # of a similarity of unit vectors in float32: what is nearer than this counts as equal


def match_ranks(queries, gallery) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each row finds its own when all of the other side is sorted, both ways by one pass over all similarities.

    Args:
        queries, gallery: `(n, d)`.

    Returns:
        How many others are more similar than the match, and how many as similar, both `(2, n)`: first of the queries,
        which search the gallery, then of the gallery, which searches the queries.

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
            for way, part, match in ((0, rows, own[rows, None]), (1, columns, own[None, columns])):
                # Summed in 32 bits: in 64, as by default, the sums take longer than the product.
                closer[way, part] += (scores > match + slack).sum(1 - way, dtype=torch.int32)
                not_farther[way, part] += (scores >= match - slack).sum(1 - way, dtype=torch.int32)
    return closer, not_farther - closer - 1


def sampled_recall(queries, gallery, ks=(5, 10, 20), pool: int = 32, repetitions: int = 10, seed: int = 0):
    """Of each `k`, the percentage of queries that find their own row among the first `k` of a random pool that holds
    it: "random sampling".

    The mean over the repetitions is given. The figures mean nothing without the size of the pool.
    """
    closer, level = _pool_ranks(queries, gallery, pool, repetitions, seed)
    return {k: _percentage(closer, level, k) for k in ks}


def retrieval_recall(
    text_embeds: ArrayLike, pose_embeds: ArrayLike, ks: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """Recall over the whole set both ways, in per cent (PoseScript, ECCV 2022).

    Args:
        text_embeds, pose_embeds: `(n, d)`, of unit length; text `i` describes pose `i` (or pair of poses).
        ks: lengths of the lists searched.

    Returns:
        `t2p_r@k` (a text searches poses) and `p2t_r@k` of each `k`, and `mrecall`, the mean of them all.

    Raises:
        ValueError: the shapes differ, or a value is not finite.
    """
    closer, level = match_ranks(text_embeds, pose_embeds)
    ways = zip(("t2p", "p2t"), closer, level, strict=True)
    found = {f"{way}_r@{k}": _percentage(above, beside, k) for way, above, beside in ways for k in ks}
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
        text_embeds, pose_embeds: `(n, d)`, of unit length; text `i` belongs to pose `i` (or pair of poses).
        pool: items of a pool, the right one among them; guessing reaches `k / pool`.
        repetitions: pools drawn for each text.
        seed: of the pools.

    Returns:
        In per cent, of each `k`: `top{k}`, the mean over the pools of finding the pose among the first `k`; and
        `top{k}_of_average_rank`, how many texts have an average zero-based rank over their pools below `k`, which is
        what the published code of PoseScript prints as R-precision. The two differ, so name the one you use.

    Raises:
        ValueError: the shapes differ, a value is not finite, or there are fewer items than the pool has.
    """
    closer, level = _pool_ranks(text_embeds, pose_embeds, pool, repetitions, seed)
    average = (closer + level / 2).double().mean(1)
    figures = {f"top{k}": _percentage(closer, level, k) for k in ks}
    return figures | {f"top{k}_of_average_rank": 100 * float((average < k).double().mean()) for k in ks}


def _percentage(closer, level, k) -> float:
    return 100 * float(((k - closer) / (level + 1)).clamp(0, 1).double().mean())


def _pool_ranks(queries, gallery, pool, repetitions, seed):
    """As `match_ranks`, in `repetitions` random pools for each query: both `(n, repetitions)`."""
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
            candidates = gallery[members[part].to(gallery.device)]  # (rows, pool, d), the right one first
            scores = (candidates @ queries[part, :, None])[..., 0]  # (rows, pool)
            closer[part, repetition] = (scores[:, 1:] > scores[:, :1]).sum(1).cpu()
            level[part, repetition] = (scores[:, 1:] == scores[:, :1]).sum(1).cpu()
    return closer, level


def _draw_others(count: int, draws: int, generator: torch.Generator) -> torch.Tensor:
    """For each of `count` rows `draws` different other rows, `(count, draws)`, all choices as likely.

    Floyd's way (Communications of the ACM 30, 1987), for all rows at once: memory grows with what is drawn, not with
    what it is drawn from.
    """
    drawn = torch.empty(count, 0, dtype=torch.long)
    for last in range(count - 1 - draws, count - 1):
        draw = torch.randint(last + 1, (count, 1), generator=generator)
        taken = (drawn == draw).any(1, keepdim=True)
        drawn = torch.cat((drawn, torch.where(taken, last, draw)), 1)
    own = torch.arange(count)[:, None]
    return drawn + (drawn >= own)


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
