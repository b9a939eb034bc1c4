# SPDX-License-Identifier: Apache-2.0
"""A fact: one code in one category, split into subject, relation and object, ready to be merged and worded."""

from typing import NamedTuple

from .joint_sets import POSECODES, SUPER_POSECODES
from .operators import POSE_OPERATORS

OPPOSITES = {
    "at right": "at left",
    "at left": "at right",
    "above": "below",
    "below": "above",
    "front": "behind",
    "behind": "front",
}


class Fact(NamedTuple):
    """One statement.

    ``codes`` are the (code name, category) it states, "true" for a super-code. ``relation`` is (kind, category), or
    (kind,) for a super-code. ``subject`` and ``object`` are (side, part); the side is "left", "right", "" (torso,
    neck ...) or "both", and of an object also "own" or "opposite": the same or the other side of each of two subjects.
    ``size`` is the size of a change, 0 for a state.
    """

    codes: tuple[tuple[str, str], ...]
    relation: tuple[str, ...]
    subject: tuple[str, str]
    object: tuple[str, str] | None
    size: float = 0.0


def split_side(point):
    """``left_hand`` -> ("left", "hand"), ``torso`` -> ("", "torso")."""
    side, _, part = point.partition("_")
    return (side, part) if part and side in ("left", "right", "both") else ("", point)


def fact_of(code, category=None) -> Fact:
    """The fact that an elementary code is in ``category``, or that a super-code holds."""
    relation = (code.kind, category) if category else (code.kind,)
    object = split_side(code.object) if code.object else None
    return Fact(((code.name, category or "true"),), relation, split_side(code.subject), object)


# two super-codes state about a pair or the torso what an elementary code states about other parts
_SAME_RELATION = {
    "torso_horizontal": ("vertical_axis", "horizontal"),
    "shoulder_width": ("distance", "shoulder width"),
}


def _super_fact(code):
    fact = fact_of(code)
    return fact._replace(relation=_SAME_RELATION.get(code.kind, fact.relation))


# per posecode, elementary ones first as in the tables: category index -> fact (a super-code that holds is category 1)
POSE_FACTS = [[fact_of(code, category) for category in POSE_OPERATORS[code.kind].categories] for code in POSECODES]
POSE_FACTS += [[None, _super_fact(code)] for code in SUPER_POSECODES]

# Senses that words can express but the code cannot: facts after the categories of their code.
TORSO_VERTICAL = "vertical_axis/pelvis|neck"


def _add_senses():
    """A vertical torso may be upside down; what is in a vertical line with another thing is above or below it."""
    for row in POSE_FACTS:
        fact = row[-1]
        if fact.codes[0][0] == TORSO_VERTICAL:
            row.append(row[0]._replace(relation=("vertical_axis", "upside down")))
        elif fact.relation == ("xz_aligned",):
            row += [fact._replace(relation=("xz_aligned", sense)) for sense in ("above", "below")]


_add_senses()
