# SPDX-License-Identifier: Apache-2.0
"""People in the pictures of COCO and MPII: boxes from the sets' own keypoint annotations, no poses."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from unipose_hf.files.plain import only_file, read_json

from ..licences import LICENCES
from ..records import PoseRecord, one_of, skipping

SPLITS = ("train", "val")


class Person(NamedTuple):
    """A person in an image: the row in the file, the image, and left, top, right, bottom in pixels."""

    row: int
    image: Path
    box: tuple[float, float, float, float]


def list_coco_people(root: str | Path, split: str) -> list[Person]:
    """The people of `annotations/person_keypoints_SPLIT*.json` who have keypoints and are not a crowd.

    Annotations of other tools without `num_keypoints` or `iscrowd` are also read. Those without a box or an image are
    skipped, with one warning.

    Raises:
        FileNotFoundError, ValueError: the file is missing; damaged or without any such person, or no such split.
    """
    return _warned("COCO", *_coco_people(root, split))


def list_mpii_people(root: str | Path, split: str) -> list[Person]:
    """The people of `annot/train.json` or `annot/valid.json`: rows with `image`, `center`, `scale`.

    MPII gives a person's centre and height (`scale`, in units of 200 pixels), counted from 1 as Matlab does. The box
    is a square a quarter larger than the height, moved down a little, as is usual with this set so that limbs are not
    cut off. Rows without these are skipped, with one warning.

    Raises:
        FileNotFoundError, ValueError: the file is missing; damaged or without any such row, or no such split.
    """
    return _warned("MPII", *_mpii_people(root, split))


def read_coco_people(root: str | Path, split: str) -> Iterator[PoseRecord]:
    """Records without a pose, of the people whose picture is there; errors as for `list_coco_people`."""
    return _records("COCO", *_coco_people(root, split))


def read_mpii_people(root: str | Path, split: str) -> Iterator[PoseRecord]:
    """Records without a pose, of the people whose picture is there; errors as for `list_mpii_people`."""
    return _records("MPII", *_mpii_people(root, split))


def _coco_people(root, split):
    root = Path(root)
    pattern = f"person_keypoints_{one_of(SPLITS, split, 'split')}*.json"
    path = only_file(root / "annotations", pattern, LICENCES["COCO"].how)
    content = read_json(path, dict)
    folder = path.stem.removeprefix("person_keypoints_")  # train2017
    pictures = root / "images" / folder if (root / "images").is_dir() else root / folder
    listed, annotations = content.get("images"), content.get("annotations")
    if not isinstance(listed, list) or not isinstance(annotations, list):
        raise ValueError(
            f"{path} does not have the layout of COCO's keypoint annotations: no lists 'images', 'annotations'."
        )
    named = (image for image in listed if isinstance(image, dict) and {"id", "file_name"} <= image.keys())
    names = {image["id"]: image["file_name"] for image in named}

    def person(row, annotation):
        if annotation.get("iscrowd") or not annotation.get("num_keypoints", _visible(annotation)):
            return None
        left, top, width, height = (float(number) for number in annotation["bbox"])
        return Person(row, pictures / names[annotation["image_id"]], (left, top, left + width, top + height))

    return _gather(path, annotations, person, "a bbox of four numbers and a listed picture")


def _visible(annotation) -> int:
    """The number of visible keypoints; without keypoint data, the box is assumed to be that of a person."""
    return sum(seen > 0 for seen in annotation["keypoints"][2::3]) if "keypoints" in annotation else 1


def _mpii_people(root, split):
    root = Path(root)
    part = {"train": "train", "val": "valid"}[one_of(SPLITS, split, "split")]
    path = only_file(root / "annot", f"{part}.json", LICENCES["MPII"].how)

    def person(row, annotation):
        (x, y), scale = annotation["center"], float(annotation["scale"])
        x, y, half = x - 1.0, y - 1.0 + 15.0 * scale, 125.0 * scale
        return Person(row, root / "images" / annotation["image"], (x - half, y - half, x + half, y + half))

    return _gather(path, read_json(path, list), person, "image, center and scale")


def _gather(path, annotations, person, needed) -> tuple[list[Person], list[str]]:
    """The people that `person(row, annotation)` finds (None for nobody), and the reasons for skipped rows."""
    people, faults = [], []
    for row, annotation in enumerate(annotations):
        try:
            found = person(row, annotation)
            if found is not None and not all(map(math.isfinite, found.box)):
                raise ValueError("NaN or infinity in its box")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            faults.append(f"Row {row} of {path} is without {needed} ({error!r}).")
            continue
        if found is not None:
            people.append(found)
    if faults and not people:
        raise ValueError(f"{path} does not have the layout of its data set: {faults[0]}")
    return people, faults


def _warned(name, people, faults):
    with skipping(name) as skip:
        for fault in faults:
            skip(fault)
    return people


def _records(name, people, faults):
    with skipping(name) as skip:
        for fault in faults:
            skip(fault)
        for row, image, box in people:
            if not image.is_file():
                skip(f"There is no picture {image}: {LICENCES[name].how}.")
            elif box[2] <= box[0] or box[3] <= box[1]:
                skip(f"Person {row} of {name} has an empty box.")
            else:
                yield PoseRecord(name, image.name, row, LICENCES[name].terms, image=image, box=box)
