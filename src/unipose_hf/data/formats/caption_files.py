# SPDX-License-Identifier: Apache-2.0
"""Captions of pose files, with optional multiprocessing, printed or saved as Parquet."""

import contextlib
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import torch

from unipose_hf.captions import caption_poses
from unipose_hf.data.language import describe_poses
from unipose_hf.files.write import replacing

from .pose_files import IN_FOLDERS, read_poses

_ROWS = 8192  # captions written at once


class FileCaptions(NamedTuple):
    """The result for a file: its frames and their captions, or an error (then both lists are empty)."""

    file: Path
    frames: list[int]
    captions: list[str]
    error: str | None = None


def find_pose_files(paths: Iterable[str | os.PathLike]) -> list[Path]:
    """The files among the paths; a folder is replaced by the .npz, .bvh and .json files in it and below, sorted by
    name.

    Raises:
        FileNotFoundError: a path does not exist, or a folder has no pose files.
    """
    files = []
    for path in map(Path, paths):
        found = [path]
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in IN_FOLDERS and file.is_file())
        elif not path.exists():
            raise FileNotFoundError(f"There is no file or folder {path}; check the path.")
        if not found:
            raise FileNotFoundError(f"There is no file of poses ({', '.join(IN_FOLDERS)}) in the folder {path}.")
        files += found
    return list(dict.fromkeys(files))


def caption_file(
    file: Path,
    *,
    every: int = 1,
    describe: Callable[[torch.Tensor], list[str]] = caption_poses,
    reading: dict | None = None,
) -> FileCaptions:
    """Describe every `every`-th frame of a file; a file that cannot be read gives an error result, not an exception.

    Args:
        describe: poses `(N, 22, 3)` axis-angle -> a text for each.
        reading: further arguments of `read_poses`.
    """
    try:
        poses = read_poses(file, **(reading or {}))[::every]
    except (ValueError, OSError) as error:
        return FileCaptions(file, [], [], str(error))
    except (
        Exception
    ) as error:  # damaged files raise many kinds of errors, and one file must not end a run over thousands
        return FileCaptions(file, [], [], f"{file} cannot be read ({type(error).__name__}: {error}).")
    frames = list(range(0, every * len(poses), every))
    return FileCaptions(file, frames, describe(poses))


def caption_files(
    files: Iterable[Path],
    *,
    every: int = 1,
    seed: int = 0,
    version: str = "default",
    style: str = "measured",
    processes: int = 1,
    reading: dict | None = None,
) -> Iterator[FileCaptions]:
    """`caption_file` of each file, in order, with any number of processes.

    Args:
        style: `"measured"` for `caption_poses`, `"short"` or `"full"` for `describe_poses`.

    Raises:
        ValueError: unknown version or style.
        OSError: a process was killed.
    """
    caption_poses([], version=version)  # check the version before reading the first file
    if style == "measured":
        caption = functools.partial(caption_poses, seed=seed, version=version)
    else:
        describe_poses(torch.zeros(0, 22, 3), style=style)  # check the style
        caption = functools.partial(describe_poses, style=style, seed=seed)
    describe = functools.partial(caption_file, every=every, describe=caption, reading=reading)
    if processes == 1:
        yield from map(describe, files)
        return
    # spawned processes: a fork of one that has used torch's threads can hang
    fresh = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, fresh, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(describe, files)
    except BrokenProcessPool:
        raise OSError("A worker process was killed (out of memory?); use fewer processes.") from None
    finally:
        pool.shutdown(cancel_futures=True)


def write_captions(described: Iterable[FileCaptions], output: str | os.PathLike) -> Iterator[FileCaptions]:
    """Write captions to a Parquet file with the columns file, frame and caption, and yield them unchanged.

    Rows are written to a temporary file next to `output`, which is renamed at the end, or removed on an error.

    Raises:
        ImportError: pyarrow is missing.
        ValueError: none of the files could be read.
    """
    output = Path(output)
    with _parquet(output) as write:
        pending, rows, read = [], 0, False
        for one in described:
            pending.append(one)
            rows += len(one.frames)
            read = read or one.error is None
            if rows >= _ROWS:
                write(pending)
                pending, rows = [], 0
            yield one
        if not read:
            raise ValueError(
                f"None of the files could be read, so {output} was not written; see the error of each file."
            )
        if rows:
            write(pending)


@contextlib.contextmanager
def _parquet(output: Path):
    """A function that adds rows; the file appears when all are written."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ImportError("Parquet files need pyarrow, which comes with: pip install unipose-hf[train]") from None
    columns = pyarrow.schema([("file", pyarrow.string()), ("frame", pyarrow.int32()), ("caption", pyarrow.string())])

    def write(described):
        names = [str(one.file) for one in described for _ in one.frames]
        frames = [frame for one in described for frame in one.frames]
        captions = [caption for one in described for caption in one.captions]
        writer.write_table(pyarrow.table([names, frames, captions], schema=columns))

    with replacing(output) as part, parquet.ParquetWriter(part, columns) as writer:
        yield write
