# SPDX-License-Identifier: Apache-2.0
"""How well everyday words ("kneeling, the left arm raised") fit a pose, by measured distances and angles.

Each clause of the text may hold any number of facts; a fact is a pattern and a soft threshold. `how_true` knows about
fifty attitudes of the body and its limbs, and the statements of captions; other words are for a model.
"""

import re
from collections.abc import Callable

import numpy as np

from unipose_hf.body import JOINT_NAMES
from unipose_hf.captions import codes_true
from unipose_hf.modeling.pose_unipose import Pose

_AT = {name: number for number, name in enumerate(JOINT_NAMES)}
_SIDES = ("left", "right")
_CLAUSES = re.compile(r"[.,;:]|\band\b|\bwhile\b|\bwith\b|\bwho\b|\bbut\b")
_NEGATED = re.compile(r"\b(?:not|isn't|doesn't|never|without|no)\b")
_FALSE_CODE = 0.4  # how much less likely a pose is that a code of a caption does not hold for: estimates are inexact
_ALSO_OTHER = 0.5  # how much less likely one side is told if it holds for both
LEAST = 0.02  # probability of a fact that clearly does not hold: words and measurements may both be wrong


def _soft(value: float, threshold: float, width: float) -> float:
    """0.5 at the threshold; about 0.9 a `width` above it, 0.1 a `width` below it (negative widths: the reverse)."""
    return float(1 / (1 + np.exp(np.clip(-2.2 * (value - threshold) / width, -30, 30))))


def _degrees(a, b) -> float:
    cosine = a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


_UP = np.array([0.0, 1.0, 0.0])


class Measured:
    """What the facts look at: joints in metres (y up, z to the viewer), and the directions of trunk and limbs."""

    def __init__(self, pose: Pose):
        self._measure(pose.joints, pose.matrix[0])

    def _measure(self, joints, pelvis):
        self.at = {name: joints[number] for name, number in _AT.items()}
        self.pelvis = pelvis  # columns: the body's left, up and forward
        left = self["left_shoulder"] - self["right_shoulder"]
        up = self["neck"] - self["spine1"]
        left, up = left / np.linalg.norm(left), up / np.linalg.norm(up)
        forward = np.cross(left, up)
        self.chest = np.stack((left, up, forward / np.linalg.norm(forward)))  # rows
        self.floor = float(joints[:, 1].min())
        self.lean = _degrees(self["neck"] - self["pelvis"], _UP)

    def __getitem__(self, joint: str) -> np.ndarray:
        return self.at[joint]

    def hand(self, side: str) -> np.ndarray:
        """The wrist from its shoulder, in the frame of the chest: outward, up, forward."""
        out, up, forward = self.chest @ (self[f"{side}_wrist"] - self[f"{side}_shoulder"])
        return np.array((out if side == "left" else -out, up, forward))

    def above(self, joint: str, other: str) -> float:
        return float(self[joint][1] - self[other][1])

    def apart(self, joint: str, other: str) -> float:
        return float(np.linalg.norm(self[joint] - self[other]))

    def elbow(self, side: str) -> float:
        return _degrees(
            self[f"{side}_elbow"] - self[f"{side}_shoulder"], self[f"{side}_wrist"] - self[f"{side}_elbow"]
        )

    def knee(self, side: str) -> float:
        return _degrees(self[f"{side}_knee"] - self[f"{side}_hip"], self[f"{side}_ankle"] - self[f"{side}_knee"])

    def thigh(self, side: str) -> float:
        """Degrees between the thigh and straight down."""
        return _degrees(self[f"{side}_knee"] - self[f"{side}_hip"], -_UP)

    def arm(self, side: str) -> float:
        """Degrees between the upper arm and straight down along the trunk."""
        return _degrees(self[f"{side}_elbow"] - self[f"{side}_shoulder"], -self.chest[1])

    def foot(self, side: str) -> np.ndarray:
        """The ankle from the hip, in the frame of the pelvis: outward, up, forward."""
        out, up, forward = self.pelvis.T @ (self[f"{side}_ankle"] - self[f"{side}_hip"])
        return np.array((out if side == "left" else -out, up, forward))

    def on_knee(self, side: str) -> float:
        """A knee near the floor, its shin not upright."""
        shin = self[f"{side}_ankle"] - self[f"{side}_knee"]
        low = self[f"{side}_knee"][1] - self.floor
        return _soft(low, 0.2, -0.08) * _soft(shin[1] / np.linalg.norm(shin), -0.55, 0.2) * _soft(self.lean, 65, -15)


def _other(side):
    return _SIDES[side == "left"]


# -- facts of one limb: (m, side) -> probability; those of the whole body: m -> probability ---------------------------


def _raised(m, s):
    return _soft(m.above(f"{s}_wrist", f"{s}_shoulder"), 0.03, 0.12)


def _overhead(m, s):
    return _soft(m.above(f"{s}_wrist", "head"), 0.06, 0.1)


def _level(m, s):
    return _soft(abs(m.above(f"{s}_wrist", f"{s}_shoulder")), 0.2, -0.1) * _soft(m.elbow(s), 60, -25)


def _sideways(m, s):
    out, _, forward = m.hand(s)
    return _soft(out, 0.28, 0.1) * _soft(abs(forward), 0.35, -0.12)


def _ahead(m, s):
    out, up, forward = m.hand(s)
    return _soft(forward, 0.28, 0.1) * _soft(abs(out), 0.35, -0.12) * _soft(up, -0.38, 0.08)


def _behind(m, s):
    return _soft((m.chest @ (m[f"{s}_wrist"] - m["spine1"]))[2], -0.08, -0.06)


def _down(m, s):
    return _soft(m.hand(s)[1], -0.36, -0.08) * _soft(m.hand(s)[0], 0.25, -0.1)


def _on_hip(m, s):
    near = min(m.apart(f"{s}_wrist", f"{s}_hip"), m.apart(f"{s}_wrist", "spine1"))
    return _soft(near, 0.24, -0.06) * _soft(m.elbow(s), 55, 15)


def _at_head(m, s):
    top = m["head"] + 0.08 * m.chest[1]
    return _soft(float(np.linalg.norm(m[f"{s}_wrist"] - top)), 0.28, -0.07)


def _behind_head(m, s):
    return _at_head(m, s) * _soft((m.chest @ (m[f"{s}_wrist"] - m["head"]))[2], 0.08, -0.08)


def _at_chest(m, s):
    middle = (m["spine3"] + m["spine2"]) / 2 + 0.12 * m.chest[2]
    return _soft(float(np.linalg.norm(m[f"{s}_wrist"] - middle)), 0.27, -0.06)


def _on_floor(m, s):
    return _soft(m[f"{s}_wrist"][1] - m.floor, 0.22, -0.08)


def _on_thigh(m, s):
    near = min(m.apart(f"{s}_wrist", f"{one}_knee") for one in _SIDES)
    return _soft(near, 0.26, -0.07)


def _elbow_bent(m, s):
    return _soft(m.elbow(s), 50, 20)


def _arm_straight(m, s):
    return _soft(m.elbow(s), 35, -15)


def _leg_raised(m, s):
    return _soft(m.above(f"{s}_ankle", f"{_other(s)}_ankle"), 0.17, 0.08)


def _leg_ahead(m, s):
    return _soft(m.foot(s)[2] - m.foot(_other(s))[2], 0.22, 0.1)


def _leg_back(m, s):
    return _leg_ahead(m, _other(s))


def _knee_bent(m, s):
    return _soft(m.knee(s), 45, 18)


def _leg_straight(m, s):
    return _soft(m.knee(s), 32, -14)


def _knee_up(m, s):
    return _soft(m.thigh(s), 50, 15) * _soft(m.thigh(s) - m.thigh(_other(s)), 20, 15)


def _thigh_level(m, s):
    return _soft(abs(m.thigh(s) - 90), 35, -12)


def _kneeling(m):
    one = [m.on_knee(side) for side in _SIDES]
    return max(one)


def _sitting(m):
    thighs, knees = [m.thigh(side) for side in _SIDES], [m.knee(side) for side in _SIDES]
    low = m["pelvis"][1] - min(m["left_ankle"][1], m["right_ankle"][1])
    chair = _soft(min(knees), 130, -15) * _soft(low, 0.22, 0.1)
    floor = _soft(low, 0.22, -0.1) * _soft(max(m.on_knee(side) for side in _SIDES), 0.5, -0.3)
    return _soft(min(thighs), 50, 12) * max(chair, floor) * _soft(m.lean, 50, -15) * (1 - 0.8 * _kneeling(m))


def _squatting(m):
    deep = _soft(min(m.knee(side) for side in _SIDES), 70, 15) * _soft(min(m.thigh(side) for side in _SIDES), 40, 12)
    return deep * (1 - 0.8 * _kneeling(m)) * _soft(m.lean, 75, -15)


def _standing(m):
    legs = _soft(max(m["pelvis"][1] - m[f"{side}_ankle"][1] for side in _SIDES), 0.66, 0.07)
    return legs * _soft(_degrees(m.pelvis[:, 1], _UP), 55, -15)


def _lying(m):
    return _soft(m.lean, 65, 12) * _soft(float(m["neck"][1] - m.floor), 0.42, -0.12)


def _bent_over(m):
    return _soft(m.lean, 35, 12) * _soft((m["neck"] - m["pelvis"]) @ m.pelvis[:, 2], 0.05, 0.1)


def _leaning(m, side):
    away = (m["neck"] - m["pelvis"]) @ m.pelvis[:, 0]
    return _soft(away if side == "left" else -away, 0.09, 0.05)


def _upside_down(m):
    return _soft(m.above("pelvis", "neck"), 0.1, 0.1)


def _on_all_fours(m):
    return float(np.sqrt(_on_floor(m, "left") * _on_floor(m, "right"))) * _soft(m.lean, 55, 12)


def _crossed_arms(m):
    near = max(m.apart("left_wrist", "right_elbow"), m.apart("right_wrist", "left_elbow"))
    over = (m["right_wrist"] - m["left_wrist"]) @ m.chest[0]
    return _soft(near, 0.3, -0.07) * _soft(over, -0.06, 0.08)


def _hands_together(m):
    return _soft(m.apart("left_wrist", "right_wrist"), 0.2, -0.06)


def _legs_apart(m):
    return _soft(abs((m["left_ankle"] - m["right_ankle"]) @ m.pelvis[:, 0]), 0.48, 0.1)


def _legs_crossed(m):
    return _soft((m["left_ankle"] - m["right_ankle"]) @ m.pelvis[:, 0], 0.02, -0.05)


def _legs_together(m):
    return _soft(m.apart("left_ankle", "right_ankle"), 0.26, -0.06)


def _stride(m):
    return _soft(abs((m["left_ankle"] - m["right_ankle"]) @ m.pelvis[:, 2]), 0.32, 0.1)


def _lunge(m):
    return _stride(m) * max(_knee_bent(m, side) for side in _SIDES) * _soft(min(m.knee(s) for s in _SIDES), 70, -20)


def _one_leg(m):
    return max(_leg_raised(m, side) for side in _SIDES) * _standing(m)


def _facing(direction):
    return lambda m: _soft(float(m.pelvis[:, 2] @ direction), 0.45, 0.25)


_VIEWER, _AWAY, _LEFT, _RIGHT = (np.array(way, dtype=float) for way in ((0, 0, 1), (0, 0, -1), (-1, 0, 0), (1, 0, 0)))
_ARM = r"\b(?:arms?|hands?|fists?|wrists?)\b"
_LEG = r"\b(?:legs?|foot|feet)\b"
_UPWARD = r"\b(?:rais\w+|lift\w*|up|upwards?|high|highest|sky|ceiling|in the air|wav(?:es?|ing))\b"
_OVER = r"\b(?:overhead|(?:above|over) (?:the |their |his |her )?head|straight up)\b"
_FRONT = r"\b(?:forwards?|ahead|in front|front|point\w*)\b"
_BENT = r"\b(?:bent|bend\w*|flex\w*)\b"
_ANGLES = {"fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "forty-five": 45, "fifty": 50, "sixty": 60}
_ANGLES |= {"seventy": 70, "eighty": 80, "ninety": 90, "a hundred and twenty": 120, "a hundred and fifty": 150}
_NUMBER = rf"\b(?:\d{{1,3}}|{'|'.join(sorted(_ANGLES, key=len, reverse=True))})"
# What a number of degrees tells: the pattern of a clause, and the angle.
_BENT_BY = (
    (r"\belbows?\b", Measured.elbow),
    (r"\bknees?\b", Measured.knee),
    (r"\b(?:arms?|hands?)\b", Measured.arm),
    (r"\b(?:legs?|thighs?)\b", Measured.thigh),
    (r"\b(?:torso|trunk|bod(?:y|ies)|bend\w*|bent|lean\w*)\b", lambda m, s: m.lean),
)
_SPREAD = r"\b(?:spread|apart|wide|astride|straddl\w+)\b"

# Facts of the body: the pattern of a clause, and what it says.
_WHOLE: tuple[tuple[str, Callable], ...] = (
    (r"\bkneel\w*|\bknelt\b|\bon (?:one|both|the|their|his|her) knees?\b|\bproposing\b", _kneeling),
    (r"\bsit(?:s|ting)?\b|\bseated\b|\bsat\b", _sitting),
    (r"\bsquat\w*|\bcrouch\w*", _squatting),
    (r"\bstand(?:s|ing)?\b|\bupright\b|\bon (?:their|his|her) feet\b", _standing),
    (r"\b(?:lies|lying|laying|lie|lays)\b|\bflat on\b", _lying),
    (
        r"\b(?:bow(?:s|ing)?|bend(?:s|ing)? (?:over|down|forward)|bent (?:over|forward)|stoop\w*|"
        r"hunch\w*)\b",
        _bent_over,
    ),
    (
        r"\blean(?:s|ing)? forward\b",
        lambda m: _soft(m.lean, 20, 8) * _soft((m["neck"] - m["pelvis"]) @ m.pelvis[:, 2], 0.1, 0.08),
    ),
    (r"\b(?:lean|bend|bent|tilt)\w* (?:over )?to (?:the|their|his|her) left\b", lambda m: _leaning(m, "left")),
    (r"\b(?:lean|bend|bent|tilt)\w* (?:over )?to (?:the|their|his|her) right\b", lambda m: _leaning(m, "right")),
    (
        r"\b(?:torso|trunk|upper body|back|body) (?:\w+ )*(?:horizontal|parallel to the (?:floor|ground))\b",
        lambda m: _soft(m.lean, 60, 12),
    ),
    (r"\bupside down\b|\bhand ?stand\w*|\bhead ?stand\w*", _upside_down),
    (r"\ball fours\b|\bcrawl\w*|\bpush-?ups?\b|\bplank\w*", _on_all_fours),
    (r"\blung(?:e|es|ing)\b", _lunge),
    (r"\b(?:walk|march|runn?|jogg?|stepp?|strid)(?:s|es|ing|e)?\b", _stride),
    (r"\bone (?:leg|foot)\b(?!.*\b(?:rais|lift|up\b))", _one_leg),
    (
        r"\b(?:cross|fold)\w* (?:the |their |his |her )?arms\b|\barms (?:are |is |were )?(?:cross|"
        r"fold)\w*",
        _crossed_arms,
    ),
    (
        r"\b(?:hands|palms|fingers|wrists) (?:are |\w+ )?(?:together|clasped|joined|touch\w*)\b|"
        r"\b(?:pray|clap)\w*",
        _hands_together,
    ),
    (r"\bakimbo\b", lambda m: float(np.sqrt(_on_hip(m, "left") * _on_hip(m, "right")))),
    (
        rf"\b(?:legs|feet) (?:\w+ )?{_SPREAD}|\b(?:spread|wide) (?:the |their )?legs\b|\bwide stance\b|"
        rf"\bstraddl\w+",
        _legs_apart,
    ),
    (
        r"\b(?:legs|ankles|feet) (?:are )?crossed\b|\bcross-legged\b|\bcross\w* (?:the |their |his |"
        r"her )?legs\b",
        _legs_crossed,
    ),
    (r"\b(?:legs|feet|ankles) (?:are |held |close )?(?:together|side by side)\b", _legs_together),
    (
        r"\bstar ?jump|\bjumping jack|\bstarfish\b|\bx shape\b",
        lambda m: _legs_apart(m) * min(_raised(m, s) for s in _SIDES),
    ),
    (r"\b[tT][- ](?:pose|shape)\b", lambda m: min(_sideways(m, s) * _level(m, s) for s in _SIDES)),
    (
        r"\b(?:fac(?:es|ing)|look(?:s|ing)?) (?:towards? |into |at |to )?(?:the )?(?:camera|viewer|us|"
        r"front|me)\b|\bseen from the front\b",
        _facing(_VIEWER),
    ),
    (
        r"\b(?:turned|facing|faces|looking|looks|walking) away\b|\b(?:seen|shown) from (?:behind|"
        r"the back)\b|\bback (?:turned |is turned )?to(?:wards)? (?:the )?(?:camera|viewer|us)\b",
        _facing(_AWAY),
    ),
    (r"\b(?:fac(?:es|ing)|turned|walking|looking|looks) (?:to(?:wards)? )?(?:the )?left\b", _facing(_LEFT)),
    (r"\b(?:fac(?:es|ing)|turned|walking|looking|looks) (?:to(?:wards)? )?(?:the )?right\b", _facing(_RIGHT)),
    (r"\b(?:sideways on|in profile|from the side)\b", lambda m: _soft(abs(float(m.pelvis[0, 2])), 0.6, 0.2)),
)
# Facts of limbs: patterns that must all be in the clause, one that must not, and what they say of a side.
_LIMB: tuple[tuple[str, str, str | None, Callable], ...] = (
    (_ARM, _OVER, None, _overhead),
    (_ARM, _UPWARD, rf"{_OVER}|\bdown\b|{_NUMBER} degrees\b", _raised),
    (_ARM, r"\b(?:hips?|waist)\b", r"\b(?:height|level)\b", _on_hip),
    (_ARM, r"\b(?:behind|back of) (?:the |their |his |her )?(?:head|neck)\b", None, _behind_head),
    (_ARM, r"\bbehind\b(?! (?:the |their |his |her )?(?:head|neck))", None, _behind),
    (
        _ARM,
        r"\b(?:on|to|at|near|against|beside|touch\w*) (?:the |their |his |her )?(?:head|face|chin|"
        r"cheeks?|mouth|lips?|nose|ears?|forehead|brow|temples?|jaw|eyes?)\b",
        r"\bbehind\b",
        _at_head,
    ),
    (_ARM, r"\b(?:chest|heart|stomach|belly)\b", r"\b(?:height|level|cross\w*)\b", _at_chest),
    (_ARM, r"\b(?:knees?|thighs?|lap)\b", None, _on_thigh),
    (_ARM, r"\b(?:floor|ground|toes)\b", r"\bparallel\b", _on_floor),
    (
        _ARM,
        r"\b(?:spread|out(?:wards?)?|outstretched|sideways|to the sides?|to (?:the|their|his|"
        r"her) (?:left|right)|wide|open|wings?|apart)\b",
        rf"{_FRONT}|{_OVER}|\bat (?:the|their|his|her) sides?\b",
        _sideways,
    ),
    (_ARM, r"\b(?:horizontal\w*|level|shoulder height|parallel)\b", None, _level),
    (_ARM, _FRONT, r"\bchest\b", _ahead),
    (
        _ARM,
        r"\b(?:down|hang\w*|lowered|(?:at|by) (?:the|their|his|her) sides?|along the body)\b",
        _UPWARD.replace("|up|", "|"),
        _down,
    ),
    (r"\belbows?\b|\barms?\b", _BENT, r"\bbend\w* (?:over|down|forward)\b", _elbow_bent),
    (
        r"\belbows?\b|\barms?\b",
        r"\b(?:straight(?:en\w*|ened)?|extended|stretched|outstretched)\b",
        r"\bstraight (?:up|down|ahead|out)\b",
        _arm_straight,
    ),
    (
        _LEG,
        r"\b(?:rais\w+|lift\w*|up|high|in the air|off the|kick\w*|behind)\b",
        r"\bup(?:right| straight)\b",
        _leg_raised,
    ),
    (r"\bknees?\b", r"\b(?:rais\w+|lift\w*|up|high|drawn up)\b", None, _knee_up),
    (r"\b(?:legs?|thighs?)\b", r"\b(?:horizontal|level|parallel to)\b", None, _thigh_level),
    (_LEG, _FRONT, None, _leg_ahead),
    (_LEG, r"\b(?:back|backwards?)\b", None, _leg_back),
    (r"\bknees?\b|\blegs?\b", _BENT, r"\bbend\w* (?:over|down|forward)\b", _knee_bent),
    (r"\bknees?\b|\blegs?\b", r"\b(?:straight(?:en\w*|ened)?|extended|stretched)\b", None, _leg_straight),
    (r"\bkick(?:s|ing)?\b", "", _LEG, _leg_raised),
    (r"\bwav(?:es?|ing)\b", "", _ARM, _raised),
    (
        r"\bpoint(?:s|ing)\b",
        "",
        rf"{_ARM}|{_LEG}|\btoes\b|\bup",
        lambda m, s: max(_ahead(m, s), _sideways(m, s) * _level(m, s)),
    ),
)
_PLURAL = re.compile(r"\b(?:both|arms|hands|fists|wrists|elbows|legs|feet|knees)\b")
_SIDED = re.compile(r"\b(left|right)\b[- ](?:\w+ ){0,1}?(?:arm|hand|fist|wrist|elbow|leg|foot|knee|shin|thigh)\b")


def how_true(text: str, poses: list[Pose]) -> np.ndarray | None:
    """The probability `(len(poses),)` that the facts in a text hold in each pose; None if it holds no known fact."""
    text = re.sub(r"\b(?:hands and knees|hands and feet)\b", "all fours", text.lower())
    text = re.sub(r"\b(?:straight )?up and down\b", "vertical", text)
    if (captioned := _as_caption(text, poses)) is not None:
        return captioned
    measured, found = [Measured(pose) for pose in poses], []
    for clause in _CLAUSES.split(text):
        facts = [say for pattern, say in _WHOLE if re.search(pattern, clause)]
        facts += _limb_facts(clause)
        for say in facts:
            held = np.array([say(m) for m in measured])
            if _NEGATED.search(clause):
                held = 1 - held
            found.append(np.maximum(held, LEAST))
    return np.prod(found, axis=0) if found else None


def _as_caption(text, poses):
    """The same for texts that only state codes of captions, two or more; None for others."""
    truth = codes_true([text] * len(poses), np.stack([pose.axis_angle for pose in poses]))
    if truth.codes[0] < 2 or truth.read[0] < truth.clauses[0]:
        return None
    return np.maximum(_FALSE_CODE ** (truth.codes - truth.true).numpy(), LEAST)


def _limb_facts(clause):
    sides = _SIDED.findall(clause)
    if number := re.search(rf"({_NUMBER}) degrees\b", clause):
        wanted = int(number[1]) if number[1].isdigit() else _ANGLES[number[1]]
        angle = next((angle for pattern, angle in _BENT_BY if re.search(pattern, clause)), None)
        if angle is not None:
            yield _of_sides(lambda m, s: _soft(abs(angle(m, s) - wanted), 25, -10), sides, both=False)
    for limb, predicate, unless, say in _LIMB:
        if not re.search(limb, clause) or not re.search(predicate, clause):
            continue
        if unless is not None and re.search(unless, clause):
            continue
        yield _of_sides(say, sides, both=bool(_PLURAL.search(re.sub(r"\b(?:on|to|at) .*", "", clause))))


def _of_sides(say, sides, both):
    if len(set(sides)) == 1:  # of two people who both raise the left arm, the one who raises no other is meant
        [side] = set(sides)
        return lambda m: say(m, side) * (1 - _ALSO_OTHER * say(m, _other(side)))
    if sides:
        return lambda m: min(say(m, side) for side in _SIDES)
    if both:  # the worse of the two counts, but somewhat softened
        return lambda m: float(np.sqrt(say(m, "left") * say(m, "right")))
    return lambda m: max(say(m, side) for side in _SIDES)
