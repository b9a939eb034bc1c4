# SPDX-License-Identifier: Apache-2.0
"""Reads images from a file, a member of a tar archive, or a row of a Parquet shard.

A path can name all three: `a.jpg`, `archive.tar/deep/a.jpg`, `shard.parquet/17`.
"""

import functools
import tarfile
from pathlib import Path


def read_picture(path: Path) -> bytes:
    """The bytes of a picture file.

    Raises:
        FileNotFoundError: there is none.
    """
    for archive in path.parents:
        if archive.suffix in (".tar", ".parquet") and archive.is_file():
            name = path.relative_to(archive).as_posix()
            return (_member if archive.suffix == ".tar" else _row)(archive, name, path)
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"There is no picture {path}; download its data set again.") from None


def _member(archive, name, path):
    tar, members = _open_tar(archive)
    if name not in members:
        raise FileNotFoundError(f"There is no picture {path}; download its data set again.")
    return tar.extractfile(members[name]).read()


def _row(archive, name, path):
    table = _open_shard(archive)
    if not (name.isdigit() and int(name) < len(table)):
        raise FileNotFoundError(f"There is no picture {path}; build its data set again.")
    return table["image"][int(name)]["bytes"].as_py()


@functools.lru_cache(maxsize=16)
def _open_tar(archive):
    """An open archive and its members by name; of two members with the same name the later one counts, as when
    unpacking."""
    tar = tarfile.open(archive)
    return tar, {member.name: member for member in tar if member.isfile()}


@functools.lru_cache(maxsize=2)  # a shard's pictures are some megabytes
def _open_shard(archive):
    from pyarrow import parquet

    return parquet.read_table(archive, columns=["image"])
