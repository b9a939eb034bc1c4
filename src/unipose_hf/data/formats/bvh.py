# SPDX-License-Identifier: Apache-2.0
"""Parses BVH files: the skeleton, its channels and the motion, without changing the frame."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor


@dataclass
class Bvh:
    """A parsed BVH file: no change of frame, no retargeting.

    Attributes:
        names: J joint names, parents first (end sites are not joints).
        parents: J indices, -1 for a root.
        offsets: `(J, 3)` rest offset from the parent, in the file's unit.
        end_offsets: the end sites' offsets, keyed by the index of their joint.
        channels: for each joint the names of its motion values, in lower case.
        rotations: `(F, J, 3, 3)` local rotation matrices.
        translations: `(F, 3)` positions relative to the parent (for a root: in the file's world) of the joints that
            have such channels, keyed by their index.
        frame_time: seconds from one frame to the next.
    """

    names: list[str]
    parents: list[int]
    offsets: Tensor
    end_offsets: dict[int, Tensor]
    channels: list[list[str]]
    rotations: Tensor
    translations: dict[int, Tensor]
    frame_time: float

    def global_rotations(self) -> Tensor:
        """`(F, J, 3, 3)` rotations in the file's world."""
        out = []
        for joint, parent in enumerate(self.parents):
            local = self.rotations[:, joint]
            out.append(local if parent < 0 else out[parent] @ local)
        return torch.stack(out, dim=1)

    def positions(self) -> Tensor:
        """`(F, J, 3)` joint positions with the roots at the origin, in the file's unit."""
        turns = self.global_rotations()
        out = []
        for joint, parent in enumerate(self.parents):
            origin = torch.zeros_like(turns[:, 0, 0])
            out.append(origin if parent < 0 else out[parent] + turns[:, parent] @ self.offsets[joint])
        return torch.stack(out, dim=1)

    def rest_positions(self) -> Tensor:
        """`(J, 3)` joint positions when all rotations are zero, the roots at the origin."""
        out = []
        for joint, parent in enumerate(self.parents):
            out.append(torch.zeros_like(self.offsets[joint]) if parent < 0 else out[parent] + self.offsets[joint])
        return torch.stack(out)

    def path_to_root(self, joint: int) -> list[int]:
        """The joint, its parent, and so on up to the root."""
        way = [joint]
        while self.parents[way[-1]] >= 0:
            way.append(self.parents[way[-1]])
        return way


def parse_bvh(path: str | Path) -> Bvh:
    """Read a BVH file: any hierarchy, channels in any order, names with spaces, comments, keywords in any case.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a BVH file, or its motion does not fit its channels; the message names the offending
            word and its line, if there is one.
    """
    reader = _Reader(path)
    bvh = reader.hierarchy()
    declared, bvh.frame_time, values = reader.motion()
    width = sum(len(kinds) for kinds in bvh.channels)
    # Some files have one frame more than they declare; only the declared ones are read.
    if declared < 1 or width == 0 or values.size % width or values.size < declared * width:
        raise ValueError(
            f"{path} holds {values.size} motion values, expected {declared} frames x {width} channels; the file is "
            "truncated or damaged; download it again."
        )
    _decode(bvh, torch.from_numpy(values).reshape(-1, width)[:declared])
    return bvh


_CHANNELS = {f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation")}
_WORD = re.compile(r"[{}]|[^\s{}]+")
_COMMENT = re.compile(r"(?:^|(?<=\s))(?:#|//).*")
_HEADER = re.compile(r"\s*Frames\s*:\s*(\S+)\s+Frame\s*Time\s*:\s*(\S+)", re.IGNORECASE)
_HIERARCHY_WORDS = "ROOT, JOINT, End Site, OFFSET, CHANNELS, MOTION or a brace"


class _Reader:
    """Reads the words of a file one by one; errors name the line."""

    def __init__(self, path):
        self.path = path
        self.text = _without_comments(_decoded(path))
        self.position = self.begin = 0

    def hierarchy(self) -> Bvh:
        """Everything up to the word MOTION, without rotations."""
        if self.word().upper() != "HIERARCHY":
            raise ValueError(
                f"{self.path} does not start with HIERARCHY, so it is not a BVH file; pass a .bvh motion file."
            )
        bvh = Bvh([], [], torch.empty(0), {}, [], torch.empty(0), {}, 0.0)
        offsets: list[Tensor | None] = []
        stack: list[int | None] = []  # open braces: a joint's index, or None for an end site
        joint = -1
        while (word := self.word()).upper() != "MOTION":
            kind = word.upper()
            if kind in ("ROOT", "JOINT"):
                if (kind == "ROOT") != (not stack):
                    self.refuse(word, "ROOT outside of all braces and JOINT within")
                joint = len(bvh.names)
                bvh.names.append(self.name() or self.refuse("", "a joint's name"))
                bvh.parents.append(stack[-1] if stack else -1)
                bvh.channels.append([])
                offsets.append(None)
                self.expect("{")
                stack.append(joint)
            elif kind in ("END", "ENDSITE"):
                if not stack:
                    self.refuse(word, "an end site within a joint")
                self.name()
                self.expect("{")
                stack.append(None)
            elif kind == "OFFSET" and stack:
                offset = torch.tensor([self.number() for _ in range(3)], dtype=torch.float64)
                if stack[-1] is None:
                    bvh.end_offsets[stack[-2]] = offset
                else:
                    offsets[stack[-1]] = offset
            elif kind == "CHANNELS" and stack and stack[-1] is not None:
                count = self.word()
                if not count.isdecimal():
                    self.refuse(count, "the number of channels")
                bvh.channels[stack[-1]] = [self.channel() for _ in range(int(count))]
            elif kind == "}" and stack:
                stack.pop()
            else:
                self.refuse(word, _HIERARCHY_WORDS)
        if stack:
            self.refuse(word, f"{len(stack)} closing braces")
        if not bvh.names:
            self.refuse(word, "a ROOT")
        for name, offset in zip(bvh.names, offsets, strict=True):
            if offset is None:
                self.refuse(word, f"an OFFSET of the joint {name}")
        bvh.offsets = torch.stack(offsets)
        return bvh

    def motion(self) -> tuple[int, float, np.ndarray]:
        """Everything after the word MOTION: the declared number of frames, seconds per frame, the motion values."""
        header = _HEADER.match(self.text, self.position)
        if header is None:
            self.refuse(self.word(), '"Frames: N" and "Frame Time: S"')
        self.begin = header.start(1)
        if not header[1].isdecimal():
            self.refuse(header[1], "the number of frames")
        self.begin = header.start(2)
        seconds = self.finite(header[2])
        self.position = header.end()
        try:
            values = np.array(self.text[self.position :].split(), dtype=np.float64)
        except ValueError:
            values = np.array([np.nan])
        if not np.isfinite(values).all():
            while True:  # there is a bad word: now find its line
                self.number()
        return int(header[1]), seconds, values

    def word(self) -> str:
        match = _WORD.search(self.text, self.position)
        if match is None:
            raise ValueError(f"{self.path} ends unexpectedly, so the file is truncated; download it again.")
        self.begin, self.position = match.span()
        return match[0]

    def name(self) -> str:
        """The rest of the line up to a brace: names may contain spaces."""
        match = re.compile(r"[^\n{}]*").match(self.text, self.position)
        self.begin, self.position = match.span()
        return " ".join(match[0].split()).strip('"')

    def expect(self, brace):
        if (word := self.word()) != brace:
            self.refuse(word, repr(brace))

    def channel(self):
        word = self.word()
        if word.lower() not in _CHANNELS:
            self.refuse(word, "a channel like Xposition or Zrotation")
        return word.lower()

    def number(self) -> float:
        return self.finite(self.word())

    def finite(self, word) -> float:
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.refuse(word, "a finite number")
        return value

    def refuse(self, word, expected):
        line = self.text.count("\n", 0, self.begin) + 1
        raise ValueError(f"{self.path} has {word!r} in line {line}, expected {expected}; fix it or download it again.")


def _decoded(path) -> str:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no motion file {path}; check the path.")
    raw = path.read_bytes()
    wide = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = raw.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _without_comments(text: str) -> str:
    """The text without comments, keeping line numbers. A name may contain #, so there only whole lines are
    comments."""
    if "#" not in text and "//" not in text:
        return text
    lines = text.split("\n")
    for number, line in enumerate(lines):
        named = line.split(maxsplit=1)[:1]
        if not named or named[0].upper() not in ("ROOT", "JOINT"):
            lines[number] = _COMMENT.sub("", line)
    return "\n".join(lines)


def _decode(bvh: Bvh, frames: Tensor) -> None:
    """Splits the motion values `(F, all channels)` by joint."""
    bvh.rotations = torch.eye(3, dtype=torch.float64).repeat(len(frames), len(bvh.channels), 1, 1)
    column = 0
    for joint, kinds in enumerate(bvh.channels):
        turning = [(kind[0].upper(), column + k) for k, kind in enumerate(kinds) if kind.endswith("rotation")]
        if turning:
            axes = "".join(axis for axis, _ in turning)
            angles = frames[:, [c for _, c in turning]]
            # Channels apply from the left: "Zrotation Xrotation Yrotation" means Rz @ Rx @ Ry.
            bvh.rotations[:, joint] = roma.euler_to_rotmat(axes, angles, degrees=True)
        moving = {kind[0]: column + k for k, kind in enumerate(kinds) if kind.endswith("position")}
        if len(moving) == 3:
            translations = frames[:, [moving[axis] for axis in "xyz"]]
            bvh.translations[joint] = translations
            if bvh.parents[joint] >= 0 and not bvh.offsets[joint].any():  # some programs write offsets as motion only
                bvh.offsets[joint] = translations[0]
        column += len(kinds)
