# SPDX-License-Identifier: Apache-2.0
"""A fact: one code in one category, ready to be worded; and how facts about twin parts join into one."""

from typing import NamedTuple

from .wording import LIMB_OF


class Fact(NamedTuple):
    """One thing to say. ``codes`` are the (code name, category name) it states.

    ``subject`` and ``object`` are (side, part): side is "left", "right", "both", "opposite" or "" (torso, neck ...).
    ``group`` is equal for facts that say the same of different subjects; None where joining makes no sense.
    A fact of a larger ``weight`` is chosen more readily.
    """

    codes: tuple[tuple[str, str], ...]
    relation: tuple[str, ...]
    subject: tuple[str, str]
    object: tuple[str, str] | None
    group: tuple | None
    weight: float


def split_side(point):
    """``left_hand`` -> ("left", "hand"), ``torso`` -> ("", "torso")."""
    side, _, part = point.partition("_")
    return (side, part) if part and side in ("left", "right", "both") else ("", point)


def group_of(relation, subject, object):
    """The key that left and right versions of one statement share, or None."""
    if subject[0] not in ("left", "right"):
        return None
    if object is None or object[0] == "":
        return relation, object
    if object[1] == subject[1]:  # left hand - right hand: there is no twin
        return None
    return relation, ("same" if object[0] == subject[0] else "opposite", object[1])


def join_twins(facts, random):
    """Join facts that differ in their subject only: forearm and upper arm into the arm, left and right into both."""
    groups, joined = {}, []
    for fact in facts:
        if fact.group is None:
            joined.append(fact)
        else:
            groups.setdefault(fact.group, []).append(fact)
    for members in groups.values():
        if len(members) > 1:
            members = _join({fact.subject: fact for fact in members}, random)
        joined += members
    return joined


def _join(by_subject, random):
    for side in ("left", "right"):
        for (inner, outer), limb in LIMB_OF.items():
            pair = (side, inner), (side, outer)
            if pair[0] in by_subject and pair[1] in by_subject and random() < 0.95:
                _replace(by_subject, pair, (side, limb))
    for side, part in list(by_subject):
        pair = ("left", part), ("right", part)
        if side == "left" and pair[1] in by_subject and random() < 0.95:
            _replace(by_subject, pair, ("both", part))
    return list(by_subject.values())


def _replace(by_subject, pair, subject):
    first, second = (by_subject.pop(name) for name in pair)
    object = first.object
    if subject[0] == "both" and object is not None and object[0]:
        object = ("both" if object[0] == first.subject[0] else "opposite", object[1])
    by_subject[subject] = first._replace(
        codes=first.codes + second.codes,
        subject=subject,
        object=object,
        weight=max(first.weight, second.weight),
    )
