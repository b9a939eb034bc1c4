# SPDX-License-Identifier: Apache-2.0
"""Atomic writing of files and folders, with the permissions of the user's umask."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path next to `path`; it is moved to `path` at the end, or removed after an error.

    The next writer replaces what a killed process left, so a path may have only one writer at a time. To write bytes
    from memory, use `modeling.pose_unipose.write_file`, which does not depend on this file.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    part.touch()
    mode = part.stat().st_mode
    try:
        yield part
        part.chmod(mode)  # some writers, such as safetensors, create files that only their owner can read
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder_next_to(folder: Path) -> Iterator[Path]:
    """Yields an empty temporary folder next to `folder`, to be filled and moved; leftovers are removed at the end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as parent:
        temporary = Path(parent) / "content"
        temporary.mkdir()
        yield temporary


def open_to_umask(folder: Path) -> None:
    """Gives the files of a folder the default permissions of new files, if their writer gave them fewer."""
    sample = folder / f".{secrets.token_hex(4)}"
    sample.touch(exist_ok=False)
    mode = sample.stat().st_mode
    sample.unlink()
    for file in folder.iterdir():
        if file.is_file():
            file.chmod(mode)
