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

from .angles import STANDING, angles_to_axis_angle, mirror_angles
from .wording import swap_sides

_LEAD = re.compile(
    r"^(?:(?:show|draw|give|make|do|strike)(?: me)? )?(?:(?:a|an|the|one) )?"
    r"(?:(?:person|someone|somebody|man|woman|guy|girl|boy|figure|human|character|he|she|yoga)(?:'s)? )?"
    r"(?:(?:who |that )?(?:is|are) )?(?:(?:in|doing|does|performing|striking|making) )?(?:(?:a|an|the) )?"
)
_TAIL = re.compile(r"(?: (?:pose|position|stance))?(?: yoga)?$")
_ARTICLES = {"a", "an", "the", "his", "her", "their", "your", "my", "its"}
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
    found = find_named(name)
    if found is None:
        near = [found.name for found in search_poses(name)[:5]]
        hint = f"; similar names: {', '.join(near)}" if near else ""
        count = len(load_language_bank().named)
        raise ValueError(f"There is no pose named {name!r}{hint}. `unipose poses` lists all {count}.")
    return found[1]


def find_named(text: str) -> tuple[str, Pose] | None:
    """The name or alias in the bank that a text consists of, and its pose; or None.

    Case, hyphens, words around the name ("a person in tree pose", "do a t pose") and sides do not matter; for the
    other side, name and pose are mirrored.

    ```python
    >>> from unipose_hf.data.language import find_named
    >>> find_named("A person in t pose")[0], find_named("arabesque on the right leg")[0]
    ('T-pose', 'arabesque on the right leg')
    >>> find_named("a green cube") is None
    True

    ```
    """
    bank, rows = load_language_bank(), _rows_by_name()
    for swapped in (False, True):
        for wanted in _names_in(_key(swap_sides(text) if swapped else text)):
            if (found := rows.get(_spelling(wanted))) is not None:
                name, angles = found[1], bank.named_angles[found[0]]
                if swapped:
                    name, angles = swap_sides(name), mirror_angles(angles)
                return name, Pose(angles_to_axis_angle(angles).numpy())
    return None


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


@functools.cache
def _rows_by_name() -> dict[str, tuple[int, str]]:
    """The row of each name and alias, with the name itself, by its `_spelling`.

    Of poses that share one, the pose it is the name of comes first, then a pose whose name contains it.
    """
    named = load_language_bank().named
    ranked = [(0, row, pose.name) for row, pose in enumerate(named)]
    for row, pose in enumerate(named):
        ranked += [(1 if _key(alias) in _key(pose.name) else 2, row, alias) for alias in pose.aliases]
    rows = {}
    for _, row, name in sorted(ranked, key=lambda each: each[:2]):
        rows.setdefault(_spelling(_key(name)), (row, name))
    return rows


def spelling(text: str) -> str:
    """What texts share that differ in case, punctuation, spaces, articles and possessives only."""
    return _spelling(_key(text))


def _spelling(key: str) -> str:
    """Without spaces, articles and possessives: "Tpose", "hands on the hips", "lying on her back"."""
    first, *others = key.split() or [""]
    return first + "".join(word for word in others if word not in _ARTICLES)


def _names_in(key: str) -> list[str]:
    """What may be the name in a text: the whole, then without the words that people put around names."""
    bare = _LEAD.sub("", key)
    short = [_TAIL.sub("", text) for text in (key, bare)]
    return [key, bare, *short, *(f"{text} pose" for text in short if len(text) > 2)]


def _key(name: str) -> str:
    """Lower case, words only, Roman numerals and digits of "warrior 2" spelled out."""
    numbers = {"i": "one", "1": "one", "ii": "two", "2": "two", "iii": "three", "3": "three"}
    words = re.findall(r"[a-z0-9']+", name.lower().replace("’", "'"))
    return " ".join(words[:1] + [numbers.get(word, word) for word in words[1:]])


def complete(angles: Tensor) -> Tensor:
    """Replaces NaN by the angles of relaxed standing."""
    return torch.where(angles.isnan(), STANDING, angles)
