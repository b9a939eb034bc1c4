# SPDX-License-Identifier: Apache-2.0
"""Pairs of poses worth an instruction: alike as a whole, different in enough details.

PoseFix (Delmas et al., 2023) mines two kinds, both among each pose's 100 nearest by the cosine of their embeddings and
with a cosine strictly between 0.7 and 0.9: pairs *within* one motion, less than half a second apart and with more than
15 differing posecodes, and pairs *across* motions with more than 20. UniPose's ImageDiff (Li et al., 2024) asks for at
least 10 differing posecodes among the 100 nearest and for nothing else.

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
AT_LEAST_IMAGES = 10
SECONDS = 0.5  # strict
BEST_ACROSS = 3

_CHUNK = 4096  # poses measured or held beside as many others, or pairs compared, at once: 64 MB of cosines


class MinedPairs(NamedTuple):
    """Q pairs, ordered by B; pairs of one B by falling cosine.

    `pairs` (Q, 2) long: indices (A, B). `cosine` (Q,) float32. `differences` (Q,) long: how many codes differ.
    `seconds` (Q,) float32: from A to B within a motion, 0 across motions. `complete` (Q,) bool: False where B has
    fewer than the wanted three A's across motions, which PoseFix takes as of lesser quality.
    """

    pairs: Tensor
    cosine: Tensor
    differences: Tensor
    seconds: Tensor
    complete: Tensor


def low_level_properties(joints, *, noise: torch.Generator | None = None) -> Tensor:
    """The 418 posecodes by which poses are compared: 268 categories that need positions only, 150 yes/no super-codes.

    Args:
        joints: (N, 22, 3) or (N, 52, 3) metres, y up, yaw removed (`unipose_hf.captions.pose_geometry`).
        noise: a generator adds the method's tolerance noise, as PoseFix has it; None measures exactly.

    Returns:
        (N, 418) int8 for the functions of this module. As in PoseFix, the silent categories on the two sides of an
        aligned one are two.

    Raises:
        ValueError: wrong shape, or a value that is not finite.
    """
    table = []
    for start in range(0, max(1, len(joints)), _CHUNK):
        chunk = torch.from_numpy(np.array(joints[start : start + _CHUNK], dtype=np.float32))  # may be a memory map
        codes = measure_posecodes(chunk, noise=noise)
        table.append(torch.cat((codes.categories, codes.supers), dim=1).to(torch.int8))
    return torch.cat(table)


def mine_within_motions(features, properties, motion, frame, frame_rate, *, search: str = "auto") -> MinedPairs:
    """PoseFix's in-sequence pairs: B less than half a second after A, in one motion.

    A pair stays only where A is the nearest in time of B's candidates and B the nearest in time of A's (role unicity;
    among equals the lower index).

    Args:
        features: (N, D) embeddings, one a pose; their lengths do not matter. Like the properties a tensor, or an array
            that may be a memory map: of either little is read at once.
        properties: (N, C) integers (`low_level_properties`).
        motion: (N,) integers: which motion a pose comes from.
        frame: (N,) the pose's number in its motion.
        frame_rate: frames a second, one number or (N,); B's counts.
        search: "faiss" (the extra `faiss`), "torch", or "auto": faiss where it is installed. Both are exact.

    Returns:
        `MinedPairs`; each pose is A once at most, and B once at most.

    Raises:
        ValueError: shapes or lengths that do not fit, a row of features without direction or not finite.
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
    """PoseFix's out-of-sequence pairs: of each B up to three A's from other motions, those with the highest cosine.

    Arguments, errors: as for `mine_within_motions`. `pairs_to_annotate` chooses among them.
    """
    features, properties = _checked(features, properties, search)
    motion = _one_each(motion, "motion", len(features))

    def from_another(a, b):
        return motion[a] != motion[b]

    mined = _mine(features, properties, from_another, COSINES, MORE_THAN_ACROSS + 1, search)
    b = mined.pairs[:, 1]
    many = torch.bincount(b, minlength=len(features))
    first = many.cumsum(0) - many  # where the candidates of each B begin
    rank = torch.arange(len(b)) - first[b]
    return _take(mined._replace(complete=many[b] >= BEST_ACROSS), rank < BEST_ACROSS)


def mine_image_pairs(features, properties, targets=None, *, seed: int = 0, search: str = "auto") -> MinedPairs:
    """ImageDiff's pairs: for each target B one A of its 100 nearest with at least 10 differing codes, drawn by `seed`.

    Args:
        features, properties, search: as for `mine_within_motions`.
        targets: (T,) indices of the B's (UniPose takes farthest points); None takes every pose.

    Returns:
        `MinedPairs`; a target without any such A is left out.

    Raises:
        ValueError: as for `mine_within_motions`, or a target that is no index.
    """
    features, properties = _checked(features, properties, search)
    targets = torch.arange(len(features)) if targets is None else torch.as_tensor(targets, dtype=torch.long)
    if len(targets) and not (0 <= int(targets.min()) and int(targets.max()) < len(features)):
        found = f"{int(targets.min())} to {int(targets.max())}"
        raise ValueError(f"targets holds {found}; expected indices of the {len(features)} poses, 0 and up.")
    mined = _mine(features, properties, lambda a, b: a != b, None, AT_LEAST_IMAGES, search, targets.unique())
    draw = torch.rand(len(mined.pairs), generator=torch.Generator().manual_seed(seed))
    return _take(mined, _first_of_each(mined.pairs[:, 1], draw, mined.pairs[:, 0]))


def pairs_to_annotate(mined: MinedPairs, *, seed: int = 0) -> Tensor:
    """Which pairs across motions PoseFix hands to annotators, and in which order.

    B's are taken by rising index (the order of farthest point sampling, where the poses were stored in it). Each gets
    one of its A's, drawn with weight 1 / (number of B's that may have this A). Where some of the A's wait as B's
    themselves, one of those is drawn, both directions are kept, and A's own turn is over.

    Args:
        mined: what `mine_across_motions` returned.
        seed: of the draw.

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
    """The nearest poses by cosine, exactly, in chunks whose memory does not grow with the number of poses.

    Args:
        features: as for `mine_within_motions`.
        targets: (T,) long: whose neighbours to find; no pose is its own neighbour.
        count: how many; all other poses where there are fewer.
        search: as for `mine_within_motions`; "faiss" holds all features in memory.

    Yields:
        (targets (t,), cosines (t, count), indices (t, count)): nearest first, equally near ones by rising index. Which
        of several at the rank of `count` are in is the lowest indices with "torch", and up to faiss with "faiss".
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
            cosines, places = _highest(cosines, min(count, len(block)))
            # those from before come first and have the lower indices, so that a stable sort keeps equal ones in order
            best, indices = torch.cat([best, cosines], 1), torch.cat([indices, places + block[0]], 1)
            order = best.argsort(dim=1, descending=True, stable=True)[:, :count]
            best, indices = best.gather(1, order), indices.gather(1, order)
        return best, indices

    return look_up


def _highest(cosines, count):
    """The highest of each row and their places, equal ones by rising place."""
    best, places = cosines.topk(count)
    # which of equal cosines `topk` takes is nobody's promise
    tied = (cosines >= best[:, -1:]).sum(1) > count
    places[tied] = cosines[tied].argsort(dim=1, descending=True, stable=True)[:, :count]
    return _nearest_first(cosines.gather(1, places), places)


def _faiss_look_up(faiss, features) -> Callable:
    index = faiss.IndexFlatIP(features.shape[1])
    for block in torch.arange(len(features)).split(_CHUNK):
        index.add(_directions(features, block).numpy())

    def look_up(targets, count):
        wanted = _directions(features, targets).numpy()
        best, indices = (torch.from_numpy(found) for found in index.search(wanted, count + 1))
        itself = indices == targets[:, None]
        itself[:, -1] |= ~itself.any(1)  # more than `count` copies of a pose may hide it from itself
        return _nearest_first(best[~itself].reshape(-1, count), indices[~itself].reshape(-1, count))

    return look_up


def _directions(features, rows) -> Tensor:
    """Some rows of features, with length 1."""
    found = _rows(features, rows).float()
    return found / found.norm(dim=1, keepdim=True)


def _rows(table, rows) -> Tensor:
    """Some rows of a tensor or an array, in memory."""
    return table[rows].cpu() if torch.is_tensor(table) else torch.from_numpy(np.array(table[rows.numpy()]))


def _nearest_first(cosines, indices):
    """Each row by falling cosine, equal ones by rising index."""
    indices, order = indices.sort(dim=1)
    cosines, by_cosine = cosines.gather(1, order).sort(dim=1, descending=True, stable=True)
    return cosines, indices.gather(1, by_cosine)


def _import_faiss(search):
    """The module, or None where `search` can do without it."""
    if search == "torch":
        return None
    try:
        import faiss
    except ImportError:
        if search == "auto":
            return None
        raise ImportError(
            'search="faiss" needs faiss, which is not installed: pip install "unipose-hf[faiss]", or take "torch".'
        ) from None
    return faiss


def _mine(features, properties, allowed, cosines, at_least, search, targets=None) -> MinedPairs:
    """The steps all kinds share: neighbours, the caller's condition on (A, B), the cosine, the differing codes."""
    targets = torch.arange(len(features)) if targets is None else targets
    found = []
    for b, cosine, a in cosine_neighbours(features, targets, NEIGHBOURS, search):
        b = b[:, None].expand_as(a)
        keep = allowed(a, b)
        if cosines is not None:
            keep &= (cosine > cosines[0]) & (cosine < cosines[1])
        pairs, cosine = torch.stack((a[keep], b[keep]), dim=1), cosine[keep]
        differences = _count_differences(properties, pairs)
        enough = differences >= at_least
        found.append((pairs[enough], cosine[enough], differences[enough]))
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
    """Mask of the rows with the lowest key in their group; among equal keys the one with the lowest tie-breaker."""
    order = np.lexsort((tie.numpy(), key.numpy(), group.numpy()))
    sorted_groups = group.numpy()[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = sorted_groups[1:] != sorted_groups[:-1]
    mask = torch.zeros(len(order), dtype=torch.bool)
    mask[torch.from_numpy(order[first])] = True
    return mask


def _checked(features, properties, search):
    """Features and properties as tensors or arrays of equally many rows, or a ValueError in one sentence."""
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
