# SPDX-License-Identifier: Apache-2.0
"""The joints that each posecode measures, and its categories that are worth stating.

The 271 elementary posecodes and the 150 super-posecodes of PoseScript (joint sets, eligible and rare categories,
support marks). "left" and "right" are the body's own.
"""

from dataclasses import dataclass

from unipose_hf.body import JOINT_NAMES

SIDES = ("left", "right")
EXTREMITIES = ("hand", "foot")
UPPER_PARTS = ("shoulder", "upperarm", "elbow", "forearm")
LOWER_PARTS = ("hip", "thigh", "knee", "shin")

# The 35 working points: 22 joints, two finger joints, eleven midpoints.
VIRTUAL_SEGMENTS = (("thigh", "hip", "knee"), ("shin", "knee", "ankle"))
VIRTUAL_SEGMENTS += (("upperarm", "shoulder", "elbow"), ("forearm", "elbow", "wrist"))
POINTS = (
    *JOINT_NAMES,
    *(f"{side}_middle2" for side in SIDES),
    *(f"{side}_hand" for side in SIDES),
    "torso",
    *(f"{side}_{part}" for part, _, _ in VIRTUAL_SEGMENTS for side in SIDES),
)

# kinds measured on something other than the coordinates of their named points alone
BODY_KINDS = ("body_pitch", "body_twist", "body_lean")
HEAD_SETS = {"head_pitch": ("head", "neck"), "head_turn": ("head", "pelvis"), "head_tilt": ("head", "neck")}


@dataclass(frozen=True)
class Posecode:
    """One elementary code: a kind of measurement on some points.

    Each lists categories: ``ok`` may be stated, ``rare`` should be stated, ``strict`` is only used by super-codes,
    ``yielding`` is dropped if a super-code built on it holds, ``absolute`` may be stated as the goal of an edit.
    """

    kind: str
    points: tuple[str, ...]
    subject: str
    object: str | None
    ok: frozenset[str] = frozenset()
    rare: frozenset[str] = frozenset()
    strict: frozenset[str] = frozenset()
    yielding: frozenset[str] = frozenset()
    absolute: frozenset[str] = frozenset()

    @property
    def name(self):
        return f"{self.kind}/{'|'.join(self.points)}"


@dataclass(frozen=True)
class SuperPosecode:
    """A yes/no code that holds when every requirement (code name, category) of at least one recipe is met."""

    kind: str
    points: tuple[str, ...]
    subject: str
    object: str | None
    recipes: tuple[tuple[tuple[str, str], ...], ...]
    rare: bool
    absolute: bool

    @property
    def name(self):
        return f"{self.kind}/{'|'.join(self.points)}"


def _other(side):
    return "right" if side == "left" else "left"


def aligned_sets():
    """The 48 ordered (extremity, limb part) pairs that are not on the same limb."""
    for side in SIDES:
        for extremity in EXTREMITIES:
            own_limb = UPPER_PARTS if extremity == "hand" else LOWER_PARTS
            for part_side in SIDES:
                for part in UPPER_PARTS + LOWER_PARTS:
                    if not (part_side == side and part in own_limb):
                        yield f"{side}_{extremity}", f"{part_side}_{part}"


class _Table(dict):
    """(kind, points) -> Posecode; adding an existing set widens its category lists."""

    def put(self, kind, points, *, subject=None, object=None, **marks):
        marks = {name: frozenset(value.split(", ")) if value else frozenset() for name, value in marks.items()}
        key = (kind, points)
        if key in self:
            old = self[key]
            subject, object = old.subject, old.object
            for name in ("ok", "rare", "strict", "yielding", "absolute"):
                marks[name] = getattr(old, name) | marks.get(name, frozenset())
        self[key] = Posecode(kind, points, subject or points[0], object, **marks)


def _angles(table):
    bent = dict(
        ok="completely bent, bent more, right angle, bent less, slightly bent, straight",
        rare="completely bent",
        absolute="completely bent, right angle, straight",
    )
    for side in SIDES:
        knee = (f"{side}_hip", f"{side}_knee", f"{side}_ankle")
        table.put("angle", knee, subject=f"{side}_knee", yielding="completely bent", **bent)
    for side in SIDES:
        elbow = (f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist")
        table.put("angle", elbow, subject=f"{side}_elbow", **bent)


def _distances(table):
    def put(first, second, **marks):
        table.put("distance", (first, second), object=second, **marks)

    reach = "close, shoulder width, spread"
    for part, ok, rare, strict in (
        ("elbow", "close, shoulder width, wide", "close", "shoulder width"),
        ("hand", "close, shoulder width, spread, wide", "", "shoulder width"),
        ("knee", "close, shoulder width, wide", "wide", "shoulder width"),
        ("foot", "close, shoulder width, wide", "close", "shoulder width"),
    ):
        put(f"left_{part}", f"right_{part}", ok=ok, rare=rare, strict=strict, absolute="close")
    near = dict(ok="close", rare="close", absolute="close")
    near_or_not = dict(ok=reach, rare="close", strict="shoulder width, spread", yielding="close", absolute="close")
    for side in SIDES:
        put(f"{side}_hand", f"{side}_shoulder", **near)
    for part in ("shoulder", "elbow"):
        for side in SIDES:
            put(f"{side}_hand", f"{_other(side)}_{part}", **near_or_not)
    for part, marks in (("knee", near_or_not), ("ankle", near), ("foot", near)):
        for side in SIDES:
            for part_side in SIDES:
                put(f"{side}_hand", f"{part_side}_{part}", **marks)
    for part in ("elbow", "hand", "knee", "foot"):
        for side in SIDES:
            put(f"{side}_{part}", "torso", ok="close", strict="close")
    for first, second in aligned_sets():
        if ("distance", (first, second)) not in table:
            put(first, second, ok=reach, strict=reach)


def _relative_positions(table):
    def put(axis, first, second, **marks):
        table.put(f"rel_{axis}", (first, second), object=second, **marks)

    for part in ("hand", "foot"):
        put("x", f"left_{part}", f"right_{part}", ok="at right", rare="at right")
    for part in ("shoulder", "elbow", "hand", "knee", "foot"):
        yielding = "above" if part == "knee" else ""
        put("y", f"left_{part}", f"right_{part}", ok="below, above", yielding=yielding)
        put("z", f"left_{part}", f"right_{part}", ok="behind, front")
    for side, inwards in (("left", "at right"), ("right", "at left")):
        put("y", f"{side}_hip", f"{side}_knee", ok="above", strict="above")
        put("x", f"{side}_hand", f"{side}_shoulder", ok=inwards)
        put("y", f"{side}_hand", f"{side}_shoulder", ok="above")
        put("x", f"{side}_foot", f"{side}_hip", ok=inwards, rare=inwards)
        put("y", f"{side}_foot", f"{side}_hip", ok="above", rare="above")
        put("y", f"{side}_wrist", "neck", subject=f"{side}_hand", ok="above")
        put("y", f"{side}_hand", f"{side}_hip", ok="below")
        put("z", f"{side}_hand", "torso", ok="behind")
        put("z", f"{side}_foot", "torso", ok="behind, front")
    for first, second in aligned_sets():
        for axis in "xyz":
            put(axis, first, second, ok=f"{axis}-aligned", strict=f"{axis}-aligned")


def _segments_and_ground(table):
    for part, top, bottom, rare, absolute in (
        ("thigh", "hip", "knee", "horizontal", "horizontal"),
        ("shin", "knee", "ankle", "horizontal", "horizontal"),
        ("upperarm", "shoulder", "elbow", "vertical", "horizontal, vertical"),
        ("forearm", "elbow", "wrist", "vertical", "horizontal, vertical"),
    ):
        for side in SIDES:
            points = (f"{side}_{top}", f"{side}_{bottom}")
            table.put(
                "vertical_axis",
                points,
                subject=f"{side}_{part}",
                ok="horizontal, vertical",
                rare=rare,
                absolute=absolute,
            )
    level = dict(ok="horizontal", strict="horizontal")
    for side in SIDES:
        table.put("vertical_axis", ("pelvis", f"{side}_shoulder"), subject="back", **level)
    table.put("vertical_axis", ("pelvis", "neck"), subject="torso", ok="vertical")
    table.put("vertical_axis", ("left_hand", "right_hand"), subject="both_hand", **level)
    table.put("vertical_axis", ("left_foot", "right_foot"), subject="both_foot", **level)
    for part in ("knee", "foot"):
        for side in SIDES:
            table.put("on_ground", (f"{side}_{part}",), ok="on ground", strict="on ground")
    for side in SIDES:
        table.put("on_ground", (f"{side}_hand",), ok="on ground", absolute="on ground")


def _whole_body_and_head(table):
    table.put("body_pitch", ("body",), ok="backward, slightly backward, slightly forward, forward")
    for kind in ("body_twist", "body_lean"):
        table.put(kind, ("body",), ok="left, slightly left, slightly right, right")
    # last, because they exist only where rotations are known
    table.put("head_pitch", HEAD_SETS["head_pitch"], ok="backward, forward")
    table.put("head_turn", HEAD_SETS["head_turn"], ok="left, slightly left, slightly right, right")
    table.put("head_tilt", HEAD_SETS["head_tilt"], ok="left, right")


def _elementary():
    table = _Table()
    for fill in (_angles, _distances, _relative_positions, _segments_and_ground, _whole_body_and_head):
        fill(table)
    order = ("angle", "distance", "rel_x", "rel_y", "rel_z", "vertical_axis", "on_ground", *BODY_KINDS, *HEAD_SETS)
    return tuple(sorted(table.values(), key=lambda code: order.index(code.kind)))  # stable within a kind


def _super():
    flat = "horizontal"
    torso = ((f"vertical_axis/pelvis|{side}_shoulder", flat) for side in SIDES)
    yield SuperPosecode("torso_horizontal", ("torso",), "torso", None, (tuple(torso),), True, True)
    for side, height in (("left", "below"), ("right", "above")):
        recipe = (
            ("rel_y/left_knee|right_knee", height),
            (f"on_ground/{side}_knee", "on ground"),
            (f"on_ground/{_other(side)}_foot", "on ground"),
        )
        yield SuperPosecode("kneeling_on", (f"{side}_knee",), "body", f"{side}_knee", (recipe,), True, False)
    grounded = tuple((f"on_ground/{side}_knee", "on ground") for side in SIDES)
    upright = tuple((f"rel_y/{side}_hip|{side}_knee", "above") for side in SIDES)
    folded = tuple((f"angle/{side}_hip|{side}_knee|{side}_ankle", "completely bent") for side in SIDES)
    yield SuperPosecode("kneeling", ("body",), "body", None, (upright + grounded, folded + grounded), True, False)
    for part in EXTREMITIES:
        pair = f"left_{part}|right_{part}"
        recipe = ((f"distance/{pair}", "shoulder width"), (f"vertical_axis/{pair}", flat))
        points = (f"left_{part}", f"right_{part}")
        yield SuperPosecode("shoulder_width", points, f"both_{part}", None, (recipe,), part == "hand", True)
    for axes in ("xy", "xz", "yz"):
        for first, second in aligned_sets():
            pair = f"{first}|{second}"
            aligned = tuple((f"rel_{axis}/{pair}", f"{axis}-aligned") for axis in axes)
            recipes = tuple(
                (*aligned, (f"distance/{pair}", distance)) for distance in ("close", "shoulder width", "spread")
            )
            yield SuperPosecode(f"{axes}_aligned", (first, second), first, second, recipes, False, True)


POSECODES = _elementary()
SUPER_POSECODES = tuple(_super())
