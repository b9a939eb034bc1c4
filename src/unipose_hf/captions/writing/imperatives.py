# SPDX-License-Identifier: Apache-2.0
"""The words of instructions: several imperatives for every change, and modal verbs for goals.

The first word of an imperative is its verb; ``{s}`` stands for the parts to move (of the body: the upper body) and
``{d}`` for "the" or "your".
"""

from typing import NamedTuple

# "move the hand forward" and "bring the hand up" are one movement: move the hand forward and up
NEUTRAL_VERBS = ("move", "bring")


class Imperative(NamedTuple):
    verb: str
    gerund: str
    rest: str  # what follows the verb, a space before it
    names: bool  # whether it names the parts to move
    direction: str | None  # for a neutral verb: the direction, if verb and parts need not be repeated


def _gerund(verb):
    return "letting" if verb == "let" else verb.removesuffix("e") + "ing"


def _imperative(phrase):
    verb, rest = phrase.split(" ", 1)
    direction = rest.removeprefix("{s} ") if verb in NEUTRAL_VERBS and rest.startswith("{s} ") else None
    return Imperative(verb, _gerund(verb), f" {rest}", "{s}" in rest, direction)


_BENDING = {
    "bent much less": ("unbend {s} a lot", "open {s} up wide", "bend {s} much less", "extend {s} a good deal"),
    "bent less": ("unbend {s}", "bend {s} less", "open {s} up", "extend {s} more"),
    "bent slightly less": ("unbend {s} slightly", "bend {s} a little less", "open {s} up a little"),
    "bent slightly more": ("bend {s} a little more", "bend {s} slightly more", "flex {s} a bit more"),
    "bent more": ("bend {s} more", "bend {s} further", "flex {s} further"),
    "bent much more": ("bend {s} a lot more", "bend {s} much further", "bend {s} far more"),
}
_SIDEWAYS = {
    "more {side}": (
        "move {s} far to the {side}",
        "bring {s} over to the {side}",
        "move {s} well to the {side}",
        "shift {s} to the {side}",
    ),
    "slightly more {side}": (
        "move {s} slightly to the {side}",
        "bring {s} a little to the {side}",
        "move {s} a bit to the {side}",
        "shift {s} a little to the {side}",
    ),
}
_UP_AND_DOWN = {
    "higher": ("raise {s}", "lift {s} up", "bring {s} up", "move {s} up"),
    "slightly higher": ("raise {s} slightly", "lift {s} a little", "bring {s} up a little", "move {s} slightly up"),
    "slightly lower": ("lower {s} slightly", "bring {s} down a little", "move {s} slightly down"),
    "lower": ("lower {s}", "bring {s} down", "move {s} down", "let {s} down"),
}
_FORTH_AND_BACK = {
    "more front": ("move {s} forward", "bring {s} forward", "bring {s} to the front", "push {s} forward"),
    "slightly more front": ("move {s} slightly forward", "bring {s} a little forward", "move {s} forward a bit"),
    "slightly more back": ("move {s} slightly back", "bring {s} back a little", "pull {s} back a bit"),
    "more back": ("move {s} back", "bring {s} back", "pull {s} back", "draw {s} backwards"),
}
_PITCH = {
    "forward more": ("lean much further forward", "bend forward", "tilt {s} well forward"),
    "slightly forward more": ("lean a little further forward", "lean slightly forward", "bend forward a little"),
    "slightly backward more": (
        "lean a little further back",
        "bring {s} slightly back",
        "tilt {s} back a little",
    ),
    "backward more": ("lean much further back", "bring {s} well back", "tilt {s} far back"),
}
_TWIST = {
    "{side} more": (
        "twist to the {side}",
        "turn {d} shoulders to the {side}",
        "rotate {s} to the {side}",
    ),
    "slightly {side} more": (
        "twist a little to the {side}",
        "turn {d} shoulders slightly to the {side}",
        "rotate {s} a little to the {side}",
    ),
}
_LEAN = {
    "{side} more": ("lean more to the {side}", "bend over to the {side}", "tilt {s} to the {side}"),
    "slightly {side} more": (
        "lean a little to the {side}",
        "lean slightly more to the {side}",
        "tilt {s} slightly to the {side}",
    ),
}
_NOD = {
    "incline forward more": ("lower {s}", "tilt {s} down", "bend {s} forward"),
    "incline backward more": ("raise {s}", "tilt {s} back", "lift {s} up"),
}
_HEAD_TURN = {
    "turn {side} more": ("turn {s} to the {side}", "look to the {side}", "rotate {s} to the {side}"),
    "turn slightly {side}": (
        "turn {s} slightly to the {side}",
        "look a little to the {side}",
        "rotate {s} a bit to the {side}",
    ),
}
_TURN = {
    "around": ("turn around", "turn to face the other way", "make half a turn"),
    "around to the {side}": (
        "turn around to the {side}",
        "turn to the {side}, most of the way round",
        "make almost half a turn to the {side}",
    ),
    "a quarter {side}": (
        "make a quarter turn to the {side}",
        "turn about ninety degrees to the {side}",
        "turn a quarter of the way round to the {side}",
    ),
    "slightly {side}": ("turn slightly to the {side}", "turn a little to the {side}", "rotate a bit to the {side}"),
}
_SUPER = {
    "straighten": ("straighten {s}", "stretch {s} out", "extend {s}", "straighten {s} out"),
    "farther_each_other": ("spread {s} wide apart", "move {s} far apart", "separate {s} widely"),
    "slightly_farther_each_other": ("move {s} apart", "separate {s} a little", "move {s} away from each other"),
    "slightly_closer_each_other": ("bring {s} together", "bring {s} closer to each other", "move {s} closer together"),
    "closer_each_other": (
        "bring {s} all the way together",
        "bring {s} up close to each other",
        "move {s} close together",
    ),
    "farther_torso": (
        "move {s} far away from {d} body",
        "stretch {s} far out from {d} body",
        "take {s} well away from {d} torso",
    ),
    "slightly_farther_torso": (
        "move {s} away from {d} body",
        "bring {s} out from {d} torso",
        "take {s} away from {d} body",
    ),
    "slightly_closer_torso": ("bring {s} in to {d} body", "move {s} up to {d} torso", "bring {s} close to {d} body"),
    "closer_torso": (
        "bring {s} tight in to {d} body",
        "pull {s} in close to {d} torso",
        "move {s} all the way in to {d} body",
    ),
}


def _table():
    for kind, changes in (
        ("pair_angle", _BENDING),
        ("pair_x", _SIDEWAYS),
        ("pair_y", _UP_AND_DOWN),
        ("pair_z", _FORTH_AND_BACK),
        ("pair_pitch", _PITCH),
        ("pair_twist", _TWIST),
        ("pair_lean", _LEAN),
        ("pair_head_pitch", _NOD),
        ("pair_head_turn", _HEAD_TURN),
        ("turn", _TURN),
    ):
        for category, phrases in changes.items():
            for side in ("left", "right") if "{side}" in category else ("",):
                imperatives = tuple(_imperative(phrase.replace("{side}", side)) for phrase in phrases)
                yield (kind, category.replace("{side}", side)), imperatives
    for kind, phrases in _SUPER.items():
        yield (kind,), tuple(_imperative(phrase) for phrase in phrases)


# (kind, category) -> imperatives; a super-paircode has its kind alone
INSTRUCTIONS = dict(_table())
# relation -> directions of its neutral verbs, without verb and parts
DIRECTIONS = {
    relation: tuple(p.direction for p in imperatives if p.direction) for relation, imperatives in INSTRUCTIONS.items()
}

# modal verbs of goals: singular, plural
OBLIGATIONS = (("should", "should"), ("needs to", "need to"), ("must", "must"), ("has to", "have to"))

DETERMINERS = ("the", "your")

KEEP_POSE = ("Keep the same pose.", "Stay as you are.", "Hold the pose without any change.")
