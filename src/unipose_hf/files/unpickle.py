# SPDX-License-Identifier: Apache-2.0
"""Reads pickles as plain data: arrays of numbers and strings, plain values, and containers. No code in them is run.

A pickle is a program that may call anything it names. Here every allowed name is replaced by a stand-in from this
file, every other name is refused, and none is ever looked up. Even numpy's classes have stand-ins, because they trust
a pickle too much (a crafted dtype turns bytes into pointers). So do scipy's sparse matrices, chumpy's variables and
joblib's arrays, which can thus be read without these packages.
"""

import bz2
import io
import lzma
import math
import pickle
import re
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO

import numpy as np

MAX_BYTES = 4 * 2**30  # maximum decompressed size
_MAX_DENSE = 2**28  # maximum entries of a sparse matrix as a dense array


def read_pickle(path: str | Path) -> object:
    """Reads a pickle file, also from Python 2 or `joblib.dump`, compressed or not.

    Arrays are returned as arrays. A scipy sparse matrix and a chumpy variable become objects that `numpy.asarray`
    accepts.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is damaged, or contains anything other than plain data.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; check the path.")
    with path.open("rb") as file:
        return load_pickle(file, path)


def load_pickle(file: BinaryIO, where: object) -> object:
    """`read_pickle` for an open file, from its current position; error messages begin with `where`."""
    try:
        return _PlainUnpickler(io.BytesIO(_unpacked(file.read()))).load()
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{where} cannot be read as a pickle of plain data ({error}); get it again.") from error


def _unpacked(content: bytes) -> bytes:
    """Decompresses joblib's formats."""
    if content[:1] == b"\x78" or content[:2] == b"\x1f\x8b":
        unpacker = zlib.decompressobj(wbits=47)  # zlib or gzip, detected from the header
    elif content[:3] == b"BZh":
        unpacker = bz2.BZ2Decompressor()
    elif content[:2] == b"\x5d\x00" or content[:6] == b"\xfd7zXZ\x00":
        unpacker = lzma.LZMADecompressor()
    else:
        return content
    unpacked = unpacker.decompress(content, MAX_BYTES)
    if not unpacker.eof:
        raise pickle.UnpicklingError(f"it is truncated, or decompresses to more than {MAX_BYTES // 2**30} GiB")
    return unpacked


class _StandIn:
    """A pickle may set the attributes of anything it has named, unless there is a `__setstate__`."""

    def __setstate__(self, state):
        raise pickle.UnpicklingError("it modifies a stand-in")


class _Type(_StandIn):
    """A numpy dtype of numbers or strings, or of objects, which are plain data like everything else in the pickle."""

    def __init__(self, code, *_):
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not re.fullmatch(r"[<>|=]?([biufc][0-9]{1,2}|[SU][0-9]{1,6})|O8?", code):
            raise pickle.UnpicklingError(f"arrays of the type {code!r}")
        self.type = np.dtype(code)

    def __setstate__(self, state):
        self.type = self.type.newbyteorder(state[1])  # the rest is for structured dtypes, which have other codes


def _plain(kind):
    if not isinstance(kind, _Type):
        raise pickle.UnpicklingError("an array without a type")
    return kind.type


class _Array(np.ndarray):
    """An array filled from numbers and strings, or from a list with as many items as its size."""

    def __setstate__(self, state):
        version, shape, kind, fortran, raw = state
        listed = isinstance(raw, list) and min(shape, default=0) >= 0 and math.prod(shape) == len(raw)
        if _plain(kind).hasobject and not listed:  # numpy would read past the end of a shorter list
            raise pickle.UnpicklingError("an array of objects without these objects")
        super().__setstate__((version, shape, _plain(kind), fortran, raw))

    def __reduce_ex__(self, protocol):
        return self.view(np.ndarray).__reduce_ex__(protocol)


class _JoblibArray(_Array):
    """An array stored in the file after its description."""

    file: io.BytesIO

    def __new__(cls):
        return super().__new__(cls, (0,), "b")

    def __setstate__(self, state):
        kind, shape = state["dtype"], tuple(state["shape"])
        if _plain(kind).hasobject:
            listed = _PlainUnpickler(self.file).load()
            if not isinstance(listed, np.ndarray) or listed.dtype != object:
                raise pickle.UnpicklingError("an array of objects without these objects")
            raw = list(listed.ravel())
        else:
            if state.get("numpy_array_alignment_bytes") is not None:
                self.file.read(int.from_bytes(self.file.read(1), "little"))  # padding
            raw = self.file.read(_plain(kind).itemsize * math.prod(shape))
        in_columns = state["order"] == "F" and not _plain(kind).hasobject
        super().__setstate__((1, shape, kind, in_columns, raw))
        self.__class__ = _Array


class _Reconstruct(_StandIn):
    def __new__(cls, *_):
        return _Array.__new__(_Array, (0,), "b")


class _Scalar(_StandIn):
    def __new__(cls, kind, raw):
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        return np.frombuffer(_bytes(raw), _plain(kind), count=1)[0]


class _FromBuffer(_StandIn):
    def __new__(cls, buffer, kind, shape, order):
        return np.frombuffer(_bytes(buffer), _plain(kind)).reshape(shape, order=order).view(_Array)


def _bytes(raw):
    if not isinstance(raw, bytes | bytearray):  # the bytes of an array would be lost when the pickle refills it
        raise pickle.UnpicklingError("an array whose data is not bytes")
    return bytes(raw)


class _Latin1(_StandIn):
    """How Python 3 pickles bytes for Python 2."""

    def __new__(cls, text, encoding):
        return text.encode("latin1")


class _NoBytes(_StandIn):
    def __new__(cls):
        return b""


class _DefaultDict(_StandIn):
    """A defaultdict, read as a dict without defaults."""

    def __new__(cls, *_):
        return {}


class _Foreign:
    """Replaces an object of another package: keeps its stored state, never runs its class."""

    def __init__(self, *_):
        pass

    def __setstate__(self, state):
        self.state = state


class _SparseRows(_Foreign):
    """A compressed sparse matrix of scipy."""

    def __array__(self, dtype=None, copy=None):
        state = self.state
        shape = tuple(int(size) for size in (state["_shape"] if "_shape" in state else state["shape"]))
        if min(shape) < 0 or math.prod(shape) > _MAX_DENSE:
            raise ValueError(f"a sparse matrix of the shape {shape}")
        outer, inner = self._indices(state)
        dense = np.zeros(shape, dtype=state["data"].dtype)
        np.add.at(dense, (outer, inner), state["data"])
        return dense.astype(dtype, copy=False)

    def _indices(self, state):
        compressed = np.repeat(np.arange(len(state["indptr"]) - 1), np.diff(state["indptr"]))
        return compressed, state["indices"]


class _SparseColumns(_SparseRows):
    def _indices(self, state):
        columns, rows = super()._indices(state)
        return rows, columns


class _Chumpy(_Foreign):
    """A variable of chumpy: either values `x`, or a selection of another variable's."""

    def __array__(self, dtype=None, copy=None):
        state = self.state
        if "x" in state:
            return np.asarray(state["x"], dtype=dtype)
        if "a" in state and "idxs" in state:
            chosen = np.asarray(state["a"]).ravel()[state["idxs"]]
            return chosen.reshape(state.get("preferred_shape", chosen.shape)).astype(dtype, copy=False)
        raise ValueError("unknown chumpy expression")


class _Reconstructor(_StandIn):
    """How Python 2 creates an object: only used for those of other packages."""

    def __new__(cls, kind, *_):
        if not (isinstance(kind, type) and issubclass(kind, _Foreign)):
            raise pickle.UnpicklingError("an object that is not plain data")
        return kind()


_NUMPY = {"_reconstruct": _Reconstruct, "scalar": _Scalar, "_frombuffer": _FromBuffer}
_ADMITTED = {
    f"numpy.{core}.{module}.{name}": stand_in
    for core in ("core", "_core")
    for module in ("multiarray", "numeric")
    for name, stand_in in _NUMPY.items()
} | {
    "numpy.ndarray": None,  # `_reconstruct` is given it; to call it, or make one of it, is refused
    "numpy.dtype": _Type,
    "_codecs.encode": _Latin1,
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": _DefaultDict,
}
for _builtins, _copyreg in (("builtins", "copyreg"), ("__builtin__", "copy_reg")):  # of Python 3 and 2
    _ADMITTED |= {
        f"{_builtins}.bytes": _NoBytes,
        f"{_builtins}.set": set,
        f"{_builtins}.dict": None,  # what a defaultdict is given
        f"{_builtins}.list": None,
        f"{_builtins}.object": None,  # what `_reconstructor` is given
        f"{_copyreg}._reconstructor": _Reconstructor,
    }


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO):  # of another kind of file it would read ahead, over joblib's arrays
        super().__init__(file, encoding="latin1")
        self.file = file

    def find_class(self, module, name):
        full = f"{module}.{name}"
        if full in _ADMITTED:
            return _ADMITTED[full]
        if full == "joblib.numpy_pickle.NumpyArrayWrapper":
            return type("_JoblibArray", (_JoblibArray,), {"file": self.file})
        if module.startswith("scipy.sparse") and name in ("csc_matrix", "csr_matrix", "csc_array", "csr_array"):
            return _SparseColumns if name.startswith("csc") else _SparseRows
        if module == "chumpy" or module.startswith("chumpy."):
            return _Chumpy
        raise pickle.UnpicklingError(f"it names {full}, which is not plain data")
