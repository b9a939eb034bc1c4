# SPDX-License-Identifier: Apache-2.0
"""Reads foreign data files as plain data: numbers, strings and containers. Code in a file is never run."""

import contextlib
import json
import zipfile
from pathlib import Path

import numpy as np

from .unpickle import load_pickle


def read_npz(path: Path, *names: str, optional: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Reads the named arrays that an .npz archive has; optional ones with Python objects are skipped.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is damaged, or an array that is not optional holds Python objects.
    """
    path = _existing(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in names if name in archive.files}
            for name in {*optional} & {*archive.files}:
                with contextlib.suppress(ValueError):  # numpy does not unpickle here
                    arrays[name] = archive[name]
            return arrays
    except Exception as error:  # numpy, zipfile and zlib raise many kinds of errors for damaged files
        raise ValueError(f"{path} cannot be read as an .npz of plain arrays ({error}); get it again.") from None


def read_npz_object(path: Path, name: str) -> object:
    """Reads the object, such as a dict of arrays, that an .npz archive has instead of an array (see `read_pickle`).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, has no such object, or one that is not plain data.
    """
    path = _existing(path)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            return load_pickle(file, path).item()
    except Exception as error:  # zipfile, zlib and numpy raise many kinds of errors for damaged files
        raise ValueError(f"{path} has no object {name} of plain data ({error}); get it again.") from None


def read_json(path: Path, kind: type = dict) -> dict | list:
    """Reads a JSON file: a `dict` or a `list`. A byte order mark is ignored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or holds something else.
    """
    path = _existing(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); get it again.") from None
    if not isinstance(content, kind):
        raise ValueError(f"{path} holds a {type(content).__name__}, expected a {kind.__name__}; get it again.")
    return content


def only_file(folder: Path, pattern: str, how: str) -> Path:
    """The only file in a folder that matches `pattern`.

    Raises:
        FileNotFoundError: there is none; the message ends with `how` to get it.
        ValueError: there are several.
    """
    found = sorted(Path(folder).glob(pattern))
    if not found:
        raise FileNotFoundError(f"There is no {pattern} in {folder}: {how}.")
    if len(found) > 1:
        raise ValueError(f"{folder} has several files {pattern}: {', '.join(p.name for p in found)}; keep one there.")
    return found[0]


def _existing(path):
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; check the path.")
    return path
