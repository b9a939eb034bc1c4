# SPDX-License-Identifier: Apache-2.0
"""How a body is carried, measured from its directions alone: standing, kneeling, sitting, lying, on all fours, ...

A pose has no floor of its own: the floor is where the lowest joint is.
"""

import functools

import numpy as np
from torch import Tensor

from unipose_hf.body import JOINT_NAMES, PARENTS, load_body

from .facts import Measured
from .facts import _soft as soft

SIDES = ("left", "right")
# from, to, in whose frame; None is the room
BONES = {
    "upper arm": ("shoulder", "elbow", "spine3"),
    "forearm": ("elbow", "wrist", "spine3"),
    "thigh": ("hip", "knee", None),
    "shin": ("knee", "ankle", None),
    "foot": ("ankle", "foot", None),
}
AXES = {"pelvis": ("pelvis", None), "chest": ("spine3", "pelvis"), "head": ("head", "spine3")}
DIRECTIONS: tuple[str, ...] = (
    *(f"{part} {axis}" for part in AXES for axis in ("up", "forward")),
    *(f"{side} {bone}" for side in SIDES for bone in BONES),
)
_SOLE = 0.07  # metres from a standing ankle to the ball of the foot
_AT_REST = 0.14  # how far above the lowest joint something that touches the floor may be
_HANDS_AT_REST = 0.22  # the same for wrists, a palm above the floor
_FAR = 0.75  # by how much the probabilities of a way of carrying may differ
# Share of the body's mass near each joint, roughly as in anatomical tables (Dempster 1955)
_MASSES = {"pelvis": 0.2, "spine2": 0.2, "neck": 0.13, "head": 0.05}
_MASSES |= {f"{side}_{joint}": mass for side in SIDES for joint, mass in (("hip", 0.05), ("knee", 0.09))}
_MASSES |= {f"{side}_{joint}": mass for side in SIDES for joint, mass in (("ankle", 0.04), ("elbow", 0.03))}


class Posture(Measured):
    """What facts look at, put together from directions `(16, 3)`; joints are exact up to the bend of the spine.

    chest_turn: the chest's left, up and forward in the room, as columns `(3, 3)`.
    """

    def __init__(self, directions: Tensor):
        along = dict(zip(DIRECTIONS, directions.double().numpy(), strict=True))
        pelvis = _frame(along["pelvis up"], along["pelvis forward"])
        self.chest_turn = pelvis @ _frame(along["chest up"], along["chest forward"])
        head = self.chest_turn @ _frame(along["head up"], along["head forward"])
        back = _frame(pelvis[:, 1] + self.chest_turn[:, 1], pelvis[:, 2] + self.chest_turn[:, 2])
        neck = _frame(head[:, 1] + self.chest_turn[:, 1], head[:, 2] + self.chest_turn[:, 2])
        turned = {"hip": pelvis, "spine1": pelvis, "spine2": back, "spine3": back, "head": neck}
        bones = {end: (bone, frame) for bone, (_, end, frame) in BONES.items()}
        rest, joints = _rest_joints(), np.zeros((22, 3))
        for row, name in enumerate(JOINT_NAMES[1:], 1):
            offset, (side, _, joint) = rest[row] - rest[PARENTS[row]], name.partition("_")
            if joint in bones:
                bone, frame = bones[joint]
                direction = along[f"{side} {bone}"]
                moved = np.linalg.norm(offset) * (direction if frame is None else self.chest_turn @ direction)
            else:
                moved = turned.get(joint or name, self.chest_turn) @ offset
            joints[row] = joints[PARENTS[row]] + moved
        self._measure(joints, pelvis)
        self.along = along

    def height(self, joint: str) -> float:
        """Metres above the floor."""
        return float(self[joint][1]) - self.floor

    def clearance(self, side: str) -> float:
        """Metres between a foot and the floor."""
        return max(0.0, min(self.height(f"{side}_ankle") - _SOLE, self.height(f"{side}_foot")))

    def pointed(self, side: str) -> float:
        """Degrees by which a foot points below the horizontal, beyond that of a flat foot."""
        flat = _rest_joints()[JOINT_NAMES.index("left_foot")] - _rest_joints()[JOINT_NAMES.index("left_ankle")]
        down = np.degrees(np.arcsin(-np.array([self.along[f"{side} foot"][1], flat[1] / np.linalg.norm(flat)])))
        return float(down[0] - down[1])

    def tilt(self) -> float:
        """Degrees of the chest from upright."""
        return float(np.degrees(np.arccos(np.clip(self.chest_turn[1, 1], -1, 1))))

    @functools.cached_property
    def folded(self) -> float:
        """Degrees of the more bent hip: 0 in line with the trunk, 180 on the chest."""
        down = self["pelvis"] - self["neck"]
        thighs = [self[f"{side}_knee"] - self[f"{side}_hip"] for side in SIDES]
        return max(_degrees(down, thigh) for thigh in thighs)

    @functools.cached_property
    def lying(self) -> float:
        flat = soft(self.lean, 60, 8) * soft(max(self.height("pelvis"), self.height("neck")), 0.38, -0.08)
        return flat * (1 - soft(-self.chest_turn[1, 2], 0.4, 0.2) * soft(self.folded, 85, 12))

    @functools.cached_property
    def kneeling(self) -> dict[str, float]:
        """Of each side: whether the body rests on that knee."""
        return {side: self._on_the_knee(side) for side in SIDES}

    def _on_the_knee(self, side):
        shin = self[f"{side}_ankle"] - self[f"{side}_knee"]
        low = soft(self.height(f"{side}_knee"), 0.2, -0.05) * soft(self.knee(side), 45, 12)
        low *= soft(shin[1] / np.linalg.norm(shin), -0.5, 0.15)
        back = soft(-shin[2], 0.25, 0.05) * soft(abs(shin[0]), 0.14, -0.04)  # crossed legs go sideways
        beside = abs((self[f"{side}_ankle"] - self["pelvis"]) @ self.pelvis[:, 0])
        back *= soft(self.folded, 60, 15) * soft(beside, 0.2, -0.04)  # beside the feet, the bottom is on the floor
        under = soft(self.above("pelvis", f"{side}_knee"), 0.1, 0.05) * soft(self.thigh(side), 58, -8)
        low *= max(under, back)
        return low * (1 - self.lying)

    @functools.cached_property
    def seated(self) -> float:
        """On the floor, or on something that holds the body, whose weight is behind its feet."""
        up = min(self.thigh(side) for side in SIDES)
        feet = [self.height(f"{side}_{joint}") for side in SIDES for joint in ("ankle", "foot")]
        low, ahead = self.height("pelvis") - min(feet), min(self[f"{side}_knee"][2] for side in SIDES)
        on_floor = soft(low, 0.24, -0.06) * soft(ahead - self["pelvis"][2], -0.1, 0.06)
        held = soft(min(self[f"{side}_ankle"][2] for side in SIDES) - self._weight()[2], 0.06, 0.04)
        held *= soft(ahead - self["pelvis"][2], 0.12, 0.06) * soft(low, 0.66, -0.04)  # no chair is higher
        upright = soft(self.lean, 58, -10)
        return soft(up, 48, 8) * max(on_floor, held) * upright * (1 - max(self.kneeling.values()))

    @functools.cached_property
    def upside_down(self) -> float:
        return soft(self.above("pelvis", "neck"), 0.12, 0.08)

    def _weight(self):
        return sum(mass * self[joint] for joint, mass in _MASSES.items()) / sum(_MASSES.values())

    @functools.cached_property
    def feet_carry(self) -> bool:
        """Upright legs, or at least one of them, on the floor, below the hips."""
        return any(
            self.clearance(side) < _AT_REST
            and self.height(f"{side}_hip") > 0.45
            and self.above(f"{side}_knee", f"{side}_ankle") > 0.15
            and self.above(f"{side}_hip", f"{side}_ankle") > 0.42
            for side in SIDES
        )

    @functools.cached_property
    def hands_carry(self) -> bool:
        return all(self.height(f"{side}_wrist") < _HANDS_AT_REST for side in SIDES)

    def off_the_floor(self) -> float:
        """Both feet point down as if nothing carried them, and no knee rests on the floor."""
        return soft(min(self.pointed(side) for side in SIDES), 22, 6) * (1 - max(self.kneeling.values())) ** 2

    def hanging(self) -> float:
        """A hand far above the head, and nothing to stand or kneel on."""
        high = max(self.above(f"{side}_wrist", "head") for side in SIDES)
        return soft(high, 0.2, 0.08) * self.off_the_floor()

    def carried_like(self, other: "Posture", legs_only: bool = False) -> bool:
        """Whether two bodies rest on the same parts, as far as that is clear."""
        mine, theirs = self._ways(legs_only), other._ways(legs_only)
        return bool(np.abs(mine - theirs).max() < _FAR)

    def _ways(self, legs_only):
        ways = [*self.kneeling.values(), self.seated]
        if not legs_only:
            face = float(self.chest_turn[1, 2])  # up while lying on the back
            ways += [self.lying, self.upside_down, self.lying * soft(face, 0, 0.4)]
            ways += [soft(self.height(f"{side}_wrist"), _HANDS_AT_REST + 0.08, -0.1) for side in SIDES]
        return np.array(ways)


def attitude(m: Posture) -> str | None:
    """What the body does as a whole, in words; None if it just stands, or is bent over on its feet."""
    knees = [side for side in SIDES if m.kneeling[side] > 0.5]
    face = float(m.chest_turn[1, 2])  # 1 face up, -1 face down
    if m.lying > 0.5:
        return _lying(m, face)
    if m.above("pelvis", "neck") > 0.12:
        return _head_down(m, knees, face)
    if m.lean > 50 and not m.feet_carry or m.lean > 62:
        found = _level(m, knees, face)
        if found:
            return found
    if len(knees) == 2:
        if m.tilt() > 30 and face > 0.4:
            return "kneeling, leaning back"
        on_heels = all(m.apart("pelvis", f"{side}_ankle") < 0.3 for side in SIDES)
        if m.lean > 50:
            return "kneeling, folded over the thighs" if on_heels or m.folded > 110 else "kneeling, bent forward"
        return "sitting on the heels" if on_heels else "kneeling"
    if knees:
        return f"kneeling on the {knees[0]} knee"
    return _on_the_feet(m)


def _lying(m, face):
    if face > 0.6:
        return "lying on the back"
    if face < -0.6:
        propped = min(m.above("neck", f"{side}_elbow") for side in SIDES) > 0.18
        return "face down, propped on the elbows" if propped else "lying face down"
    return f"lying on the {'left' if m.chest_turn[1, 0] < 0 else 'right'} side"


def _head_down(m, knees, face):
    if m.feet_carry:
        if not m.hands_carry:
            return None
        return "in a backbend on hands and feet" if m.pelvis[1, 2] > 0.3 else "on hands and feet with the hips high"
    if len(knees) == 2:
        return "kneeling with the chest down on the floor"
    if min(m.above(f"{side}_ankle", "pelvis") for side in SIDES) > -0.1:
        on_hands = max(m.height(f"{side}_wrist") for side in SIDES) < min(m.height("head"), 0.3)
        return "upside down on the hands" if on_hands else "upside down"
    if not knees and _on_hands_alone(m):
        return "balancing on the hands"
    return "lying on the shoulders with the hips lifted" if face > -0.3 and m.height("neck") < 0.3 else "upside down"


def _level(m, knees, face):
    """A trunk that is about horizontal, but not on the floor."""
    if face < -0.4:
        if knees and m.hands_carry and m.height("neck") > 0.3:
            return "on hands and knees" if len(knees) == 2 else f"on the hands and the {knees[0]} knee"
        if not knees and _on_hands_alone(m):
            return "balancing on the hands"
        if m.hands_carry and not knees and min(m.knee(side) for side in SIDES) > 100:
            return "squatting with the hands on the floor"
        if m.hands_carry and not knees and (m.folded > 45 or m.feet_carry):
            return "on hands and feet"
        if not knees and not m.feet_carry:
            return _face_down(m)
    elif face > 0.4:
        if m.hands_carry and m.height("pelvis") > 0.2 and not knees:
            return "on hands and feet, belly up"
        if not m.feet_carry and not knees:
            return "lying on the back" if m.lean > 72 else "leaning far back"
    elif not m.feet_carry and m.height("pelvis") < 0.2:
        return _lying(m, 0.0)
    elif not m.feet_carry and any(m.height(f"{side}_wrist") < _HANDS_AT_REST for side in SIDES):
        hand = min(SIDES, key=lambda side: m.height(f"{side}_wrist"))
        straight = max(m.knee(side) for side in SIDES) < 40
        return f"in a side plank on the {hand} hand" if straight else f"propped on the {hand} hand"
    return None


def _face_down(m):
    propped = any(
        m.height(f"{side}_{joint}") < _HANDS_AT_REST and m.above("neck", f"{side}_{joint}") > 0.2
        for side in SIDES
        for joint in ("elbow", "wrist")
    )
    bent = max(m.knee(side) for side in SIDES)
    if not propped or bent > 60:
        return "crouching" if bent > 90 and m.height("pelvis") > 0.25 else "face down"
    return "in a plank" if m.height("pelvis") > 0.18 else "lying face down with the chest raised"


def _on_hands_alone(m):
    return m.hands_carry and min(m.clearance(side) for side in SIDES) > 0.1 and m.height("head") > 0.15


def _on_the_feet(m):
    raised, bent = [m.thigh(side) for side in SIDES], [m.knee(side) for side in SIDES]
    if m.seated > 0.5:
        low = m.height("pelvis") - min(m.height(f"{side}_ankle") for side in SIDES)
        return "sitting on the floor" if low < 0.24 else "sitting"
    if m.height("pelvis") < 0.25 and max(m[f"{side}_knee"][2] for side in SIDES) < -0.15:
        return "lying face down with the chest raised"
    ahead = [(m[f"{side}_ankle"] - m["pelvis"])[2] for side in SIDES]
    if min(raised) > 60 and max(bent) < 25:
        return "in the splits" if ahead[0] * ahead[1] < 0 or max(map(abs, ahead)) < 0.35 else None
    if max(m.clearance(side) for side in SIDES) > 0.2:
        leg = int(m.clearance("right") < m.clearance("left"))
        if bent[leg] < 70 and raised[leg] < 50:
            return f"standing on the {SIDES[leg]} leg"
        return f"crouching on the {SIDES[leg]} leg" if raised[leg] > 35 else None
    front, planted = int(ahead[1] > ahead[0]), max(m.clearance(side) for side in SIDES) < 0.1
    if m.height("pelvis") < 0.3:
        return "squatting" if min(bent) > 90 else None
    if (
        planted
        and ahead[front] - ahead[1 - front] > 0.5
        and bent[front] > 50
        and raised[front] > 40
        and ahead[1 - front] < -0.15
    ):
        return f"lunging with the {SIDES[front]} foot in front"
    outward = [_outward(m, side) for side in SIDES]
    if min(bent) > 90 and min(raised) > 55:
        return "squatting"
    if min(outward) > 0.5 and min(bent) > 40 and min(raised) > 35:
        return "in a wide squat"
    if min(bent) > 60 and max(raised) > 35:
        return "crouching"
    leg = int(m.clearance("right") < m.clearance("left"))
    return "standing" if bent[leg] < 60 and raised[leg] < 50 else None


def _outward(m: Posture, side: str) -> float:
    """How far a thigh points sideways, 0 to 1."""
    return float(m.along[f"{side} thigh"][0]) * (1 if side == "left" else -1)


def _frame(up, forward):
    """Columns left, up and forward, orthonormal."""
    up = up / max(np.linalg.norm(up), 1e-9)
    left = np.cross(up, forward)
    left = left / max(np.linalg.norm(left), 1e-9)
    return np.stack([left, up, np.cross(left, up)], -1)


def _degrees(a, b):
    return float(np.degrees(np.arccos(np.clip(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-9), -1, 1))))


@functools.cache
def _rest_joints():
    return load_body(size="small").rest_joints.double().numpy()
