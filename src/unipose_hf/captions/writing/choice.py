# SPDX-License-Identifier: Apache-2.0
"""Selects facts for a short text: rare ones first, then informative ones, and not too many about one part."""

from unipose_hf.captions.posecodes.joint_sets import POSECODES, SUPER_POSECODES

# Selection weights of facts.
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
_MAX_OF_A_KIND = 2  # maximum per subject

_RARE = {(code.name, category) for code in POSECODES for category in code.rare}
_RARE |= {(code.name, "true") for code in SUPER_POSECODES if code.rare}


def choose_facts(facts, limit, random):
    """At most ``limit`` of the facts, by a weighted draw without replacement, in their order."""
    if len(facts) <= limit:
        return facts
    order = sorted(range(len(facts)), key=lambda i: _precedence(facts[i], random), reverse=True)
    chosen, postponed, counts = [], [], {}
    for i in order:
        subject = (facts[i].relation[0], facts[i].subject)
        counts[subject] = counts.get(subject, 0) + 1
        (chosen if counts[subject] <= _MAX_OF_A_KIND else postponed).append(i)
    return [facts[i] for i in sorted((chosen + postponed)[:limit])]


def _precedence(fact, random):
    rare = any(code in _RARE for code in fact.codes)
    return rare, random() ** (1.0 / _WEIGHTS.get(fact.relation[0], _ALIGNED_WEIGHT))
