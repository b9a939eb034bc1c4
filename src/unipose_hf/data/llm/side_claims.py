# SPDX-License-Identifier: Apache-2.0
"""Checks that a refined text keeps left and right, by comparing its claims about each side with the source codes.

A small reader, not a parser: it finds clauses such as "the left knee is bent" or "lift your right hand" and notes the
limb, the axis and the direction. A claim counts as swapped if the codes state its opposite, or state the same about
the other side, and do not state the claim itself.
"""

import re
from typing import NamedTuple

from unipose_hf.captions.instruct import TURN_CODE

_LIMBS = {
    "arm": "arm elbow hand wrist forearm shoulder upperarm fist",
    "leg": "leg knee foot ankle thigh shin calf hip heel toe",
}
_LIMB_OF = {part: limb for limb, parts in _LIMBS.items() for part in parts.split()}
_SIDED = re.compile(rf"\b(left|right) (?:upper |lower )?({'|'.join(_LIMB_OF)})s?\b")
_TOWARDS = re.compile(
    r"(?:to|towards?|facing) (?:(?:the|their|your|his|her) )?(left|right)\b|\b(left|right)(?:wards?)?\b"
)

# Words for each axis: in the positive and in the negative direction.
_AXES = {
    "bend": (
        r"ben[dt]\w*|flex\w*|fold\w*|crook\w*",
        r"straight\w*|extend\w*|(?:out)?stretch\w*|unben[dt]\w*",
    ),
    "up": (
        r"rais\w+|lift\w*|up(?:wards?)?|higher|above|overhead|high",
        r"lower(?:s|ed|ing)?|drop\w*|down(?:wards?)?|below|beneath|hang\w*",
    ),
    "front": (r"forwards?|front|ahead", r"back(?:wards?)?|behind"),
}
_AXES = {axis: tuple(re.compile(rf"\b(?:{words})\b") for words in pair) for axis, pair in _AXES.items()}
_HEDGED = re.compile(r"\b(?:slightly|almost|nearly|a (?:bit|little))\b")
# not directions: "the lower leg", "behind the back", "the thigh is straight up and down", "open the knee up"
_NAMES = re.compile(
    r"\b(?:lower|upper) (?=leg|arm|body|back)|\b(?:behind )?(?:the|their|your|his|her|lower|upper) back\b"
    r"|\bstraight up(?: and down)?\b|(?<=knee) up\b"
)
# "in front of the right knee": what follows is not the subject of the clause
_NOT_SUBJECT = re.compile(r"\b(?:of|than|above|below|behind|beneath|over|under|to|towards?|from)(?: \w+)? $")
_CLAUSE = re.compile(r"[.,;:]|\b(?:while|and|with|as|but|then|so)\b")

_TURNS = {
    "lean": re.compile(r"\b(?:lean|tilt)\w*"),
    "turn": re.compile(r"\b(?:turn|rotat|pivot|swivel|spin|twist|fac(?:e|es|ing)\b|look)\w*"),
}
_TURN_KINDS = {
    "body_lean": "lean",
    "pair_lean": "lean",
    "body_twist": "turn",
    "pair_twist": "turn",
    "head_turn": "turn",
    "pair_head_turn": "turn",
    "turn": "turn",
}
_SIGNS = {"above": 1, "below": -1, "front": 1, "behind": -1}


class Claim(NamedTuple):
    """One claim about one side: `limb` is "arm", "leg" or "body"; `sign` is +1 or -1 along `axis`."""

    side: str
    limb: str
    axis: str
    sign: int

    def opposite(self):
        return self._replace(sign=-self.sign)

    def mirrored(self):
        return self._replace(side="left" if self.side == "right" else "right")


def swapped_sides(text: str, codes) -> str | None:
    """The first clause of a text that confuses left and right, or None.

    Args:
        text: English, a caption or an instruction.
        codes: pairs (code name, category), as `caption_poses` and `instruct_pairs` return them.
    """
    stated = _stated(codes)
    limbs = {(side, _LIMB_OF[part]) for name, _ in codes for side, part in _points(name)}
    for clause in _clauses(text):
        for claim in _claims(clause):
            if claim not in stated and (claim.opposite() in stated or claim.mirrored() in stated):
                return clause
        for found in () if "head" in clause else _SIDED.finditer(clause):  # a head tilts towards a shoulder
            limb = _LIMB_OF[found[2]]
            if (found[1], limb) not in limbs and ("left" if found[1] == "right" else "right", limb) in limbs:
                return clause
    return None


def turn_of(codes) -> str | None:
    """The direction in which the whole body turns, according to the codes: "left", "right", "around", or None."""
    for name, category in codes:
        if name == TURN_CODE:
            return next((side for side in ("left", "right") if side in category.split()), "around")
    return None


def mentions_turn(text: str, turn: str) -> bool:
    """Whether a text mentions turning, to the right side if there is one."""
    turns = [clause for clause in _clauses(text) if _TURNS["turn"].search(clause)]
    return bool(turns) if turn == "around" else any(Claim(turn, "body", "turn", 1) in _claims(c) for c in turns)


def _clauses(text):
    plain = _NAMES.sub(" ", text.lower().replace("upper arm", "upperarm"))
    return [clause.strip() for clause in _CLAUSE.split(plain) if clause.strip()]


def _claims(clause):
    """The claims of one clause."""
    claims = []
    sided = _SIDED.findall(clause)
    if sided and _NOT_SUBJECT.search(clause[: _SIDED.search(clause).start()]):
        return claims
    ends = {(side, _LIMB_OF[part]) for side, part in sided}
    if sided and (len(ends) == 1 or len({limb for _, limb in ends}) == 1):  # of "left hand above right hand" the first
        side, limb = sided[0][0], _LIMB_OF[sided[0][1]]
        for axis, (more, less) in _AXES.items():
            grows, shrinks = bool(more.search(clause)), bool(less.search(clause))
            hedged = axis == "bend" and _HEDGED.search(clause)
            if grows != shrinks and not hedged:
                claims.append(Claim(side, limb, axis, 1 if grows else -1))
    towards = _TOWARDS.search(_SIDED.sub(" ", clause))
    if towards and not sided:
        for kind, verb in _TURNS.items():
            if verb.search(clause):
                claims.append(Claim(towards[1] or towards[2], "body", kind, 1))
    return claims


def _stated(codes):
    """All claims that codes support."""
    stated = set()
    for name, category in codes:
        kind = name.split("/")[0]
        if kind in _TURN_KINDS:
            sides = {"left", "right"} & set(category.split())
            stated |= {Claim(side, "body", _TURN_KINDS[kind], 1) for side in sides}
            continue
        points = _points(name)
        if not points:
            continue
        side, part = points[0]
        claim = Claim(side, _LIMB_OF[part], *_direction(kind, category))
        if not claim.sign:
            continue
        stated.add(claim)
        if claim.axis == "bend" and category in ("slightly bent", "bent less"):
            stated.add(claim.opposite())  # some call it straight
        if len(points) == 2 and points[0][1] == points[1][1]:  # left above right: right below left
            stated.add(claim.mirrored().opposite())
    return stated


def _direction(kind, category):
    """Axis and sign of a code; sign 0 for codes that claims do not cover."""
    if kind == "angle":
        return "bend", -1 if category == "straight" else 1
    if kind in ("pair_angle", "straighten"):
        return "bend", 1 if category.endswith("more") else -1
    if kind in ("rel_y", "rel_z"):
        return {"rel_y": "up", "rel_z": "front"}[kind], _SIGNS.get(category, 0)
    if kind == "pair_y":
        return "up", 1 if category.endswith("higher") else -1
    if kind == "pair_z":
        return "front", 1 if category.endswith("front") else -1
    return "", 0


def _points(name):
    """(side, part) of the sided points of a code's name."""
    points = [point.partition("_") for point in name.split("/")[-1].split("|")]
    return [(side, part) for side, _, part in points if side in ("left", "right") and part in _LIMB_OF]
