# SPDX-License-Identifier: Apache-2.0
"""Data files of others, read as plain data: numbers, words and containers. Nothing in a file is ever run."""

import json
import math
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO

import numpy as np


def read_npz(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Those of the named arrays that an .npz archive has.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or one of these arrays holds Python objects.
    """
    path = _existing(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in names if name in archive.files}
    except Exception as error:  # numpy, zipfile and zlib say in many ways that bytes are damaged
        raise ValueError(f"{path} cannot be read as an .npz of plain arrays ({error}); get it again.") from None


def read_npz_object(path: Path, name: str) -> object:
    """The one object, like a dict of arrays, that an .npz archive has where others have an array; see `read_pickle`.

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


def read_json(path: Path, kind: type) -> dict | list:
    """What a JSON file holds: a `dict` or a `list`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or holds something else.
    """
    path = _existing(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); get it again.") from None
    if not isinstance(content, kind):
        raise ValueError(f"{path} holds a {type(content).__name__}, expected a {kind.__name__}; get it again.")
    return content


def read_pickle(path: Path) -> object:
    """What a pickle file holds, if that is numpy arrays of numbers and words, plain values and containers of these.

    Pickles of Python 2 are read, too. Whatever else a pickle names is never looked up, so that none can run code.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or names anything else.
    """
    with _existing(path).open("rb") as file:
        return load_pickle(file, path)


def load_pickle(file: BinaryIO, where: object) -> object:
    """`read_pickle` of an open file; the message of its ValueError begins with `where`."""
    try:
        return _PlainUnpickler(file, encoding="latin1").load()
    except Exception as error:  # what a damaged pickle does is open
        raise ValueError(f"{where} cannot be read as a pickle of plain data ({error}); get it again.") from None


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


# numpy's own classes would trust a pickle with more than they should (a crafted type can turn bytes into pointers), so
# these stand in for them.


class _Type:
    """A numpy type of numbers or words, or of objects, which are plain data as everything else in the pickle."""

    def __init__(self, code, *_):
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not re.fullmatch(r"[<>|=]?([biufc][0-9]{1,2}|[SU][0-9]{1,6})|O8?", code):
            raise pickle.UnpicklingError(f"arrays of the type {code!r}")
        self.type = np.dtype(code)

    def __setstate__(self, state):
        self.type = self.type.newbyteorder(state[1])  # the rest is of types with fields, which have other codes


class _Array(np.ndarray):
    """An array that takes its content from numbers and words, or from a list of as many things as it has places."""

    def __setstate__(self, state):
        version, shape, kind, fortran, raw = state
        listed = isinstance(raw, list) and min(shape, default=0) >= 0 and math.prod(shape) == len(raw)
        if _plain(kind).hasobject and not listed:  # numpy would read past the end of a shorter list
            raise pickle.UnpicklingError("an array of objects without these objects")
        super().__setstate__((version, shape, _plain(kind), fortran, raw))


def _plain(kind):
    if not isinstance(kind, _Type):
        raise pickle.UnpicklingError("an array without a type")
    return kind.type


def _array(*_):
    return _Array.__new__(_Array, (0,), "b")


def _scalar(kind, raw):
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    return np.frombuffer(raw, _plain(kind), count=1)[0]


def _from_buffer(buffer, kind, shape, order):
    return np.frombuffer(buffer, _plain(kind)).reshape(shape, order=order)


def _latin1(text, encoding):
    return text.encode("latin1")


def _no_bytes():
    return b""


_NUMPY = {"_reconstruct": _array, "scalar": _scalar, "_frombuffer": _from_buffer}
_ADMITTED = {
    f"numpy.{core}.{module}.{name}": stand_in
    for core in ("core", "_core")
    for module in ("multiarray", "numeric")
    for name, stand_in in _NUMPY.items()
} | {
    "numpy.ndarray": None,  # `_reconstruct` is given it; to call it, or make one of it, is refused
    "numpy.dtype": _Type,
    "_codecs.encode": _latin1,  # how Python 3 writes bytes for Python 2, and
    "__builtin__.bytes": _no_bytes,  # where there are none
    "__builtin__.set": set,
    "builtins.set": set,
    "collections.OrderedDict": OrderedDict,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if f"{module}.{name}" not in _ADMITTED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no plain data")
        return _ADMITTED[f"{module}.{name}"]
