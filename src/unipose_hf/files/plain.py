# SPDX-License-Identifier: Apache-2.0
"""Data files of others, read as plain data: numbers, words and containers. Nothing in a file is ever run."""

import contextlib
import json
import zipfile
from pathlib import Path

import numpy as np

from .unpickle import load_pickle


def read_npz(path: Path, *names: str, optional: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Those of the named arrays that an .npz archive has; of the optional ones, those that hold no Python objects.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or one of the arrays that are not optional holds Python objects.
    """
    path = _existing(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in names if name in archive.files}
            for name in {*optional} & {*archive.files}:
                with contextlib.suppress(ValueError):  # numpy does not unpickle here
                    arrays[name] = archive[name]
            return arrays
    except Exception as error:  # numpy, zipfile and zlib say in many ways that bytes are damaged
        raise ValueError(f"{path} cannot be read as an .npz of plain arrays ({error}); get it again.") from None


def read_npz_object(path: Path, name: str) -> object:
    """The one object, like a dict of arrays, that an .npz archive has where others have an array (see `read_pickle`).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, has no such object, or one that is no plain data.
    """
    path = _existing(path)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            return load_pickle(file, path).item()
    except Exception as error:  # zipfile, zlib and numpy say in many ways that bytes are damaged
        raise ValueError(f"{path} has no object {name} of plain data ({error}); get it again.") from None


def read_json(path: Path, kind: type = dict) -> dict | list:
    """What a JSON file holds: a `dict` or a `list`. A byte order mark is passed over.

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
    """The one file of a folder with such a name.

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
