# SPDX-License-Identifier: Apache-2.0
"""Describes poses in plain English: finds the states and named poses of the language bank that hold.

A state holds if every direction that it sets (of bones, and of the axes of pelvis, chest and head) is close to the
pose's. Limbs that match no state are described by their directions.
"""

import functools
import random
import re
from collections import Counter
from typing import Literal

import numpy as np
import roma
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from unipose_hf.body import JOINT_NAMES, forward_kinematics, load_body, remove_yaw

from .angles import ANGLES, STANDING, angles_to_axis_angle, mirror_angles
from .bank import LanguageBank, complete, load_language_bank
from .wording import as_sentence, swap_sides

_SIDES = ("left", "right")
_BONES = {
    "upper arm": ("shoulder", "elbow", "spine3"),  # from, to, in whose frame; None is the room
    "forearm": ("elbow", "wrist", "spine3"),
    "thigh": ("hip", "knee", None),
    "shin": ("knee", "ankle", None),
    "foot": ("ankle", "foot", None),
}
_AXES = {"pelvis": ("pelvis", None), "chest": ("spine3", "pelvis"), "head": ("head", "spine3")}
DIRECTIONS: tuple[str, ...] = (
    *(f"{part} {axis}" for part in _AXES for axis in ("up", "forward")),
    *(f"{side} {bone}" for side in _SIDES for bone in _BONES),
)
# What each angle turns, of the directions above.
_TURNED = {
    "root": ("pelvis", "thigh", "shin"),
    "bend": ("chest",),
    "twist": ("chest",),
    "nod": ("head",),
    "turn": ("head",),
    "tilt": ("head",),
}
_TURNED_BY_LIMB = {
    "raise": ("upper arm", "forearm"),
    "plane": ("upper arm", "forearm"),
    "forearm_up": ("forearm",),
    "elbow": ("forearm",),
    "shrug": (),
    "flex": ("thigh", "shin"),
    "out": ("thigh", "shin"),
    "turn": ("shin",),
    "knee": ("thigh", "shin"),
    "point": (),
}
NEAR, NEAR_ON_AVERAGE = 25.0, 14.0  # degrees by which directions may differ from a state that holds: all, on average
NEAR_BOTH = 21.0  # the same for states of both arms or legs
NAMED, NAMED_ON_AVERAGE = 25.0, 9.0  # the same for the name of a whole pose
_CLEAR = 20  # a word of the bank that occurs this often is plain; rarer ones speak of things and occasions
_UNUSUAL = 5.0  # degrees by which a state in rarer words must be nearer than another
_ON_FLOOR = 0.35  # lengths of a thigh that a knee on the floor may be above the lowest one
TILTED = 20.0  # degrees of the pelvis from upright
_NEUTRAL = 8.0  # degrees from standing that go without saying
SHORT_STATEMENTS = 3  # in a short description
_LIMB_BONES = {"leg": ("thigh", "shin"), "arm": ("upper arm", "forearm")}


def body_directions(axis_angle: Tensor) -> Tensor:
    """Poses `(..., 22, 3)` -> unit vectors `(..., 16, 3)`, ordered as `DIRECTIONS`.

    Arms are seen from the chest, the head from the chest, the chest from the pelvis, legs and pelvis from the room,
    with the body turned to face the viewer.
    """
    joints, turns = forward_kinematics(roma.rotvec_to_rotmat(remove_yaw(axis_angle)), _rest_joints())
    at = JOINT_NAMES.index
    found = []
    for joint, frame in _AXES.values():
        turn = turns[..., at(joint), :, :]
        axes = turn if frame is None else turns[..., at(frame), :, :].mT @ turn
        found += [axes[..., 1], axes[..., 2]]
    for side in _SIDES:
        for start, end, frame in _BONES.values():
            bone = joints[..., at(f"{side}_{end}"), :] - joints[..., at(f"{side}_{start}"), :]
            bone = bone / bone.norm(dim=-1, keepdim=True)
            found.append(bone if frame is None else (bone[..., None, :] @ turns[..., at(frame), :, :])[..., 0, :])
    return torch.stack(found, -2)


@functools.cache
def _rest_joints():
    return load_body(size="small").rest_joints


def describe_poses(
    axis_angle: ArrayLike, *, style: Literal["short", "full"] = "full", seed: int | None = None
) -> list[str]:
    """Descriptions of poses in plain English, from measurements only.

    Args:
        axis_angle: tensor or array `(n, 22, 3)`, radians, in our frame; the heading does not matter.
        style: `"short"`, one phrase as people type it, or `"full"`, sentences about all limbs that stand out.
        seed: draws the wording; by default always the plainest.

    Raises:
        ValueError: unknown style.
    """
    if style not in ("short", "full"):
        raise ValueError(f"Unknown style {style!r}; choose short or full.")
    directions = body_directions(torch.from_numpy(np.array(axis_angle, dtype=np.float32)))
    rng = None if seed is None else random.Random(seed)
    return [describe_directions(found, style, rng) for found in directions]


def describe_directions(directions: Tensor, style: str, rng: random.Random | None) -> str:
    """The description of a pose with these `body_directions` `(16, 3)`."""
    states = _states()
    cosines = (directions * states.directions).sum(-1).masked_fill(~states.sets, 1.0)  # (states, 16)
    furthest = torch.rad2deg(torch.arccos(cosines.amin(-1).clamp(-1, 1)))
    holds = (furthest <= NEAR).nonzero()[:, 0]
    angles = torch.rad2deg(torch.arccos(cosines[holds].clamp(-1, 1)))
    mean = torch.full_like(furthest, torch.inf).index_put((holds,), angles.sum(-1) / states.sets[holds].sum(-1))
    name = _best(furthest, mean, states.named, NAMED, NAMED_ON_AVERAGE)
    if name is not None:
        return _named_text(states, name, style, rng)
    cost = mean + states.unusual
    away = _degrees(directions, states.standing)  # (16,)
    tilted = float(_degrees(directions[_at("pelvis up")], -_DOWN)) > TILTED
    found = []  # (text, degrees away from standing)
    for limb, in_words in (("leg", _leg_in_words), ("arm", _arm_in_words)):
        bones = {side: [_at(f"{side} {bone}") for bone in _LIMB_BONES[limb]] for side in _SIDES}
        rows = states.groups[limb + "s"]
        if limb == "leg" and tilted:  # states of the legs of an upright body
            rows = rows[states.sets[rows, _at("pelvis up")]]
        row = _best(furthest, cost, rows, NEAR_BOTH)
        if row is not None:
            voice = "short" if limb == "leg" else style  # those name the attitude: sitting, kneeling
            found.append((_phrase(states, row, voice, rng), away[sum(bones.values(), [])].max()))
            continue
        rows = {side: _best(furthest, cost, states.groups[f"{side} {limb}"]) for side in _SIDES}
        texts = {
            side: in_words(directions, side) if row is None else _phrase(states, row, style, rng)
            for side, row in rows.items()
        }
        if limb == "leg" and (attitude := _attitude(directions)):
            found.append((attitude, 180.0))
        if rows["left"] is rows["right"] is None and texts["left"][5:] == texts["right"][6:]:
            found.append((_for_both(texts["left"]), away[bones["left"]].max()))
            continue
        found += [(texts[side], away[bones[side]].max()) for side in _SIDES if texts[side]]
    for part in ("torso", "head"):
        if part == "torso" and tilted:
            found += [(text, 90.0) for text in [_lean(directions)] if text]
            continue
        row = _best(furthest, cost, states.groups[part])
        if row is not None and not states.neutral[row]:
            axes = [_at(f"{'chest' if part == 'torso' else part} {axis}") for axis in ("up", "forward")]
            found.append((_phrase(states, row, style, rng), away[axes].max()))
    found = found or [("standing with the arms at the sides", 0.0)]
    if style == "full":
        return " ".join(as_sentence(text, "full") for text, _ in found)
    least = sorted((float(away) for _, away in found), reverse=True)[:SHORT_STATEMENTS][-1]
    texts = [text for text, away in found if float(away) >= least][:SHORT_STATEMENTS]
    return ", ".join(texts[:1] + [text[:1].lower() + text[1:] for text in texts[1:]])


def _degrees(directions, others):
    return torch.rad2deg(torch.arccos((directions * others).sum(-1).clamp(-1, 1)))


def _best(furthest, cost, rows, near=NEAR, on_average=NEAR_ON_AVERAGE):
    """The row of the lowest cost among those that hold; None if none does."""
    if not len(rows):
        return None
    cost = torch.where(furthest[rows] <= near, cost[rows], torch.inf)
    best = int(cost.argmin())
    return int(rows[best]) if cost[best] <= on_average else None


class _States:
    """All states and named poses with their mirror images, as directions.

    directions: `(states, 16, 3)`; sets: the ones that each state sets `(states, 16)`; unusual: degrees `(states,)` of
    disadvantage; neutral: states that go without saying; groups, named: the rows of each kind.
    """

    def __init__(self, bank: LanguageBank):
        middle, given = complete((bank.part_low + bank.part_high) / 2), ~bank.part_low.isnan()
        angles = torch.cat([middle, mirror_angles(middle), bank.named_angles, mirror_angles(bank.named_angles)])
        whole = torch.ones(2 * len(bank.named), len(ANGLES), dtype=torch.bool)
        given = torch.cat([given, mirror_angles(given.float()).abs() > 0, whole])
        self.directions = body_directions(angles_to_axis_angle(angles))
        self.sets = (given.float() @ _TURNS) > 0
        self.bank, parts = bank, len(bank.parts)
        words = Counter(word for part in bank.parts for phrase in part.phrases for word in _words(phrase))
        plain = [_plain_phrases(part.phrases, words) for part in bank.parts]
        self.phrases = plain + [tuple(map(swap_sides, phrases)) for phrases in plain]
        rare = torch.tensor([_plainness(phrases[0], words) < _CLEAR for phrases in plain]).repeat(2)
        self.unusual = torch.cat([_UNUSUAL * rare, torch.zeros(2 * len(bank.named))])
        self.standing = body_directions(angles_to_axis_angle(STANDING))
        away = _degrees(self.directions, self.standing)
        self.neutral = (torch.where(self.sets, away, 0.0).amax(-1) < _NEUTRAL).tolist()
        self.groups = {name: [] for name in ("legs", "arms", "torso", "head")}
        self.groups |= {f"{side} {limb}": [] for side in _SIDES for limb in ("arm", "leg")}
        bones = {
            limb: [_at(f"{side} {bone}") for side in _SIDES for bone in names] for limb, names in _LIMB_BONES.items()
        }
        for row in range(2 * parts):
            part, turned = bank.parts[row % parts].part, self.sets[row]
            if not turned.any():
                continue
            if part in ("torso", "head"):
                self.groups[part].append(row)
            elif part == "both_arms" and not turned[bones["leg"]].any():
                self.groups["arms"].append(row)
            elif part in ("both_legs", "root") and not turned[bones["arm"]].any():
                self.groups["legs"].append(row)
            else:
                side = _SIDES[row >= parts]
                limb = part.partition("_")[2]
                own = [_at(f"{side} {bone}") for bone in _LIMB_BONES.get(limb, ())]
                if own and turned[own].all() and int(turned.sum()) == len(own):
                    self.groups[f"{side} {limb}"].append(row)
        self.groups = {name: torch.tensor(rows) for name, rows in self.groups.items()}
        self.named = torch.arange(2 * parts, len(self.directions))


@functools.cache
def _states():
    return _States(load_language_bank())


def _at(direction):
    return DIRECTIONS.index(direction)


def _turns():
    """Which directions each angle turns, `(29, 16)`."""
    found = torch.zeros(len(ANGLES), len(DIRECTIONS))
    for row, name in enumerate(ANGLES):
        side, _, rest = name.partition("_")
        if rest in _TURNED_BY_LIMB:
            turned = [f"{side} {bone}" for bone in _TURNED_BY_LIMB[rest]]
        else:
            bones = _TURNED[side]
            turned = [f"{bone} {axis}" for bone in bones if bone in _AXES for axis in ("up", "forward")]
            turned += [f"{s} {bone}" for bone in bones if bone not in _AXES for s in _SIDES]
        found[row, [_at(direction) for direction in turned]] = 1
    return found


_TURNS = _turns()
_DOWN = torch.tensor([0.0, -1.0, 0.0])


def _words(text):
    return re.findall(r"[a-z']+", text.lower())


def _plainness(phrase, words):
    return min((words[word] for word in _words(phrase)), default=0)


def _plain_phrases(phrases, words):
    """The phrases about the body itself, in the order of the bank; the plainest one if there is none."""
    short = [phrase for phrase in phrases if len(phrase.split()) <= 14 and "I " not in phrase]
    plain = [phrase for phrase in short if _plainness(phrase, words) >= _CLEAR]
    return tuple(plain or [max(short or phrases, key=lambda phrase: _plainness(phrase, words))])


def _phrase(states, row, style, rng):
    phrases = states.phrases[row]
    clauses = [phrase for phrase in phrases if re.match(r"(?:the|their|both)\b", phrase, re.I)]
    choice = clauses if style == "full" and clauses else phrases
    text = choice[0] if rng is None else rng.choice(choice)
    return re.sub(r"\b(their|his|her)\b", "the", text, flags=re.I).rstrip(".")


def _named_text(states, row, style, rng):
    count = len(states.bank.named)
    number, mirrored = divmod(row - 2 * len(states.bank.parts), count)[::-1]
    pose = states.bank.named[number]
    full = [t for t in pose.texts if len(t.split()) > 8 and t[0].isupper() and re.match(r"(?:A|An|The|Someone)\b", t)]
    if style == "full" and full:
        text = full[0] if rng is None else rng.choice(full)
    else:
        text = pose.name if rng is None else rng.choice([pose.name, *pose.aliases])
    return as_sentence(swap_sides(text) if mirrored else text, style)


def _attitude(directions):
    """How a body stands whose legs match no state; None for upright."""
    up, forward = (directions[_at(f"pelvis {axis}")] for axis in ("up", "forward"))
    if float(up[1]) < 0.5:  # tilted by more than 60 degrees
        if float(up[1]) < -0.5:
            return "upside down"
        if abs(float(forward[1])) < 0.6:
            return f"lying on the {'left' if float(directions[_at('pelvis up')][0]) > 0 else 'right'} side"
        return "lying on the back" if float(forward[1]) > 0 else "face down"
    thighs, shins = (directions[[_at(f"{side} {bone}") for side in _SIDES]] for bone in _LIMB_BONES["leg"])  # (2, 3)
    knees = thighs[:, 1]  # heights, in lengths of a thigh
    ankles = knees + shins[:, 1]
    on_knee = (shins[:, 1] > -0.6) & (knees < torch.minimum(knees.min(), ankles.min()) + _ON_FLOOR)
    if on_knee.all():
        return "kneeling"
    if on_knee.any():
        return f"kneeling on the {_SIDES[int(on_knee[1])]} knee"
    raised, bent = _degrees(thighs, _DOWN), _degrees(thighs, shins)
    if raised.min() > 60:
        return "sitting" if bent.max() < 110 else "squatting"
    return "crouching" if bent.min() > 60 and raised.max() > 45 else None


def _lean(directions):
    """Where the trunk leans if the pelvis does; None for lying bodies."""
    up, forward = (directions[_at(f"pelvis {axis}")] for axis in ("up", "forward"))
    chest = directions[_at("chest up")]
    chest = chest[0] * torch.linalg.cross(up, forward) + chest[1] * up + chest[2] * forward  # seen from the room
    lean = float(_degrees(chest, -_DOWN))
    if float(up[1]) < 0.5 or lean < 15:
        return None
    way = _way(float(chest[0]), float(chest[2]), "to the left", "to the right")
    return f"leaning {way}" if lean < 35 else f"bent {way}" if lean < 65 else f"bent far {way}"


def _for_both(text):
    """`"left arm raised, elbow bent"` for both sides."""
    return "both " + re.sub(r"\b(arm|elbow|forearm|thigh|knee)\b", r"\1s", text[5:])


def _arm_in_words(directions, side):
    """The two bones of an arm, seen from the chest."""
    upper, fore = (directions[_at(f"{side} {bone}")] for bone in _LIMB_BONES["arm"])
    out = upper[0] if side == "left" else -upper[0]
    raised = float(_degrees(upper, _DOWN))
    where = "hanging down" if raised < 25 else "lowered" if raised < 65 else "level" if raised < 115 else "raised"
    if raised >= 25 and raised < 155:
        where += " " + _way(float(out), float(upper[2]), "out to the side", "across the body")
    bend = float(_degrees(upper, fore))
    return f"{side} arm {where}, {_bend(bend, 'elbow')}" + (f", forearm {_aim(fore, side)}" if bend > 30 else "")


def _leg_in_words(directions, side):
    """The two bones of a leg, seen from the room; empty if it just stands."""
    thigh, shin = (directions[_at(f"{side} {bone}")] for bone in _LIMB_BONES["leg"])
    raised = float(_degrees(thigh, _DOWN))
    bend = float(_degrees(thigh, shin))
    if raised < 15 and bend < 25:
        return ""
    out = thigh[0] if side == "left" else -thigh[0]
    way = _way(float(out), float(thigh[2]), "out to the side", "across the body")
    where = "straight down" if raised < 15 else f"a little {way}" if raised < 40 else way
    return f"{side} thigh {where}, {_bend(bend, 'knee')}"


def _way(out, forward, outward, inward):
    sideways = outward if out > 0 else inward
    ahead = "forward" if forward > 0 else "back"
    if abs(forward) > 2.4 * abs(out):
        return ahead
    return sideways if abs(out) > 2.4 * abs(forward) else f"{ahead} and {sideways}"


def _bend(degrees, joint):
    if degrees < 20:
        return f"{joint} straight"
    return f"{joint} slightly bent" if degrees < 50 else f"{joint} bent" if degrees < 115 else f"{joint} sharply bent"


def _aim(bone, side):
    axis = int(bone.abs().argmax())
    if axis == 1:
        return "up" if bone[1] > 0 else "down"
    if axis == 2:
        return "forward" if bone[2] > 0 else "back"
    return "outward" if (bone[0] > 0) == (side == "left") else "across the body"
