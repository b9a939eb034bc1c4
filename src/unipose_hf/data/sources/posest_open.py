# SPDX-License-Identifier: Apache-2.0
"""PoseEst-Open: the bundled open poses with pictures rendered of them. The one set that needs no asking."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ...modeling.pose_unipose import write_file
from ..licences import LICENCES
from ..open_poses import load_open_poses
from ..plain_files import read_npz
from ..records import PoseRecord, one_of, skipping

SPLITS = ("train", "test")
_COLUMNS = ("poses", "betas", "boxes", "clip", "frame")


def render_posest_open(root: str | Path, split: str, *, seed: int = 0, size: int = 256) -> None:
    """Render each pose of a split once, turned at random, into `root`: pictures, and `SPLIT.npz` with what is true.

    Person, clothes, camera, light and place are random, but the same for the same `seed`. The .npz is written last, so
    that there is none before all pictures are there.

    Args:
        root: a folder; made if missing.
        split: "train" or "test", by whole clips.
        size: width and height of the pictures in pixels.

    Raises:
        ValueError: no such split.
    """
    from ..rendering import render_training_images  # OpenGL, which reading does not need
    from ..sampling import random_global_turn

    folder = Path(root) / one_of(SPLITS, split, "split")
    poses = load_open_poses(split)
    turned = random_global_turn(poses.axis_angle, torch.Generator().manual_seed(seed), full_yaw=True)
    made = render_training_images(turned, seed=seed, size=size)
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(made.images):
        Image.fromarray(picture).save(folder / f"{number:05d}.png")
    clips = [poses.clip_names[number] for number in poses.clip_id]
    # the clips were thinned: a frame's number counts the poses that were kept
    frames = [clips[:row].count(clip) for row, clip in enumerate(clips)]
    columns = (made.axis_angle, made.betas, made.boxes, np.array(clips), np.array(frames))
    content = io.BytesIO()
    np.savez_compressed(content, **dict(zip(_COLUMNS, columns, strict=True)))
    write_file(Path(root) / f"{split}.npz", content.getvalue())


def list_posest_open(root: str | Path, split: str) -> dict[str, np.ndarray]:
    """The columns of `SPLIT.npz`: `poses` (N, 22, 3), `betas` (N, 10), `boxes` (N, 4), `clip` and `frame` (N,).

    Raises:
        FileNotFoundError: the split was not rendered yet.
        ValueError: the file is damaged, or no such split.
    """
    path = Path(root) / f"{one_of(SPLITS, split, 'split')}.npz"
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: {LICENCES['PoseEst-Open'].how}.")
    columns = read_npz(path, *_COLUMNS)
    if len(columns) < len(_COLUMNS) or len({len(column) for column in columns.values()}) != 1:
        raise ValueError(f"{path} does not have the columns {', '.join(_COLUMNS)} of one length; render it again.")
    return columns


def read_posest_open(root: str | Path, split: str) -> Iterator[PoseRecord]:
    """The rendered people with pose, picture and box; `sequence` is the clip.

    Raises:
        FileNotFoundError, ValueError: as `list_posest_open`.
    """
    return _records(Path(root), split, list_posest_open(root, split))


def _records(root, split, columns):
    licences = {clip["name"]: clip["licence"] for clip in load_open_poses(split).clips}
    with skipping("PoseEst-Open") as skip:
        for row, (pose, betas, box, clip, frame) in enumerate(zip(*(columns[c] for c in _COLUMNS), strict=True)):
            image = root / split / f"{row:05d}.png"
            if not image.is_file():
                skip(f"There is no picture {image}; render the set again.")
                continue
            yield PoseRecord(
                "PoseEst-Open",
                str(clip),
                int(frame),
                licences[str(clip)],
                pose.copy(),
                betas.copy(),
                image=image,
                box=tuple(box.tolist()),
            )
