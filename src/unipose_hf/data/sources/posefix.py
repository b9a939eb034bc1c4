# SPDX-License-Identifier: Apache-2.0
"""PoseFix (Delmas et al. 2023): texts on how to get from one AMASS pose to another, human or automatic."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from unipose_hf.files.plain import only_file, read_json

from ..licences import LICENCES
from ..records import PairRecord, one_of, skipping
from .amass import frame_reader
from .posescript import SPLITS, Location, read_locations, read_texts

KINDS = ("human", "paraphrases", "auto")


class LocationPair(NamedTuple):
    """The locations of the two poses of a pair."""

    first: Location
    second: Location


def list_posefix(root: str | Path, split: str, kind: str = "human") -> list[tuple[LocationPair, tuple[str, ...]]]:
    """Locations of the pairs of a split with their texts, sorted by location.

    Args:
        split: "train", "val" or "test".
        kind: "human" texts, "paraphrases" of them, or "auto".

    Raises:
        FileNotFoundError, ValueError: a file of the set is missing; damaged, or no such split or kind.
    """
    how = LICENCES["PoseFix"].how
    one_of(SPLITS, split, "split")
    split_files = [only_file(root, f"{split}_{part}_sequence_pair_ids.json", how) for part in ("in", "out")]
    texts = read_texts([only_file(root, f"posefix_{one_of(KINDS, kind, 'kind of texts')}_*.json", how)])
    locations = read_locations(root, how)
    pairs = read_json(only_file(root, "pair_id_2_pose_ids.json", how), list)
    listed = []
    for number in {str(number) for path in split_files for number in read_json(path, list)} & texts.keys():
        try:
            first, second = (locations[str(pose)] for pose in pairs[int(number)])
        except (KeyError, IndexError, TypeError, ValueError):
            raise ValueError(f"{root} names pair {number} but not its two poses; get PoseFix again.") from None
        listed.append((LocationPair(first, second), texts[number]))
    return sorted(listed)


def read_posefix(root: str | Path, amass: str | Path, split: str, kind: str = "human") -> Iterator[PairRecord]:
    """The pairs of a split, with their heading in AMASS.

    The rotation from the first pose to the second is meaningful only within a sequence; then rotate both by the
    rotation that `body.remove_yaw` applies to the first. Otherwise remove the yaw of each.

    Args:
        root: folder of PoseFix's files. amass: folder of AMASS.
        split, kind: as for `list_posefix`.

    Raises:
        FileNotFoundError, ValueError: as `list_posefix`; no folder `amass`.
    """
    return _records(list_posefix(root, split, kind), frame_reader(amass))


def _records(listed, read):
    licence = LICENCES["PoseFix"].terms
    with skipping("PoseFix") as skip:
        for pair, texts in listed:
            try:
                first, second = read(*pair.first), read(*pair.second)
            except (ValueError, FileNotFoundError) as error:
                skip(error)
                continue
            yield PairRecord("PoseFix", licence, first, second, texts, pair.first.sequence == pair.second.sequence)
