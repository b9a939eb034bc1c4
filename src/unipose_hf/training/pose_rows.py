# SPDX-License-Identifier: Apache-2.0
"""Poses held as one tensor, so that a batch is one indexing instead of 256 rows put together."""

import numpy as np
import torch

from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix


class PoseRows(torch.utils.data.Dataset):
    """
    Poses for a `DataLoader` whose `collate_fn` leaves batches as they are.

    Args:
        poses: a `datasets.Dataset` whose column `pose` holds local axis-angle rotations `(22, 3)` in radians, y up, or
            a tensor or array `(n, 22, 3)` of them.

    Raises:
        ValueError: no such column, another shape, no pose at all, or one that is not finite.
    """

    def __init__(self, poses):
        if hasattr(poses, "column_names"):
            if "pose" not in poses.column_names:
                raise ValueError(f"The poses must be in a column 'pose', but there are {poses.column_names}; rename.")
            numbers = _numbers(poses)
            if not len(poses) or numbers.size != 66 * len(poses):
                raise ValueError(f"Each pose must have 22 x 3 numbers; {len(poses)} poses have {numbers.size}.")
            poses = torch.tensor(numbers).reshape(-1, 22, 3)  # a copy that may be written to, which torch demands
        poses = torch.as_tensor(poses, dtype=torch.float32)
        if poses.ndim != 3 or poses.shape[1:] != (22, 3) or not len(poses):
            raise ValueError(f"Poses must have shape (n, 22, 3) with n > 0, found {tuple(poses.shape)}.")
        broken = (~poses.isfinite().flatten(1).all(1)).nonzero()[:, 0].tolist()
        if broken:
            raise ValueError(f"{len(broken)} poses are not finite, rows {broken[:10]}; leave them out.")
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
    """The flat column `pose`. Arrow's own buffers: read as rows of lists, a million poses take over a minute."""
    column = dataset.with_format("arrow", columns=["pose"])[:]["pose"].combine_chunks()
    column = getattr(column, "storage", column)
    while hasattr(column, "flatten") and column.type.num_fields:
        column = column.flatten()
    return column.to_numpy(zero_copy_only=False)
