# SPDX-License-Identifier: Apache-2.0
"""Samples from the published test sets, if the user has them, in one folder as listed by `unipose doctor --data`.

ImageScript and ImageDiff were never released; their protocols take samples made by the user (see `samples.py`).
"""

import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import roma
import torch

from unipose_hf.body import remove_yaw
from unipose_hf.data.sources.amass import read_amass
from unipose_hf.data.sources.emdb import read_emdb
from unipose_hf.data.sources.human36m import JointRecord, read_human36m
from unipose_hf.data.sources.moyo import read_moyo, read_moyo_pictures
from unipose_hf.data.sources.posefix import read_posefix
from unipose_hf.data.sources.posescript import read_posescript
from unipose_hf.data.sources.threedpw import read_threedpw
from unipose_hf.evaluation.reporting import published

from .samples import build_sample

MAX_SAMPLES = 10_000  # per set; drawn at random from larger ones


class PaperSet(NamedTuple):
    """A published test set: its name in `published.py`, the measurements it serves, and how to read it."""

    data: str
    measurements: tuple[str, ...]
    read: Callable[[], Iterator]  # records; raises FileNotFoundError if the set is missing


def paper_sets(root: str | PathLike) -> list[PaperSet]:
    """All of them, whether they are in the folder or not."""
    root = Path(root)
    amass = root / "amass"
    poses, pairs = root / "posescript", root / "posefix"
    return [
        PaperSet(published.AMASS, ("tokenizer",), partial(read_amass, amass, "test")),
        PaperSet(published.MOYO, ("tokenizer",), partial(read_moyo, root / "moyo", "val")),
        PaperSet(
            published.POSESCRIPT,
            ("text-to-pose", "pose-to-text", "retrieval"),
            partial(read_posescript, poses, amass, "test"),
        ),
        PaperSet(
            published.POSEFIX,
            ("pose-editing", "pose-diff", "pair-retrieval"),
            partial(read_posefix, pairs, amass, "test"),
        ),
        PaperSet(published.THREEDPW, ("image-to-pose",), partial(read_threedpw, root / "3dpw", "test")),
        PaperSet(published.H36M, ("image-to-pose",), partial(read_human36m, root / "human36m")),
        PaperSet(published.EMDB, ("image-to-pose",), partial(read_emdb, root / "emdb", "emdb1")),
        PaperSet(published.MOYO_PICTURES, ("image-to-pose",), partial(read_moyo_pictures, root / "moyo")),
    ]


def read_samples(paper_set: PaperSet, task: str, count: int | None = None, seed: int = 0) -> list[dict]:
    """Samples of one task from a set.

    Args:
        count: maximum number of samples, drawn at random; 10,000 by default.
        seed: random seed.

    Raises:
        FileNotFoundError: the set is missing.
        ValueError: it is damaged, or has nothing for the task.
    """
    samples = [_SAMPLES[task](record) for record in _sample_records(paper_set.read(), count or MAX_SAMPLES, seed)]
    if not samples:
        raise ValueError(f"{paper_set.data} has no samples for {task}; check it with `unipose doctor --data`.")
    return samples


def _sample_records(records: Iterable, count: int, seed: int) -> list:
    """At most `count` records, uniformly, in their original order (reservoir sampling)."""
    rng, kept = random.Random(seed), []
    for number, record in enumerate(records):
        if number < count:
            kept.append((number, record))
        elif (slot := rng.randrange(number + 1)) < count:
            kept[slot] = number, record
    return [record for _, record in sorted(kept, key=lambda pair: pair[0])]


def _pose(record):
    pose = torch.from_numpy(record.pose)
    return build_sample("text-to-pose", [pose], pose, text=".")  # the tokenizer needs no text


def _text_to_pose(record):
    pose = remove_yaw(torch.from_numpy(record.pose))
    return build_sample("text-to-pose", [pose], pose, text=record.texts[0])


def _pose_to_text(record):
    pose = remove_yaw(torch.from_numpy(record.pose))
    return build_sample("pose-to-text", [pose], record.texts[0], prompt_poses=[pose], references=list(record.texts))


def _pose_editing(record):
    first, second = _pair(record)
    return build_sample("pose-editing", [first, second], second, prompt_poses=[first], text=record.texts[0])


def _pose_diff(record):
    pair = _pair(record)
    return build_sample("pose-diff", pair, record.texts[0], prompt_poses=pair, references=list(record.texts))


def _image_to_pose(record):
    image = str(record.image) if record.box is None else {"image": str(record.image), "box": record.box}
    if isinstance(record, JointRecord):
        joints = torch.from_numpy(record.joints)
        return build_sample("image-to-pose", [], joints, images=[image], joints=joints)
    pose, shape = torch.from_numpy(record.pose), torch.as_tensor(record.betas)
    more = dict(betas=shape, body=published.SMPL, gender=record.gender)
    return build_sample("image-to-pose", [pose], pose, images=[image], **more)


def _pair(record):
    """Both poses facing the viewer; within a motion the second keeps its rotation relative to the first (PoseFix)."""
    first, second = (torch.from_numpy(side.pose) for side in (record.first, record.second))
    facing = remove_yaw(first)
    if not record.in_sequence:
        return [facing, remove_yaw(second)]
    turn = roma.rotvec_to_rotmat(facing[0]) @ roma.rotvec_to_rotmat(first[0]).mT
    second = second.clone()
    second[0] = roma.rotmat_to_rotvec(turn @ roma.rotvec_to_rotmat(second[0]))
    return [facing, second]


_SAMPLES = {
    "tokenizer": _pose,
    "text-to-pose": _text_to_pose,
    "pose-to-text": _pose_to_text,
    "retrieval": _pose_to_text,
    "pose-editing": _pose_editing,
    "pose-diff": _pose_diff,
    "pair-retrieval": _pose_diff,
    "image-to-pose": _image_to_pose,
}
