# SPDX-License-Identifier: Apache-2.0
"""Mines pairs of poses worth an instruction: similar overall, but different in enough details.

PoseFix (Delmas et al., 2023) mines two kinds, both among each pose's 100 nearest neighbours by cosine similarity of
embeddings, with a similarity strictly between 0.7 and 0.9: pairs *within* one motion, less than half a second apart
and with more than 15 differing posecodes, and pairs *across* motions with more than 20. UniPose's ImageDiff (Li et
al., 2024) only requires at least 10 differing posecodes among the 100 nearest.

A pair is (A, B): the instruction leads from A to B. The embeddings are the caller's; the published ones come from the
pose encoder of a text-to-pose retrieval model.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from unipose_hf.captions import measure_posecodes

NEIGHBOURS = 100
COSINES = (0.7, 0.9)  # both strict
MORE_THAN_WITHIN, MORE_THAN_ACROSS = 15, 20  # differing codes, strict
MIN_IMAGE_DIFFERENCES = 10
SECONDS = 0.5  # strict
BEST_ACROSS = 3

_CHUNK = 4096  # poses measured, or compared with as many others, or pairs compared, at once: 64 MB of cosines


class MinedPairs(NamedTuple):
    """Q pairs, ordered by B; pairs of one B by falling cosine.

    `pairs` (Q, 2) long: indices (A, B). `cosine` (Q,) float32. `differences` (Q,) long: how many codes differ.
    `seconds` (Q,) float32: from A to B within a motion, 0 across motions. `complete` (Q,) bool: False if B has fewer
    than the three desired A's across motions, which PoseFix considers lower quality.
    """

    pairs: Tensor
    cosine: Tensor
    differences: Tensor
    seconds: Tensor
    complete: Tensor


def low_level_properties(joints, *, noise: torch.Generator | None = None) -> Tensor:
    """The 418 posecodes used to compare poses: 268 categories that only need positions, and 150 binary super-codes.

    Args:
        joints: (N, 22, 3) or (N, 52, 3) metres, y up, yaw removed (`unipose_hf.captions.pose_geometry`).
        noise: a generator adds the method's tolerance noise, as in PoseFix; None measures exactly.

    Returns:
        (N, 418) int8 for the functions of this module. As in PoseFix, the silent categories on either side of an
        aligned one are distinct.

    Raises:
        ValueError: wrong shape, or a value that is not finite.
    """
    table = []
    for start in range(0, max(1, len(joints)), _CHUNK):
        chunk = torch.from_numpy(np.array(joints[start : start + _CHUNK], dtype=np.float32))  # possibly a memory map
        codes = measure_posecodes(chunk, noise=noise)
        table.append(torch.cat((codes.categories, codes.supers), dim=1).to(torch.int8))
    return torch.cat(table)


def mine_within_motions(features, properties, motion, frame, frame_rate, *, search: str = "auto") -> MinedPairs:
    """PoseFix's in-sequence pairs: B less than half a second after A, in one motion.

    A pair is kept only if A is the nearest in time of B's candidates and B the nearest in time of A's (role unicity;
    ties go to the lower index).

    Args:
        features: (N, D) embeddings, one per pose; their norms do not matter. Features and properties are tensors, or
            arrays that may be memory maps: little is read at once.
        properties: (N, C) integers (`low_level_properties`).
        motion: (N,) integers: the motion of each pose.
        frame: (N,) the frame index of each pose in its motion.
        frame_rate: frames per second, one number or (N,); B's is used.
        search: "faiss" (the extra `faiss`), "torch", or "auto": faiss if it is installed. Both are exact.

    Returns:
        `MinedPairs`; each pose is A at most once, and B at most once.

    Raises:
        ValueError: inconsistent shapes or lengths, or a row of features that is zero or not finite.
        ImportError: `search="faiss"` without faiss.
    """
    features, properties = _checked(features, properties, search)
    motion, frame = _one_each(motion, "motion", len(features)), _one_each(frame, "frame", len(features)).double()
    frame_rate = torch.as_tensor(frame_rate, dtype=torch.float64)
    frame_rate = frame_rate.expand(len(features)) if frame_rate.ndim == 0 else frame_rate
    frame_rate = _one_each(frame_rate, "frame_rate", len(features))
    if not (frame_rate > 0).all():
        raise ValueError(f"frame_rate holds {float(frame_rate.min())}; expected frames a second, above 0.")

    def soon_after(a, b):
        gap = frame[b] - frame[a]
        return (motion[a] == motion[b]) & (gap > 0) & (gap < SECONDS * frame_rate[b])

    mined = _mine(features, properties, soon_after, COSINES, MORE_THAN_WITHIN + 1, search)
    a, b = mined.pairs.T
    gap = frame[b] - frame[a]
    mined = mined._replace(seconds=(gap / frame_rate[b]).float())
    return _take(mined, _first_of_each(b, gap, a) & _first_of_each(a, gap, b))


def mine_across_motions(features, properties, motion, *, search: str = "auto") -> MinedPairs:
    """PoseFix's out-of-sequence pairs: for each B, up to three A's from other motions with the highest cosine.

    Arguments, errors: as for `mine_within_motions`. `pairs_to_annotate` chooses among them.
    """
    features, properties = _checked(features, properties, search)
    motion = _one_each(motion, "motion", len(features))

    def from_another(a, b):
        return motion[a] != motion[b]

    mined = _mine(features, properties, from_another, COSINES, MORE_THAN_ACROSS + 1, search)
    b = mined.pairs[:, 1]
    many = torch.bincount(b, minlength=len(features))
    first = many.cumsum(0) - many  # start of the candidates of each B
    rank = torch.arange(len(b)) - first[b]
    return _take(mined._replace(complete=many[b] >= BEST_ACROSS), rank < BEST_ACROSS)


def mine_image_pairs(features, properties, targets=None, *, seed: int = 0, search: str = "auto") -> MinedPairs:
    """ImageDiff's pairs: for each target B, a random A among its 100 nearest with at least 10 differing codes.

    Args:
        features, properties, search: as for `mine_within_motions`.
        targets: (T,) indices of the B's (UniPose takes farthest points); None takes every pose.

    Returns:
        `MinedPairs`; a target without such an A is skipped.

    Raises:
        ValueError: as for `mine_within_motions`, or an invalid target index.
    """
    features, properties = _checked(features, properties, search)
    targets = torch.arange(len(features)) if targets is None else torch.as_tensor(targets, dtype=torch.long)
    if len(targets) and not (0 <= int(targets.min()) and int(targets.max()) < len(features)):
        found = f"{int(targets.min())} to {int(targets.max())}"
        raise ValueError(f"targets holds {found}; expected indices of the {len(features)} poses, 0 and up.")
    mined = _mine(features, properties, lambda a, b: a != b, None, MIN_IMAGE_DIFFERENCES, search, targets.unique())
    draw = torch.rand(len(mined.pairs), generator=torch.Generator().manual_seed(seed))
    return _take(mined, _first_of_each(mined.pairs[:, 1], draw, mined.pairs[:, 0]))


def pairs_to_annotate(mined: MinedPairs, *, seed: int = 0) -> Tensor:
    """The pairs across motions that PoseFix gives to annotators, in their order.

    B's are processed by increasing index (the order of farthest point sampling, if the poses are stored in it). Each
    gets one of its A's, drawn with weight 1 / (number of B's that may have this A). If some of the A's are still to be
    processed as B's, one of those is drawn, both directions are kept, and A is not processed again.

    Args:
        mined: the result of `mine_across_motions`.
        seed: random seed.

    Returns:
        (P, 2) long: pairs (A, B). The second direction of a pair, (B, A), follows the first.
    """
    candidates: dict[int, list[int]] = {}
    for a, b in mined.pairs.tolist():
        candidates.setdefault(b, []).append(a)
    wanted_by = np.bincount(mined.pairs[:, 0].numpy()) if len(mined.pairs) else np.zeros(0)
    random = np.random.default_rng(seed)
    waiting, chosen = set(candidates), []
    for b in sorted(candidates):
        if b not in waiting:
            continue
        waiting.remove(b)
        mutual = [a for a in candidates[b] if a in waiting]
        choice = mutual or candidates[b]
        weights = 1.0 / wanted_by[choice]
        a = int(random.choice(choice, p=weights / weights.sum()))
        chosen.append((a, b))
        if mutual:
            waiting.remove(a)
            chosen.append((b, a))
    return torch.tensor(chosen, dtype=torch.long).reshape(-1, 2)


def cosine_neighbours(features, targets, count: int, search: str = "auto") -> Iterator[tuple]:
    """The exact nearest poses by cosine similarity, in chunks with memory independent of the number of poses.

    Args:
        features: as for `mine_within_motions`.
        targets: (T,) long: the poses whose neighbours to find; no pose is its own neighbour.
        count: number of neighbours; all other poses if there are fewer.
        search: as for `mine_within_motions`; "faiss" holds all features in memory.

    Yields:
        (targets (t,), cosines (t, count), indices (t, count)): nearest first, ties by increasing index. Of ties at
        rank `count`, "torch" includes the lowest indices; with "faiss" it is up to faiss.
    """
    count = min(count, len(features) - 1)
    if count < 1:
        return
    faiss = _import_faiss(search)
    look_up = _faiss_look_up(faiss, features) if faiss else _torch_look_up(features)
    for chunk in targets.split(_CHUNK):
        yield chunk, *look_up(chunk, count)


def _torch_look_up(features) -> Callable:
    def look_up(targets, count):
        wanted = _directions(features, targets)
        best, indices = wanted.new_empty(len(targets), 0), targets.new_empty(len(targets), 0)
        for block in torch.arange(len(features)).split(_CHUNK):
            cosines = wanted @ _directions(features, block).T
            cosines[targets[:, None] == block] = -torch.inf
            cosines, positions = _highest(cosines, min(count, len(block)))
            # earlier ones come first and have lower indices, so a stable sort keeps ties in order
            best, indices = torch.cat([best, cosines], 1), torch.cat([indices, positions + block[0]], 1)
            order = best.argsort(dim=1, descending=True, stable=True)[:, :count]
            best, indices = best.gather(1, order), indices.gather(1, order)
        return best, indices

    return look_up


def _highest(cosines, count):
    """The highest values of each row and their positions, ties by increasing position."""
    best, positions = cosines.topk(count)
    # `topk` does not promise which of several equal values it takes
    tied = (cosines >= best[:, -1:]).sum(1) > count
    positions[tied] = cosines[tied].argsort(dim=1, descending=True, stable=True)[:, :count]
    return _nearest_first(cosines.gather(1, positions), positions)


def _faiss_look_up(faiss, features) -> Callable:
    index = faiss.IndexFlatIP(features.shape[1])
    for block in torch.arange(len(features)).split(_CHUNK):
        index.add(_directions(features, block).numpy())

    def look_up(targets, count):
        wanted = _directions(features, targets).numpy()
        best, indices = (torch.from_numpy(found) for found in index.search(wanted, count + 1))
        itself = indices == targets[:, None]
        # a pose may be missing among its own neighbours if it has more than `count` copies
        itself[:, -1] |= ~itself.any(1)
        return _nearest_first(best[~itself].reshape(-1, count), indices[~itself].reshape(-1, count))

    return look_up


def _directions(features, rows) -> Tensor:
    """Some rows of features, normalised."""
    found = _rows(features, rows).float()
    return found / found.norm(dim=1, keepdim=True)


def _rows(table, rows) -> Tensor:
    """Some rows of a tensor or an array, in memory."""
    return table[rows].cpu() if torch.is_tensor(table) else torch.from_numpy(np.array(table[rows.numpy()]))


def _nearest_first(cosines, indices):
    """Sorts each row by decreasing cosine, ties by increasing index."""
    indices, order = indices.sort(dim=1)
    cosines, by_cosine = cosines.gather(1, order).sort(dim=1, descending=True, stable=True)
    return cosines, indices.gather(1, by_cosine)


def _import_faiss(search):
    """The faiss module, or None if `search` does not need it."""
    if search == "torch":
        return None
    try:
        import faiss
    except ImportError:
        if search == "auto":
            return None
        raise ImportError(
            'search="faiss" needs faiss, which is not installed: pip install "unipose-hf[faiss]", or use "torch".'
        ) from None
    return faiss


def _mine(features, properties, allowed, cosines, at_least, search, targets=None) -> MinedPairs:
    """The steps shared by all kinds: neighbours, the caller's condition on (A, B), the cosine, the differing codes."""
    targets = torch.arange(len(features)) if targets is None else targets
    found = []
    for b, cosine, a in cosine_neighbours(features, targets, NEIGHBOURS, search):
        b = b[:, None].expand_as(a)
        keep = allowed(a, b)
        if cosines is not None:
            keep &= (cosine > cosines[0]) & (cosine < cosines[1])
        pairs, cosine = torch.stack((a[keep], b[keep]), dim=1), cosine[keep]
        differences = _count_differences(properties, pairs)
        is_different_enough = differences >= at_least
        found.append((pairs[is_different_enough], cosine[is_different_enough], differences[is_different_enough]))
    pairs, cosine, differences = (
        (torch.cat(parts) for parts in zip(*found, strict=True))
        if found
        else (torch.empty(0, 2, dtype=torch.long), torch.empty(0), torch.empty(0, dtype=torch.long))
    )
    size = len(pairs)
    return MinedPairs(pairs, cosine, differences, torch.zeros(size), torch.ones(size, dtype=torch.bool))


def _take(mined, mask) -> MinedPairs:
    return MinedPairs(*(field[mask] for field in mined))


def _count_differences(properties, pairs):
    counts = [(_rows(properties, part[:, 0]) != _rows(properties, part[:, 1])).sum(1) for part in pairs.split(_CHUNK)]
    return torch.cat(counts)


def _first_of_each(group, key, tie) -> Tensor:
    """Mask of the rows with the lowest key in their group; the lowest tie-breaker decides among equal keys."""
    order = np.lexsort((tie.numpy(), key.numpy(), group.numpy()))
    sorted_groups = group.numpy()[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = sorted_groups[1:] != sorted_groups[:-1]
    mask = torch.zeros(len(order), dtype=torch.bool)
    mask[torch.from_numpy(order[first])] = True
    return mask


def _checked(features, properties, search):
    """Features and properties as tensors or arrays with the same number of rows; raises `ValueError` otherwise."""
    if search not in ("auto", "faiss", "torch"):
        raise ValueError(f'search is {search!r}; expected "auto", "faiss" or "torch".')
    features, properties = (
        table if isinstance(table, np.ndarray | Tensor) else np.asarray(table) for table in (features, properties)
    )
    if features.ndim != 2:
        raise ValueError(f"features has shape {tuple(features.shape)}; expected (N, D), one embedding for each pose.")
    if properties.ndim != 2 or len(properties) != len(features):
        raise ValueError(
            f"properties has shape {tuple(properties.shape)}; expected ({len(features)}, C), one row for each row of "
            "features."
        )
    for block in torch.arange(len(features)).split(_CHUNK):
        length = _rows(features, block).float().norm(dim=1)
        bad = ~(length.isfinite() & (length > 0))
        if bad.any():
            raise ValueError(f"features row {int(block[bad][0])} is zero, NaN or infinite; it has no direction.")
    return features, properties


def _one_each(values, name, count):
    values = torch.as_tensor(values).cpu()
    if values.shape != (count,):
        raise ValueError(f"{name} has shape {tuple(values.shape)}; expected ({count},), one number for each pose.")
    return values
