# SPDX-License-Identifier: Apache-2.0
"""Stores any number of records of a data set on disk, to select from them and to load the selected ones.

Selection uses the poses of all records at once, as joints of a body with a fixed shape and, as in ImageScript, with
the global orientation set to zero (UniPose, supplement A.1). Both files are memory-mapped, not loaded.
"""

import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import roma
import torch

from unipose_hf.body import forward_kinematics, load_body
from unipose_hf.data.records import PoseRecord

_BLOCK = 4096


class PosePool:
    """The records in a folder that `gather_pool` filled.

    Attributes:
        poses: `(N, 22, 3)` float32 axis-angle, as in the records; a memory map, like `joints`.
        joints: `(N, 22, 3)` float32, metres: average body of the package, global orientation zero.
    """

    def __init__(self, folder: str | os.PathLike):
        import pyarrow as pa

        self.folder = folder = Path(folder)
        self._table = pa.ipc.open_file(pa.memory_map(str(folder / "records.arrow"))).read_all()
        self.poses, self.joints = (
            np.memmap(folder / name, dtype=np.float32, mode="r").reshape(-1, 22, 3) for name in ("poses", "joints")
        )

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, row: int) -> PoseRecord:
        pose = np.array(self.poses[row])  # raises IndexError past the end, which ends loops
        [values] = self._table.slice(row, 1).to_pylist()
        betas = None if values["betas"] is None else np.array(values["betas"], dtype=np.float32)
        image = None if values["image"] is None else Path(values["image"])
        box = None if values["box"] is None else tuple(values["box"])
        values |= {
            "pose": pose,
            "betas": betas,
            "image": image,
            "box": box,
            "texts": tuple(values["texts"]),
        }
        return PoseRecord(**values)

    def rows_by_picture(self) -> list[list[int]]:
        """The rows of records with a box, grouped by image, in the order of the images."""
        groups = {}
        for row, (image, box) in enumerate(zip(self._table["image"], self._table["box"], strict=True)):
            if image.is_valid and box.is_valid:
                groups.setdefault(image.as_py(), []).append(row)
        return list(groups.values())

    def measured(self, name: str, dtype: str, measure: Callable[[slice], np.ndarray]) -> np.memmap:
        """`(N, width)` numbers, computed by `measure` in blocks of rows and cached in the file `name`.

        Memory does not grow with the number of records.
        """
        path = self.folder / name
        if not path.exists():
            part = self.folder / f"{name}.part"
            with open(part, "wb") as file:
                for start in range(0, len(self), _BLOCK):
                    file.write(np.asarray(measure(slice(start, start + _BLOCK)), dtype=dtype).tobytes())
            os.replace(part, path)
        return np.memmap(path, dtype=dtype, mode="r").reshape(len(self), -1)


def gather_pool(records: Iterable[PoseRecord], folder: str | os.PathLike) -> PosePool:
    """Write records to a folder, unless it already has them, in blocks with memory independent of their number.

    Records without a pose are skipped.
    Raises:
        ValueError: no record has a pose.
    """
    folder = Path(folder)
    if not (folder / "joints").exists():  # this file is written last
        folder.mkdir(parents=True, exist_ok=True)
        _write(records, folder)
    return PosePool(folder)


def normalised_joints(poses: np.ndarray) -> np.ndarray:
    """Poses `(N, 22, 3)` axis-angle -> joints `(N, 22, 3)`, metres, average shape, global orientation zero."""
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(poses))
    rotations[:, 0] = torch.eye(3)
    joints, _ = forward_kinematics(rotations, load_body(size="small").rest_joints)
    return joints.numpy()


def _write(records, folder):
    import pyarrow as pa

    schema = pa.schema(
        [(name, pa.string()) for name in ("set", "sequence", "licence", "gender", "image")]
        + [("frame", pa.int64()), ("frame_rate", pa.float64()), ("texts", pa.list_(pa.string()))]
        + [("betas", pa.list_(pa.float32())), ("box", pa.list_(pa.float64()))]
    )
    names = ("records.arrow", "poses", "joints")
    parts = [folder / f"{name}.part" for name in names]
    posed = (record for record in records if record.pose is not None)
    with (
        pa.OSFile(str(parts[0]), "wb") as file,
        pa.ipc.new_file(file, schema) as table,
        open(parts[1], "wb") as poses,
        open(parts[2], "wb") as joints,
    ):
        while block := list(islice(posed, _BLOCK)):
            table.write_batch(pa.RecordBatch.from_pylist([_columns(record) for record in block], schema=schema))
            stacked = np.stack([record.pose for record in block]).astype(np.float32)
            poses.write(stacked.tobytes())
            joints.write(normalised_joints(stacked).tobytes())
    if not parts[1].stat().st_size:
        raise ValueError("The source has no record with a pose; check its folder and split.")
    for part, name in zip(parts, names, strict=True):
        os.replace(part, folder / name)


def _columns(record):
    values = record._asdict()
    del values["pose"]
    values["image"] = None if record.image is None else str(record.image)
    return values
