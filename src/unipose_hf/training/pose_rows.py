# SPDX-License-Identifier: Apache-2.0
"""Poses in a single tensor, so that a batch is one indexing operation instead of 256 collated rows."""

import numpy as np
import torch
from datasets import Dataset as Rows
from numpy.typing import ArrayLike

from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix


class PoseRows(torch.utils.data.Dataset):
    """
    Poses for a `DataLoader` whose `collate_fn` returns batches unchanged.

    Args:
        poses: a `datasets.Dataset` whose column `pose` holds local axis-angle rotations `(22, 3)` in radians, y up, or
            a tensor or array `(n, 22, 3)` of them.

    Raises:
        ValueError: missing column, wrong shape, no poses, or poses that are not finite.
    """

    def __init__(self, poses: ArrayLike | Rows) -> None:
        if hasattr(poses, "column_names"):
            if "pose" not in poses.column_names:
                raise ValueError(
                    f"The poses must be in a column 'pose', but the columns are {poses.column_names}; rename one."
                )
            numbers = _numbers(poses)
            if not len(poses) or numbers.size != 66 * len(poses):
                raise ValueError(f"Each pose must have 22 x 3 numbers; {len(poses)} poses have {numbers.size}.")
            poses = torch.tensor(numbers).reshape(-1, 22, 3)  # a writable copy, which torch requires
        poses = torch.as_tensor(poses, dtype=torch.float32)
        if poses.ndim != 3 or poses.shape[1:] != (22, 3) or not len(poses):
            raise ValueError(f"Poses must have shape (n, 22, 3) with n > 0, found {tuple(poses.shape)}.")
        broken = (~poses.isfinite().flatten(1).all(1)).nonzero()[:, 0].tolist()
        if broken:
            raise ValueError(f"{len(broken)} poses are not finite, in rows {broken[:10]}; remove them.")
        self.poses = poses

    def __len__(self) -> int:
        return len(self.poses)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        return {name: values[0] for name, values in self.__getitems__([row]).items()}

    def __getitems__(self, rows: list[int]) -> dict[str, torch.Tensor]:
        """`rotations (b, 22, 3, 3)` and their `rows (b,)`."""
        rows = torch.as_tensor(rows)
        return {"rotations": axis_angle_to_matrix(self.poses[rows]), "rows": rows}


def _numbers(dataset) -> np.ndarray:
    """The flat column `pose`, from Arrow's buffers: reading lists row by row takes over a minute for a million
    poses."""
    column = dataset.with_format("arrow", columns=["pose"])[:]["pose"].combine_chunks()
    column = getattr(column, "storage", column)
    while hasattr(column, "flatten") and column.type.num_fields:
        column = column.flatten()
    return column.to_numpy(zero_copy_only=False)
