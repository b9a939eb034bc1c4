# SPDX-License-Identifier: Apache-2.0
"""PoseEst-Open as built by `unipose build-data posest-open`, in full or the bundled slice."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..licences import LICENCES
from ..records import PoseRecord, one_of, skipping

if TYPE_CHECKING:
    from datasets import Dataset

SPLITS = ("train", "test")
BUNDLED_SLICE = Path(__file__).parents[1] / "assets" / "posest_open_slice"  # 200 pictures
_COLUMNS = ("pose", "box", "betas", "set", "sequence", "frame", "licence")


def list_posest_open(root: str | Path, split: str) -> list[Path]:
    """The shards of a split: "train" or "test".

    Raises:
        FileNotFoundError: there are none.
        ValueError: no such split.
    """
    shards = sorted((Path(root) / "A").glob(f"{one_of(SPLITS, split, 'split')}-*.parquet"))
    if not shards:
        raise FileNotFoundError(f"{root} has no {split} shards of PoseEst-Open: {LICENCES['PoseEst-Open'].how}.")
    return shards


def load_posest_open_slice(split: str = "train") -> "Dataset":
    """The 200 images of PoseEst-Open in the package, as a `datasets.Dataset`.

    Args:
        split: "train" (192 of them) or "test".

    Raises:
        ValueError: no such split. ImportError: `datasets` is missing.
    """
    try:
        from datasets import Dataset
        from pyarrow import parquet
    except ImportError:
        raise ImportError("Data sets are read with datasets: pip install unipose-hf[train]") from None
    return Dataset(parquet.read_table(list_posest_open(BUNDLED_SLICE, split)))


def count_posest_open(root: str | Path, split: str) -> int:
    """How many people a split has; errors as for `list_posest_open`."""
    from pyarrow import parquet

    return sum(parquet.read_metadata(shard).num_rows for shard in list_posest_open(root, split))


def read_posest_open(root: str | Path, split: str) -> Iterator[PoseRecord]:
    """The rendered people with pose, picture and box.

    Raises:
        FileNotFoundError, ValueError: as `list_posest_open`.
    """
    return _records(list_posest_open(root, split))


def _records(shards):
    from pyarrow import ArrowException, parquet

    with skipping("PoseEst-Open") as skip:
        for shard in shards:
            try:
                rows = parquet.read_table(shard, columns=list(_COLUMNS)).to_pylist()
            except (ArrowException, OSError) as error:
                skip(f"{shard} cannot be read ({error}); build the set again.")
                continue
            for number, row in enumerate(rows):
                yield PoseRecord(
                    row["set"],
                    row["sequence"],
                    row["frame"],
                    row["licence"],
                    np.array(row["pose"], dtype=np.float32),
                    np.array(row["betas"], dtype=np.float32),
                    image=shard / str(number),
                    box=tuple(row["box"]),
                )
