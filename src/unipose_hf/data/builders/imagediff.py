# SPDX-License-Identifier: Apache-2.0
"""ImageDiff: pairs of images with texts on how to get from pose A to pose B (UniPose, supplement A.2).

B is selected as in ImageScript. A is one of the 100 poses of the same set that are nearest to B and differ from it in
at least 10 posecodes. In the paper the nearest poses have the highest cosine similarity between features of the
text-to-pose retrieval model (`retrieval_features`). By default, mean-centred joints at zero orientation are used
instead.
"""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from unipose_hf.captions import instruct_pairs, turn_between
from unipose_hf.data.instructions import draw
from unipose_hf.data.llm.refinement import Request
from unipose_hf.data.mining.pair_mining import low_level_properties, mine_image_pairs
from unipose_hf.data.mining.pose_pool import PosePool
from unipose_hf.data.pictures import load_or_render_pictures

from .dataset_card import write_card
from .image_sources import Source
from .imagescript import choose_images, described_poses, join_requests, open_pool, write_refined
from .shards import ROWS, count_rows, record_plan, write_shards

_BATCH = 256
VERSIONS = ("PoseFix-A/1", "PoseFix-A/2", "PoseFix-A/3")


class Pair(NamedTuple):
    """A selected pair: the folder of the pool, and the rows of A and B in it."""

    pool: Path
    a: int
    b: int


def build_imagediff(
    sources: list[Source],
    out: str | os.PathLike,
    *,
    size: int,
    seed: int = 0,
    picture_size: int = 256,
    processes: int = 1,
    on_ray: bool = False,
    features: Callable[[PosePool], np.ndarray] | None = None,
    features_name: str = "joint positions",
    ask: Callable | None = None,
    concurrency: int = 4,
    progress: bool = True,
) -> dict[str, int]:
    """Build the data set in a folder, or resume a build that was started there with the same arguments.

    Args:
        features: function from a pool of N records to `(N, D)` features, whose cosine measures the similarity of two
            poses; by default joint positions, which need no trained model.
        features_name: their name, for plan and card.
        size: total number of pairs. A selected B without any A that differs enough is skipped.
        others: as for `build_imagescript`.

    Returns, raises:
        as `build_imagescript`.
    """
    out = Path(out)
    plan = {"kind": "ImageDiff", "size": size, "seed": seed, "picture_size": picture_size, "features": features_name}
    record_plan(out, plan | {"sets": [[source.split, source.name] for source in sources]})
    chosen = choose_images(sources, out / "work", size, seed, progress)
    pairs = {split: _find_partners(choices, features or joint_features, seed) for split, choices in chosen.items()}
    for split, found in pairs.items():
        make = functools.partial(_make_rows, split, seed, picture_size)
        write_shards(
            out / "A", split, found, pair_features, make, processes=processes, on_ray=on_ray, progress=progress
        )
    if ask is not None:
        requests = functools.partial(_requests, seed)
        write_refined(out, pairs, pair_features, requests, ask, seed, concurrency, progress)
    write_card(out, "imagediff")
    return count_rows(out)


def joint_features(pool: PosePool) -> np.ndarray:
    """`(N, 66)`: joints at zero global orientation, centred, so that the cosine distinguishes poses."""
    mean = pool.joints.mean(axis=0, dtype=np.float64)
    return pool.measured("joint_features", "f4", lambda rows: pool.joints[rows] - mean)


def retrieval_features(folder: str | os.PathLike) -> Callable[[PosePool], np.ndarray]:
    """The features used for mining in the paper: those of a text-pose retrieval model saved in a folder.

    The model gets the poses at zero global orientation, as in the selection.
    """
    from transformers import AutoModel

    from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix

    model = AutoModel.from_pretrained(folder).eval()

    @torch.no_grad()
    def measure(poses):
        poses = torch.from_numpy(np.array(poses))
        poses[:, 0] = 0
        parts = (axis_angle_to_matrix(part) for part in poses.split(_BATCH))
        return torch.cat([model.get_pose_features(part).pooler_output for part in parts]).float()

    return lambda pool: pool.measured("retrieval_features", "f4", lambda rows: measure(pool.poses[rows]))


def pair_features():
    """The columns of ImageDiff."""
    from datasets import Array2D, Features, Image, List, Value

    columns = {"texts": List(Value("string")), "set": Value("string"), "licence": Value("string")}
    for which in ("a", "b"):
        columns |= {
            f"image_{which}": Image(),
            f"pose_{which}": Array2D((22, 3), "float32"),
            f"box_{which}": List(Value("float32")),
            f"sequence_{which}": Value("string"),
            f"frame_{which}": Value("int64"),
        }
    return Features(columns)


def _find_partners(choices, features, seed):
    """An A for each B of a split, in the order of B."""
    pairs = []
    for folder in dict.fromkeys(choice.pool for choice in choices):
        pool = open_pool(folder)
        wanted = [choice.row for choice in choices if choice.pool == folder]
        codes = pool.measured("codes", "i1", lambda rows, joints=pool.joints: low_level_properties(joints[rows]))
        mined = mine_image_pairs(features(pool), codes, wanted, seed=seed)
        partner = {b: a for a, b in mined.pairs.tolist()}
        pairs += [Pair(folder, partner[b], b) for b in wanted if b in partner]
    return pairs


def _sides(pairs):
    """The records of all A's and of all B's."""
    return [[open_pool(pair.pool)[pair[1 + side]] for pair in pairs] for side in (0, 1)]


def _written(sides, seed):
    """(texts, codes) of each version."""
    # the rotation of the body in the image; the camera does not move, so its frame shows the same rotation
    turns = turn_between(*(torch.from_numpy(np.stack([record.pose for record in records])) for records in sides))
    poses = [described_poses(records) for records in sides]
    return [
        instruct_pairs(*poses, seed=seed, version=name, rotation_change=turns, return_codes=True) for name in VERSIONS
    ]


def _make_rows(split, seed, picture_size, pairs, first):
    sides = _sides(pairs)
    texts = zip(*(texts for texts, _ in _written(sides, seed)), strict=True)
    rows = [{"texts": list(said), "set": b.set, "licence": b.licence} for said, b in zip(texts, sides[1], strict=True)]
    for which, records in zip("ab", sides, strict=True):
        scene = draw(2**62, "ImageDiff", which, split, seed, first)
        pictures = load_or_render_pictures(records, seed=scene, size=picture_size)
        for row, record, picture in zip(rows, records, pictures, strict=True):
            row |= {
                f"image_{which}": {"bytes": picture.content, "path": None},
                f"pose_{which}": picture.pose,
                f"box_{which}": picture.box,
                f"sequence_{which}": record.sequence,
                f"frame_{which}": record.frame,
            }
    return rows


def _requests(seed, pairs) -> Iterator[Request]:
    for start in range(0, len(pairs), ROWS):
        yield from join_requests("instruction", _written(_sides(pairs[start : start + ROWS]), seed))
