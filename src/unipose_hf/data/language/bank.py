# SPDX-License-Identifier: Apache-2.0
"""The language bank: named whole-body poses, and states of limbs, torso, head and root, each with its texts.

`named.jsonl` and `parts.jsonl` contain the written rows, `solved.safetensors` the angles that `python -m
unipose_hf.data.language.pack` computed from them (reaching arms are solved once).
"""

import functools
import json
import re
from dataclasses import dataclass
from importlib.resources import files

import torch
from safetensors.torch import load
from torch import Tensor

from unipose_hf.modeling.pose_unipose import Pose

from .angles import STANDING, angles_to_axis_angle

LOOSE = 5.0  # default tolerance in degrees: how far an angle may vary while the texts stay true


@dataclass(frozen=True)
class NamedPose:
    """A whole-body pose with its name, other names and eight or more descriptions."""

    name: str
    aliases: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """A state of one limb, both limbs, the torso, the head or the root: its descriptions and commands.

    `part` is `left_arm`, `both_arms`, `left_leg`, `both_legs`, `torso`, `head` or `root`.
    """

    part: str
    phrases: tuple[str, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True)
class LanguageBank:
    """
    named: the named poses.
    named_angles: their complete angles `(named, 29)`, degrees.
    named_loose: the standard deviation of each angle that keeps the texts true `(named, 29)`, degrees.
    parts: the states.
    part_low, part_high: the range of each angle `(parts, 29)`, degrees; NaN for angles that the state does not set.

    One-sided entries describe one side; for the other side, mirror pose and words.
    """

    named: tuple[NamedPose, ...]
    named_angles: Tensor
    named_loose: Tensor
    parts: tuple[Part, ...]
    part_low: Tensor
    part_high: Tensor


@functools.cache
def load_language_bank() -> LanguageBank:
    """The bundled bank (CC0-1.0, `PROVENANCE.md`)."""
    folder = files(__package__)
    named = [NamedPose(r["name"], tuple(r["aliases"]), tuple(r["texts"])) for r in read_rows("named.jsonl")]
    parts = [Part(r["part"], tuple(r["phrases"]), tuple(r["commands"])) for r in read_rows("parts.jsonl")]
    solved = load((folder / "solved.safetensors").read_bytes())
    return LanguageBank(tuple(named), parts=tuple(parts), **{name: value.float() for name, value in solved.items()})


def read_rows(name: str) -> list[dict]:
    """The raw rows of `named.jsonl` or `parts.jsonl`."""
    text = (files(__package__) / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def named_pose(name: str) -> Pose:
    """A pose of the bank by its name or an alias: `named_pose("warrior two")`.

    Raises:
        ValueError: the bank has no such pose; the message lists similar names.
    """
    bank = load_language_bank()
    wanted = _key(name)
    row = next((row for row, pose in enumerate(bank.named) if _key(pose.name) == wanted), None)
    if row is None:
        row = next((row for row, pose in enumerate(bank.named) if wanted in map(_key, pose.aliases)), None)
    if row is None:
        near = [found.name for found in search_poses(name)[:5]]
        hint = f"; similar names: {', '.join(near)}" if near else ""
        raise ValueError(f"There is no pose named {name!r}{hint}. `unipose poses` lists all {len(bank.named)}.")
    return Pose(angles_to_axis_angle(bank.named_angles[row]).numpy())


def search_poses(words: str) -> list[NamedPose]:
    """The poses whose names, aliases or descriptions contain all of the words; matches in names come first."""
    wanted = set(_key(words).split())

    def rank(pose):
        for level, texts in enumerate(((pose.name,), pose.aliases, pose.texts)):
            if any(all(any(w.startswith(want) for w in _key(text).split()) for want in wanted) for text in texts):
                return level
        return None

    ranked = [(rank(pose), row, pose) for row, pose in enumerate(load_language_bank().named)]
    return [pose for level, _, pose in sorted((r for r in ranked if r[0] is not None), key=lambda r: r[:2])]


def _key(name: str) -> str:
    """Lower case, words only, Roman numerals and digits of "warrior 2" spelled out."""
    numbers = {"i": "one", "1": "one", "ii": "two", "2": "two", "iii": "three", "3": "three"}
    words = re.findall(r"[a-z0-9']+", name.lower())
    return " ".join(words[:1] + [numbers.get(word, word) for word in words[1:]])


def complete(angles: Tensor) -> Tensor:
    """Replaces NaN by the angles of relaxed standing."""
    return torch.where(angles.isnan(), STANDING, angles)
