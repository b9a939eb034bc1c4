# SPDX-License-Identifier: Apache-2.0
"""People in the pictures of COCO and MPII: boxes from the sets' own keypoint annotations, no poses."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..licences import LICENCES
from ..plain_files import only_file, read_json
from ..records import PoseRecord, one_of, skipping

SPLITS = ("train", "val")


class Person(NamedTuple):
    """A person in a picture: which one of the file, the picture, left, top, right, bottom in pixels."""

    row: int
    image: Path
    box: tuple[float, float, float, float]


def list_coco_people(root: str | Path, split: str) -> list[Person]:
    """The people of `annotations/person_keypoints_SPLIT*.json` who have keypoints and are no crowd.

    Raises:
        FileNotFoundError, ValueError: the annotations are missing; damaged, or no such split.
    """
    root = Path(root)
    pattern = f"person_keypoints_{one_of(SPLITS, split, 'split')}*.json"
    path = only_file(root / "annotations", pattern, LICENCES["COCO"].how)
    content = read_json(path, dict)
    folder = path.stem.removeprefix("person_keypoints_")  # train2017
    pictures = root / "images" / folder if (root / "images").is_dir() else root / folder
    people = []
    try:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        for row, person in enumerate(content["annotations"]):
            if person["num_keypoints"] and not person.get("iscrowd"):
                left, top, width, height = (float(number) for number in person["bbox"])
                image = pictures / names[person["image_id"]]
                people.append(Person(row, image, (left, top, left + width, top + height)))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not laid out as COCO's keypoint annotations ({error!r}).") from None
    return people


def list_mpii_people(root: str | Path, split: str) -> list[Person]:
    """The people of `annot/train.json` or `annot/valid.json`: rows with `image`, `center`, `scale`.

    MPII gives a person's centre and height (`scale`, in units of 200 pixels), counted from 1 as Matlab does. The box
    is a square a quarter larger than the height, moved down a little, as is usual with this set lest limbs be cut.

    Raises:
        FileNotFoundError, ValueError: the annotations are missing; damaged, or no such split.
    """
    root = Path(root)
    part = {"train": "train", "val": "valid"}[one_of(SPLITS, split, "split")]
    path = only_file(root / "annot", f"{part}.json", LICENCES["MPII"].how)
    people = []
    try:
        for row, person in enumerate(read_json(path, list)):
            (x, y), scale = person["center"], float(person["scale"])
            x, y, half = x - 1.0, y - 1.0 + 15.0 * scale, 125.0 * scale
            people.append(Person(row, root / "images" / person["image"], (x - half, y - half, x + half, y + half)))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} has a row without image, center and scale ({error!r}).") from None
    return people


def read_coco_people(root: str | Path, split: str) -> Iterator[PoseRecord]:
    """Records without a pose, of the people whose picture is there; errors as for `list_coco_people`."""
    return _records("COCO", list_coco_people(root, split))


def read_mpii_people(root: str | Path, split: str) -> Iterator[PoseRecord]:
    """Records without a pose, of the people whose picture is there; errors as for `list_mpii_people`."""
    return _records("MPII", list_mpii_people(root, split))


def _records(name, people):
    with skipping(name) as skip:
        for row, image, box in people:
            if not image.is_file():
                skip(f"There is no picture {image}: {LICENCES[name].how}.")
            elif box[2] <= box[0] or box[3] <= box[1]:
                skip(f"Person {row} of {name} has an empty box.")
            else:
                yield PoseRecord(name, image.name, row, LICENCES[name].terms, image=image, box=box)
