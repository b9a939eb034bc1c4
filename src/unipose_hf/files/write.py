# SPDX-License-Identifier: Apache-2.0
"""Files and folders written beside their place and moved there: whole or not at all, and as the user's umask wants."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A path beside `path` for what is to stand there; moved there at the end, removed after an error.

    What a killed process left is replaced by the next one, so a path has one writer at a time. Whole contents in
    memory are written by `modeling.pose_unipose.write_file`, which travels without this file.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    part.touch()
    mode = part.stat().st_mode
    try:
        yield part
        part.chmod(mode)  # some writers, safetensors among them, make files that only their owner can read
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_beside(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder` to make its content in; what was not moved away is removed at the end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
        made = Path(beside) / "made"
        made.mkdir()
        yield made


def open_to_umask(folder: Path) -> None:
    """Gives the files of a folder the permissions that new files have, where their writer gave them fewer."""
    sample = folder / f".{secrets.token_hex(4)}"
    sample.touch(exist_ok=False)
    mode = sample.stat().st_mode
    sample.unlink()
    for file in folder.iterdir():
        if file.is_file():
            file.chmod(mode)
