# SPDX-License-Identifier: Apache-2.0
"""Any folder of BVH motions whose skeletons have common joint names."""

from collections.abc import Iterator
from pathlib import Path

from unipose_hf.data.formats.motion import parse_bvh
from unipose_hf.data.formats.pose_files import read_poses

from ..records import PoseRecord, skipping


def list_bvh_folder(root: str | Path) -> list[Path]:
    """The .bvh files in a folder and below.

    Raises:
        FileNotFoundError: there are none.
    """
    files = sorted(path for path in Path(root).rglob("*") if path.suffix.lower() == ".bvh" and path.is_file())
    if not files:
        raise FileNotFoundError(f"{root} has no .bvh files; give a folder of BVH motions.")
    return files


def read_bvh_folder(root: str | Path, licence: str, *, every: int = 1) -> Iterator[PoseRecord]:
    """Every `every`-th frame of the motions; `sequence` is the file's path below `root`.

    Args:
        root: folder of BVH files; those with an unclear up axis or unknown joint names are skipped.
        licence: licence of these files, which only you know.

    Raises:
        FileNotFoundError: as `list_bvh_folder`.
    """
    return _records(Path(root), list_bvh_folder(root), licence, every)


def _records(root, files, licence, every):
    with skipping("BVH") as skip:
        for path in files:
            try:
                poses = read_poses(path).numpy()
                seconds = parse_bvh(path).frame_time
            except (ValueError, OSError) as error:
                skip(error)
                continue
            sequence, rate = path.relative_to(root).as_posix(), 1 / seconds if seconds > 0 else None
            for frame in range(0, len(poses), every):
                yield PoseRecord("BVH", sequence, frame, licence, poses[frame].copy(), frame_rate=rate)
