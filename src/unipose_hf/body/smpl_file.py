# SPDX-License-Identifier: Apache-2.0
"""Reads the arrays of an SMPL-family file, `.npz` or pickle with numpy, scipy and chumpy, without running its code."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..files.unpickle import read_pickle

FIELDS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")


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
            f"{path} cannot be read as plain arrays ({error.__cause__ or error}); if you trust it, load it with the "
            f"packages it was written with and save its {', '.join(FIELDS)} as arrays with numpy.savez."
        ) from error
    missing = [name for name in FIELDS if name not in arrays]
    if missing:
        raise ValueError(f"{path} is not an SMPL, SMPL-H or SMPL-X model: it lacks {', '.join(missing)}.")
    return arrays


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in FIELDS if name in stored}


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    stored: Any = read_pickle(path)
    return {name: np.asarray(stored[name]) for name in FIELDS if name in stored}
