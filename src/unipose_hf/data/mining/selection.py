# SPDX-License-Identifier: Apache-2.0
"""Farthest point sampling of poses: the selection behind PoseScript's and ImageScript's poses.

Each next pose is the one farthest from all selected so far. Doing this by the book costs N distances for each selected
pose. Here a pose keeps an *upper bound*, its distance to the nearest of the selected poses it was compared with; later
selections can only lower it. While some pose that was compared with all of them lies above every other bound, the
others need no look. So only the poses with the highest bounds, the front, are compared with each new selection; the
rest catch up in one go when the front has sunk to their level. The result is that of the book, bit for bit.
"""

import os
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm

from unipose_hf.files.write import replacing

_BLOCK = 4096  # poses compared at once: 22 joints of these and the working memory fit a processor's cache
_FRONT = 32 * _BLOCK  # poses of the front at most, which are kept in memory: 35 MB at 22 joints
_SINK = 0.9  # the front reaches down to this share of the highest bound; 0.8 and 0.95 cost more on real poses
_SAVE_EVERY = 60.0  # seconds


def farthest_points(
    joints: ArrayLike,
    count: int,
    start: int = 0,
    *,
    state_file: str | os.PathLike | None = None,
    progress: bool = True,
) -> Tensor:
    """
    Select poses that cover all poses: each one the farthest from those before it, by mean per-joint error.

    PoseScript (Delmas et al., 2022) selects its poses so, and UniPose (Li et al., 2024) those of ImageScript. `count`
    is how many indices come back, `start` among them: PoseScript's sampling of K poses returns its seed and K more,
    which is `count=K + 1` here. Asking for fewer gives the first of the same list. Among poses equally far the lowest
    index comes first, and no index comes twice, even where poses are equal.

    The distances are float32; no pose is aligned, so remove the yaw before (`unipose_hf.captions.pose_geometry`).
    Memory: about 25 bytes for each pose, 12 for each joint of a selected one, and 50 MB; `joints` may be a memory map.

    Args:
        joints: `(N, J, 3)` metres, float tensor or array (`numpy.load(file, mmap_mode="r")`).
        count: how many poses to select, 1 to N.
        start: index of the first selected pose.
        state_file: where to keep the state, so that a killed run goes on from its last minute and a finished one can
            be extended with a higher `count`. A file that is there is continued.
        progress: show a progress bar where it takes more than a second.

    Returns:
        `(count,)` long: indices in the order of selection.

    Raises:
        ValueError: wrong shape, `count` or `start` out of range, a coordinate that is not finite, or a `state_file`
            that was not written for these joints and this start.
    """
    _check(joints, count, start)
    selection = _Selection(joints, count, start)
    path = None if state_file is None else Path(state_file)
    if path is not None and path.exists():
        selection.load(path)
    else:
        selection.begin(start)
    saved = time.monotonic()
    done = min(count, len(selection.selected))
    with tqdm(total=count, initial=done, disable=not progress, delay=1, unit="pose", desc="farthest points") as bar:
        while len(selection.selected) < count:
            before = len(selection.selected)
            selection.advance()
            bar.update(len(selection.selected) - before)
            if path is not None and time.monotonic() - saved > _SAVE_EVERY:
                selection.save(path)
                saved = time.monotonic()
    if path is not None:
        selection.save(path)
    return torch.tensor(selection.selected[:count])


def _check(joints, count, start):
    shape = tuple(getattr(joints, "shape", ()))
    if len(shape) != 3 or shape[2] != 3 or not shape[0] or not shape[1] or "float" not in str(joints.dtype):
        found = f"the shape {shape} and the type {joints.dtype}" if shape else f"the type {type(joints).__name__}"
        raise ValueError(f"joints has {found}; expected a float tensor or array (N, J, 3) in metres.")
    if not 1 <= count <= shape[0]:
        raise ValueError(f"count is {count}, but there are {shape[0]} poses; expected 1 to {shape[0]}.")
    if not 0 <= start < shape[0]:
        raise ValueError(f"start is {start}, but there are {shape[0]} poses; expected 0 to {shape[0] - 1}.")


class _Selection:
    """The selected poses, every pose's upper bound, and how many of the selected it was compared with."""

    def __init__(self, joints, count, start):
        self.joints, self.count, self.start = joints, count, start
        size, num_joints = joints.shape[:2]
        self.selected: list[int] = []
        self.places = torch.empty(count, 3, num_joints, 1)  # of the selected poses
        self.bounds = torch.full((size,), torch.inf)  # -1 for the selected ones
        self.compared = torch.zeros(size, dtype=torch.int32)

    def begin(self, start):
        self._select(start, self._read(torch.tensor([start])))
        self.bounds[start] = -1
        self._catch_up(torch.arange(len(self.bounds)))

    def advance(self):
        """Select poses until the front has sunk to the level of the others."""
        highest = self.bounds.max()
        if highest == 0:  # only copies of selected poses are left
            copies = (self.bounds == 0).nonzero()[:, 0].tolist()
            for copy in copies[: self.count - len(self.selected)]:
                self._select(copy, self._read(torch.tensor([copy])))
                self.bounds[copy] = -1
            return
        level = _SINK * highest
        if int((self.bounds >= level).sum()) > _FRONT:
            level = self.bounds.kthvalue(len(self.bounds) - _FRONT + 1).values
        front = (self.bounds >= level).nonzero()[:, 0]
        self._catch_up(front[self.compared[front].argsort(stable=True)])
        front = front[self.bounds[front] >= level]  # by rising index: the first of equal maxima is the lowest
        if len(front):
            self._exhaust(front, level)

    def _exhaust(self, front, level):
        blocks = [self._read(rows) for rows in front.split(_BLOCK)]
        bounds = self.bounds[front]
        parts = bounds.split(_BLOCK)
        while len(self.selected) < self.count:
            best = int(bounds.numpy().argmax())
            if bounds[best] < level:
                break
            place = self._select(int(front[best]), blocks[best // _BLOCK][..., best % _BLOCK, None])
            bounds[best] = -1
            for block, part in zip(blocks, parts, strict=True):
                torch.minimum(part, _distances(block, place), out=part)
        self.bounds[front] = bounds
        self.compared[front] = len(self.selected)

    def _select(self, index, place):
        self.places[len(self.selected)] = place.reshape(self.places.shape[1:])
        self.selected.append(index)
        return self.places[len(self.selected) - 1]

    def _catch_up(self, rows):
        """Compare poses with every selected one they were not compared with."""
        for part in rows.split(_BLOCK):
            first = int(self.compared[part].min())
            if first == len(self.selected):
                continue
            block, bounds = self._read(part), self.bounds[part]
            for place in self.places[first : len(self.selected)]:
                torch.minimum(bounds, _distances(block, place), out=bounds)
            self.bounds[part] = bounds
            self.compared[part] = len(self.selected)

    def _read(self, rows):
        """`(3, J, n)` joints of some poses, contiguous: the distances then run along the poses."""
        if torch.is_tensor(self.joints):
            block = self.joints[rows.to(self.joints.device)].float().cpu()
        else:
            block = torch.from_numpy(np.asarray(self.joints[rows.numpy()], dtype=np.float32))
        finite = block.isfinite().all(-1).all(-1)
        if not finite.all():
            bad = int(rows[~finite][0])
            raise ValueError(f"joints holds NaN or infinity in pose {bad}; every coordinate must be a finite number.")
        return block.permute(2, 1, 0).contiguous()

    def save(self, path):
        """Beside its place and moved there, so that the file is whole at every moment."""
        state = {"selected": torch.tensor(self.selected), "bounds": self.bounds, "compared": self.compared}
        state["places"] = self.places[: len(self.selected)]
        with replacing(path) as part:
            save_file(state, part)

    def load(self, path):
        try:
            state = load_file(path)
            selected = state["selected"].tolist()
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"{path} is no state of a selection ({error}); delete it or name another file.") from None
        places = state["places"]
        if len(state["bounds"]) != len(self.bounds) or selected[0] != self.start or not self._are_at(selected, places):
            raise ValueError(
                f"{path} is the state of a selection from other joints or another start than {self.start}; delete it "
                "or name another file."
            )
        self.selected, self.bounds, self.compared = selected, state["bounds"], state["compared"]
        self.places = torch.cat([places, self.places[len(selected) :]])

    def _are_at(self, selected, places):
        if places.shape[1:] != self.places.shape[1:]:
            return False
        return all(
            torch.equal(self._read(rows), there[..., 0].permute(1, 2, 0))
            for rows, there in zip(torch.tensor(selected).split(_BLOCK), places.split(_BLOCK), strict=True)
        )


def _distances(block, place):
    """Mean per-joint error `(n,)` of poses `(3, J, n)` to one `(3, J, 1)`.

    Only operations on single elements, whose rounding does not depend on where a pose stands in a block.
    """
    offsets = (block - place).square_()
    lengths = offsets[0].add_(offsets[1]).add_(offsets[2]).sqrt_()  # (J, n)
    rows = total = len(lengths)
    while rows > 1:
        half = rows // 2
        lengths[:half] += lengths[rows - half : rows]
        rows -= half
    return lengths[0].div_(total)
