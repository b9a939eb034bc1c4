# SPDX-License-Identifier: Apache-2.0
"""Endless rows of text and pose for the retrieval models: open poses with texts of the caption engine, and poses of
the language bank with texts in plain English.

Each `draw_...` takes a pool of poses `(n, 22, 3)`, the number of rows and a generator, and returns poses `(rows, 22,
3)` or pairs `(rows, 2, 22, 3)` with a text for each, empty if there is nothing to state.
"""

from collections.abc import Callable

import torch

from unipose_hf.body import mirror_pose
from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.data.language.composer import Composer
from unipose_hf.data.language.wording import swap_sides
from unipose_hf.training.open_samples import PROMPT_CLAUSES, related_pairs, share_limbs

SIBLINGS, SHARED_SIBLING_LIMB = 4, 0.75  # number of similar poses in a group, and how often they share a limb
ENGINE_EVERY = 2  # one in this many plain-English blocks uses the caption engine, so that its words are not forgotten


class GeneratedRows(torch.utils.data.Dataset):
    """
    Rows of `text` and `pose`, or `text`, `pose_a` and `pose_b`, drawn in blocks when the first row of a block is
    requested. A block depends only on the seed and its index; a trainer must take the rows in order, as
    [`RetrievalTrainer`] does.

    Args:
        draw: one of `draw_captions`, `draw_siblings` and `draw_instructions`, or `draw_plain` with its table
            (`functools.partial`).
        pool: poses to draw from.
        count: total number of rows.
        block: rows drawn at once: the batch size, so that similar poses end up in the same batch.
        seed: random seed.
    """

    def __init__(self, draw: Callable, pool: torch.Tensor, count: int, block: int, seed: int = 0):
        self.draw, self.pool, self.count, self.block, self.seed = draw, pool, count, block, seed
        self._number, self._rows = None, []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> dict:
        block, offset = divmod(number, self.block)
        if block != self._number:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + block)
            poses, texts = self.draw(self.pool, self.block, generator)
            columns = {"pose": poses} if poses.ndim == 3 else {"pose_a": poses[:, 0], "pose_b": poses[:, 1]}
            columns["text"] = texts
            self._rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            self._number = block
        return self._rows[offset]


def draw_captions(pool: torch.Tensor, rows: int, generator: torch.Generator) -> tuple[torch.Tensor, list[str]]:
    """Poses of the pool and their automatic captions, full and short."""
    poses = pool[torch.randint(len(pool), (rows,), generator=generator)]
    return poses, caption_poses(poses, **_wording(generator))


def draw_instructions(pool: torch.Tensor, rows: int, generator: torch.Generator) -> tuple[torch.Tensor, list[str]]:
    """Pairs of poses of the pool and the automatic instructions from the first to the second.

    Half of the pairs are unrelated; half share some of the limbs, like neighbouring frames of a movement.
    """
    pairs = related_pairs(pool, rows, generator)
    return pairs, instruct_pairs(pairs[:, 0], pairs[:, 1], **_wording(generator))


def draw_siblings(pool: torch.Tensor, rows: int, generator: torch.Generator) -> tuple[torch.Tensor, list[str]]:
    """Groups of `SIBLINGS` poses that share most limbs with another pose, and their full captions: hard to tell apart.

    Recall among the poses of one movement needs them: independent poses are soon easy to distinguish. The shared pose
    is not part of the group, because the model learnt less with it.
    """
    poses = pool[torch.randint(len(pool), (rows,), generator=generator)]
    shared = poses[: -(-rows // SIBLINGS)].repeat_interleave(SIBLINGS, 0)[:rows]
    poses = share_limbs(shared, poses, torch.ones(rows, dtype=torch.bool), SHARED_SIBLING_LIMB, generator)
    return poses, caption_poses(poses, seed=int(torch.randint(2**31, (1,), generator=generator)))


class PlainTable:
    """
    Plain-English texts of the language bank with their poses, composed once: composing a text takes as long as a step
    of training on it. Half of them are requests as people type them, the others descriptions.

    Args:
        composer: composes the poses and texts.
        count: number of texts.
        pairs: pairs of poses and instructions from the first to the second, instead of single poses.
        seed: random seed of the texts.
    """

    def __init__(self, composer: Composer, count: int, pairs: bool = False, seed: int = 0):
        make_prompts = composer.instructions if pairs else composer.prompts
        make_descriptions = composer.differences if pairs else composer.descriptions
        parts = [make_prompts(count - count // 2, seed), make_descriptions(count // 2, seed)]
        self.texts = [text for part in parts for text in part.texts]
        poses = torch.cat([part.poses for part in parts])  # (count, 1 or 2, 22, 3)
        self.poses = poses if pairs else poses[:, 0]


def draw_plain(
    pool: torch.Tensor,
    rows: int,
    generator: torch.Generator,
    *,
    table: PlainTable,
    engine: Callable,
) -> tuple[torch.Tensor, list[str]]:
    """Plain English from a table; one in `ENGINE_EVERY` blocks comes from `engine` and the `pool`.

    A quarter of the rows are mirror images of others, text and poses, where the text names a side, so that a batch
    tests left against right. Only the first of several equal texts is kept, because each is true of the others' poses.

    Args:
        table: the plain-English texts and poses.
        engine: `draw_siblings` for single poses, `draw_instructions` for pairs.
    """
    if int(torch.randint(ENGINE_EVERY, (1,), generator=generator)) == 0:
        return engine(pool, rows, generator)
    indices = torch.randint(len(table.texts), (rows,), generator=generator)
    mirrored = rows // 4
    indices[rows - mirrored :] = indices[:mirrored]
    texts, poses = [table.texts[number] for number in indices.tolist()], table.poses[indices]
    for row in range(rows - mirrored, rows):
        if (swapped := swap_sides(texts[row])) != texts[row]:
            texts[row], poses[row] = swapped, mirror_pose(poses[row])
    first = {text.lower().rstrip("."): number for number, text in reversed(list(enumerate(texts)))}
    texts = [text if first[text.lower().rstrip(".")] == number else "" for number, text in enumerate(texts)]
    return poses, texts


def _wording(generator):
    """Seed and length of a batch's texts: half of the batches state everything, half as little as users do."""
    seed, everything = torch.randint(2**31, (2,), generator=generator).tolist()
    low, high = PROMPT_CLAUSES
    clauses = int(torch.randint(low, high + 1, (1,), generator=generator))
    return {"seed": seed, "max_clauses": None if everything % 2 else clauses}
