# SPDX-License-Identifier: Apache-2.0
"""Poses and edits in the words of the language bank, exactly as the bank defines them."""

import functools
import re

import roma
import torch
from torch import Tensor

from unipose_hf.body import mirror_pose, remove_yaw
from unipose_hf.modeling.pose_unipose import Pose

from .angles import ANGLES, STANDING, angles_to_axis_angle, axis_angle_to_angles, set_angles
from .bank import find_named, load_language_bank, read_rows, spelling
from .composer import left_handed
from .edits import LEGS, edited_angles, fits, is_upright, limb_mask, moves_legs, tells_sides_apart
from .wording import swap_sides

_POLITE = re.compile(r"^(?:(?:please|now|ok|okay|then|and|but|just|can you|could you),? )+|(?:,? (?:please|now))+$")
_CLAUSES = re.compile(r"[.,;:]\s*|\s+(?:and|but|then|while)\s+")
# clauses about what stays as it is
_KEEPING = re.compile(
    r"^(?:(?:keep|leave)\b.*\b(?:(?:as|where) (?:it|they|you)\b.*|still|there|alone|put|in place)"
    r"|(?:do not|don't|without) mov(?:e|ing)\b.*|.*\b(?:stays?|remains?|(?:does not|doesn't|do not|don't) move)\b.*"
    r"|nothing else.*|(?:leave )?(?:the rest|everything else)\b.*)$"
)
_LIMBS = re.compile(r"\b(?:(left|right) )?(arm|hand|leg|foot)\b|\b(arms|hands|legs|feet)\b|\b(head)\b")
# degrees
_STANDS = {"root_forward": 20, "root_left": 20, "left_flex": 20, "right_flex": 20, "left_knee": 25, "right_knee": 25}
_OF_LIMB = {"hand": "arm", "foot": "leg", "hands": "arms", "feet": "legs"}


def find_pose(text: str) -> tuple[str, Pose] | None:
    """The pose that a text names (`find_named`), or that its commands and phrases make of relaxed standing; or None.

    ```python
    >>> from unipose_hf.data.language import find_pose
    >>> find_pose("T pose")[0], find_pose("raise your left arm and look up")[0]
    ('T-pose', 'raise your left arm; look up')
    >>> find_pose("a green cube") is None
    True

    ```
    """
    return find_named(text) or edit_by_command(Pose(angles_to_axis_angle(STANDING).numpy()), text)


def edit_by_command(pose: Pose, text: str) -> tuple[str, Pose] | None:
    """The commands and phrases of the bank that a text consists of, joined by semicolons, and the pose after them; or
    None.

    Case, punctuation, articles and "please" do not matter, and clauses may say what stays ("the arms stay"). A command
    that names no side is done with the right hand or foot, unless the pose tells the side ("bend the front knee"). A
    figure that stands can also take up a named pose ("run").

    ```python
    >>> from unipose_hf import named_pose
    >>> from unipose_hf.data.language import edit_by_command
    >>> edit_by_command(named_pose("T-pose"), "Bend your right elbow, please")[0]
    'bend your right elbow'
    >>> edit_by_command(named_pose("T-pose"), "squat, but leave the arms as they are")[0]
    'squat'
    >>> edit_by_command(named_pose("T-pose"), "paint it green") is None
    True

    ```
    """
    source = torch.tensor(pose.axis_angle)
    facing = remove_yaw(source)
    words = text.lower().replace("’", "'").strip(" .!?")
    found = _by_one_command(words, facing) or _by_clauses(words, facing)
    if found is None:
        return None
    command, after = found
    turn = roma.rotvec_to_rotmat(source[0]) @ roma.rotvec_to_rotmat(facing[0]).mT
    after = after.clone()
    after[0] = roma.rotmat_to_rotvec(turn @ roma.rotvec_to_rotmat(after[0]))
    return command, Pose(after.numpy())


def _by_clauses(words: str, pose: Tensor) -> tuple[str, Tensor] | None:
    """The commands of all clauses, and the pose `(22, 3)` after them; None if a clause is no command."""
    clauses = [_POLITE.sub("", clause.strip()) for clause in _CLAUSES.split(words) if clause.strip()]
    kept = [clause for clause in clauses if _KEEPING.match(clause)]
    commands, after = [], pose
    for clause in clauses:
        if clause not in kept:
            if (found := _by_one_command(clause, after)) is None:
                return None
            commands.append(found[0])
            after = found[1]
    if not commands:
        return None
    stays = torch.zeros(len(ANGLES), dtype=torch.bool)
    for side, limb, limbs, head in _LIMBS.findall(" ".join(kept)):
        name = head or limbs or (limb if side else "")
        name = _OF_LIMB.get(name, name)
        if name:
            stays |= limb_mask(f"{side} {name}".strip())
    if not torch.allclose(pose[0], after[0], atol=1e-4):
        stays &= ~LEGS  # they stay on the floor, so the hips bend
    if stays.any():
        after = set_angles(after, torch.where(stays, axis_angle_to_angles(pose), torch.nan))
    return "; ".join(commands), after


def _by_one_command(words: str, pose: Tensor) -> tuple[str, Tensor] | None:
    """The command, and the pose `(22, 3)` after it."""
    words = _POLITE.sub("", words)
    either_hand = None
    for mirrored in (False, True):
        # the bank has most commands for one side only: for the other, mirror the pose, edit it, mirror it back
        found = _edited(swap_sides(words) if mirrored else words, mirror_pose(pose) if mirrored else pose)
        if found is None:
            continue
        command, after, either_side = found
        if mirrored:
            command, after = swap_sides(command), mirror_pose(after)
        if swap_sides(words) != words or either_side or not bool(left_handed(after[None])):
            return command, after
        either_hand = either_hand or (command, after)
    if either_hand is None and _stands(pose) and (found := find_named(words)) is not None:
        return found[0], torch.tensor(found[1].axis_angle)
    return either_hand


def _stands(pose: Tensor) -> bool:
    """Whether a pose `(22, 3)` stands on straight legs, from where one can take up any other."""
    angles = dict(zip(ANGLES, axis_angle_to_angles(pose).abs().tolist(), strict=True))
    return all(angles[name] <= bound for name, bound in _STANDS.items())


def _edited(words: str, pose: Tensor) -> tuple[str, Tensor, bool] | None:
    """The command, the pose `(22, 3)` after it, and whether the pose tells which side is meant."""
    angles = axis_angle_to_angles(pose)
    for command, kind, row in _commands().get(spelling(words), ()):
        if kind == "part":
            bank = load_language_bank()
            values = (bank.part_low[row] + bank.part_high[row]) / 2
            if moves_legs(values) and not is_upright(angles):
                continue
            if bank.parts[row].part == "torso":  # its legs follow from where they are
                values = torch.where(LEGS, values - STANDING + angles, values)
            return command, set_angles(pose, values), False
        edit = _edits()[row]
        if fits(edit, angles):
            if edit.get("op") == "mirror":
                return command, mirror_pose(pose), True
            return command, set_angles(pose, edited_angles(edit, angles, 0.5)), tells_sides_apart(edit)
    return None


@functools.cache
def _edits() -> list[dict]:
    return read_rows("edits.jsonl")


@functools.cache
def _commands() -> dict[str, list[tuple[str, str, int]]]:
    """The meanings of each command or phrase by its spelling, those for the fewest poses first."""
    rows: dict[str, list] = {}
    edits = sorted(enumerate(_edits()), key=lambda each: -len(each[1].get("when", {})))
    parts = enumerate(load_language_bank().parts)
    meanings = [(text, "edit", row) for row, edit in edits if "when" in edit for text in edit["commands"]]
    meanings += [(text, "part", row) for row, part in parts for text in (*part.commands, *part.phrases)]
    meanings += [(text, "edit", row) for row, edit in edits if "when" not in edit for text in edit["commands"]]
    for command, kind, row in meanings:
        rows.setdefault(spelling(command), []).append((command, kind, row))
    return rows
