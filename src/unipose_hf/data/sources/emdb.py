# SPDX-License-Identifier: Apache-2.0
"""EMDB (Kaufmann et al. 2023): people outdoors, SMPL poses in a world with a moving camera, in pickles.

The folder has the participants P0 to P9, each with a folder for every sequence: pictures in `images`, and a file
`*_data.pkl`, which is read as plain data and runs no code. The file says which of the set's two benchmarks it belongs
to.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unipose_hf.data.formats.smpl_rows import body_joints

from ...files.unpickle import read_pickle
from ..frames import from_opencv
from ..licences import LICENCES
from ..records import PoseRecord, one_of, skipping

SPLITS = ("emdb1", "emdb2")  # poses in the camera frame; trajectories in the world


def list_emdb(root: str | Path, split: str) -> list[Path]:
    """The files of the sequences of a benchmark: "emdb1" or "emdb2". Some belong to both, most to neither.

    Raises:
        FileNotFoundError: there are no sequences.
        ValueError: no such benchmark.
    """
    files = _files(root, split)
    with skipping("EMDB") as skip:
        return [path for path, _ in _contents(files, split, skip)]


def read_emdb(root: str | Path, split: str) -> Iterator[PoseRecord]:
    """The frames that show the person and have an image, in the camera frame; `sequence` is the sequence's name.

    Raises:
        FileNotFoundError, ValueError: as `list_emdb`.
    """
    return _records(_files(root, split), split)


def _files(root, split):
    one_of(SPLITS, split, "split")
    files = sorted(Path(root).glob("P*/*/*_data.pkl"))
    if not files:
        raise FileNotFoundError(f"{root} has no sequences (P*/*/*_data.pkl) of EMDB: {LICENCES['EMDB'].how}.")
    return files


def _contents(files, split, skip):
    for path in files:
        try:
            content = read_pickle(path)
            if content[split]:
                yield path, content
        except ValueError as error:
            skip(error)
        except (KeyError, TypeError) as error:
            skip(_misfit(path, error))


def _records(files, split):
    with skipping("EMDB") as skip:
        for path, content in _contents(files, split, skip):
            try:
                frames, poses, boxes, betas = _columns(content, path)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                skip(_misfit(path, error))
                continue
            for frame in frames.tolist():
                image = path.parent / "images" / f"{frame:05d}.jpg"
                if not image.is_file():
                    skip(f"There is no picture {image}: {LICENCES['EMDB'].how}.")
                elif not np.isfinite(poses[frame]).all():
                    skip(f"{path} holds NaN or infinite numbers in frame {frame}.")
                else:
                    left, top, right, bottom = boxes[frame].tolist()
                    box = (left, top, right, bottom) if left < right and top < bottom else None
                    pose, licence, gender = poses[frame].copy(), LICENCES["EMDB"].terms, str(content["gender"])
                    name = str(content["name"])
                    yield PoseRecord("EMDB", name, frame, licence, pose, betas, gender, image=image, box=box)


def _columns(content, path):
    """The frames that show the person, the poses in our frame and boxes of all frames, betas."""
    smpl, cameras = content["smpl"], np.asarray(content["camera"]["extrinsics"], dtype=np.float64)
    poses = body_joints(np.concatenate([smpl["poses_root"], smpl["poses_body"]], axis=1), path)
    good = np.asarray(content["good_frames_mask"]).astype(bool)
    boxes = np.asarray(content["bboxes"]["bboxes"], dtype=np.float64)
    if len({len(cameras), len(poses), len(good), len(boxes)}) != 1:
        raise ValueError("different numbers of frames")
    betas = np.asarray(smpl["betas"]).reshape(-1)[:10].astype(np.float32)
    return np.flatnonzero(good), from_opencv(poses, cameras[:, :3, :3]), boxes, betas


def _misfit(path, error):
    return f"{path} does not have the layout of an EMDB sequence ({error!r}); download it again."
