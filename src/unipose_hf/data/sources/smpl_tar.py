# SPDX-License-Identifier: Apache-2.0
"""SMPL fits in the tar archives of 4D-Humans' training data: for each image KEY.jpg a pickle KEY.data.pyd.

The pickle is a list of people with the entries of `smpl_npz`'s rows: `center`, `scale`, `body_pose`, `betas`,
`has_body_pose`. It is read as plain data and runs no code. The archives are not unpacked.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...files.unpickle import load_pickle
from ..licences import LICENCES
from ..records import PoseRecord, one_of, skipping
from .smpl_npz import SETS, columns_of, people_of

_PICTURES = (".jpg", ".jpeg", ".png")
_ANNOTATION = ".data.pyd"
_FIELDS = ("center", "scale", "body_pose", "betas", "has_body_pose")


def list_smpl_tar(root: str | Path, split: str, name: str) -> list[Path]:
    """The archives of a set: all *.tar below the folder whose path names the split, as `mpii-train/000000.tar` does.

    Raises:
        FileNotFoundError: there are none.
        ValueError: no such set.
    """
    one_of(SETS, name, "set with SMPL fits")
    root = Path(root)
    found = [path for path in sorted(root.rglob("*.tar")) if split in path.relative_to(root).as_posix()]
    if not found:
        raise FileNotFoundError(f"{root} has no archives *{split}*/*.tar of {name}: {LICENCES[name].how}.")
    return found


def read_smpl_tar(root: str | Path, split: str, name: str) -> Iterator[PoseRecord]:
    """The people with a fit; `sequence` is the image's name in its archive, `frame` the index of the person in it.

    Raises:
        FileNotFoundError, ValueError: as `list_smpl_tar`.
    """
    return _records(list_smpl_tar(root, split, name), name)


def count_fits(path: Path) -> int:
    """The number of images with fits in an archive.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        with tarfile.open(path) as tar:
            return sum(_is_annotation(member.name) for member in tar)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{path} cannot be read as a tar archive ({error}); get it again.") from None


def _records(archives, name):
    with skipping(name) as skip:
        for path in archives:
            try:
                with tarfile.open(path) as tar:
                    members = {member.name: member for member in tar if member.isfile()}
                    for key in filter(_is_annotation, members):
                        yield from _picture(tar, members, key, path, name, skip)
            except (tarfile.TarError, EOFError, OSError) as error:
                skip(f"{path} cannot be read to its end ({error}); get it again.")


def _is_annotation(member):
    return member.endswith(_ANNOTATION)


def _picture(tar, members, key, path, name, skip):
    stem = key.removesuffix(_ANNOTATION)
    image = next((stem + suffix for suffix in _PICTURES if stem + suffix in members), None)
    if image is None:
        skip(f"{path} has no picture {stem}.jpg.")
        return
    where = f"{path}/{key}"
    try:
        people = load_pickle(tar.extractfile(members[key]), where)
        if not people:
            return
        columns = {field: np.array([person[field] for person in people]) for field in _FIELDS}
        columns = columns_of(columns | {"imgname": np.array([image] * len(people))}, where)
        found = list(people_of(columns, np.flatnonzero(columns["known"]), where, path, name, skip))
    except (ValueError, KeyError, TypeError) as error:
        skip(f"{where} is not laid out as an annotation of 4D-Humans ({error!r}).")
        return
    yield from found
