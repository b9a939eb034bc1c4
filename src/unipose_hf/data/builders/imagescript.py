# SPDX-License-Identifier: Apache-2.0
"""ImageScript: images of people with their poses and descriptions (UniPose, supplement A.1).

The most different poses of each set are selected by farthest point sampling of joints with a fixed shape and without
global orientation. Each gets three automatic captions (configuration "A"). A language model rewrites those of one in
eight training images and of all test images (configuration "R").
"""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from unipose_hf.captions import caption_poses
from unipose_hf.data.instructions import draw
from unipose_hf.data.llm.refinement import Request, refine_texts
from unipose_hf.data.mining.pose_pool import PosePool, gather_pool
from unipose_hf.data.mining.selection import farthest_points
from unipose_hf.data.pictures import load_or_render_pictures
from unipose_hf.data.records import PoseRecord

from .dataset_card import write_card
from .image_sources import QUOTAS, Source, split_proportionally
from .shards import ROWS, count_rows, record_plan, shard_name, write_shards

VERSIONS = ("N2", "N6", "N7")  # caption versions, as in PoseScript-A2
REFINED_SHARE = 6_250 / 50_000  # share of the training images


class Choice(NamedTuple):
    """A selected record: the folder of its pool, and its row in it."""

    pool: Path
    row: int


def build_imagescript(
    sources: list[Source],
    out: str | os.PathLike,
    *,
    size: int,
    seed: int = 0,
    picture_size: int = 256,
    processes: int = 1,
    on_ray: bool = False,
    ask: Callable | None = None,
    concurrency: int = 4,
    progress: bool = True,
) -> dict[str, int]:
    """Build the data set in a folder, or resume a build that was started there with the same arguments.

    Args:
        sources: from `paper_sources`, `open_sources`, or your own.
        out: output folder; pools of poses, the selection's state and the journal of answers are in its sub-folder
            `work`.
        size: total number of images; 52,000 in the paper. The sets contribute as in the paper.
        picture_size: size of renderings, in pixels.
        processes, on_ray: how to parallelise, see `write_shards`. The result is the same.
        ask: a language model (`Endpoint`, `LocalModel`) that refines captions; None skips "R".
        concurrency: number of captions refined at once.

    Returns:
        the number of rows of each configuration and split: `{"A/train": ...}`.

    Raises:
        ValueError: the folder contains another build; a set without poses; a size smaller than the number of sets.
        FileNotFoundError, ImportError, ConnectionError: images, a package or the language model are missing.
    """
    out = Path(out)
    plan = {"kind": "ImageScript", "size": size, "seed": seed, "picture_size": picture_size}
    record_plan(out, plan | {"sets": [[source.split, source.name] for source in sources]})
    choices = choose_images(sources, out / "work", size, seed, progress)
    for split, chosen in choices.items():
        make = functools.partial(_make_rows, split, seed, picture_size)
        write_shards(
            out / "A", split, chosen, image_features, make, processes=processes, on_ray=on_ray, progress=progress
        )
    if ask is not None:
        requests = functools.partial(_requests, seed)
        write_refined(out, choices, image_features, requests, ask, seed, concurrency, progress)
    write_card(out, "imagescript")
    return count_rows(out)


def choose_images(sources, work, size, seed, progress=True) -> dict[str, list[Choice]]:
    """The selected records of each split, set by set, in the order of selection.

    Sets with fewer records than their share contribute all of them.
    """
    quotas = split_proportionally(size, [QUOTAS.get((source.split, source.name), 1) for source in sources])
    chosen = {}
    for source, quota in zip(sources, quotas, strict=True):
        folder = work / f"{source.name} {source.split}"
        pool = gather_pool(source.read(), folder)
        rows = farthest_points(
            pool.joints,
            min(quota, len(pool)),
            draw(len(pool), "start", seed),
            state_file=folder / "selection.safetensors",
            progress=progress,
        )
        chosen.setdefault(source.split, []).extend(Choice(folder, row) for row in rows.tolist())
    return chosen


def described_poses(records: list[PoseRecord]) -> torch.Tensor:
    """The poses `(N, 22, 3)` that the texts describe.

    For images taken by a camera the vertical is unknown, so the global orientation is set to zero, as in the paper.
    People who will be rendered are in a level world and keep theirs.
    """
    poses = torch.from_numpy(np.stack([record.pose for record in records]))
    poses[[record.image is not None for record in records], 0] = 0
    return poses


def image_features():
    """The columns of ImageScript."""
    from datasets import Array2D, Features, Image, List, Value

    return Features(
        {
            "image": Image(),
            "pose": Array2D((22, 3), "float32"),
            "texts": List(Value("string")),
            "box": List(Value("float32")),
            "set": Value("string"),
            "sequence": Value("string"),
            "frame": Value("int64"),
            "licence": Value("string"),
        }
    )


def write_refined(out, rows, features, requests, ask, seed, concurrency, progress) -> None:
    """Configuration "R" from "A": one refined text instead of the automatic ones, if the model found a good one.

    Args:
        rows: the inputs of the rows of "A", by split.
        requests: a function from some of these to the `Request` of each.
    """
    # a folder uses one model only: others write differently
    record_plan(out / "R", {"model": ask.name})
    for split, made in rows.items():
        numbers = refined_numbers(len(made), split, seed)
        texts = refine_texts(
            requests([made[number] for number in numbers]),
            ask,
            out / "work" / "answers.jsonl",
            concurrency=concurrency,
            progress=progress,
        )
        refined = [(number, text) for number, text in zip(numbers, texts, strict=True) if text is not None]
        make = functools.partial(_refined_rows, out / "A", split, len(made))
        write_shards(out / "R", split, refined, features, make, progress=progress)


def refined_numbers(count: int, split: str, seed: int) -> list[int]:
    """The rows to refine: all of a test split, one in eight of a training split, drawn uniformly."""
    if split == "test":
        return list(range(count))
    wanted = max(1, round(REFINED_SHARE * count))
    return sorted(np.random.default_rng(seed).choice(count, wanted, replace=False).tolist())


@functools.cache
def open_pool(folder: Path) -> PosePool:
    """The pool of a folder, opened once per process."""
    return PosePool(folder)


def _records(choices):
    return [open_pool(choice.pool)[choice.row] for choice in choices]


def _make_rows(split, seed, picture_size, choices, first):
    records = _records(choices)
    scene = draw(2**62, "ImageScript", split, seed, first)
    pictures = load_or_render_pictures(records, seed=scene, size=picture_size)
    texts = zip(*(caption_poses(described_poses(records), seed=seed, version=name) for name in VERSIONS), strict=True)
    return [
        {
            "image": {"bytes": picture.content, "path": None},
            "pose": picture.pose,
            "texts": list(captions),
            "box": picture.box,
            "set": record.set,
            "sequence": record.sequence,
            "frame": record.frame,
            "licence": record.licence,
        }
        for record, picture, captions in zip(records, pictures, texts, strict=True)
    ]


def _requests(seed, choices) -> Iterator[Request]:
    for start in range(0, len(choices), ROWS):
        poses = described_poses(_records(choices[start : start + ROWS]))
        written = [caption_poses(poses, seed=seed, version=name, return_codes=True) for name in VERSIONS]
        yield from join_requests("caption", written)


def join_requests(kind: str, written: list[tuple[list, list]]) -> Iterator[Request]:
    """Requests from the (texts, codes) of several versions."""
    texts = zip(*(texts for texts, _ in written), strict=True)
    codes = zip(*(codes for _, codes in written), strict=True)
    for said, stated in zip(texts, codes, strict=True):
        # identical versions are shown once
        yield Request(kind, tuple(dict.fromkeys(said)), tuple(dict.fromkeys(code for part in stated for code in part)))


def _refined_rows(folder, split, count, rows, first):
    return [_row_of_shard(folder, split, count, number) | {"texts": [text]} for number, text in rows]


def _row_of_shard(folder, split, count, number):
    path = folder / shard_name(split, number // ROWS, -(-count // ROWS))
    [row] = _read_shard(path).slice(number % ROWS, 1).to_pylist()
    return row


@functools.lru_cache(maxsize=2)  # rows are read in order
def _read_shard(path):
    from pyarrow import parquet

    return parquet.read_table(path)
