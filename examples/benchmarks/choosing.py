# SPDX-License-Identifier: Apache-2.0
"""Counts right and wrong choices of a person by words, in rendered groups of two to four people.

    python examples/benchmarks/choosing.py --work runs/choosing --output examples/benchmarks/results/choosing.md

Rendered groups and the people estimated in them stay in the folder `--work`: an interrupted run continues there, and a
changed chooser is measured on the same people (delete the `.npz` files after a change of the model). The truth of each
hint is known without the code that chooses: places from the rendered scene, colours from the outfits, and poses from
the language bank: the intended person has the state, everybody else is far from it. (The model that reads unmeasured
words was trained on the bank's phrases.)
"""

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import roma
import torch
from PIL import Image
from transformers import pipeline

from unipose_hf import Pose
from unipose_hf.data.builders.multi_person import MAX_PEOPLE, colour_name, hints_at, render_group
from unipose_hf.data.language import load_language_bank
from unipose_hf.data.language.angles import angles_to_axis_angle, mirror_angles
from unipose_hf.data.language.bank import complete
from unipose_hf.data.language.describe import body_directions
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.files.write import replacing
from unipose_hf.modeling.people_unipose import People
from unipose_hf.modeling.pose_unipose import write_file
from unipose_hf.visualization.outfit import Outfit

SAME_BOX = 0.5  # IoU
MEASURED = ("box", "camera", "keypoints", "score")  # of a person, besides the pose
FAR = 45.0  # degrees by which a bone of everybody else differs from the state that a hint tells
# Hints as people say them, and the state of the bank that each one means.
SAID = {
    "the one who kneels": "kneeling upright on both knees",
    "the person kneeling on the right knee": "kneeling on the right knee, left foot in front",
    "the one who is sitting": "sitting on a chair with the feet flat",
    "sitting cross-legged": "sitting cross-legged on the floor",
    "the person who squats": "deep squat",
    "raising the left arm": "left arm straight up",
    "the one waving": "left hand waving at shoulder to head height",
    "with crossed arms": "both arms crossed in front of the chest",
    "the person with the hands on the hips": "both hands on the hips",
    "the one with both hands up": "both arms straight up overhead",
    "with the arms spread out": "both arms stretched out to the sides in a T",
    "bending forward": "torso bent forward about fifty degrees at the hips",
    "the person lying on the back": "lying on the back",
    "the one on all fours": "on all fours",
    "lifting the left leg": "left leg straight out in front at hip height",
    "in a lunge": "lunge with the left foot in front",
    "pointing straight ahead": "left arm pointing straight ahead",
    "holding the hands behind the head": "both hands behind the head",
    "with the legs wide apart": "feet very wide apart",
    "doing a handstand": "upside down in a handstand",
}
FROM_LEFT = (
    ("the person on the left", "the leftmost one", "on the far left"),
    ("the second person from the left", "the second from the left", "second one from the left"),
    ("the third person from the left", "third from the left", "the third one from the left"),
    ("the person on the right", "the rightmost person", "the one on the right"),
)
MIDDLE = ("the person in the middle", "the one in the centre", "the one between the two others")
NEAREST = ("the person closest to the camera", "the one in front", "in the foreground")
FARTHEST = ("the person farthest away", "the one at the back", "in the background")


class States:
    """The states of the bank and their mirror images: angles, directions and those that each state sets."""

    def __init__(self):
        bank = load_language_bank()
        middle, given = complete((bank.part_low + bank.part_high) / 2), ~bank.part_low.isnan()
        self.parts = bank.parts
        self.poses = angles_to_axis_angle(middle).numpy()
        both = torch.stack([middle, mirror_angles(middle)])
        self.directions = body_directions(angles_to_axis_angle(both))  # (2, states, 16, 3)
        standing = body_directions(angles_to_axis_angle(complete(torch.full_like(middle[:1], torch.nan))))
        self.sets = _degrees(self.directions, standing) > 10
        self.plain = [row for row in range(len(middle)) if given[row].any() and self.sets[0, row].any()]

    def elsewhere(self, row: int, poses: np.ndarray) -> np.ndarray:
        """Indices of poses that differ much from a state and from its mirror image."""
        off = _degrees(body_directions(torch.from_numpy(poses))[:, None], self.directions[:, row])  # (n, 2, 16)
        return np.flatnonzero((torch.where(self.sets[:, row], off, 0).amax(-1) > FAR).all(1).numpy())


def _degrees(a, b):
    return torch.rad2deg(torch.arccos((a * b).sum(-1).clamp(-1, 1)))


def make_group(number: int, states: States, captured: np.ndarray, rng: np.random.Generator):
    """A picture, boxes `(P, 4)`, the index of the intended person and hints: `{kind: text}`."""
    count = int(rng.integers(2, MAX_PEOPLE + 1))
    said = list(SAID)[number // 2 % len(SAID)]
    firsts = [part.phrases[0] for part in states.parts]
    row = firsts.index(SAID[said]) if number % 2 == 0 else int(rng.choice(states.plain))
    others = rng.choice(states.elsewhere(row, captured), count - 1, replace=False)
    chosen = int(rng.integers(count))
    poses = np.insert(captured[others], chosen, states.poses[row], axis=0)
    turns = roma.rotvec_to_rotmat(torch.from_numpy(rng.uniform(-0.9, 0.9, (count, 1)) * [0, 1, 0]).float())
    poses[:, 0] = roma.rotmat_to_rotvec(turns @ roma.rotvec_to_rotmat(torch.from_numpy(poses[:, 0]))).numpy()
    outfits = [dataclasses.replace(Outfit.random(rng), top_pattern="plain", trousers_pattern="plain") for _ in poses]
    depths = rng.permutation(np.linspace(-1.0, 1.0, count))
    picture, _, boxes = render_group(poses, outfits, rng, 512, depths)
    hints = {}
    from_right = chosen == count - 1
    place = FROM_LEFT[3 if from_right else chosen]
    hints["place, from left to right"] = str(rng.choice(MIDDLE if 2 * chosen == count - 1 else place))
    if depths[chosen] in (depths.min(), depths.max()):
        hints["place, near or far"] = str(rng.choice(NEAREST if depths[chosen] == depths.max() else FARTHEST))
    tops, legs = ([colour_name(getattr(outfit, cloth)) for outfit in outfits] for cloth in ("top", "trousers"))
    if tops.count(tops[chosen]) == 1:
        hints["clothes, top"] = str(
            rng.choice(("in the {} shirt", "the one in a {} top", "wearing a {} shirt"))
        ).format(tops[chosen])
    if legs.count(legs[chosen]) == 1:
        hints["clothes, trousers"] = str(rng.choice(("with {} trousers", "the person in {} pants"))).format(
            legs[chosen]
        )
    kind = "pose, as people say it" if number % 2 == 0 else "pose, a phrase of the bank"
    hints[kind] = said if number % 2 == 0 else str(rng.choice(states.parts[row].phrases))
    hints["as in training: place, clothes, measured pose"] = " ".join(hints_at(chosen, poses, outfits, rng))
    return Image.fromarray(picture), boxes, chosen, hints


def kept_group(work: Path, number: int, states: States, captured: np.ndarray, seed: int):
    """The group of this number from the folder `work`, rendered if it is not there yet."""
    told, drawn = work / f"{number:03}.json", work / f"{number:03}.png"
    if not told.exists():
        picture, boxes, chosen, hints = make_group(number, states, captured, np.random.default_rng((seed, number)))
        with replacing(drawn) as part:
            picture.save(part, format="png")
        write_file(told, json.dumps({"boxes": boxes.tolist(), "chosen": chosen, "hints": hints}).encode())
    group = json.loads(told.read_text(encoding="utf-8"))
    return Image.open(drawn).convert("RGB"), np.array(group["boxes"]), group["chosen"], group["hints"]


def kept_people(work: Path, number: int, estimate, picture: Image.Image, boxes: np.ndarray) -> list[People]:
    """The people of a group, in the true boxes and as found, from the folder `work` if they were estimated before."""
    told = work / f"{number:03}.npz"
    if not told.exists():
        crowds = estimate({"image": picture, "boxes": boxes.tolist()}), estimate(picture)
        columns = {}
        for which, people in zip(("given", "found"), crowds, strict=True):
            columns[f"{which} pose"] = np.array([person["pose"].axis_angle for person in people])
            columns |= {f"{which} {key}": np.array([person[key] for person in people]) for key in MEASURED}
        with replacing(told) as part, open(part, "wb") as stream:
            np.savez(stream, **columns)
    columns = np.load(told)
    return [
        People(
            [
                {"pose": Pose(pose), **{key: columns[f"{which} {key}"][row] for key in MEASURED}}
                for row, pose in enumerate(columns[f"{which} pose"])
            ],
            picture,
        )
        for which in ("given", "found")
    ]


def overlap(one, other) -> float:
    """Intersection over union of two boxes."""
    sides = [max(0.0, min(one[i + 2], other[i + 2]) - max(one[i], other[i])) for i in (0, 1)]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return sides[0] * sides[1] / (sum(areas) - sides[0] * sides[1])


def main(groups: int, seed: int, work: Path, output: Path | None) -> None:
    states = States()
    work.mkdir(parents=True, exist_ok=True)
    captured = load_open_poses("test").axis_angle.numpy()
    estimate = pipeline("image-to-pose")
    place = note()
    counts, chance, wrong = defaultdict(lambda: np.zeros(7, dtype=int)), defaultdict(list), []
    for number in range(groups):
        picture, boxes, chosen, hints = kept_group(work, number, states, captured, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given, found = kept_people(work, number, estimate, picture, boxes)
        is_there = any(overlap(person["box"], boxes[chosen]) >= SAME_BOX for person in found)
        for kind, text in hints.items():
            counts[kind][0] += 1
            chance[kind].append(1 / len(boxes))
            for column, people in ((1, given), (4, found)):
                if column == 4 and not is_there:
                    continue
                with warnings.catch_warnings(record=True) as told:
                    warnings.simplefilter("always")
                    [person] = estimate.meant(text, people)
                undecided = any("apart" in str(one.message) for one in told)
                best = np.argmax([overlap(person["box"], box) for box in boxes])
                counts[kind][column + (2 if undecided else int(best != chosen))] += 1
                if column == 1 and (undecided or best != chosen):
                    wrong.append(f"{kind}: {text!r}, group {number}" + (" (undecided)" if undecided else ""))
        print(number, {kind: row.tolist() for kind, row in counts.items()}, file=sys.stderr, flush=True)
        lines = table(counts, chance, wrong)
        if output is not None:  # after each group, so that an interrupted run counts too
            write_file(
                output,
                "\n".join(
                    ["# Choosing a person by words", "", f"{place} {number + 1} groups.", "", *lines, ""]
                ).encode(),
            )
    print("\n".join(lines))


def table(counts: dict, chance: dict, wrong: list[str]) -> list[str]:
    """The lines of the report."""
    lines = [
        "| hint | groups | by chance | right | wrong | undecided | detector: right | wrong | undecided | not found |"
    ]
    lines += ["| --- " * 10 + "|"]
    for kind, (total, *rest) in counts.items():
        cells = [total, f"{100 * np.mean(chance[kind]):.0f} %", *rest, total - sum(rest[3:])]
        lines.append(f"| {kind} | " + " | ".join(map(str, cells)) + " |")
    return [*lines, "", "Wrong and undecided with the true boxes:", "", *(f"* {line}" for line in wrong)]


def note() -> str:
    """What is run, where."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    machine = f"{os.cpu_count()} cores ({platform.machine()}), threads: {torch.get_num_threads()}"
    return f"`python {' '.join(sys.argv)}`, commit {commit}, {machine}."


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/choosing"), help="folder of the rendered groups")
    parser.add_argument("--output", type=Path)
    main(**vars(parser.parse_args()))
