# SPDX-License-Identifier: Apache-2.0
"""Sample files, copied by name: `unipose_hf.sample("photo.jpg")`, `unipose sample photo.jpg`."""

import os
from pathlib import Path

SAMPLES = {
    "photo.jpg": "a photograph of an athlete (Pose2Sim, BSD-3-Clause)",
    "walk.bvh": "a person walking, 120 frames (from DeepMimic's clip, MIT)",
}


def sample(name: str, folder: str | os.PathLike = ".") -> Path:
    """
    Copy a sample file into a folder, the current one by default, and return its path there.

    Raises:
        ValueError: unknown sample, or the folder has another file with this name.
    """
    from ..modeling.pose_unipose import write_file

    if name not in SAMPLES:
        raise ValueError(f"There is no sample {name!r}; choose one of {', '.join(SAMPLES)}.")
    content, target = (Path(__file__).parent / name).read_bytes(), Path(folder) / name
    if not target.exists():
        return write_file(target, content)
    if target.read_bytes() != content:
        raise ValueError(f"Another file {target} already exists; choose another folder.")
    return target
