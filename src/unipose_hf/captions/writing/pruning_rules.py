# SPDX-License-Identifier: Apache-2.0
"""Statistical pruning rules of PoseScript (Delmas et al., 2024): facts that are implied by others.

They were found by counting over many poses: if the first one or two facts hold, the rest nearly always do.
"""

import re

from unipose_hf.captions.posecodes.facts import OPPOSITES, POSE_FACTS

# The 27 rules of one side, in words: subject, category, object. Each also holds with left and right swapped.
RULES = (
    ("left hand above neck", ["left hand above left shoulder"]),
    ("left knee right angle, left thigh vertical", ["left foot behind torso"]),
    ("left foot behind right foot, left foot front torso", ["right foot front torso"]),
    ("left foot front right foot, left foot behind torso", ["right foot behind torso"]),
    (
        "left hand above left shoulder, right hand below right hip",
        [
            "left hand wide right hand",
            "left shoulder above right shoulder",
            "left elbow above right elbow",
            "left hand above right hand",
        ],
    ),
    (
        "left hand below left hip, right upperarm horizontal",
        ["left elbow below right elbow", "left hand below right hand"],
    ),
    ("left hand close right hand, left hand above left shoulder", ["right hand above right shoulder"]),
    (
        "left hand close right hand, left hand above neck",
        ["right hand above right shoulder", "right hand above neck"],
    ),
    ("left hand close right hand, left hand below left hip", ["right hand below right hip"]),
    ("left foot close right foot, left foot behind torso", ["right foot behind torso"]),
    ("left elbow above right elbow, left hand below left hip", ["right hand below right hip"]),
    (
        "left hand below right hand, left hand above left shoulder",
        ["right hand above right shoulder", "right hand above neck"],
    ),
    (
        "left hand above neck, right hand below right hip",
        ["left hand wide right hand", "left elbow above right elbow", "left hand above right hand"],
    ),
    ("left hand above right hand, left hand below left hip", ["right hand below right hip"]),
    ("left hand front right hand, left hand behind torso", ["right hand behind torso"]),
    ("left upperarm vertical, left forearm horizontal", ["left elbow right angle"]),
    ("left thigh vertical, left shin vertical", ["left knee straight"]),
    ("left knee behind right knee, left thigh horizontal", ["left foot behind torso"]),
    ("left knee front right knee, left thigh vertical", ["right foot behind torso"]),
)


def _codes_by_words():
    """Adds both directions if left and right of one part are opposed, because only one of them has a code."""
    codes = {}
    for facts in POSE_FACTS:
        for fact in filter(None, facts):
            subject, object = (" ".join(filter(None, end)) for end in (fact.subject, fact.object or ("", "")))
            category = fact.relation[-1]
            codes.setdefault(f"{subject} {category} {object}".strip(), fact.codes[0])
            if fact.object and fact.object[1] == fact.subject[1]:
                codes.setdefault(f"{object} {OPPOSITES.get(category, category)} {subject}", fact.codes[0])
    return codes


def _mirrored(words):
    return re.sub(r"\b(left|right)\b(?! angle)", lambda side: "right" if side[0] == "left" else "left", words)


def _by_result():
    codes, rules = _codes_by_words(), {}
    for reasons, results in RULES:
        for turn in (str, _mirrored):
            known = tuple(codes[words] for words in turn(reasons).split(", "))
            for result in results:
                rules.setdefault(codes[turn(result)], []).append(known)
    return rules


# (code name, category) -> alternatives that each imply it, of one or two (code name, category)
PRUNING_RULES = _by_result()
