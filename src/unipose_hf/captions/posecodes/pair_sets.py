# SPDX-License-Identifier: Apache-2.0
"""The joints that each paircode compares between pose A and pose B (PoseFix: 49 elementary, 52 super)."""

from typing import NamedTuple

from .joint_sets import SIDES

LESS = ("bent much less", "bent less", "bent slightly less")
DISTANCE_CHANGES = ("farther", "slightly farther", "slightly closer", "closer")


class Paircode(NamedTuple):
    kind: str
    points: tuple[str, ...]
    subject: str
    object: str | None

    @property
    def name(self):
        return f"{self.kind}/{'|'.join(self.points)}"


class SuperPaircode(NamedTuple):
    """Holds when the paircode is in one of ``changes`` and the posecode of pose "a" or "b" in one of ``states``."""

    kind: str
    points: tuple[str, ...]
    subject: str
    object: str | None
    paircode: str
    changes: tuple[str, ...]
    pose: str
    posecode: str
    states: tuple[str, ...]

    @property
    def name(self):
        return f"{self.kind}/{'|'.join(self.points)}"


def _limbs():
    for part, limb, ends in (("knee", "leg", ("hip", "ankle")), ("elbow", "arm", ("shoulder", "wrist"))):
        for side in SIDES:
            yield side, part, limb, (f"{side}_{ends[0]}", f"{side}_{part}", f"{side}_{ends[1]}")


def _elementary():
    ends = ("elbow", "hand", "knee", "foot")
    for side, part, _, triple in _limbs():
        yield Paircode("pair_angle", triple, f"{side}_{part}", None)
    for part in ends:
        yield Paircode("pair_distance", (f"left_{part}", f"right_{part}"), f"left_{part}", f"right_{part}")
    for part in ends:
        for side in SIDES:
            yield Paircode("pair_distance", (f"{side}_{part}", "torso"), f"{side}_{part}", "torso")
    for axis in "xyz":
        for part in ends if axis == "x" else ("shoulder", *ends):
            for side in SIDES:
                yield Paircode(f"pair_{axis}", (f"{side}_{part}",), f"{side}_{part}", None)
    for kind in ("pair_pitch", "pair_twist", "pair_lean"):
        yield Paircode(kind, ("body",), "body", None)
    # last, because they exist only where rotations are known
    yield Paircode("pair_head_pitch", ("head", "neck"), "head", None)
    yield Paircode("pair_head_turn", ("head", "pelvis"), "head", None)


def _super():
    for side, _, limb, triple in _limbs():
        points = "|".join(triple)
        straight = ("slightly bent", "straight")
        name = f"{side}_{limb}"
        yield SuperPaircode(
            "straighten", (name,), name, None, f"pair_angle/{points}", LESS, "b", f"angle/{points}", straight
        )
    for part in ("elbow", "hand", "knee", "foot"):
        pairs = [((f"left_{part}", f"right_{part}"), f"both_{part}")]
        pairs += [((f"{side}_{part}", "torso"), f"{side}_{part}") for side in SIDES]
        for points, subject in pairs:
            for change in DISTANCE_CHANGES:
                # two parts can separate only if they were together before, and meet only if they are together after
                pose = "a" if "farther" in change else "b"
                kind = change.replace(" ", "_") + ("_torso" if "torso" in points else "_each_other")
                measured = "|".join(points)
                yield SuperPaircode(
                    kind,
                    points,
                    subject,
                    None,
                    f"pair_distance/{measured}",
                    (change,),
                    pose,
                    f"distance/{measured}",
                    ("close",),
                )


PAIRCODES = tuple(_elementary())
SUPER_PAIRCODES = tuple(_super())
NUM_HEAD_PAIRCODES = 2
