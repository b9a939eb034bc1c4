# SPDX-License-Identifier: Apache-2.0
"""PoseEst-Open: images of people with their poses, rendered from open poses, free to build and redistribute."""

import functools
import os
from pathlib import Path

import numpy as np

from unipose_hf.data.instructions import draw
from unipose_hf.data.mining.pose_pool import gather_pool
from unipose_hf.data.pictures import encode_picture

from .dataset_card import write_card
from .image_sources import open_sources
from .imagescript import Choice, open_pool
from .shards import count_rows, record_plan, write_shards


def build_posest_open(
    out: str | os.PathLike,
    *,
    size: int,
    seed: int = 0,
    picture_size: int = 512,
    processes: int = 1,
    on_ray: bool = False,
    progress: bool = True,
) -> dict[str, int]:
    """Build `size` images, one in 26 for testing, or resume a build that was started with the same arguments.

    Poses are sampled from the bundled clips of a split, rotated about the vertical, and rendered once each with a
    random body, clothes, camera, light and position.

    Returns:
        the number of rows of each configuration and split.
    Raises:
        ValueError: the folder contains another build. ImportError: `datasets` is missing.
    """
    out = Path(out)
    record_plan(out, {"kind": "PoseEst-Open", "size": size, "seed": seed, "picture_size": picture_size})
    for source in open_sources(size, seed, choice=1):
        folder = out / "work" / source.split
        choices = [Choice(folder, row) for row in range(len(gather_pool(source.read(), folder)))]
        make = functools.partial(_make_rows, source.split, seed, picture_size)
        write_shards(
            out / "A",
            source.split,
            choices,
            posest_features,
            make,
            processes=processes,
            on_ray=on_ray,
            progress=progress,
        )
    write_card(out, "posest-open")
    return count_rows(out)


def posest_features():
    """The columns."""
    from datasets import Array2D, Features, Image, List, Value

    return Features(
        {
            "image": Image(),
            "pose": Array2D((22, 3), "float32"),
            "box": List(Value("float32")),
            "keypoints": Array2D((22, 2), "float32"),
            "betas": List(Value("float32")),
            "set": Value("string"),
            "sequence": Value("string"),
            "frame": Value("int64"),
            "licence": Value("string"),
        }
    )


def _make_rows(split, seed, picture_size, choices, first):
    from unipose_hf.data.synthesis.rendering import render_training_images  # OpenGL

    records = [open_pool(choice.pool)[choice.row] for choice in choices]
    scene = draw(2**62, "PoseEst-Open", split, seed, first)
    made = render_training_images(np.stack([record.pose for record in records]), seed=scene, size=picture_size)
    return [
        {
            "image": {"bytes": encode_picture(made.images[i]), "path": None},
            "pose": made.axis_angle[i],
            "box": made.boxes[i].tolist(),
            "keypoints": made.keypoints[i],
            "betas": made.betas[i].tolist(),
            "set": record.set,
            "sequence": record.sequence,
            "frame": record.frame,
            "licence": record.licence,
        }
        for i, record in enumerate(records)
    ]
