# SPDX-License-Identifier: Apache-2.0
"""Judges answers to the prompts: predicates that hold, limbs that were kept.

A predicate is a string such as `60 < left_knee_bend < 120`, `left_hand_to_left_knee | left_hand_to_right_knee < 0.2`
(one of the facts is enough) or `change left_arm_raise > 10` (after minus before, for edits). The facts are those of
`measure_pose`.
"""

import functools
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from unipose_hf.body import mirror_pose
from unipose_hf.data.language.describe import DIRECTIONS, body_directions
from unipose_hf.data.language.wording import swap_sides

from .facts import measure_pose

KEPT_DEGREES = 20.0
"""A limb that an edit should leave alone is kept if none of its directions turned by more than this."""
LIMBS: dict[str, tuple[str, ...]] = {
    "left_arm": ("left upper arm", "left forearm"),
    "right_arm": ("right upper arm", "right forearm"),
    "left_leg": ("left thigh", "left shin"),
    "right_leg": ("right thigh", "right shin"),
    "head": ("head up", "head forward"),
    "torso": ("chest up", "chest forward"),
}
"""Limbs that a prompt can keep, and their directions in `body_directions`."""
_PREDICATE = re.compile(
    r"(?:(?P<low>-?[\d.]+) < )?(?P<change>change )?(?P<facts>[a-z_]+(?: \| [a-z_]+)*)"
    r"(?: (?P<sign>[<>]) (?P<bound>-?[\d.]+))?"
)


class Predicate(NamedTuple):
    """One of `facts`, or its `change`, lies between `low` and `high`."""

    facts: tuple[str, ...]
    low: float
    high: float
    change: bool

    def holds(self, after: dict[str, Tensor], before: dict[str, Tensor] | None = None) -> bool:
        """
        Whether it holds for the facts of one pose, or for their change since `before`.

        Raises:
            ValueError: a change, but no facts before it.
        """
        if self.change and before is None:
            raise ValueError(
                "A change is measured between two poses; give the facts before it, or a prompt with a pose."
            )
        values = [float(after[fact]) - (float(before[fact]) if self.change else 0) for fact in self.facts]
        return any(self.low < value < self.high for value in values)


def parse_predicate(text: str) -> Predicate:
    """
    Reads a predicate.

    Raises:
        ValueError: it is not one, or names an unknown fact.
    """
    found = _PREDICATE.fullmatch(text)
    low, sign, bound = found.group("low", "sign", "bound") if found else (None, None, None)
    if found is None or (low is None and sign is None) or (low is not None and sign == ">"):
        raise ValueError(f"{text!r} is no predicate; write it as in '60 < left_knee_bend < 120' or 'gaze_up > 20'.")
    facts = tuple(found["facts"].split(" | "))
    if unknown := set(facts) - _known_facts():
        raise ValueError(
            f"There is no fact {sorted(unknown)[0]!r}; unipose_hf.evaluation.plain_english.facts lists them."
        )
    if low is None:
        low = bound if sign == ">" else "-inf"
    return Predicate(facts, float(low), float(bound) if sign == "<" else float("inf"), found["change"] is not None)


@dataclass(frozen=True)
class Judgement:
    """
    held: whether each predicate of the prompt holds.
    turned: by how many degrees each limb turned that the prompt keeps.
    """

    held: dict[str, bool]
    turned: dict[str, float]

    @property
    def right(self) -> bool:
        """All predicates hold, and all limbs are kept."""
        return all(self.held.values()) and all(turn <= KEPT_DEGREES for turn in self.turned.values())


def judge_pose(prompt: dict[str, Any], axis_angle: ArrayLike) -> Judgement:
    """
    Judges an answer to a prompt.

    Args:
        prompt: a row of `load_prompts`: `predicates`, `either_side` and, for edits, `pose` and `keep`.
        axis_angle: the answer, `(22, 3)` local axis-angle rotations in radians; y up, z to the viewer. The heading
            does not matter.

    Returns:
        the judgement; if the prompt leaves the side open, the better one of the answer and its mirror image.

    Raises:
        ValueError: a pose of a wrong shape or with NaN, or an invalid predicate.
    """
    pose = torch.from_numpy(np.array(axis_angle, dtype=np.float32))
    start = torch.tensor(prompt["pose"]) if "pose" in prompt else None
    found = _judged(prompt, pose, start)
    if not prompt["either_side"]:
        return found
    mirrored = _judged(prompt, mirror_pose(pose), None if start is None else mirror_pose(start))
    return max((found, mirrored), key=lambda each: (each.right, sum(each.held.values())))


def mirror_prompt(prompt: dict[str, Any]) -> dict[str, Any]:
    """The prompt of the mirror image: sides swapped in its text, predicates and limbs, its poses mirrored."""
    found = dict(prompt) | {"text": swap_sides(prompt["text"])}
    found["predicates"] = [swap_sides(predicate) for predicate in prompt["predicates"]]
    if "keep" in prompt:
        found["keep"] = [swap_sides(limb) for limb in prompt["keep"]]
    for name in {"pose", "witness"} & set(prompt):
        found[name] = mirror_pose(torch.tensor(prompt[name])).tolist()
    return found


def turned_by(before: Tensor, after: Tensor, limb: str) -> float:
    """
    By how many degrees a limb turned between two poses `(22, 3)`: the most of its directions, in the room or seen from
    what it hangs on (the pelvis for legs, the chest for arms and head), whichever turned less.
    """
    rows = [DIRECTIONS.index(name) for name in LIMBS[limb]]
    seen = [[directions[rows] for directions in _seen(pose)] for pose in (before, after)]
    cosines = [(a * b).sum(-1).clamp(-1, 1) for a, b in zip(*seen, strict=True)]
    return min(float(torch.rad2deg(torch.arccos(cosine)).max()) for cosine in cosines)


def _judged(prompt, pose, start):
    after, before = measure_pose(pose), None if start is None else measure_pose(start)
    held = {text: parse_predicate(text).holds(after, before) for text in prompt["predicates"]}
    return Judgement(held, {limb: turned_by(start, pose, limb) for limb in prompt.get("keep", ())})


def _seen(pose):
    """Directions `(16, 3)` seen from the trunk (but the chest's in the room), and in the room."""
    found = body_directions(pose)  # legs and pelvis in the room, the chest in the pelvis, arms and head in the chest
    pelvis = _frame(*found[:2])
    chest = pelvis @ _frame(*found[2:4])
    in_room, in_pelvis = (_which(*names) for names in (("pelvis", "thigh", "shin", "foot"), ("chest",)))
    from_trunk = torch.where(in_room, found @ pelvis, found)
    room = torch.where(in_room, found, torch.where(in_pelvis, found @ pelvis.mT, found @ chest.mT))
    return torch.where(in_pelvis, room, from_trunk), room


def _which(*words):
    """`(16, 1)` bool: directions whose names have one of the words."""
    return torch.tensor([[any(word in name for word in words)] for name in DIRECTIONS])


def _frame(up, forward):
    """A rotation `(3, 3)` whose columns are left, up and forward."""
    return torch.stack([torch.linalg.cross(up, forward), up, forward], -1)


@functools.cache
def _known_facts():
    return frozenset(measure_pose(torch.zeros(22, 3)))
