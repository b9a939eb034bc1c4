# SPDX-License-Identifier: Apache-2.0
"""Matches the joints of a skeleton with ours: limbs by name, the trunk by position in the hierarchy."""

import os
import re

from unipose_hf.body import JOINT_NAMES
from unipose_hf.files.plain import read_json

from .bvh import Bvh, parse_bvh

# Names of limb joints in other programs, without side and in lower case. A word can mean two joints ("leg", "foot",
# "shoulder", "arm"): likelier names come first, and the result must be connected like a limb.
_WORDS = {
    "hip": ("thigh", "upleg", "upperleg", "legupper", "femur", "hip", "leg"),
    "knee": ("knee", "shin", "calf", "lowleg", "lowerleg", "leglower", "loleg", "tibia", "leg"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toes", "toe", "ball", "forefoot", "metatarsals", "foot"),
    "collar": ("clavicle", "collar", "clav", "collarbone", "scapula", "scap", "shoulder", "shldr"),
    "shoulder": ("upperarm", "uparm", "uarm", "armupper", "humerus", "arm", "shoulder", "shldr"),
    "elbow": ("elbow", "forearm", "farm", "lowerarm", "lowarm", "armlower", "loarm", "radius", "arm"),
    "wrist": ("wrist", "hand", "palm"),
}
_LEG, _ARM = ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")
_KNOWN = {word for words in _WORDS.values() for word in words} | {"head", "neck"}
# Auxiliary joints that share a limb's name: they twist skin, hold weapons or are animation controls.
_BESIDE = set(
    "twist roll share end nub tip site ik pole aim ctrl control ctl target goal effector helper corrective muscle "
    "jiggle bulge prop weapon socket attach dummy null horselink".split()
)
_NO_MEANING = set("joint jnt jt bone bind skin bend b j geo sk rig def rot".split())
_SIDES = {"left": ("left", "l"), "right": ("right", "r")}
_PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]|\d+")

NEEDED = ("pelvis", *(f"{side}_{joint}" for side in _SIDES for joint in (*_LEG, *_ARM)))


def guess_joint_map(path: str | os.PathLike) -> dict[str, str]:
    """
    Our joint names -> those of a BVH file (for `read_bvh`): limbs by name, the spine by position in the hierarchy.

    Raises:
        FileNotFoundError, ValueError: the file does not exist; it is not a BVH file; limbs are missing or have unknown
            names.
    """
    return complete_joint_map(parse_bvh(path), {}, path)


def complete_joint_map(bvh: Bvh, given: dict[str, str], where: object) -> dict[str, str]:
    """`given` (our joint name -> the skeleton's), completed by guesses for all other joints.

    Raises:
        ValueError: `given` names unknown joints, or a needed joint is neither given nor found; the message begins with
            `where`.
    """
    unknown = sorted(set(given) - set(JOINT_NAMES)) + sorted(set(given.values()) - set(bvh.names))
    if unknown:
        raise ValueError(
            f"The joint map for {where} names the unknown joints {', '.join(unknown)}; it must map our names "
            f"({', '.join(JOINT_NAMES)}) to the file's: {bvh.names}."
        )
    if set(NEEDED) <= set(given):
        return dict(given)
    people = [found for root in range(len(bvh.names)) if bvh.parents[root] < 0 for found in [_limbs(bvh, root)]]
    whole = [found for found in people if _lacking(found | given) == []]
    if len(whole) > 1:
        raise ValueError(f"{where} shows {len(whole)} people; save each one's ROOT in a separate file.")
    best = whole[0] if whole else max(people, key=len)
    limbs = best | {ours: theirs for ours, theirs in given.items() if ours not in ("pelvis",)}
    lacking = _lacking(limbs)
    if lacking:
        raise ValueError(
            f"{where} has no joints that look like the limbs of a person: {', '.join(lacking)} not found (found "
            f"{', '.join(best) or 'none'}). Name them in a JSON file like "
            f'{{"{lacking[0]}": "{bvh.names[0]}"}} and pass it with --joint-map FILE (joint_map in Python). '
            f"The file's joints are {bvh.names}."
        )
    return _trunk(bvh, limbs) | limbs | given


def read_joint_map(path: str | os.PathLike) -> dict[str, str]:
    """A joint map from a JSON file: our joint names -> the skeleton's; some are enough, the others are guessed.

    Raises:
        FileNotFoundError, ValueError: the file does not exist or is not a joint map.
    """
    content = read_json(path, object)
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content.values()):
        raise ValueError(f'{path} is not a joint map; expected names of joints, like {{"left_hip": "LThigh"}}.')
    return content


def side_and_part(name: str) -> tuple[str, str]:
    """A joint's name -> its side ("left", "right" or "") and its part in `_WORDS`, or "".

    `mixamorig:LeftUpLeg`, `Bip01 L Thigh`, `upper_arm.L`, `CC_Base_L_Calf`, `lShldrBend`, `J_Bip_L_UpperLeg`, `LFArm`,
    `HipLeft` and `lfemur` are all understood.
    """
    words = []
    for chunk in re.split(r"[^A-Za-z0-9]+", re.split(r"[:|]", name)[-1]):
        # LTHIGH is one word, LThigh and LUArm are several
        whole = len(chunk) > 2 and chunk.isalpha() and chunk.isupper()
        words += [chunk.lower()] if whole else [piece.lower() for piece in _PIECES.findall(chunk)]
    words = [word for word in words if not word.isdecimal()]
    if _BESIDE & set(words):
        return "", ""
    side, words = _take_side(words)
    return side, _part(words)


def _take_side(words: list[str]) -> tuple[str, list[str]]:
    for side, (full, _) in _SIDES.items():
        for k, word in enumerate(words):
            if word.startswith(full) or word.endswith(full):
                rest = word.removeprefix(full) if word.startswith(full) else word.removesuffix(full)
                return side, [*words[:k], *([rest] if rest else []), *words[k + 1 :]]
    single = {side for side, (_, letter) in _SIDES.items() if letter in words}
    if len(single) == 1:
        [side] = single
        k = words.index(_SIDES[side][1])
        return side, words[:k] + words[k + 1 :]
    for side, (_, letter) in _SIDES.items():
        for k, word in enumerate(words):
            for rest in {word.removeprefix(letter), word.removesuffix(letter)} - {word}:
                if rest in _KNOWN and word not in _KNOWN:
                    return side, [*words[:k], rest, *words[k + 1 :]]
    return "", words


def _part(words: list[str]) -> str:
    """The longest suffix of the words that is a part; what precedes it is the name of a character or program."""
    while words:
        for start in range(len(words)):
            if "".join(words[start:]) in _KNOWN:
                return "".join(words[start:])
        if words[-1] not in _NO_MEANING:
            return ""
        words = words[:-1]
    return ""


def _limbs(bvh: Bvh, root: int) -> dict[str, str]:
    """The limbs below a root, by name."""
    named: dict[tuple[str, str], list[int]] = {}
    for joint, name in enumerate(bvh.names):
        side, part = side_and_part(name)
        if side and part and root in bvh.path_to_root(joint):
            named.setdefault((side, part), []).append(joint)
    found = {}
    for side in _SIDES:
        choices = {
            part: _apart(bvh, [joint for word in words for joint in named.get((side, word), ())], named, side)
            for part, words in _WORDS.items()
        }
        limbs = _limb(bvh, choices, _LEG) | _limb(bvh, choices, _ARM)
        below = (joint for joint in choices["foot"] if limbs.get("ankle") in bvh.path_to_root(joint)[1:])
        above = bvh.path_to_root(limbs["shoulder"])[1:] if "shoulder" in limbs else []
        neighbours = {"foot": next(below, None), "collar": next((j for j in choices["collar"] if j in above), None)}
        limbs |= {part: joint for part, joint in neighbours.items() if joint is not None}
        found |= {f"{side}_{part}": bvh.names[joint] for part, joint in limbs.items()}
    return found


def _apart(bvh: Bvh, joints: list[int], named: dict[tuple[str, str], list[int]], side: str) -> list[int]:
    """These joints, those last that are where one of the other side is: helpers that only lead to the limb."""
    rest = bvh.rest_positions()
    others = [joint for (other, _), found in named.items() if other != side for joint in found]
    near = 1e-6 * rest.abs().max()
    return sorted(joints, key=lambda joint: bool(((rest[others] - rest[joint]).norm(dim=-1) <= near).any()))


def _limb(bvh: Bvh, choices: dict[str, list[int]], parts: tuple[str, ...]) -> dict[str, int]:
    """The longest run of a limb's joints."""
    runs = [dict(zip(parts[k:], _chain(bvh, [choices[part] for part in parts[k:]]), strict=False)) for k in range(3)]
    return max(runs, key=len)


def _chain(bvh: Bvh, choices: list[list[int]], above: int | None = None) -> list[int]:
    """The first chain of joints, each below the previous one, that gets furthest."""
    best: list[int] = []
    for joint in choices[0] if choices else ():
        if above is None or above in bvh.path_to_root(joint)[1:]:
            chain = [joint, *_chain(bvh, choices[1:], joint)]
            if len(chain) > len(best):
                best = chain
    return best


def _lacking(found: dict[str, str]) -> list[str]:
    return [name for name in NEEDED if name not in found and name != "pelvis"]


def _trunk(bvh: Bvh, limbs: dict[str, str]) -> dict[str, str]:
    """Pelvis, spine, neck and head: the path from where the legs branch to where the arms branch, and on to the
    head."""

    def path_to_root(name: str) -> list[int]:
        return bvh.path_to_root(bvh.names.index(name))

    def parting(left: str, right: str) -> int:
        other = path_to_root(limbs[right])
        joint = next((joint for joint in path_to_root(limbs[left]) if joint in other), None)
        if joint is None:
            raise ValueError(f"{limbs[left]} and {limbs[right]} belong to different roots; check the joint map.")
        return joint

    pelvis, chest = parting("left_hip", "right_hip"), parting("left_shoulder", "right_shoulder")
    found = {"pelvis": bvh.names[pelvis]}
    spine = _above(bvh, chest, pelvis)
    if spine:
        found["spine3"] = bvh.names[spine[-1]]
    if len(spine) > 1:
        found["spine1"] = bvh.names[spine[0]]
    if len(spine) > 2:
        found["spine2"] = bvh.names[spine[len(spine) // 2]]
    head = _head(bvh, chest)
    if head is not None:
        found["head"] = bvh.names[head]
        necks = _above(bvh, head, chest)[:-1]
        if necks:
            found["neck"] = bvh.names[necks[-1]]
    return found


def _above(bvh: Bvh, joint: int, below: int) -> list[int]:
    """The path to a joint from where it branches off the path from `below` to the root, without the branching
    joint."""
    trunk = set(bvh.path_to_root(below))
    return [step for step in bvh.path_to_root(joint) if step not in trunk][::-1]


def _head(bvh: Bvh, chest: int) -> int | None:
    """The joint named head, or the end of the unbranched path from the chest between the arms."""
    above = [joint for joint in range(len(bvh.names)) if chest in bvh.path_to_root(joint)[1:]]
    kinds = {joint: side_and_part(bvh.names[joint]) for joint in above}
    for joint, kind in kinds.items():
        if kind == ("", "head"):
            return joint
    children = {joint: [child for child in above if bvh.parents[child] == joint] for joint in [chest, *above]}
    middle = [joint for joint in children[chest] if not kinds[joint][0]]
    if len(middle) != 1:
        return None
    [joint] = middle
    while len(children[joint]) == 1:
        [joint] = children[joint]
    return joint
