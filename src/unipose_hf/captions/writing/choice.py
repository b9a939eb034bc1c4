# SPDX-License-Identifier: Apache-2.0
"""Which facts a short text holds: the rare ones first, then the telling ones, and not too many about one part."""

from unipose_hf.captions.posecodes.joint_sets import POSECODES, SUPER_POSECODES

# How readily a fact is chosen among others.
_WEIGHTS = {
    "angle": 4.0,
    "distance": 1.5,
    "rel_x": 1.5,
    "rel_y": 1.5,
    "rel_z": 1.5,
    "vertical_axis": 2.0,
    "on_ground": 3.0,
    "body_pitch": 5.0,
    "body_twist": 3.0,
    "body_lean": 4.0,
    "head_pitch": 2.5,
    "head_turn": 2.5,
    "head_tilt": 2.0,
    "kneeling_on": 9.0,
    "kneeling": 9.0,
}
_ALIGNED_WEIGHT = 0.3
_MAX_OF_A_KIND = 2  # about one subject

_RARE = {(code.name, category) for code in POSECODES for category in code.rare}
_RARE |= {(code.name, "true") for code in SUPER_POSECODES if code.rare}


def choose_facts(facts, most, random):
    """At most ``most`` of the facts, by a weighted draw without replacement, in their order."""
    if len(facts) <= most:
        return facts
    order = sorted(range(len(facts)), key=lambda i: _precedence(facts[i], random), reverse=True)
    chosen, waiting, spent = [], [], {}
    for i in order:
        subject = (facts[i].relation[0], facts[i].subject)
        spent[subject] = spent.get(subject, 0) + 1
        (chosen if spent[subject] <= _MAX_OF_A_KIND else waiting).append(i)
    return [facts[i] for i in sorted((chosen + waiting)[:most])]


def _precedence(fact, random):
    rare = any(code in _RARE for code in fact.codes)
    return rare, random() ** (1.0 / _WEIGHTS.get(fact.relation[0], _ALIGNED_WEIGHT))
