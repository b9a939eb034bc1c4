# SPDX-License-Identifier: Apache-2.0
"""Lists the data sets in a folder and their sizes, for `unipose doctor --data`."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from .sources import (
    amass,
    bvh_folder,
    emdb,
    human36m,
    keypoints,
    lsp,
    moyo,
    posefix,
    posescript,
    posest_open,
    smpl_npz,
    smpl_tar,
    threedpw,
)


class DataSetState(NamedTuple):
    """The state of a data set: what was `found`, in words, or None and what is `missing`."""

    name: str
    found: str | None
    missing: str = ""


def list_data_sets(root: str | Path) -> Iterator[DataSetState]:
    """Yields the state of each data set in the sub-folders of a folder.

    Raises:
        FileNotFoundError: no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}; give the folder that contains the data sets.")
    return (_state(name, root / folder, splits, count, unit) for name, folder, splits, count, unit in _rows(root))


def _rows(root: Path) -> Iterator[tuple[str, str, tuple[str, ...], Callable, str]]:
    """For each set: name, sub-folder, splits, the function that counts a split, and the unit."""
    yield "AMASS", "amass", tuple(amass.SPLITS), _length(amass.list_amass), "motions"
    yield "MOYO", "moyo", moyo.SPLITS, _length(moyo.list_moyo), "motions"
    yield "MOYO (pictures)", "moyo", ("listed",), lambda root, _: moyo.count_moyo_pictures(root), "pictures"
    for kind in posescript.KINDS:
        count = _length(partial(posescript.list_posescript, kind=kind))
        yield f"PoseScript ({kind})", "posescript", posescript.SPLITS, count, "poses"
    for kind in posefix.KINDS:
        yield (
            f"PoseFix ({kind})",
            "posefix",
            posefix.SPLITS,
            _length(partial(posefix.list_posefix, kind=kind)),
            "pairs",
        )
    for name, folder in zip(smpl_npz.SETS, ("human36m", "mpi_inf_3dhp", "coco", "mpii"), strict=True):
        yield name, folder, ("train", "val"), partial(_fits, name=name), "fits"
        if any((root / folder).rglob("*.tar")):
            count = partial(_packed, name=name)
            yield f"{name} (archives)", folder, ("train", "val"), count, "pictures with fits"
    yield "Human3.6M (joints)", "human36m", ("test",), lambda root, _: human36m.count_human36m(root), "pictures"
    yield "COCO (boxes)", "coco", keypoints.SPLITS, _length(keypoints.list_coco_people), "people"
    yield "MPII (boxes)", "mpii", keypoints.SPLITS, _length(keypoints.list_mpii_people), "people"
    yield "3DPW", "3dpw", tuple(threedpw.SPLITS), _length(threedpw.list_threedpw), "sequences"
    yield "EMDB", "emdb", emdb.SPLITS, _length(emdb.list_emdb), "sequences"
    yield "LSP", "lsp", tuple(lsp.SPLITS), _length(lsp.list_lsp), "pictures"
    yield "PoseEst-Open", "posest_open", posest_open.SPLITS, posest_open.count_posest_open, "pictures"
    yield "BVH", "bvh", ("all",), lambda root, _: len(bvh_folder.list_bvh_folder(root)), "motions"


def _state(name, folder, splits, count, unit):
    found, missing = [], []
    for split in splits:
        try:
            found.append(f"{split} {count(folder, split):,}")
        except (FileNotFoundError, ValueError) as error:
            missing.append(str(error))
    first = missing[0] if missing else ""
    return DataSetState(name, f"{', '.join(found)} {unit}" if found else None, first)


def _length(listing):
    return lambda folder, split: len(listing(folder, split))


def _fits(folder, split, name):
    return sum(smpl_npz.count_fits(path) for path in smpl_npz.list_smpl_npz(folder, split, name))


def _packed(folder, split, name):
    return sum(smpl_tar.count_fits(path) for path in smpl_tar.list_smpl_tar(folder, split, name))
