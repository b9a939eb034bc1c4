# SPDX-License-Identifier: Apache-2.0
"""The sources of people for ImageScript and ImageDiff: the paper's five sets, or the open poses of the package."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from unipose_hf.data.licences import LICENCES
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.records import PoseRecord
from unipose_hf.data.sources.smpl_npz import read_smpl_npz
from unipose_hf.data.sources.smpl_tar import read_smpl_tar
from unipose_hf.data.sources.threedpw import read_threedpw
from unipose_hf.data.synthesis.sampling import PoseSampler, random_global_turn

OPEN = "PoseEst-Open"
# Number of images per set in ImageScript and ImageDiff (UniPose, supplement A.1 and A.2): 52,000 in total.
QUOTAS = {
    ("train", "Human3.6M"): 15_000,
    ("train", "MPI-INF-3DHP"): 25_000,
    ("train", "COCO"): 5_000,
    ("train", "MPII"): 5_000,
    ("test", "3DPW"): 2_000,
    # instead of all the others
    ("train", OPEN): 50_000,
    ("test", OPEN): 2_000,
}
_FOLDERS = {"Human3.6M": "human36m", "MPI-INF-3DHP": "mpi_inf_3dhp", "COCO": "coco", "MPII": "mpii"}
_BLOCK = 1024


class Source(NamedTuple):
    """One split of one set; every call of `read()` yields its records."""

    split: str
    name: str
    read: Callable[[], Iterator[PoseRecord]]


def paper_sources(root: str | Path) -> list[Source]:
    """The paper's sets found in a folder, in sub-folders named as in `unipose doctor --data`.

    Raises:
        FileNotFoundError: there are none of them.
    """
    root = Path(root)
    sources = [
        Source("train", name, partial(read_fits, root / folder, "train", name))
        for name, folder in _FOLDERS.items()
        if (root / folder).is_dir()
    ]
    if (root / "3dpw").is_dir():
        sources.append(Source("test", "3DPW", partial(read_threedpw, root / "3dpw", "test")))
    if not sources:
        raise FileNotFoundError(f"{root} has none of the folders {', '.join([*_FOLDERS.values(), '3dpw'])}.")
    return sources


def read_fits(folder: Path, split: str, name: str) -> Iterator[PoseRecord]:
    """SMPL fits from .npz files or, if there are none, from 4D-Humans' archives.

    Raises:
        FileNotFoundError, ValueError: as `read_smpl_npz`.
    """
    read = read_smpl_npz if any(folder.glob("*.npz")) or not any(folder.rglob("*.tar")) else read_smpl_tar
    return read(folder, split, name)


def open_sources(size: int, seed: int = 0, *, choice: int = 4) -> list[Source]:
    """People without images, which the builders render: recombined open poses.

    Args:
        size: total number of people in both splits.
        choice: number of poses that each of these is selected from.
    """
    quotas = split_proportionally(size, [QUOTAS[split, OPEN] for split in ("train", "test")])
    return [
        Source(split, OPEN, partial(_sampled_people, split, choice * quota, seed))
        for split, quota in zip(("train", "test"), quotas, strict=True)
    ]


def split_proportionally(total: int, weights: list[float]) -> list[int]:
    """Integers proportional to weights, at least 1 each, with sum `total` (largest remainder method).

    Raises:
        ValueError: the total is smaller than the number of weights.
    """
    if total < len(weights):
        raise ValueError(
            f"The size is {total}, but there are {len(weights)} sets; use a size of at least one image per set."
        )
    exact = [total * weight / sum(weights) for weight in weights]
    shares = [int(share) for share in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: (shares[i] - exact[i], i))
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    for i in (i for i, share in enumerate(shares) if not share):
        shares[i] = 1
        shares[shares.index(max(shares))] -= 1
    return shares


def _sampled_people(split, count, seed):
    poses = load_open_poses(split)
    sampler = PoseSampler(poses.axis_angle, poses.clip_id)
    generator = torch.Generator().manual_seed(seed)
    for first in range(0, count, _BLOCK):
        sampled = sampler.sample(min(_BLOCK, count - first), generator)
        turned = random_global_turn(sampled, generator, full_yaw=True).numpy()
        for number, pose in enumerate(turned, start=first):
            yield PoseRecord(OPEN, f"sampled from {split}", number, LICENCES[OPEN].terms, pose)
