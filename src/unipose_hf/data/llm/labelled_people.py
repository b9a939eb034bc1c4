# SPDX-License-Identifier: Apache-2.0
"""Images of several real people, each labelled by a vision-language model: position, clothes, action, pose.

UniPose makes its 8,000 reasoning images this way (supplement D): labels single people out, and the sets' fits provide
their poses. The prompt is our own.
"""

import base64
import functools
import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unipose_hf.captions import caption_poses
from unipose_hf.data.builders.image_sources import Source, split_proportionally
from unipose_hf.data.builders.imagescript import VERSIONS, described_poses, open_pool
from unipose_hf.data.mining.pose_pool import gather_pool
from unipose_hf.data.picture_files import read_picture
from unipose_hf.modeling.image_processing_unipose import picture_formats

from .asking import Question, ask_all
from .refinement import VAGUE_LIMB

FIELDS = ("place", "clothes", "action", "pose")
MAX_WORDS = 25  # per label
_SIDE = 768  # maximum side of the image shown to the model, in pixels
_SPLITS = {"train": 50_000, "test": 2_000}  # as in ImageScript
_SYSTEM = "You help to annotate pictures of people. You say only what can be seen, briefly and in plain words."
_USER = (
    "In this picture {count} people stand in numbered frames. Label each of them with four sentences, each of at most "
    f"{MAX_WORDS} words, that begin with the person, for instance with: The person, This person, Someone, They.\n"
    "- place: where the person is in the picture, as the viewer sees it, such as at the far left.\n"
    "- clothes: what the person wears, with colours.\n"
    "- action: what the person is doing.\n"
    "- pose: how limbs and trunk are held; name the person's own left or right side of every single limb.\n"
    "Together the four must fit nobody else in the picture. Do not speak of frames or numbers. Answer with one JSON "
    'object and nothing else, of this form: {{"1": {{"place": "...", "clothes": "...", "action": "...", "pose": '
    '"..."}}, "2": ...}}'
)


class Labelled(NamedTuple):
    """A person in an image: the folder of the pool, the row in it, and the labels that single this person out."""

    pool: Path
    row: int
    hint: str


def label_people(
    sources: list[Source], work: Path, ask, *, size: int, seed: int, max_people: int, concurrency: int, progress: bool
) -> dict[str, list[Labelled]]:
    """The people of `size` images, drawn uniformly from those with two to `max_people` people, by split.

    Images whose labels fail the checks are skipped.
    """
    splits = list(dict.fromkeys(source.split for source in sources))
    labelled = {}
    for split, quota in zip(splits, split_proportionally(size, [_SPLITS[split] for split in splits]), strict=True):
        groups = []
        for source in sources:
            if source.split == split:
                folder = work / f"{source.name} {split}"
                rows = gather_pool(source.read(), folder).rows_by_picture()
                groups += [(folder, group) for group in rows if 2 <= len(group) <= max_people]
        chosen = np.random.default_rng(seed).choice(len(groups), min(quota, len(groups)), replace=False)
        groups = [groups[number] for number in sorted(chosen.tolist())]
        answers = ask_all(
            (_question(folder, rows) for folder, rows in groups),
            ask,
            work / "answers.jsonl",
            concurrency=concurrency,
            progress=progress,
        )
        labelled[split] = [
            Labelled(folder, row, _hint(labels, np.random.default_rng((seed, row))))
            for (folder, rows), answer in zip(groups, answers, strict=True)
            if answer is not None
            for row, labels in zip(rows, parse_labels(answer, len(rows)), strict=True)
        ]
    return labelled


def make_rows(seed: int, people: list[Labelled], first: int) -> list[dict]:
    """Rows of a shard."""
    records = [open_pool(person.pool)[person.row] for person in people]
    texts = zip(*(caption_poses(described_poses(records), seed=seed, version=name) for name in VERSIONS), strict=True)
    return [
        {
            "image": {"bytes": read_picture(record.image), "path": None},
            "pose": record.pose,
            "texts": list(captions),
            "box": None,  # the hint has to identify the person
            "set": record.set,
            "sequence": record.sequence,
            "frame": record.frame,
            "licence": record.licence,
            "hint": person.hint,
        }
        for record, person, captions in zip(records, people, texts, strict=True)
    ]


def labelling_prompt(picture: bytes, boxes: list[tuple]) -> list[dict]:
    """The chat that asks for labels of the people in boxes `left, top, right, bottom`, numbered from 1."""
    url = "data:image/jpeg;base64," + base64.b64encode(_numbered(picture, boxes)).decode()
    content = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": _USER.format(count=len(boxes))},
    ]
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": content}]


def find_fault(answer: str, boxes: list[tuple]) -> str | None:
    """How the labels break the rules, as a sentence for the model, or None."""
    try:
        people = parse_labels(answer, len(boxes))
    except ValueError as error:
        return str(error)
    for number, labels in enumerate(people, start=1):
        for field, text in labels.items():
            if len(text.split()) > MAX_WORDS:
                return f"the {field} of person {number} has more than {MAX_WORDS} words."
        if vague := VAGUE_LIMB.search(labels["pose"]):
            return f'"{vague[0]}" does not say whether the left or the right one is meant.'
        if wrong := _misplaced(labels["place"].lower(), boxes, number - 1):
            return f"person {number} is not {wrong} in the picture."
    if len({json.dumps(labels) for labels in people}) < len(people):
        return "two people have the same labels."
    return None


def parse_labels(answer: str, count: int) -> list[dict[str, str]]:
    """The labels of each person, in the order of their numbers.

    Raises:
        ValueError: the answer has another format; the message is a sentence for the model.
    """
    start, end = answer.find("{"), answer.rfind("}")  # some models add code fences
    try:
        found = json.loads(answer[start : end + 1])
        people = [found[str(number)] for number in range(1, count + 1)]
        labels = [{field: " ".join(person[field].split()) for field in FIELDS} for person in people]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"it is not one JSON object with the people 1 to {count} and the four labels of each."
        ) from None
    if not all(all(person.values()) for person in labels):
        raise ValueError("a label is empty.")
    return labels


def _question(folder, rows) -> Question:
    records = [open_pool(folder)[row] for row in rows]
    boxes = [record.box for record in records]
    messages = labelling_prompt(read_picture(records[0].image), boxes)
    return Question(messages, functools.partial(find_fault, boxes=boxes))


def _hint(labels, rng) -> str:
    """The position, and some of the other labels."""
    taken = [labels["place"], *(labels[field] for field in FIELDS[1:] if rng.random() < 0.5)]
    return " ".join(text if text.endswith(".") else f"{text}." for text in taken)


def _misplaced(place, boxes, person) -> str | None:
    """A statement about the position that contradicts the boxes."""
    middles = [(box[0] + box[2]) / 2 for box in boxes]
    order = sorted(range(len(boxes)), key=middles.__getitem__)
    for side, other, first, last in (("left", "right", order[0], order[-1]), ("right", "left", order[-1], order[0])):
        if (f"{side}most" in place or f"far {side}" in place) and person != first:
            return f"the {side}most one"
        if side in place and other not in place and person == last:
            return f"on the {side}"
    return None


def _numbered(picture, boxes) -> bytes:
    """The picture with a numbered frame around each box, as JPEG."""
    image = Image.open(io.BytesIO(picture), formats=picture_formats())
    image = image.convert("RGB")  # boxes refer to the pixels as stored
    scale = min(1.0, _SIDE / max(image.size))
    image = image.resize([max(1, round(side * scale)) for side in image.size])
    draw = ImageDraw.Draw(image)
    for number, box in enumerate(boxes, start=1):
        left, top, right, bottom = (side * scale for side in box)
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline="yellow", width=2)
        label = (max(left, 0) + 3, max(top, 0) + 2)
        draw.text(
            label, str(number), fill="yellow", stroke_width=2, stroke_fill="black", font=ImageFont.load_default(22)
        )
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
