# SPDX-License-Identifier: Apache-2.0
"""Describes in plain English how to get from one pose to another, from measurements only."""

import re
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from .attitudes import DIRECTIONS, SIDES, Posture, attitude
from .describe import aim_in_words, body_directions, direction_in_words
from .wording import SAME, as_sentence

MOVED = {"upper arm": 20.0, "forearm": 25.0, "thigh": 17.0, "shin": 22.0}  # degrees that are worth a statement
_LEANED, _TWISTED, _LOOKED, _BENT, _RAISED = 12.0, 16.0, 15.0, 20.0, 14.0  # the same for trunk, head, joints
_LIFTED = 0.1  # metres between a foot and the floor
_SMALL = 0.4  # the share of these degrees that is worth a statement if nothing else changes
_AT_THE_HIP, _ELBOW_OUT = 0.25, 50.0  # metres, degrees: a hand on the hip has a bent elbow
SHORT_STATEMENTS = 2  # in a short text
_TOUCHING, _LET_GO = 0.19, 0.1  # metres between a wrist and what the hand touches, and how much more it was before
_COMMANDS = {"standing": "stand", "sitting": "sit", "kneeling": "kneel", "lying": "lie", "squatting": "squat"}
_COMMANDS |= {"crouching": "crouch", "lunging": "lunge", "leaning": "lean", "balancing": "balance"}
_DOWN = np.array([0.0, -1.0, 0.0])


def describe_changes(before: ArrayLike, after: ArrayLike, *, style: Literal["short", "full"] = "full") -> list[str]:
    """How to get from each pose to another, as instructions in plain English: "Raise the left arm straight up."

    Args:
        before, after: tensors or arrays `(n, 22, 3)`, axis-angle, radians, in our frame; headings do not matter.
        style: `"short"`, the one or two largest changes, or `"full"`, all of them.

    Raises:
        ValueError: unknown style, or different numbers of poses.
    """
    if style not in ("short", "full"):
        raise ValueError(f"Unknown style {style!r}; choose short or full.")
    if len(before) != len(after):
        raise ValueError(f"There are {len(before)} poses before and {len(after)} after; give pairs.")
    found = [body_directions(torch.from_numpy(np.array(poses, dtype=np.float32))) for poses in (before, after)]
    return [changes_of_directions(*pair, style) for pair in zip(*found, strict=True)]


def changes_of_directions(before: Tensor, after: Tensor, style: str) -> str:
    """The text about two poses with these `body_directions`, `(16, 3)` each."""
    old, new = Posture(before), Posture(after)
    turned = torch.rad2deg(torch.arccos((before * after).sum(-1).clamp(-1, 1)))
    turned = dict(zip(DIRECTIONS, turned.tolist(), strict=True))
    found = _changes(old, new, turned)
    if not found:  # small ones
        found = _changes(old, new, {direction: degrees / _SMALL for direction, degrees in turned.items()}, _SMALL)
    if not found:
        return SAME[0] if style == "full" else SAME[0].lower().rstrip(".")
    if style == "short":
        least = sorted((degrees for _, degrees in found), reverse=True)[:SHORT_STATEMENTS][-1]
        return ", ".join([text for text, degrees in found if degrees >= least][:SHORT_STATEMENTS])
    return " ".join(as_sentence(text, "full") for text, _ in found)


def _changes(old, new, turned, scale=1.0):
    """(text, degrees) of each change; `scale` multiplies the degrees that are worth a statement."""
    found = _whole(old, new)
    whole = bool(found)
    if not (whole and re.match("kneel|squat|crouch|sit", found[0][0])):
        thighs = not whole or new.feet_carry  # those of a body that lies or sits go without saying
        found += _both(_leg(old, new, turned, side, scale, thighs) for side in SIDES)
    if not whole:
        found += _trunk(old, new, scale)
    found += _both(_arm(old, new, turned, side, scale) for side in SIDES)
    return found + _head(old, new, scale)


def _whole(old, new):
    """What the body does as a whole, if that changes."""
    before, after = attitude(old), attitude(new)
    if after is None or before == after or (after == "standing" and before is None and old.feet_carry):
        return []
    from_one_leg = after == "standing" and (before or "").startswith("standing on")
    return [("stand with both feet on the floor" if from_one_leg else as_command(after), 180.0)]


def as_command(attitude: str) -> str:
    """`"sitting on the floor"` -> `"sit on the floor"`."""
    first, _, rest = attitude.partition(" ")
    if attitude == "standing":
        return "stand up"
    if first.rstrip(",") in _COMMANDS:
        down = " down" * (attitude in ("sitting", "kneeling", "squatting"))
        return f"{_COMMANDS[first.rstrip(',')]}{down}{',' * first.endswith(',')} {rest}".strip()
    return f"lie {attitude}" if attitude.startswith("face down") else f"get {attitude}"


def _leg(old, new, turned, side, scale, thighs):
    """Commands for one leg, with `{}` for the side: (text, degrees)."""
    thigh, shin = turned[f"{side} thigh"], turned[f"{side} shin"]
    bend, bent = new.knee(side), new.knee(side) - old.knee(side)
    moved = max(thigh if thigh > MOVED["thigh"] else 0.0, shin if shin > MOVED["shin"] else 0.0)
    if not moved:
        return None
    parts, raised, change = [], new.thigh(side), new.thigh(side) - old.thigh(side)
    direction = _across(new.along[f"{side} thigh"], side)
    if thighs and thigh > MOVED["thigh"]:
        if raised < 18:
            down = old.clearance(side) > _LIFTED > new.clearance(side)
            parts.append("put the {} foot down under the hip" if down else "bring the {} leg back under the body")
        elif bend < 25 and new.clearance(side) > _LIFTED:
            parts.append(f"{'lift' if change > 0 else 'move'} the {{}} leg {direction}")
        elif raised > 65 and new.clearance(side) > _LIFTED:
            parts.append(f"{'raise' if change > 0 else 'move'} the {{}} knee {direction}, to hip height")
        elif new.clearance(side) > _LIFTED > old.clearance(side):
            parts.append(f"lift the {{}} foot, the thigh {direction}")
        else:
            parts.append(f"move the {{}} {'leg' if bend < 25 else 'thigh'} {direction}")
    if abs(bent) > scale * _BENT:
        parts.append(_bend("knee", bend, bent))
    elif thighs and not parts:
        parts.append(f"move the {{}} foot {_across(new.along[f'{side} shin'] - old.along[f'{side} shin'], side)}")
    return (side, _joined(parts), moved) if parts else None


def _arm(old, new, turned, side, scale):
    """Commands for one arm, with `{}` for the side: (text, degrees)."""
    upper, fore = turned[f"{side} upper arm"], turned[f"{side} forearm"]
    moved = max(upper if upper > MOVED["upper arm"] else 0.0, fore if fore > MOVED["forearm"] else 0.0)
    if not moved:
        return None
    touched = _touched(old, new, side)
    if touched:
        return side, touched, moved
    along, before = (m.along[f"{side} upper arm"] for m in (new, old))
    bend, bent = new.elbow(side), new.elbow(side) - old.elbow(side)
    raised = _degrees(along, _DOWN)
    change = raised - _degrees(before, _DOWN)
    verb = "raise" if change > _RAISED else "lower" if change < -_RAISED else "swing"
    parts = []
    if upper > MOVED["upper arm"]:
        if raised < 25:
            parts.append("let the {} arm hang down" if bend < 30 else "bring the {} upper arm down to the side")
        elif raised > 155:
            parts.append("raise the {} arm straight up")
        else:
            height = " below shoulder height" if raised < 65 else " to shoulder height" if raised < 115 else " high up"
            parts.append(f"{verb} the {{}} arm{height}, {_across(along, side)}")
    if abs(bent) > scale * _BENT and not (parts and raised < 25 and bend < 30):
        parts.append(_bend("elbow", bend, bent))
    text = _joined(parts)
    if bend > 30 and fore > MOVED["forearm"]:
        where = aim_in_words(new.along[f"{side} forearm"], side)
        text = f"{text}, the forearm {where}" if text else f"turn the {{}} forearm {where}"
    return (side, text, moved) if text else None


def _touched(old, new, side):
    """What the hand comes to touch, as a command; None if nothing."""
    wrist, other = f"{side}_wrist", SIDES[side == "left"]
    if new.apart(wrist, f"{other}_wrist") < 0.14 and old.apart(wrist, f"{other}_wrist") > _TOUCHING + _LET_GO:
        return f"bring the hands together {_where(new)}"
    if _on_the_hip(new, side) and not _on_the_hip(old, side):
        return "put the {} hand on the hip"
    places = {"head": "head", f"{other}_shoulder": f"{other} shoulder"}
    places |= {f"{one}_knee": f"{one} knee" for one in SIDES}
    for joint, place in places.items():
        if _touches(old, new, wrist, joint, _TOUCHING):
            return f"put the {{}} hand on the {place}"
    if new.lying < 0.5 and new.height(wrist) < _TOUCHING and old.height(wrist) > _TOUCHING + _LET_GO:
        return "put the {} hand on the floor"
    return None


def _on_the_hip(m, side):
    near = min(m.apart(f"{side}_wrist", joint) for joint in (f"{side}_hip", "spine1"))
    return near < _AT_THE_HIP and m.elbow(side) > _ELBOW_OUT


def _touches(old, new, wrist, joint, distance):
    return new.apart(wrist, joint) < distance and old.apart(wrist, joint) > distance + _LET_GO


def _where(m):
    """Where the hands are."""
    _, up, forward = m.chest @ ((m["left_wrist"] + m["right_wrist"]) / 2 - m["neck"])
    if up > 0.15:
        return "above the head" if forward > -0.1 else "behind the head"
    if forward < 0:
        return "behind the back" if up < -0.1 else "behind the neck"
    return (
        "in front of the face" if up > -0.05 else "in front of the chest" if up > -0.35 else "low in front of the body"
    )


def _both(limbs):
    """The commands of left and right as one if they are equal, else each with its side."""
    found = [limb for limb in limbs if limb]
    if len(found) == 2 and found[0][1] == found[1][1]:
        text = re.sub(r"\bthe \{\} (?:upper )?(\w+)", lambda noun: f"both {_plural(noun[1])}", found[0][1])
        text = re.sub(r"\bthe (elbow|knee|forearm|thigh|hip)\b", lambda noun: f"the {_plural(noun[1])}", text)
        return [(text, max(degrees for *_, degrees in found))]
    return [(text.format(side), degrees) for side, text, degrees in found]


def _trunk(old, new, scale):
    found = []
    tilt, change = new.tilt(), new.tilt() - old.tilt()
    moved = _degrees(new.chest_turn[:, 1], old.chest_turn[:, 1])
    if moved > scale * _LEANED:
        chest = new.chest_turn[:, 1]
        lean = direction_in_words(float(chest[0]), float(chest[2]), "to the left", "to the right")
        if tilt < 12:
            text = "straighten the upper body"
        elif change < -_LEANED / 2 and _same_way(chest, old.chest_turn[:, 1]):
            text = f"come up, but stay leaning {lean}"
        else:
            more = " further" if _same_way(chest, old.chest_turn[:, 1]) and old.tilt() > 12 else ""
            text = f"lean{more} {'a little ' if tilt < 20 else 'far ' if tilt > 55 else ''}{lean}"
        found.append((text, moved))
    twists = [twist(m) for m in (old, new)]
    if abs(twists[1] - twists[0]) > scale * _TWISTED and tilt < 60:
        text = "turn the shoulders " + ("left" if twists[1] > twists[0] else "right")
        found.append(
            ("turn the shoulders back to the front" if abs(twists[1]) < 8 else text, abs(twists[1] - twists[0]))
        )
    return found


def twist(m: Posture) -> float:
    """Degrees by which the shoulders are turned to the left of the hips."""
    forward = m.pelvis.T @ m.chest_turn[:, 2]
    return float(np.degrees(np.arctan2(forward[0], forward[2])))


def face(m: Posture) -> np.ndarray:
    """Degrees by which the head is turned to the left, lowered and tilted to the left of the chest, `(3,)`."""
    forward, up = m.along["head forward"], m.along["head up"]
    down, tilt = np.arcsin(np.clip([-forward[1], -up[0]], -1, 1))
    return np.degrees([np.arctan2(forward[0], forward[2]), down, -tilt])


def _head(old, new, scale):
    turned, nodded, tilted = face(new) - face(old)
    looked = scale * _LOOKED
    if max(abs(turned), abs(nodded), abs(tilted)) < looked:
        return []
    before, after = ((abs(face(m)) < (10, 13, 10)).all() for m in (old, new))
    if after and not before:
        return [("look straight ahead", max(abs(turned), abs(nodded), abs(tilted)))]
    parts = []
    if abs(turned) > looked:
        parts.append("turn the head " + ("left" if turned > 0 else "right"))
    if abs(nodded) > looked:
        parts.append(f"{'lower' if nodded > 0 else 'raise'} {'it' if parts else 'the head'}")
    if abs(tilted) > looked:
        parts.append(f"tilt {'it' if parts else 'the head'} to the {'left' if tilted > 0 else 'right'}")
    return [(_joined(parts), max(abs(turned), abs(nodded), abs(tilted)))]


def _bend(joint, bend, bent):
    if bend < 20:
        return f"straighten the {joint}"
    amount = "a little" if bend < 50 else "half way" if bend < 80 else "to ninety degrees" if bend < 115 else "sharply"
    if bent < 0:
        return f"straighten the {joint} partway"
    return f"bend the {joint} {amount}"


def _joined(parts):
    """Commands about one limb; a joint that stands alone gets the side."""
    if not parts:
        return ""
    first = re.sub(r"^(\w+ the )(elbow|knee)\b", r"\1{} \2", parts[0])
    return (", and " if "," in first else " and ").join([first, *parts[1:]])


def _across(direction, side):
    out = float(direction[0]) * (1 if side == "left" else -1)
    return direction_in_words(out, float(direction[2]), "out to the side", "across the body")


def _same_way(one, other):
    one, other = one[[0, 2]], other[[0, 2]]
    return float(one @ other) > 0.7 * float(np.linalg.norm(one) * np.linalg.norm(other))


def _plural(noun):
    return "feet" if noun == "foot" else noun + "s"


def _degrees(one, other):
    return float(np.degrees(np.arccos(np.clip(one @ other, -1, 1))))
