# SPDX-License-Identifier: Apache-2.0
"""Judges texts in the words of `describe_poses` and `describe_changes`, statement by statement, by measuring poses.

A sentence holds one to four statements: which limb is where, how far a joint is bent, where a forearm points. A
statement is true if it holds within `TOLERANCE` degrees. Sentences in other words make one statement that is false:
nothing is known of it.
"""

import re
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike

from .attitudes import BONES, SIDES, Posture, attitude
from .changes import as_command, changes_of_directions, face, twist
from .claims import TIPPED
from .describe import NEAR, body_directions, phrase_distance
from .wording import SAME

TOLERANCE = 12.0  # degrees
_HEIGHTS = {"hang": (0, 25), "hangs down": (0, 25), "hang down": (0, 25), "lowered": (25, 65), "held level": (65, 115)}
_HEIGHTS |= {
    "raised": (115, 180),
    "over the head": (115, 180),
    "below shoulder height": (25, 65),
    "high up": (115, 155),
}
_HEIGHTS |= {"to shoulder height": (65, 115), "straight up": (155, 180), "down to the side": (0, 25)}
_BENDS = {"straight": (0, 20), "slightly bent": (20, 50), "sharply bent": (115, 180), "bent": (50, 115)}
_AMOUNTS = {"a little": (20, 50), "half way": (50, 80), "to ninety degrees": (80, 115), "sharply": (115, 180)}
_AXES = {
    "forward": (2, 1),
    "back": (2, -1),
    "up": (1, 1),
    "down": (1, -1),
    "outward": (0, 1),
    "across the body": (0, -1),
}
_WAYS = {"forward": (2, 1), "back": (2, -1), "out to the side": (0, 1), "across the body": (0, -1)}
_WAYS |= {"to the left": (0, 1), "to the right": (0, -1)}
_ON_A_SIDE = 40.0  # degrees between a direction and its words
_HELD, _TOUCHING = 0.27, 0.22  # metres
_ANY_WAY = "|".join(_WAYS)
_LIMB = re.compile(r"\b(left|right|both) (?:upper )?(arm|forearm|elbow|hand|leg|thigh|knee|foot|feet)")
_DOWN = np.array([0.0, -1.0, 0.0])


class Statement(NamedTuple):
    """A statement of a text, and whether it is true."""

    text: str
    true: bool


def judge_descriptions(texts: list[str], axis_angle: ArrayLike) -> list[list[Statement]]:
    """The statements of full descriptions of poses `(n, 22, 3)`, axis-angle, radians."""
    return [_judged(text, None, directions) for text, directions in zip(texts, _directions(axis_angle), strict=True)]


def judge_changes(texts: list[str], before: ArrayLike, after: ArrayLike) -> list[list[Statement]]:
    """The statements of full texts on how to get from poses to others, `(n, 22, 3)` each, axis-angle, radians."""
    pairs = zip(texts, _directions(before), _directions(after), strict=True)
    return [_judged(text, old, new) for text, old, new in pairs]


def _directions(axis_angle):
    return body_directions(torch.from_numpy(np.array(axis_angle, dtype=np.float32)))


def _judged(text, old, new):
    if old is not None and text.strip() in (*SAME, *(same.lower().rstrip(".") for same in SAME)):
        return [Statement(text, changes_of_directions(old, new, "full") in SAME)]
    before, after = (None if directions is None else Posture(directions) for directions in (old, new))
    found = []
    for sentence in re.split(r"(?<=[.!?])\s+", text.strip()):
        sentence = sentence.rstrip(".!?").strip()
        if not sentence:
            continue
        words = sentence[:1].lower() + sentence[1:]
        judged = _of_changes(words, before, after) if before is not None else _of_pose(words, new, after)
        found += [Statement(sentence, bool(true)) for true in (judged or [False])]
    return found


# -- descriptions -----------------------------------------------------------------------------------------------------


def _of_pose(words, directions, m):
    """The truth of each statement of a sentence about a pose; None if the words are not known."""
    limb = re.fullmatch(
        r"(?:the )?(left|right|both) (arm|thigh)s? (?:is|are|points?|(?=hang))\s?(.+?), the (?:elbow|knee)s? "
        r"(straight|slightly bent|sharply bent|bent)(?: and the forearms? (?:pointing )?(.+))?",
        words,
    )
    if limb:
        side, bone, where, bend, forearm = limb.groups()
        judge = _arm_statements if bone == "arm" else _thigh_statements
        each = [judge(m, one, where, bend, forearm) for one in (SIDES if side == "both" else (side,))]
        return [all(values) for values in zip(*each, strict=True)]
    distance = phrase_distance(words, directions)
    carried = re.match(r"stand|sit|kneel|lying|squat|crouch|lung|upside|balanc|lean|in |on |face|propped|bent", words)
    if distance is None and not carried:
        return None
    return [(distance is not None and distance <= NEAR + TOLERANCE) or (bool(carried) and _carried_as(words, m))]


def _arm_statements(m, side, where, bend, forearm):
    upper, fore = _arm(m, side)
    found = [_placed(where, upper, side), _within(m.elbow(side), _BENDS[bend])]
    return found + ([_aimed(forearm, fore, side)] if forearm else [])


def _thigh_statements(m, side, where, bend, forearm):
    thigh = m.along[f"{side} thigh"]
    raised = _degrees(thigh, _DOWN)
    if m.lying > 0.5 or m.upside_down > 0.5:
        thigh = m.pelvis.T @ thigh
        raised = _degrees(thigh, _DOWN)
    if where.startswith(("straight down", "in line")):
        place = raised < 20 + TOLERANCE
    else:
        place = raised > 15 - TOLERANCE / 2 and _toward(where, thigh, side)
    return [place, _within(m.knee(side), _BENDS[bend])]


def _carried_as(words, m):
    now = attitude(m)
    if now is None:
        return words.startswith("standing") and m.feet_carry or words.startswith(("leaning", "bent")) and m.tilt() > 12
    if words.startswith(("leaning", "bent")) and not now.startswith("leaning"):
        return m.tilt() > 12 and _toward(words, m.chest_turn[:, 1], "left")
    same = words.split()[0].rstrip(",") == now.split()[0].rstrip(",")
    sides = [set(re.findall("left|right", text)) for text in (words, now)]
    return words == now or (same and (not sides[0] or sides[0] == sides[1]))


# -- changes ----------------------------------------------------------------------------------------------------------


def _of_changes(words, old, new):
    """The truth of each statement of a sentence about a change; None if the words are not known."""
    limb = _LIMB.search(words)
    if words.startswith(("lean", "come up", "straighten the upper", "turn the shoulders")):
        return [_trunk(words, old, new)]
    if re.match(r"(?:turn|lower|raise|tilt) the head|look straight", words):
        return _head(words, old, new)
    if words.startswith("bring the hands together"):
        return [new.apart("left_wrist", "right_wrist") < _TOUCHING]
    if re.match(r"stand|sit|kneel|lie|squat|crouch|lunge|lean|balance|get", words):
        return [_carried_as_commanded(words, new)]
    if not limb:
        return None
    sides = SIDES if limb[1] == "both" else (limb[1],)
    judge = _arm_changes if limb[2] in ("arm", "forearm", "elbow", "hand") else _leg_changes
    each = [judge(words, old, new, side) for side in sides]
    found = [all(values) for values in zip(*each, strict=True)]
    return found or None


def _carried_as_commanded(words, m):
    now = attitude(m)
    if words.startswith("stand"):
        return (now or "standing").startswith(("standing", "lunging", "in a wide")) and m.feet_carry
    return now is not None and (words == as_command(now) or words.split()[0] == as_command(now).split()[0])


def _arm_changes(words, old, new, side):
    upper, fore = (new.along[f"{side} {bone}"] for bone in list(BONES)[:2])
    found, change = [], _degrees(upper, _DOWN) - _degrees(old.along[f"{side} upper arm"], _DOWN)
    if placed := re.search(r"put (?:the \w+|both) hands? on the (left |right )?(\w+?)s?\b", words):
        return [_touches(new, side, placed[1], placed[2])]
    if verb := re.match(r"(raise|lower)\b", words):
        found.append(change > -4 if verb[1] == "raise" else change < 4)
    if height := re.search(
        r"hang down|below shoulder height|to shoulder height|high up|straight up|down to the side", words
    ):
        found.append(_placed(height[0] + re.split(height[0], words, maxsplit=1)[1].split(", the ")[0], upper, side))
    found += _joint(words, "elbow", new.elbow(side), old.elbow(side))
    if aimed := re.search(r"forearms? (forward|back|up|down|outward|across the body)", words):
        found.append(_aimed(aimed[1], fore, side))
    return found


def _leg_changes(words, old, new, side):
    thigh, found = new.along[f"{side} thigh"], []
    if re.search(r"back under the body|down under the hip", words):
        found.append(_degrees(thigh, _DOWN) < 18 + TOLERANCE)
    elif moved := re.match(
        rf"(move|lift|raise) (?:the \w+|both) (\w+).*?((?:{_ANY_WAY})(?: and (?:{_ANY_WAY}))?)", words
    ):
        shin = new.along[f"{side} shin"] - old.along[f"{side} shin"]
        found.append(_toward(moved[3], shin if moved[2] in ("foot", "feet") and moved[1] == "move" else thigh, side))
    found += _joint(words, "knee", new.knee(side), old.knee(side))
    return found


def _joint(words, joint, bend, before):
    if straight := re.search(
        rf"straighten the (?:left |right )?{joint}s?( partway)?|straighten both {joint}s( partway)?", words
    ):
        partway = straight[1] or straight[2]
        return [bend < before - 5 if partway else bend < 20 + TOLERANCE]
    bent = re.search(
        rf"bend (?:the (?:left |right )?|both ){joint}s? (a little|half way|to ninety degrees|sharply)", words
    )
    return [bend > before + 5 and _within(bend, _AMOUNTS[bent[1]])] if bent else []


def _trunk(words, old, new):
    if words.startswith("turn the shoulders"):
        turned = twist(new) - twist(old)
        return abs(twist(new)) < 20 if "front" in words else (turned > 4) == ("left" in words) and abs(turned) > 4
    if words.startswith("straighten"):
        return new.tilt() < 12 + TOLERANCE
    if words.startswith("come up"):
        return new.tilt() < old.tilt()
    return new.tilt() > 6 and _toward(words, new.chest_turn[:, 1], "left")


def _head(words, old, new):
    turned, nodded, tilted = face(new) - face(old)
    if words.startswith("look straight"):
        return [bool((abs(face(new)) < 25).all())]
    found = []
    for pattern, change in (
        (r"turn (?:the head|it) (left)", turned),
        (r"turn (?:the head|it) (right)", -turned),
        (r"(lower) (?:the head|it)", nodded),
        (r"(raise) (?:the head|it)", -nodded),
        (r"tilt (?:the head|it) to the (left)", tilted),
        (r"tilt (?:the head|it) to the (right)", -tilted),
    ):
        if re.search(pattern, words):
            found.append(change > 4)
    return found or None


# -- one limb ---------------------------------------------------------------------------------------------------------


def _arm(m, side):
    """Both bones as `describe_poses` sees them: from the chest, or from the room if it is tipped over the feet."""
    bones = [m.along[f"{side} {bone}"] for bone in list(BONES)[:2]]
    tipped = m.tilt() > TIPPED and not (m.lying > 0.5 or (m.upside_down > 0.5 and not m.feet_carry))
    return [m.chest_turn @ bone if tipped else bone for bone in bones]


def _placed(where, upper, side):
    height = next((name for name in sorted(_HEIGHTS, key=len, reverse=True) if name in where), None)
    raised = _degrees(upper, _DOWN)
    if height is None:
        return _toward(where, upper, side)
    rest = where.split(height, 1)[1]
    return _within(raised, _HEIGHTS[height]) and (
        height in ("straight up", "over the head") or _toward(rest, upper, side)
    )


def _toward(words, direction, side):
    """Whether a direction, seen from above, goes the way that is told; one that goes straight up goes any way."""
    ways = [_WAYS[way] for way in re.findall(_ANY_WAY, words)]
    level = np.array([direction[0] * (1 if side == "left" else -1), 0.0, direction[2]])
    if not ways or np.linalg.norm(level) < 0.2:
        return True
    told = sum(sign * np.eye(3)[axis] for axis, sign in ways)
    return _degrees(level, told) <= _ON_A_SIDE + TOLERANCE * (len(ways) > 1)


def _aimed(words, bone, side):
    axis = next((_AXES[name] for name in sorted(_AXES, key=len, reverse=True) if name in words), None)
    if axis is None:
        return False
    value = float(bone[axis[0]]) * axis[1] * (-1 if axis[0] == 0 and side == "right" else 1)
    return value > 0.5


def _touches(m, side, of, what):
    wrist, other = f"{side}_wrist", SIDES[side == "left"]
    if what == "floor":
        return m.height(wrist) < _HELD
    if what == "hip":
        return min(m.apart(wrist, joint) for joint in (f"{side}_hip", "spine1")) < _HELD
    joints = {"head": "head", "shoulder": f"{(of or other).strip()}_shoulder"}
    joints |= {"knee": f"{(of or side).strip()}_knee"}
    return what in joints and m.apart(wrist, joints[what]) < _HELD


def _within(value, limits):
    return limits[0] - TOLERANCE <= value <= limits[1] + TOLERANCE


def _degrees(one, other):
    cosine = one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-9)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
