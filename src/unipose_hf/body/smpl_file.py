# SPDX-License-Identifier: Apache-2.0
"""Read the arrays of an SMPL-family file without running code that the file brings along.

`.npz` files hold plain arrays. `.pkl` files are programs: the reader below builds numpy arrays and plain containers,
turns the two foreign classes the published files contain (scipy's sparse matrices, chumpy's variables) into arrays by
itself, and refuses everything else.
"""

import pickle
from os import PathLike
from pathlib import Path

import numpy as np

FIELDS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")


class _State:
    """Stands for a foreign object: keeps what was stored of it, never runs its class."""

    def __init__(self, *arguments):
        pass

    def __setstate__(self, state):
        self.state = state


class _Sparse(_State):
    """A scipy compressed sparse matrix."""

    rows_are_compressed = True

    def array(self) -> np.ndarray:
        state = self.state
        shape = tuple(state["_shape"] if "_shape" in state else state["shape"])
        compressed = np.repeat(np.arange(len(state["indptr"]) - 1), np.diff(state["indptr"]))
        rows, columns = (compressed, state["indices"]) if self.rows_are_compressed else (state["indices"], compressed)
        dense = np.zeros(shape, dtype=state["data"].dtype)
        np.add.at(dense, (rows, columns), state["data"])
        return dense


class _SparseColumns(_Sparse):
    rows_are_compressed = False


class _Chumpy(_State):
    """A chumpy variable: either values `x`, or a selection of another variable's."""

    def array(self) -> np.ndarray:
        state = self.state
        if "x" in state:
            return np.asarray(state["x"])
        if "a" in state and "idxs" in state:
            chosen = _as_array(state["a"]).ravel()[state["idxs"]]
            return chosen.reshape(state.get("preferred_shape", chosen.shape))
        raise ValueError("unknown chumpy expression")


_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
    # Python 2 spells the next two modules copy_reg and __builtin__.
    ("copy_reg", "_reconstructor"),
    ("copyreg", "_reconstructor"),
    ("__builtin__", "object"),
    ("builtins", "object"),
    ("__builtin__", "set"),
    ("builtins", "set"),
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        if module.startswith("scipy.sparse") and name in ("csc_matrix", "csr_matrix"):
            return _SparseColumns if name == "csc_matrix" else _Sparse
        if module == "chumpy" or module.startswith("chumpy."):
            return _Chumpy
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _as_array(value) -> np.ndarray:
    return value.array() if isinstance(value, _State) else np.asarray(value)


def read_smpl_file(path: str | PathLike) -> dict[str, np.ndarray]:
    """The arrays of an SMPL, SMPL-H or SMPL-X file, named as in the file.

    Args:
        path: an `.npz` or `.pkl` file from the models' own sites.

    Returns:
        `v_template (V, 3)`, `shapedirs (V, 3, S)`, `posedirs (V, 3, P)`, `J_regressor (J, V)`, `weights (V, J)`,
        `f (F, 3)`, `kintree_table (2, J)`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of the SMPL family, or a pickle with more than arrays in it.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"No body file at {path}: get one, after registering, from smpl.is.tue.mpg.de (SMPL), mano.is.tue.mpg.de "
            "(SMPL-H) or smpl-x.is.tue.mpg.de (SMPL-X), or pass no path to use the bundled body."
        )
    if path.is_dir():
        raise ValueError(f"{path} is a folder; pass the .npz or .pkl file of one model inside it.")
    if path.suffix not in (".npz", ".pkl"):
        raise ValueError(f"{path} is neither .npz nor .pkl; pass an SMPL, SMPL-H or SMPL-X model file.")
    try:
        arrays = _read_npz(path) if path.suffix == ".npz" else _read_pickle(path)
    except Exception as error:  # a damaged file can fail in any way; the user needs one sentence in all of them
        raise ValueError(
            f"{path} cannot be read as plain arrays ({error}); if you trust it, load it with the packages it was "
            f"written with and save its {', '.join(FIELDS)} as arrays with numpy.savez."
        ) from error
    missing = [name for name in FIELDS if name not in arrays]
    if missing:
        raise ValueError(f"{path} is not an SMPL, SMPL-H or SMPL-X model: it lacks {', '.join(missing)}.")
    return arrays


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in FIELDS if name in stored}


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    with open(path, "rb") as file:
        stored = _PlainUnpickler(file, encoding="latin1").load()
    return {name: _as_array(stored[name]) for name in FIELDS if name in stored}
