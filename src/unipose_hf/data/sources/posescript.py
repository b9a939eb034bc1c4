# SPDX-License-Identifier: Apache-2.0
"""PoseScript (Delmas et al. 2022): descriptions, by people or automatic, of poses of AMASS. Splits come with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from unipose_hf.files.plain import only_file, read_json

from ..licences import LICENCES
from ..records import PoseRecord, one_of, skipping
from .amass import frame_reader

SPLITS = ("train", "val", "test")
KINDS = ("human", "auto")


class Place(NamedTuple):
    """Where a pose stands: path of a file of AMASS below its folder, and frame."""

    sequence: str
    frame: int


def list_posescript(root: str | Path, split: str, kind: str = "human") -> list[tuple[Place, tuple[str, ...]]]:
    """Places of the described poses of a split with their texts, in the order of the places.

    The order of files and frames, and not of the set's ids, lets a reader open each file of AMASS once.

    Args:
        split: "train", "val" or "test".
        kind: "human" or "auto" texts.

    Raises:
        FileNotFoundError, ValueError: a file of the set is missing; damaged, or no such split or kind.
    """
    how = LICENCES["PoseScript"].how
    split_file = only_file(root, f"{one_of(SPLITS, split, 'split')}_ids*.json", how)
    texts_file = only_file(root, f"posescript_{one_of(KINDS, kind, 'kind of texts')}_*.json", how)
    places = read_places(root, how)
    texts = read_texts([texts_file])
    ids = {str(number) for number in read_json(split_file, list)} & texts.keys()
    try:
        return sorted((places[number], texts[number]) for number in ids)
    except KeyError as error:
        raise ValueError(
            f"{root} describes pose {error} but does not say where it is; get PoseScript again."
        ) from None


def read_posescript(root: str | Path, amass: str | Path, split: str, kind: str = "human") -> Iterator[PoseRecord]:
    """The described poses of a split, each with its texts, facing wherever AMASS has them face (`body.remove_yaw`).

    Args:
        root: folder of PoseScript's files. amass: folder of AMASS.
        split, kind: as for `list_posescript`.

    Raises:
        FileNotFoundError, ValueError: as `list_posescript`; no folder `amass`.
    """
    return _records(list_posescript(root, split, kind), frame_reader(amass))


def _records(listed, read):
    with skipping("PoseScript") as skip:
        for place, texts in listed:
            try:
                record = read(*place)
            except (ValueError, FileNotFoundError) as error:
                skip(error)
                continue
            yield record._replace(set="PoseScript", licence=LICENCES["PoseScript"].terms, texts=texts)


def read_places(root: str | Path, how: str) -> dict[str, Place]:
    """Id -> place of every pose that PoseScript and PoseFix speak of."""
    path = only_file(root, "ids_2_dataset_sequence_and_frame_index*.json", how)
    content = read_json(path, dict)
    try:
        return {number: Place(str(name), int(frame)) for number, (_, name, frame) in content.items()}
    except (TypeError, ValueError):
        raise ValueError(f"{path} is not laid out as id: [data set, file, frame]; get it again.") from None


def read_texts(paths: list[Path]) -> dict[str, tuple[str, ...]]:
    """Id -> texts, where a file has one text or a list of them for an id."""
    texts = {}
    for path in paths:
        for number, found in read_json(path, dict).items():
            texts[number] = texts.get(number, ()) + ((found,) if isinstance(found, str) else tuple(found))
    return {number: found for number, found in texts.items() if found}
