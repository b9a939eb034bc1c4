# SPDX-License-Identifier: Apache-2.0
"""What texts of the bank claim of a body, and which of them a pose bears out.

Directions that are near those of a state need not make its words true: hands may miss the hips, and a knee that is
bent like that of somebody who hangs from a bar may be what the body kneels on. So a text is only said if each fact in
it, as far as it is true of the state itself, also holds in the pose.
"""

import functools
import re
from collections.abc import Callable

import numpy as np

from .attitudes import SIDES, Posture
from .facts import _CLAUSES, _NEGATED, _WHOLE, _limb_facts
from .facts import _soft as soft

_KEPT = 0.4  # the share of a fact's probability in the state itself that it must have in the pose
_TRUE = 0.2  # a fact that is less probable than this in the state itself is not what its words mean
TIPPED = 35.0  # degrees of the chest from upright where words like "level" and "overhead" become ambiguous


def _lifted(side):
    other = SIDES[side == "left"]  # one foot always is where the floor is
    return lambda m: soft(m.clearance(side) - m.clearance(other), 0.012, 0.02)


def _down(side):
    return lambda m: soft(m.clearance(side), 0.12, -0.05)


def _close(limbs):
    return lambda m: soft(m.apart(f"left_{limbs}", f"right_{limbs}"), 0.28, -0.06)


def _wide(m):
    return soft(abs((m["left_ankle"] - m["right_ankle"]) @ m.pelvis[:, 0]), 0.42, 0.06)


def _touching(side, joint):
    other = SIDES[side == "left"]
    return lambda m: soft(m.apart(f"{side}_ankle", f"{other}_{joint}"), 0.24, -0.05)


# What words about the air claim; poses do not show it unless the feet point down, so it must hold in any case.
_OFF_THE_FLOOR: list[tuple[str, Callable[[Posture], float]]] = [
    (
        r"\bhang(?:s|ing)? (?:from|by|on|off|under|over)\b|\bdead hang\b|\bpull-?ups?\b|\btrapeze|\bmonkey bars\b",
        Posture.hanging,
    ),
    (
        r"\b(?:jump|leap|hop|fly|flie|fall|float|dangl|div|soar)(?:s|es|e|p?ing)?\b(?! jacks?\b)|\bmid-?air\b|"
        r"\b(?:body|jump|legs|both feet|leap|kick|man|woman) (?:dangling |flung |up )?(?:in the air|off the "
        r"(?:floor|ground))\b|\b(?:sky)?div(?:es?|ing|er)\b|\bhanging legs\b|\blegs (?:hang|dangl)\w*|"
        r"\bflung out\b|\bvolleyball spike\b|\bslam dunk\b",
        Posture.off_the_floor,
    ),
]
# Claims that the facts about people in pictures do not know: a pattern of the text, and its measure.
_CLAIMS: list[tuple[str, Callable[[Posture], float]]] = [
    (
        r"\b(?:sit|sits|sitting|seated|sat|bottom|bum)\b.*\b(?:floor|ground)\b|\b(?:seat )?between the "
        r"(?:feet|heels)\b",
        lambda m: m.seated,
    ),
    (r"\bheel to toe\b|\btightrope\b", lambda m: soft(m.apart("left_ankle", "right_ankle"), 0.36, -0.05)),
    (r"\b(?:knees|thighs) (?:\w+ )?(?:pressed |squeezed |held )?together\b|\bpressed together\b", _close("knee")),
    (r"\b(?:feet|ankles|heels) (?:\w+ )?(?:close )?together\b|\blegs (?:close )?together\b", _close("ankle")),
    (r"\b(?:feet|legs|stance) (?:very |far |spread |\w+ )?(?:wide|apart|spread)\b|\bwide (?:stance|legs)\b", _wide),
]
for _side in SIDES:
    _foot = rf"\b{_side} (?:foot|leg|knee|thigh|shin)\b"
    _CLAIMS += [
        (
            rf"{_foot}.*\b(?:off the (?:floor|ground)|lifted|raised|in the air|above the (?:floor|ground)|"
            rf"hangs?|hanging|dangl\w*|hovers?|kick\w*|(?<!heel )up)\b|"
            rf"\b(?:lift|rais|kick)\w* (?:the )?{_side} (?:foot|leg|knee)\b|"
            rf"{_foot}.*\bat (?:step|knee|hip|waist) height",
            _lifted(_side),
        ),
        (
            rf"\b{_side} (?:foot|toes|heel|sole|leg)\b.*\b(?:on the (?:floor|ground)|planted|flat|touch(?:es|ing)? "
            rf"the (?:floor|ground)|on (?:its |the )?(?:toes|tiptoe)|stepp?\w*)\b|"
            rf"\b{_side} (?:foot|leg) (?:is )?(?:turned|a little forward|reaches behind)",
            _down(_side),
        ),
        (rf"\b{_side} (?:foot|sole|heel|shin|toes)\b.*\b(?:ankle|standing leg|calf)\b", _touching(_side, "ankle")),
        (rf"\b{_side} (?:foot|sole|heel|toes)\b.*\b(?:right|left) (?:knee|thigh)\b", _touching(_side, "knee")),
    ]
_OF_FEET = re.compile(
    r"\b(?:toes?|heels?|tiptoes?|soles?|pigeon\w*)\b|\bturned-?out (?:foot|feet|leg)\b|"
    r"\b(?:foot|feet|legs?)\b.*\b(?:turned|turnout|rotat\w+|splay\w*|flat|flexed|pointed)\b",
    re.I,
)
_FEET = 30.0  # degrees by which a foot may differ from that of a state whose words speak of it
_ON_THE_BODY = (
    r"\b(?:hands?|palms?|fingers?|fingertips|fists?)\b.*\b(?:hips?|heads?|chest|ears?|face|chin|cheeks?|mouth|lips|eyes?|"
    r"forehead|brow|temples?|shoulders?|thighs?|knees?|belly|tummy|stomach|ribs|neck|heart|waist|crown|bum|buttocks|"
    r"groin|nose|clasped|together)\b|\barms (?:are )?(?:crossed|folded)\b|\bakimbo\b"
)
_IN_THE_ROOM = (
    r"\b(?:up|down|upwards?|downwards?|level|horizontal\w*|vertical\w*|hang\w*|dangl\w*|drop\w*|low\w*|rais\w+|lift\w*|"
    r"high|higher|height|slant\w*|ceiling|sky|floor|ground|overhead|above|below|under|over|ahead|forwards?|in front|"
    r"reach\w*|point\w*|sideways|backwards?|back|swung|swept|out|past|beyond|beside|"
    r"degrees|flexed|abduct\w*)\b"
)


def borne_out(texts: tuple[str, ...], state: Posture, pose: Posture) -> list[str]:
    """Those of a state's texts that no measured fact of the pose denies."""
    return [
        text
        for text in texts
        if all(_holds(fact, always, state, pose) for fact, always in _facts(text)) and _feet_agree(text, state, pose)
    ]


def _feet_agree(text, state, pose):
    """Whether the feet that a text speaks of point where those of the state do."""
    if not _OF_FEET.search(text):
        return True
    sides = [side for side in SIDES if side in text.lower()] or SIDES
    return all(state.along[f"{side} foot"] @ pose.along[f"{side} foot"] > np.cos(np.radians(_FEET)) for side in sides)


def about_the_body(texts: list[str]) -> list[str]:
    """The texts of arms that stay true however the chest lies: those about hands on the body."""
    return [t for t in texts if re.search(_ON_THE_BODY, t, re.I) and not re.search(_IN_THE_ROOM, t, re.I)]


def _holds(fact, always, state, pose):
    meant = fact(state)
    return fact(pose) >= max(_KEPT * meant, _TRUE * always) or (meant <= _TRUE and not always)


@functools.lru_cache(maxsize=65536)
def _facts(text):
    """The facts of a text, and of each whether it must hold even if it does not in the state itself."""
    lower = text.lower()
    always = [(say, True) for pattern, say in _OFF_THE_FLOOR if re.search(pattern, lower)]
    said = [say for pattern, say in _CLAIMS if re.search(pattern, lower)]
    for clause in _CLAUSES.split(re.sub(r"\bhands and (?:knees|feet)\b", "all fours", lower)):
        if not _NEGATED.search(clause):
            said += [say for pattern, say in _WHOLE if re.search(pattern, clause)]
            said += _limb_facts(clause)
    return (*always, *((say, False) for say in said))
