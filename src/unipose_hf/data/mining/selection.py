# SPDX-License-Identifier: Apache-2.0
"""Farthest point sampling of poses: the selection behind PoseScript's and ImageScript's poses.

Each next pose is the one farthest from all selected so far. The textbook algorithm computes N distances for each
selected pose. Here each pose keeps an *upper bound*, its distance to the nearest selected pose it was compared with;
later selections can only lower it. While some pose that was compared with all of them lies above every other bound,
the others can be ignored. So only the poses with the highest bounds, the front, are compared with each new selection;
the rest catch up at once when the front has sunk to their level. The result is the same, bit for bit.
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

_BLOCK = 4096  # poses compared at once: their 22 joints and the working memory fit in a CPU's cache
_FRONT = 32 * _BLOCK  # maximum size of the front, which is kept in memory: 35 MB at 22 joints
_SINK = 0.9  # the front extends down to this share of the highest bound; 0.8 and 0.95 are slower on real poses
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
    Selects poses that cover all poses: each is the farthest from those before it, by mean per-joint error.

    PoseScript (Delmas et al., 2022) selects its poses this way, and UniPose (Li et al., 2024) those of ImageScript.
    `count` is the number of indices returned, including `start`: PoseScript's sampling of K poses returns its seed and
    K more, which is `count=K + 1` here. A smaller count gives a prefix of the same list. Among equally distant poses
    the lowest index comes first, and no index is returned twice, even for equal poses.

    The distances are float32; poses are not aligned, so remove the yaw first (`unipose_hf.captions.pose_geometry`).
    Memory: about 25 bytes for each pose, 12 for each joint of a selected one, and 50 MB; `joints` may be a memory map.

    Args:
        joints: `(N, J, 3)` metres, float tensor or array (`numpy.load(file, mmap_mode="r")`).
        count: how many poses to select, 1 to N.
        start: index of the first selected pose.
        state_file: where to save the state, so that an interrupted run loses at most a minute and a finished one can
            be extended with a higher `count`. An existing file is continued.
        progress: show a progress bar if it takes more than a second.

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
    """The selected poses, every pose's upper bound, and the number of selected poses it was compared with."""

    def __init__(self, joints, count, start):
        self.joints, self.count, self.start = joints, count, start
        size, num_joints = joints.shape[:2]
        self.selected: list[int] = []
        self.selected_joints = torch.empty(count, 3, num_joints, 1)  # of the selected poses
        self.bounds = torch.full((size,), torch.inf)  # -1 for the selected ones
        self.compared = torch.zeros(size, dtype=torch.int32)

    def begin(self, start):
        self._select(start, self._read(torch.tensor([start])))
        self.bounds[start] = -1
        self._catch_up(torch.arange(len(self.bounds)))

    def advance(self):
        """Selects poses until the front has sunk to the level of the others."""
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
            pose = self._select(int(front[best]), blocks[best // _BLOCK][..., best % _BLOCK, None])
            bounds[best] = -1
            for block, part in zip(blocks, parts, strict=True):
                torch.minimum(part, _distances(block, pose), out=part)
        self.bounds[front] = bounds
        self.compared[front] = len(self.selected)

    def _select(self, index, pose):
        self.selected_joints[len(self.selected)] = pose.reshape(self.selected_joints.shape[1:])
        self.selected.append(index)
        return self.selected_joints[len(self.selected) - 1]

    def _catch_up(self, rows):
        """Compares poses with every selected one that they have not been compared with."""
        for part in rows.split(_BLOCK):
            first = int(self.compared[part].min())
            if first == len(self.selected):
                continue
            block, bounds = self._read(part), self.bounds[part]
            for pose in self.selected_joints[first : len(self.selected)]:
                torch.minimum(bounds, _distances(block, pose), out=bounds)
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
        """Written atomically, so that the file is always complete."""
        state = {"selected": torch.tensor(self.selected), "bounds": self.bounds, "compared": self.compared}
        state["places"] = self.selected_joints[: len(self.selected)]
        with replacing(path) as part:
            save_file(state, part)

    def load(self, path):
        try:
            state = load_file(path)
            selected = state["selected"].tolist()
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"{path} is not a selection state ({error}); delete it or use another file.") from None
        joints = state["places"]
        if len(state["bounds"]) != len(self.bounds) or selected[0] != self.start or not self._are_at(selected, joints):
            raise ValueError(
                f"{path} is the state of a selection from other joints or another start than {self.start}; delete it "
                "or use another file."
            )
        self.selected, self.bounds, self.compared = selected, state["bounds"], state["compared"]
        self.selected_joints = torch.cat([joints, self.selected_joints[len(selected) :]])

    def _are_at(self, selected, joints):
        if joints.shape[1:] != self.selected_joints.shape[1:]:
            return False
        return all(
            torch.equal(self._read(rows), there[..., 0].permute(1, 2, 0))
            for rows, there in zip(torch.tensor(selected).split(_BLOCK), joints.split(_BLOCK), strict=True)
        )


def _distances(block, pose):
    """Mean per-joint error `(n,)` of poses `(3, J, n)` to one `(3, J, 1)`.

    Uses only elementwise operations, whose rounding does not depend on the position of a pose in a block.
    """
    offsets = (block - pose).square_()
    lengths = offsets[0].add_(offsets[1]).add_(offsets[2]).sqrt_()  # (J, n)
    rows = total = len(lengths)
    while rows > 1:
        half = rows // 2
        lengths[:half] += lengths[rows - half : rows]
        rows -= half
    return lengths[0].div_(total)
