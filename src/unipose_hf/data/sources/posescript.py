# SPDX-License-Identifier: Apache-2.0
"""PoseScript (Delmas et al. 2022): human and automatic descriptions of AMASS poses, with their splits."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from unipose_hf.files.plain import only_file, read_json

from ..licences import LICENCES
from ..records import PoseRecord, one_of, skipping
from .amass import frame_reader

SPLITS = ("train", "val", "test")
KINDS = ("human", "auto")


class Location(NamedTuple):
    """The location of a pose: path of an AMASS file below its folder, and frame."""

    sequence: str
    frame: int


def list_posescript(root: str | Path, split: str, kind: str = "human") -> list[tuple[Location, tuple[str, ...]]]:
    """Locations of the described poses of a split with their texts, sorted by location.

    Sorting by file and frame instead of id lets a reader open each AMASS file once.

    Args:
        split: "train", "val" or "test".
        kind: "human" or "auto" texts.

    Raises:
        FileNotFoundError, ValueError: a file of the set is missing; damaged, or no such split or kind.
    """
    how = LICENCES["PoseScript"].how
    split_file = only_file(root, f"{one_of(SPLITS, split, 'split')}_ids*.json", how)
    texts_file = only_file(root, f"posescript_{one_of(KINDS, kind, 'kind of texts')}_*.json", how)
    locations = read_locations(root, how)
    texts = read_texts([texts_file])
    ids = {str(number) for number in read_json(split_file, list)} & texts.keys()
    try:
        return sorted((locations[number], texts[number]) for number in ids)
    except KeyError as error:
        raise ValueError(f"{root} describes pose {error} without its location; download PoseScript again.") from None


def read_posescript(root: str | Path, amass: str | Path, split: str, kind: str = "human") -> Iterator[PoseRecord]:
    """The described poses of a split, each with its texts, with their heading in AMASS (see `body.remove_yaw`).

    Args:
        root: folder of PoseScript's files. amass: folder of AMASS.
        split, kind: as for `list_posescript`.

    Raises:
        FileNotFoundError, ValueError: as `list_posescript`; no folder `amass`.
    """
    return _records(list_posescript(root, split, kind), frame_reader(amass))


def _records(listed, read):
    with skipping("PoseScript") as skip:
        for location, texts in listed:
            try:
                record = read(*location)
            except (ValueError, FileNotFoundError) as error:
                skip(error)
                continue
            yield record._replace(set="PoseScript", licence=LICENCES["PoseScript"].terms, texts=texts)


def read_locations(root: str | Path, how: str) -> dict[str, Location]:
    """Id -> location of every pose in PoseScript and PoseFix."""
    path = only_file(root, "ids_2_dataset_sequence_and_frame_index*.json", how)
    content = read_json(path, dict)
    try:
        return {number: Location(str(name), int(frame)) for number, (_, name, frame) in content.items()}
    except (TypeError, ValueError):
        raise ValueError(f"{path} does not have the layout id: [data set, file, frame]; download it again.") from None


def read_texts(paths: list[Path]) -> dict[str, tuple[str, ...]]:
    """Id -> texts; a file has one text or a list of texts for each id."""
    texts = {}
    for path in paths:
        for number, found in read_json(path, dict).items():
            texts[number] = texts.get(number, ()) + ((found,) if isinstance(found, str) else tuple(found))
    return {number: found for number, found in texts.items() if found}
