# SPDX-License-Identifier: Apache-2.0
"""Generates training samples from the language bank: descriptions and edits in plain English, with matching poses.

A description covers a named pose, one to four states that do not share joints, or a captured pose with a written
description; an edit sets some angles of a source pose and keeps the others. Half of the samples are mirrored, text and
pose. Prompts that name no side are right-handed, unless the source of an edit tells the side: if "throwing a ball"
were left-handed half of the time, a model would learn to answer with the mean of both hands.
"""

import functools
import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor

from unipose_hf.body import JOINT_NAMES, MIRROR, forward_kinematics, load_body, mirror_pose, remove_yaw
from unipose_hf.data.instructions import draw

from .angles import (
    ANGLES,
    MOVES,
    STANDING,
    angles_to_axis_angle,
    axis_angle_to_angles,
    mirror_angles,
    set_angles,
)
from .bank import LanguageBank, load_language_bank, read_rows
from .changes import changes_of_directions
from .describe import body_directions, describe_directions
from .edits import (
    LEGS,
    edited_angles,
    fits,
    is_upright,
    limb_mask,
    moves_legs,
    tells_sides_apart,
    untouched_limbs,
)
from .wording import SAME, as_sentence, join_texts, keep_limbs, name_as_typed, swap_sides, typing_noise

HELD_OUT = "cmu_01_"
HOLD_OUT_EVERY = 10  # one in this many described poses and pairs is held out from training
UNMENTIONED_WEIGHT = 0.3  # weight of joints the text does not mention; mentioned joints have weight 1
_KEPT_WEIGHT = 0.5  # weight of joints that an edit leaves alone
_USUAL_MOVE, _MOST_WEIGHT = 0.12, 4.0  # metres; edits that move the joints less than this on average weigh more
_MOVED = 0.02  # metres
_NAME_SHARE = 0.45  # how often a named pose goes by its name, which people type more often than any other text
_SHORT_NAME, _SHORT_WEIGHT = 3, 2.0  # names of up to three words ("tree pose") are drawn twice as often
_EVERYDAY = 0.4  # how often an edit is an everyday command such as "raise your arms", which are few among many
_EVERYDAY_WORDS, _USES = 5, 20  # those of at most so many words, each of which occurs in so many rows of the bank
_KEEPING = 0.2  # how often an edit says what stays as it is
_WRITTEN = 0.05  # share of people's own words among descriptions and differences; the rest is measured
_JITTER = 0.6  # share of the tolerance of a named pose
_STANDING_SPREAD = 4.0  # degrees


@dataclass
class Composed:
    """
    texts: the text of each sample.
    poses: axis-angle, `(rows, 1, 22, 3)`, or for edits and differences source and target `(rows, 2, 22, 3)`.
    weights: training weight of each joint of the last pose, `(rows, 22)`.
    styles: the style of each text, `"short"` or `"full"`.
    """

    texts: list[str]
    poses: Tensor
    weights: Tensor
    styles: list[str]


@dataclass
class Draft:
    """
    A sample before its poses are computed: its text (None: a text from measurements of the poses), and the angles
    `(29,)` of its pose, or of the source of an edit with the `target` angles, NaN for unchanged ones.

    captured, captured_target: poses `(22, 3)` that replace these angles.
    mirror: the target is the mirror image of the source.
    either_side: the source tells which side is meant ("bend the front knee"), so that the mirror image is as right.
    mentioned: mask of the angles that the text mentions; None for all.
    """

    text: str | None
    angles: Tensor
    captured: Tensor | None = None
    target: Tensor | None = None
    captured_target: Tensor | None = None
    mirror: bool = False
    either_side: bool = False
    mentioned: Tensor | None = None
    style: str = "short"


@dataclass(frozen=True)
class Described:
    """Captured poses or pairs, `(n, 1 or 2, 22, 3)`, each with a `"short"` and a `"full"` text."""

    poses: Tensor
    texts: list[dict[str, str]]


def load_described(folder: str | Path, kind: str, *, kept_back: bool = False) -> Described:
    """Loads `described_poses` or `described_pairs` of a folder: the training rows, or the held-out one in ten.

    Excludes poses of CC BY-SA clips, because weights trained on them could not be published freely, and takes of the
    subject of a held-out clip.

    Raises:
        FileNotFoundError: the folder has no such files.
    """
    stem = Path(folder) / f"described_{kind}"
    rows = [json.loads(line) for line in stem.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()]
    with np.load(stem.with_suffix(".npz")) as arrays:
        names = ("a", "b") if kind == "pairs" else ("axis_angle",)
        poses = torch.stack([torch.from_numpy(arrays[name]).float() for name in names], 1)
    chosen = []
    for number, row in enumerate(rows):
        sources = [row["from"], row["to"]] if kind == "pairs" else [row]
        free = not any("SA" in source["licence"] or source["clip"].startswith(HELD_OUT) for source in sources)
        if free and (draw(HOLD_OUT_EVERY, "kept back", kind, row["id"]) == 0) == kept_back:
            chosen.append(number)
    return Described(poses[chosen], [{key: rows[number][key] for key in ("short", "full")} for number in chosen])


def left_handed(poses: Tensor) -> Tensor:
    """Whether poses `(rows, 22, 3)` are left-handed, `(rows,)` bool.

    The active hand is the one further from where it would hang. If both are about equal, a right leg in front counts.
    """
    joints, turns = forward_kinematics(roma.rotvec_to_rotmat(poses), _rest_joints())
    arms = (joints[:, _WRISTS] - joints[:, _SHOULDERS]) @ turns[:, _CHEST]  # (rows, 2, 3), seen from the trunk
    busy = (arms - arms.new_tensor([0.0, -_ARM_LENGTH, 0.0])).norm(dim=-1)
    left_more = busy[:, 0] - busy[:, 1]
    legs = (joints[:, _ANKLES] - joints[:, _HIPS]) @ turns[:, 0]
    right_ahead = legs[:, 1, 2] - legs[:, 0, 2]
    return torch.where(left_more.abs() > _ALIKE, left_more > 0, right_ahead > _ALIKE)


class Composer:
    """
    Args:
        captured: source poses `(n, 22, 3)` for edits, yaw removed.
        described, described_pairs: captured poses and pairs with texts; either may be missing.
    """

    def __init__(self, captured: Tensor, described: Described | None = None, described_pairs: Described | None = None):
        self.bank: LanguageBank = load_language_bank()
        self.captured, self.described, self.described_pairs = captured, described, described_pairs
        self.edits, self.scenes = read_rows("edits.jsonl"), read_rows("scenes.jsonl")
        bank = self.bank
        self.part_mask = ~bank.part_low.isnan()  # (parts, 29)
        self.by_part = {}
        for row, part in enumerate(bank.parts):
            self.by_part.setdefault(part.part, []).append(row)
        # the first phrase of a part is its key; with its sides swapped, that of its mirror image
        self.part_rows = {swap_sides(part.phrases[0]): (row, True) for row, part in enumerate(bank.parts)}
        self.part_rows |= {part.phrases[0]: (row, False) for row, part in enumerate(bank.parts)}
        self.named_rows = {pose.name: row for row, pose in enumerate(bank.named)}
        self.named_weights = _named_weights(bank)
        self.upright_named = [row for row, angles in enumerate(bank.named_angles) if is_upright(angles)]
        self.captured_angles = axis_angle_to_angles(captured)
        commands = [[part.commands for part in bank.parts], [edit["commands"] for edit in self.edits]]
        self.everyday_parts, self.everyday_edits = _everyday(*commands)

    def all_texts(self) -> list[str]:
        """All names, texts, phrases and commands that samples are made of, also with swapped sides."""
        bank, known = self.bank, [d for d in (self.described, self.described_pairs) if d is not None]
        texts = [text for pose in bank.named for text in (pose.name, *pose.aliases, *pose.texts)]
        texts += [text for part in bank.parts for text in (*part.phrases, *part.commands)]
        texts += [text for edit in self.edits for text in edit["commands"]]
        texts += [text for scene in self.scenes for text in (*scene["texts"], *scene["commands"])]
        texts += [text for described in known for voices in described.texts for text in voices.values()]
        return [*texts, *map(str.lower, map(swap_sides, texts)), *SAME]

    # -- the tasks -----------------------------------------------------------------------------------------------

    def prompts(self, rows: int, seed: int) -> Composed:
        """Texts for text-to-pose."""
        return self._gather(rows, seed, self._prompt, typed=True)

    def instructions(self, rows: int, seed: int) -> Composed:
        """Instructions for pose editing."""
        return self._gather(rows, seed, self._edit, typed=True)

    def descriptions(self, rows: int, seed: int) -> Composed:
        """Poses with descriptions."""
        return self._gather(rows, seed, self._description, typed=False)

    def differences(self, rows: int, seed: int) -> Composed:
        """Pairs of poses with texts about their difference."""
        return self._gather(rows, seed, self._difference, typed=False)

    def _gather(self, rows, seed, make, typed):
        rng = random.Random(seed)
        drafts = [make(rng) for _ in range(rows)]
        poses = self._poses(drafts)
        texts = self._texts(drafts, poses)
        texts = [
            typing_noise(text, rng) if typed else as_sentence(text, d.style)
            for text, d in zip(texts, drafts, strict=True)
        ]
        mirrored = torch.tensor([rng.random() < 0.5 and "clock" not in text.lower() for text in texts])
        if typed:
            sided = torch.tensor([swap_sides(t) != t or d.either_side for t, d in zip(texts, drafts, strict=True)])
            mirrored = torch.where(sided, mirrored, left_handed(poses[:, -1]))
        texts = [swap_sides(text) if flip else text for text, flip in zip(texts, mirrored.tolist(), strict=True)]
        poses = torch.where(mirrored[:, None, None, None], mirror_pose(poses), poses)
        if poses.shape[1] == 2:
            weights = _edit_weights(poses)
        else:
            weights = torch.stack([_ONES if d.mentioned is None else _weights(d.mentioned) for d in drafts])
            weights = torch.where(mirrored[:, None], weights[:, _MIRROR_JOINTS], weights)
        return Composed(texts, poses, weights, [d.style for d in drafts])

    def _poses(self, drafts):
        """The poses of all drafts, `(rows, 1 or 2, 22, 3)`, at once: a single pose costs as much as fifty."""
        source = angles_to_axis_angle(torch.stack([d.angles for d in drafts]))
        for row, draft in enumerate(drafts):
            if draft.captured is not None:
                source[row] = draft.captured
        if drafts[0].target is None:
            return source[:, None]
        target = set_angles(source, torch.stack([d.target for d in drafts]))
        for row, draft in enumerate(drafts):
            if draft.captured_target is not None:
                target[row] = draft.captured_target
        flip = torch.tensor([d.mirror for d in drafts])
        target = torch.where(flip[:, None, None], mirror_pose(source), target)
        return torch.stack([source, target], 1)

    def _texts(self, drafts, poses):
        """The texts of all drafts; measured ones where they have none."""
        directions = body_directions(poses)  # (rows, 1 or 2, 16, 3)
        measured = changes_of_directions if poses.shape[1] == 2 else _describe_limbs
        return [
            measured(*found, draft.style) if draft.text is None else draft.text
            for found, draft in zip(directions, drafts, strict=True)
        ]

    # -- one sample ----------------------------------------------------------------------------------------------

    def _prompt(self, rng):
        kind = rng.random()
        if kind < 0.56:
            return Draft(*self._named(rng))
        if kind < 0.76:
            return self._composed(rng)
        if kind < 0.88:
            scene = rng.choice(self.scenes)
            angles = self._standing(rng)
            values = self._scene_values(rng, scene)
            text = rng.choice([*scene["texts"], *scene["commands"]])
            return Draft(text, torch.where(values.isnan(), angles, values), mentioned=~values.isnan())
        return self._captured(rng) if kind < 0.94 or self.described is None else self._described(rng)

    def _named(self, rng):
        """A text of a named pose, and the pose's angles."""
        row = rng.choices(range(len(self.bank.named)), cum_weights=self.named_weights)[0]
        pose = self.bank.named[row]
        by_name = rng.random() < _NAME_SHARE
        text = name_as_typed(pose.name, rng) if by_name else rng.choice([*pose.aliases, *pose.texts])
        return text, self._named_angles(rng, row)

    def _composed(self, rng, described=False):
        """One to four states, as phrases or commands, based on relaxed standing or a named pose."""
        count = rng.choices((1, 2, 3, 4), (0.1, 0.3, 0.35, 0.25) if described else (0.5, 0.3, 0.14, 0.06))[0]
        angles, texts, groups = self._standing(rng), [], None
        on_named = rng.random() < 0.25
        if on_named:
            row = rng.choice(self.upright_named)
            pose = self.bank.named[row]
            texts.append(rng.choice([pose.name, *pose.aliases]))
            angles, count, groups = self._named_angles(rng, row), min(count, 2), ("arm", "arms", "head")
        commands = not described and not on_named and rng.random() < 0.4
        part_texts, values = self._parts(rng, count, commands, groups)
        texts += part_texts
        full = described and len(texts) > 1
        text = join_texts(texts, rng, sentences=full)
        angles = torch.where(values.isnan(), angles, values)
        return Draft(text, angles, mentioned=None if on_named else ~values.isnan(), style="full" if full else "short")

    def _parts(self, rng, count, commands, groups=None, angles=None, everyday=False):
        """Texts and values of some states that do not share angles, each on either side; or one everyday command.

        With the `angles` of a source, a state of the trunk describes how its legs follow, not where they are.
        """
        texts, values = [], torch.full((len(ANGLES),), torch.nan)
        if everyday:
            drawn = [rng.choice(self.everyday_parts)]
        else:
            drawn = [
                (row, rng.choice(self.bank.parts[row].commands if commands else self.bank.parts[row].phrases))
                for row in self._compatible_parts(rng, count, groups)
            ]
        for row, text in drawn:
            part, one = self.bank.parts[row], self._part_values(rng, row)
            if rng.random() < 0.5:
                text, one = swap_sides(text), mirror_angles(one)
            if bool((~one.isnan() & ~values.isnan()).any()):
                continue
            if angles is not None and part.part == "torso":
                one = torch.where(LEGS, one - STANDING + angles, one)
            texts.append(text)
            values = torch.where(one.isnan(), values, one)
        return texts, values

    def _scene_values(self, rng, scene):
        """The angles that a row of `scenes.jsonl` sets: those of its named pose, if any, and of its parts."""
        values = torch.full((len(ANGLES),), torch.nan)
        if scene["base"] is not None:
            values = self._named_angles(rng, self.named_rows[scene["base"]])
        for key in scene["parts"]:
            row, mirrored = self.part_rows[key]
            one = self._part_values(rng, row)
            one = mirror_angles(one) if mirrored else one
            values = torch.where(one.isnan(), values, one)
        return values

    def _described(self, rng):
        row, style = rng.randrange(len(self.described.texts)), rng.choice(("short", "full"))
        pose = self.described.poses[row, 0]
        return Draft(self.described.texts[row][style], STANDING, captured=pose, style=style)

    def _captured(self, rng):
        """A captured pose with a description from measurements."""
        row = rng.randrange(len(self.captured))
        return Draft(None, STANDING, captured=self.captured[row], style=rng.choice(("short", "full")))

    def _described_pair(self, rng):
        row, style = rng.randrange(len(self.described_pairs.texts)), rng.choice(("short", "full"))
        pair = self.described_pairs.poses[row]
        text = self.described_pairs.texts[row][style]
        return Draft(text, STANDING, captured=pair[0], target=_NOTHING, captured_target=pair[1], style=style)

    def _edit(self, rng):
        kind = rng.random()
        if kind < 0.06 and self.described_pairs is not None:
            return self._described_pair(rng)
        if kind < 0.22:
            return self._become(rng)
        if kind < 0.3:
            scene = rng.choice(self.scenes)
            values = self._scene_values(rng, scene)
            angles, captured = self._source(rng)
            if scene["base"] is None and moves_legs(values) and not is_upright(angles):
                angles, captured = self._standing(rng), None
            return Draft(rng.choice(scene["commands"]), angles, captured=captured, target=values)
        draft = self._relative(rng) if rng.random() < 0.6 else self._set_parts(rng)
        if kind < 0.4:  # the same in the words of `describe_changes`
            draft.text, draft.style = None, rng.choice(("short", "full"))
        elif rng.random() < _KEEPING and not draft.mirror:
            draft.text = keep_limbs(draft.text, untouched_limbs(draft.target), rng)
        return draft

    def _become(self, rng):
        """Become a named pose, as a whole or except for what stays as it is."""
        text, goal = self._named(rng)
        lead = rng.choice(("", "", "now ", "make it ", "change to ", "do ", "turn this into ", "instead: "))
        angles, captured = self._source(rng)
        text = lead + text
        if rng.random() < 0.3:
            kept = rng.choice(("arms", "arms", "legs"))
            if kept == "arms" or (is_upright(angles) and is_upright(goal)):
                stays = limb_mask(kept)
                if kept == "legs":  # and so does the pelvis that they carry
                    stays = stays | torch.tensor([name.startswith("root_") for name in ANGLES])
                goal = torch.where(stays, torch.nan, goal)
                text = keep_limbs(text, [kept], rng)
        return Draft(text, angles, captured=captured, target=goal)

    def _set_parts(self, rng, style="short"):
        count, commands = rng.choices((1, 2, 3), (0.75, 0.2, 0.05))[0], rng.random() < 0.85
        angles, captured = self._source(rng)
        texts, values = self._parts(rng, count, commands, angles=angles, everyday=rng.random() < _EVERYDAY)
        if moves_legs(values) and not is_upright(angles):
            angles, captured = self._standing(rng), None
        text = join_texts(texts, rng, sentences=style == "full")
        return Draft(text, angles, captured=captured, target=values, style=style)

    def _relative(self, rng):
        if rng.random() < _EVERYDAY:
            number, text = rng.choice(self.everyday_edits)
        else:
            number = rng.randrange(len(self.edits))
            text = rng.choice(self.edits[number]["commands"])
        edit = self.edits[number]
        for _ in range(4):
            angles, captured = self._source(rng)
            if fits(edit, angles):
                break
        else:  # for few poses: choose a named one
            if not len(self._fitting(number)):
                return self._set_parts(rng)
            angles, captured = rng.choice(self._fitting(number)), None
        values = edited_angles(edit, angles, rng.random())
        mirror = edit.get("op") == "mirror"
        either_side = tells_sides_apart(edit)
        return Draft(text, angles, captured, target=values, mirror=mirror, either_side=either_side)

    @functools.cache  # noqa: B019  a composer lives as long as its training
    def _fitting(self, number):
        """The angles of named poses, and of their mirror images, that an edit makes sense for."""
        angles = torch.cat([self.bank.named_angles, mirror_angles(self.bank.named_angles)])
        return angles[fits(self.edits[number], angles)]

    def _description(self, rng):
        kind = rng.random()
        if kind < _WRITTEN and self.described is not None:
            return self._described(rng)
        if kind < 0.6:
            return self._captured(rng)
        style = rng.choice(("short", "full"))
        if kind < 0.8:
            return Draft(None, self._named_angles(rng, rng.randrange(len(self.bank.named))), style=style)
        return Draft(None, self._composed(rng, described=True).angles, style=style)

    def _difference(self, rng):
        kind, style = rng.random(), rng.choice(("short", "full"))
        if kind < _WRITTEN and self.described_pairs is not None:
            return self._described_pair(rng)
        angles, captured = self._source(rng)
        if kind < 0.13:
            return Draft(rng.choice(SAME), angles, captured=captured, target=_NOTHING, style=style)
        if kind < 0.3:  # any other pose
            target, captured_target = self._source(rng)
            return Draft(None, angles, captured, target, captured_target, style=style)
        draft = self._edit(rng)
        draft.text, draft.style = None, style
        return draft

    # -- poses ---------------------------------------------------------------------------------------------------

    def _standing(self, rng):
        return _jittered(rng, STANDING, _STANDING_SPREAD)

    def _named_angles(self, rng, row):
        return _jittered(rng, self.bank.named_angles[row], _JITTER * self.bank.named_loose[row])

    def _source(self, rng):
        """The angles of a source pose, and the pose `(22, 3)` itself if it is a captured one."""
        kind = rng.random()
        if kind < 0.35:
            angles = self._standing(rng)
        elif kind < 0.65:
            angles = self._named_angles(rng, rng.randrange(len(self.bank.named)))
        else:
            row = rng.randrange(len(self.captured))
            return self.captured_angles[row], self.captured[row]
        return (mirror_angles(angles) if rng.random() < 0.5 else angles), None

    def _compatible_parts(self, rng, count, groups=None):
        """Rows of parts, no two of which set the same angle."""
        rows, taken = [], torch.zeros(len(ANGLES), dtype=torch.bool)
        groups = [group for group in self.by_part if groups is None or group.endswith(groups)]
        for _ in range(8 * count):
            row = rng.choice(self.by_part[rng.choice(groups)])
            if len(rows) < count and not bool((taken & self.part_mask[row]).any()):
                rows.append(row)
                taken |= self.part_mask[row]
        return rows

    def _part_values(self, rng, row):
        low, high = self.bank.part_low[row], self.bank.part_high[row]
        return low + (high - low) * torch.tensor([rng.random() for _ in ANGLES])


def _describe_limbs(directions, style):
    """Limb by limb if the text is a full one: a name is right or wrong as a whole, and says less of the pose."""
    return describe_directions(directions, style, None, names=style == "short")


def _everyday(*tables):
    """The short commands of common words in each of some tables of commands, lists of (row, command)."""
    uses = Counter(word for table in tables for texts in table for word in set(_words(" ".join(texts))))
    return [
        [(row, text) for row, texts in enumerate(table) for text in texts if _is_everyday(_words(text), uses)]
        for table in tables
    ]


def _is_everyday(words, uses):
    return 0 < len(words) <= _EVERYDAY_WORDS and min(uses[word] for word in words) >= _USES


def _words(text):
    return re.findall(r"[a-z']+", text.lower())


def _jittered(rng, angles, spread):
    return angles + torch.tensor([rng.gauss(0, 1) for _ in ANGLES]).clamp(-2, 2) * spread


def _named_weights(bank):
    """Cumulative weights to draw named poses by, a list.

    The further a pose is from the mean of all, the more often it is drawn: the others come right sooner.
    """
    joints, _ = forward_kinematics(roma.rotvec_to_rotmat(angles_to_axis_angle(bank.named_angles)), _rest_joints())
    joints = joints - joints[:, :1]
    away = (joints - joints.mean(0)).norm(dim=-1).mean(-1)
    short = torch.tensor([len(pose.name.split()) <= _SHORT_NAME for pose in bank.named])
    weights = (away / away.mean()).clamp(0.5, 2.5) * torch.where(short, _SHORT_WEIGHT, 1.0)
    return weights.cumsum(0).tolist()


def _weights(mentioned):
    """(29,) mask of mentioned angles -> (22,) joint weights"""
    moved = (mentioned.float() @ MOVES.float()) > 0
    return torch.where(moved, 1.0, UNMENTIONED_WEIGHT)


def _edit_weights(pairs):
    """(rows, 2, 22, 3), source and target -> (rows, 22) joint weights

    A model that leaves the source as it is has nearly no loss on "a bit higher", so edits weigh more the less they
    move.
    """
    joints, _ = forward_kinematics(roma.rotvec_to_rotmat(remove_yaw(pairs)), _rest_joints())
    moved = (joints[:, 1] - joints[:, 0]).norm(dim=-1)
    row_weights = (_USUAL_MOVE / moved.mean(-1, keepdim=True).clamp(min=_MOVED)).clamp(1.0, _MOST_WEIGHT)
    return row_weights * torch.where(moved > _MOVED, 1.0, _KEPT_WEIGHT)


@functools.cache
def _rest_joints():
    return load_body(size="small").rest_joints


_SIDES = "left", "right"
_WRISTS, _SHOULDERS = ([JOINT_NAMES.index(f"{side}_{part}") for side in _SIDES] for part in ("wrist", "shoulder"))
_ANKLES, _HIPS = ([JOINT_NAMES.index(f"{side}_{part}") for side in _SIDES] for part in ("ankle", "hip"))
_CHEST = JOINT_NAMES.index("spine3")
_ARM_LENGTH, _ALIKE = 0.5, 0.12  # metres
_ONES = torch.ones(22)
_NOTHING = torch.full((len(ANGLES),), torch.nan)
_MIRROR_JOINTS = list(MIRROR)
