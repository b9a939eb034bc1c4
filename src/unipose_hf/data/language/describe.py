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
from .attitudes import AXES, BONES, DIRECTIONS, SIDES, Posture, attitude
from .bank import LanguageBank, complete, load_language_bank
from .claims import TIPPED, about_the_body, borne_out
from .wording import as_sentence, swap_sides

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
_SAME = 4.0  # degrees by which all directions of a pose differ at most from the state that it is
_CLEAR = 20  # a word of the bank that occurs this often is plain; rarer ones speak of things and occasions
_UNUSUAL = 5.0  # degrees by which a state in rarer words must be nearer than another
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
    for joint, frame in AXES.values():
        turn = turns[..., at(joint), :, :]
        axes = turn if frame is None else turns[..., at(frame), :, :].mT @ turn
        found += [axes[..., 1], axes[..., 2]]
    for side in SIDES:
        for start, end, frame in BONES.values():
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


def describe_directions(directions: Tensor, style: str, rng: random.Random | None, *, names: bool = True) -> str:
    """The description of a pose with these `body_directions` `(16, 3)`; without `names`, limb by limb."""
    states, m = _states(), Posture(directions)
    cosines = (directions * states.directions).sum(-1).masked_fill(~states.sets, 1.0)  # (states, 16)
    furthest = torch.rad2deg(torch.arccos(cosines.amin(-1).clamp(-1, 1)))
    holds = (furthest <= NEAR).nonzero()[:, 0]
    angles = torch.rad2deg(torch.arccos(cosines[holds].clamp(-1, 1)))
    mean = torch.full_like(furthest, torch.inf).index_put((holds,), angles.sum(-1) / states.sets[holds].sum(-1))

    def best(rows, voice=style, near=NEAR, on_average=NEAR_ON_AVERAGE):
        """The row of the lowest cost with a text that holds, and that text; None if there is none."""
        rows = rows if names else rows[states.unusual[rows] == 0]
        rows = rows[(furthest[rows] <= near) & (cost[rows] <= on_average)]
        for row in rows[cost[rows].argsort()].tolist():
            if texts := states.texts(row, m, voice, exact=bool(furthest[row] < _SAME)):
                return row, texts[0] if rng is None else rng.choice(texts)
        return None, None

    cost = mean + states.unusual
    name = best(states.named, style, NAMED, NAMED_ON_AVERAGE)[1] if names else None
    if name is not None:
        return as_sentence(name, style)
    away = _degrees(directions, states.standing)  # (16,)
    tilted = float(_degrees(directions[_at("pelvis up")], -_DOWN)) > TILTED
    found, whole = [], attitude(m)  # (text, degrees away from standing)
    for limb, in_words in (("leg", _leg_in_words), ("arm", _arm_in_words)):
        bones = {side: [_at(f"{side} {bone}") for bone in _LIMB_BONES[limb]] for side in SIDES}
        rows = states.groups[limb + "s"]
        if limb == "leg" and tilted:  # states of the legs of an upright body
            rows = rows[states.sets[rows, _at("pelvis up")]]
        # those of legs name the attitude: sitting, kneeling
        text = best(rows, "short" if limb == "leg" else style, NEAR_BOTH)[1]
        if text is not None:
            if limb == "leg" and whole and not _ATTITUDE.search(text):
                found.append((whole, 0.0 if whole == "standing" else 180.0))
            found.append((text, away[sum(bones.values(), [])].max()))
            continue
        if limb == "leg" and whole:
            found.append((whole, 0.0 if whole == "standing" else 180.0))
        unfit = limb == "leg" and _on_the_floor(m)  # legs are seen from the room
        texts = {side: None if unfit else best(states.groups[f"{side} {limb}"])[1] for side in SIDES}
        worded = {side: text is None for side, text in texts.items()}
        texts = {side: in_words(m, side) if text is None else text for side, text in texts.items()}
        if all(worded.values()) and texts["left"][5:] == texts["right"][6:]:
            if texts["left"]:
                found.append((_for_both(texts["left"]), away[bones["left"]].max()))
            continue
        found += [(texts[side], away[bones[side]].max()) for side in SIDES if texts[side]]
    for part in ("torso", "head"):
        if part == "torso" and tilted:
            found += [(text, 90.0) for text in [_lean(m)] if text and (not whole or _UPRIGHT.match(whole))]
            continue
        row, text = best(states.groups[part])
        if row is not None and not states.neutral[row]:
            axes = [_at(f"{'chest' if part == 'torso' else part} {axis}") for axis in ("up", "forward")]
            found.append((text, away[axes].max()))
    found = found or [("standing with the arms at the sides", 0.0)]
    if style == "full":
        return " ".join(as_sentence(_as_clause(text), "full") for text, _ in found)
    least = sorted((float(away) for _, away in found), reverse=True)[:SHORT_STATEMENTS][-1]
    texts = [text for text, away in found if float(away) >= least][:SHORT_STATEMENTS]
    return ", ".join(texts[:1] + [text[:1].lower() + text[1:] for text in texts[1:]])


def phrase_distance(text: str, directions: Tensor) -> float | None:
    """Degrees by which the furthest direction of a pose `(16, 3)` differs from the state that a phrase describes.

    None if it is no phrase of the bank; the nearest state if it describes several.
    """
    states = _states()
    rows = states.rows_of_phrases.get(_normal(text))
    if rows is None:
        return None
    cosines = (directions * states.directions[rows]).sum(-1).masked_fill(~states.sets[rows], 1.0)
    return float(torch.rad2deg(torch.arccos(cosines.amin(-1).clamp(-1, 1))).min())


def _normal(text):
    return re.sub(r"\b(?:their|his|her)\b", "the", text.lower()).rstrip(".")


def _degrees(directions, others):
    return torch.rad2deg(torch.arccos((directions * others).sum(-1).clamp(-1, 1)))


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
        given[:, ANGLES.index("root_turn_left")] = False  # the heading goes without saying
        self.directions = body_directions(angles_to_axis_angle(angles))
        self.sets = (given.float() @ _TURNS) > 0
        self.bank, parts = bank, len(bank.parts)
        words = Counter(word for part in bank.parts for phrase in part.phrases for word in _words(phrase))
        plain = [_plain_phrases(part.phrases, words, part.part.startswith("left_")) for part in bank.parts]
        self.phrases = plain + [tuple(map(swap_sides, phrases)) for phrases in plain]
        self.rows_of_phrases = {}
        for row, phrases in enumerate(self.phrases):
            for phrase in phrases:
                self.rows_of_phrases.setdefault(_normal(phrase), []).append(row)
        rare = [not phrases or _plainness(phrases[0], words) < _CLEAR for phrases in plain]
        rare = torch.tensor(rare).repeat(2)
        self.unusual = torch.cat([_UNUSUAL * rare, torch.zeros(2 * len(bank.named))])
        self.standing = body_directions(angles_to_axis_angle(STANDING))
        away = _degrees(self.directions, self.standing)
        self.neutral = (torch.where(self.sets, away, 0.0).amax(-1) < _NEUTRAL).tolist()
        self.groups = {name: [] for name in ("legs", "arms", "torso", "head")}
        self.groups |= {f"{side} {limb}": [] for side in SIDES for limb in ("arm", "leg")}
        bones = {
            limb: [_at(f"{side} {bone}") for side in SIDES for bone in names] for limb, names in _LIMB_BONES.items()
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
                side = SIDES[row >= parts]
                limb = part.partition("_")[2]
                own = [_at(f"{side} {bone}") for bone in _LIMB_BONES.get(limb, ())]
                if own and turned[own].all() and int(turned.sum()) == len(own):
                    self.groups[f"{side} {limb}"].append(row)
        self.groups = {name: torch.tensor(rows) for name, rows in self.groups.items()}
        self.named = torch.arange(2 * parts, len(self.directions))
        self.postures = {}

    def texts(self, row: int, m: Posture, style: str, exact: bool = False) -> list[str]:
        """What may be said of a pose that is near a state: the texts that its measurements bear out.

        `exact` poses are the state itself.
        """
        state = self.postures.get(row)
        if state is None:
            state = self.postures[row] = Posture(self.directions[row])
        if row >= len(self.phrases):
            return self._texts_of_the_whole(row - len(self.phrases), state, m, style, exact)
        legs, arms = (
            self.sets[row, [_at(f"{side} {bone}") for side in SIDES for bone in _LIMB_BONES[limb]]]
            for limb in ("leg", "arm")
        )
        if legs.all() and not m.carried_like(state, legs_only=True):
            return []
        texts = borne_out(self.phrases[row], state, m)
        if m.tilt() > TIPPED and arms.any() and not legs.any():
            texts = about_the_body(texts)
        clauses = [text for text in texts if re.match(r"(?:the|their|both)\b", text, re.I)]
        texts = clauses if style == "full" and clauses else texts
        return [re.sub(r"\b(their|his|her)\b", "the", text, flags=re.I).rstrip(".") for text in texts]

    def _texts_of_the_whole(self, number, state, m, style, exact):
        mirrored, number = divmod(number, len(self.bank.named))
        pose = self.bank.named[number]
        names, texts = (pose.name, *pose.aliases), tuple(text for text in pose.texts if _LONG.match(text))
        if mirrored:
            names, texts = tuple(map(swap_sides, names)), tuple(map(swap_sides, texts))
        if exact:
            return list(texts if style == "full" and texts else names)
        if not m.carried_like(state) or not borne_out(names[:1], state, m):
            return []
        return (borne_out(texts, state, m) if style == "full" else []) or borne_out(names, state, m)


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
            turned = [f"{bone} {axis}" for bone in bones if bone in AXES for axis in ("up", "forward")]
            turned += [f"{s} {bone}" for bone in bones if bone not in AXES for s in SIDES]
        found[row, [_at(direction) for direction in turned]] = 1
    return found


_TURNS = _turns()
_DOWN = torch.tensor([0.0, -1.0, 0.0])
_ATTITUDE = re.compile(
    r"stand|stance|sit|seat|kneel|knees? on|squat|lunge|crouch|curtsy|walk|run|sprint|step|stride|pose|lying|flung|"
    r"hang|dangl|in the air",
    re.I,
)
_LIMB_IN_WORDS = re.compile(
    r"(left|right|both) (arms?|thighs?) (.+?), (elbows?|knees?) ((?:slightly |sharply )?(?:bent|straight))"
    r"(?:, forearms? (.+))?"
)
_UPRIGHT = re.compile("standing|sitting|kneeling|squatting|crouching|lunging|in a wide squat|in the splits")
_OTHERS = re.compile(r"\bleft\b.*,.*\bright\b|\bright\b.*,.*\bleft\b|\b(?:chair|seat|stool)\b", re.I)
_LONG = re.compile(r"(?:A|An|The|Someone)\b(?:.*?\s+){8}")  # descriptions of more than eight words
# What no measurement shows; "the standing leg" and "a step forward" are about the body.
_THINGS = re.compile(
    r"\b(?:phone|handle\w*|ball|football|bar|light|lamp|walls?|tables?|desk|counter|door\w*|frame|rail\w*|post|bag|"
    r"strap|gun|pistol|rifle|arrow|drum\w*|guitar|violin|mic\w*|camera|book|newspaper|cup|coffee|mug|glass|bottle|drink\w*|"
    r"watch|hat|brim|cap|helmet|baby|rope|pole|stick|sword|racket|bat|club|wheel|reins|horse\w*|saddle|bike|cycl\w*|"
    r"ski\w*|surf\w*|trolley|pram|suitcase|tray|plate|umbrella|stairs?|upstairs|downstairs|rung|ladder|rock|fence|"
    r"shelf|hoop|net|cigarette|pipe|candle|kite|leash|cane|crutch\w*|box|basket|bucket|shield|torch|flag|piano|keys?|"
    r"trumpet|horn|swing|pedal\w*|bus|bench|sofa|tree|mouse|back of (?:the|a) (?:seat|chair)|"
    r"(?:the|next|low|high|higher|a) step(?! (?:forward|back|ahead|to the side))|steps? (?:below|above)|"
    r"(?:the|up) steps|step over|(?:hold|rais|carry|lift|cradl|gripp)ing (?:up |out )?an?|lantern|propped (?:up )?on|"
    r"(?:over|on|onto|above) something|stands on|heel to toe|tightrope|imaginary|invisible)\b(?! of the)",
    re.I,
)


def _words(text):
    return re.findall(r"[a-z']+", text.lower())


def _plainness(phrase, words):
    return min((words[word] for word in _words(phrase)), default=0)


def _plain_phrases(phrases, words, one_limb):
    """The phrases about the body itself, in the order of the bank; the plainest one if all are in rarer words."""
    short = [p for p in phrases if len(p.split()) <= 14 and "I " not in p and not _THINGS.search(p)]
    if one_limb:  # which must not speak of the other one
        short = [p for p in short if not _OTHERS.search(p)]
    plain = [phrase for phrase in short if _plainness(phrase, words) >= _CLEAR]
    return tuple(plain or sorted(short, key=lambda phrase: -_plainness(phrase, words))[:1])


def _lean(m):
    """Where the trunk leans if the pelvis does; None for lying bodies and upside down."""
    chest = m.chest_turn[:, 1]
    lean = m.tilt()
    if _on_the_floor(m) or lean < 15:
        return None
    way = direction_in_words(float(chest[0]), float(chest[2]), "to the left", "to the right")
    return f"leaning {way}" if lean < 35 else f"bent {way}" if lean < 65 else f"bent far {way}"


def _as_clause(text):
    """`"left arm raised back, elbow bent"` -> `"the left arm is raised back, the elbow bent"`."""
    found = _LIMB_IN_WORDS.fullmatch(text)
    if not found:
        return text
    whose, limb, where, joint, bend, forearm = found.groups()
    both = whose == "both"
    verb = "points" if limb.startswith("thigh") and not where.startswith(("in line", "drawn")) else "is"
    where = re.sub("^level", "held level,", where)
    if where == "hanging down":
        verb, where = "hangs", "down"
    if both:
        verb = {"points": "point", "is": "are", "hangs": "hang"}[verb]
    text = f"{'both' if both else f'the {whose}'} {limb} {verb} {where}, the {joint} {bend}"
    if forearm:
        pointing = "" if forearm.startswith(("across", "behind")) else "pointing "
        text += f" and the forearm{'s' * both} {pointing}{forearm}"
    return text


def _for_both(text):
    """`"left arm raised, elbow bent"` for both sides."""
    return "both " + re.sub(r"\b(arm|elbow|forearm|leg|thigh|knee)\b", r"\1s", text[5:])


def _arm_in_words(m, side):
    """The two bones of an arm: from the chest, or from the room if the chest is tipped over the feet."""
    upper, fore = (m.along[f"{side} {bone}"] for bone in _LIMB_BONES["arm"])
    bend, tipped = _angle(upper, fore), m.tilt() > TIPPED
    if tipped and not _on_the_floor(m):
        upper, fore = m.chest_turn @ upper, m.chest_turn @ fore
    out = upper[0] if side == "left" else -upper[0]
    raised = _angle(upper, _DOWN.numpy())
    if tipped and _on_the_floor(m):  # there is no level and no hanging
        where = "along the body" if raised < 25 else "past the head" if raised > 145 else ""
        if not where:
            axis = "in front of the chest" if upper[2] > 0.7 else "behind the back" if upper[2] < -0.7 else ""
            where = axis or ("across the body" if out < 0 else "out to the side")
        forearm = {"up": "towards the head", "down": "towards the feet", "forward": "away from the chest"}
        forearm |= {"back": "behind the back"}
        aim = aim_in_words(fore, side)
        return f"{side} arm {where}, {_bend(bend, 'elbow')}" + (f", forearm {forearm.get(aim, aim)}" * (bend > 30))
    where = "hanging down" if raised < 25 else "lowered" if raised < 65 else "level" if raised < 115 else "raised"
    if raised >= 115 and out < -0.3:
        where = "over the head"
    elif raised >= 25 and raised < 155:
        where += " " + direction_in_words(float(out), float(upper[2]), "out to the side", "across the body")
    return f"{side} arm {where}, {_bend(bend, 'elbow')}" + (
        f", forearm {aim_in_words(fore, side)}" if bend > 30 else ""
    )


def _on_the_floor(m):
    return m.lying > 0.5 or (m.upside_down > 0.5 and not m.feet_carry)


def _leg_in_words(m, side):
    """The two bones of a leg, seen from the room, or from the trunk if it lies; empty if the leg just stands."""
    thigh, shin = (m.along[f"{side} {bone}"] for bone in _LIMB_BONES["leg"])
    bend, lying = _angle(thigh, shin), _on_the_floor(m)
    if lying:
        thigh = m.pelvis.T @ thigh
    raised = _angle(thigh, _DOWN.numpy())
    if raised < 20 and bend < 25:
        return f"{side} leg straight" if lying else ""
    out = thigh[0] if side == "left" else -thigh[0]
    way = direction_in_words(float(out), float(thigh[2]), "out to the side", "across the body")
    if lying:
        where = "in line with the trunk" if raised < 20 else f"drawn up {way}" if thigh[2] > 0.4 else way
        return f"{side} thigh {where}, {_bend(bend, 'knee')}"
    where = "straight down" if raised < 15 else f"a little {way}" if raised < 40 else way
    return f"{side} thigh {where}, {_bend(bend, 'knee')}"


def _angle(one, other):
    return float(np.degrees(np.arccos(np.clip(one @ other, -1, 1))))


def direction_in_words(out, forward, outward, inward):
    sideways = outward if out > 0 else inward
    ahead = "forward" if forward > 0 else "back"
    if abs(forward) > 2.4 * abs(out):
        return ahead
    return sideways if abs(out) > 2.4 * abs(forward) else f"{ahead} and {sideways}"


def _bend(degrees, joint):
    if degrees < 20:
        return f"{joint} straight"
    return f"{joint} slightly bent" if degrees < 50 else f"{joint} bent" if degrees < 115 else f"{joint} sharply bent"


def aim_in_words(bone, side):
    axis = int(np.abs(bone).argmax())
    if axis == 1:
        return "up" if bone[1] > 0 else "down"
    if axis == 2:
        return "forward" if bone[2] > 0 else "back"
    return "outward" if (bone[0] > 0) == (side == "left") else "across the body"
