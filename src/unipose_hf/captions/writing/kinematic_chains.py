# SPDX-License-Identifier: Apache-2.0
"""The goals that belong to a change: those of the moved parts and of their descendants (PoseFix, section 3)."""

from unipose_hf.captions.posecodes.joint_sets import SIDES

_CHAINS = (
    ("body", "torso", "arm", "shoulder", "upperarm", "elbow", "forearm", "wrist", "hand"),
    ("body", "torso", "leg", "hip", "thigh", "knee", "shin", "ankle", "foot"),
)


def _carriers():
    """(side, part) -> itself and every end before it in its chains."""
    carriers = {}
    for chain in _CHAINS:
        for side in SIDES:
            ends = [("" if part in ("body", "torso") else side, part) for part in chain]
            for i, end in enumerate(ends):
                carriers[end] = frozenset(ends[: i + 1])
    return carriers


_CARRIERS = _carriers()


def goals_of_changed_parts(goals, changes):
    """The goals about a part that the changes move directly or carry along.

    Args:
        goals, changes: lists of facts; a fact about both sides counts for each.
    """
    changed = {end for fact in changes for end in _ends(fact)}
    return [goal for goal in goals if any(changed & _CARRIERS.get(end, {end}) for end in _ends(goal))]


def _ends(fact):
    for end in (fact.subject, fact.object):
        if end is not None:
            yield from [(side, end[1]) for side in SIDES] if end[0] == "both" else (end,)
