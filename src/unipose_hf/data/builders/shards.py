# SPDX-License-Identifier: Apache-2.0
"""Data sets as folders of Parquet shards that `datasets.load_dataset(folder)` reads.

A shard depends only on its plan and is written atomically. An interrupted build therefore resumes where it stopped,
with any number of processes or machines, and ends with the same bytes.
"""

import functools
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from tqdm.auto import tqdm

from unipose_hf.modeling.pose_unipose import write_file

ROWS = 128  # per shard: about 3 MB of rendered images, and the most that an interrupted build loses


def shard_name(split: str, number: int, count: int) -> str:
    """The file name of a shard, as on the Hub."""
    return f"{split}-{number:05d}-of-{count:05d}.parquet"


def record_plan(folder: str | os.PathLike, plan: dict) -> None:
    """Record what is being built in a folder, or check that it matches the build started there.

    Raises:
        ValueError: the folder was started with another plan.
    """
    file = Path(folder) / "plan.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(plan, indent=1, sort_keys=True) + "\n"
    if not file.exists():
        write_file(file, text.encode())
    elif file.read_text(encoding="utf-8") != text:
        begun = json.loads(file.read_text(encoding="utf-8"))
        other = ", ".join(sorted(key for key in plan.keys() | begun.keys() if plan.get(key) != begun.get(key)))
        raise ValueError(
            f"{folder} was started with other settings ({other}); use the same ones or another folder, or remove it."
        )


def write_shards(
    folder: str | os.PathLike,
    split: str,
    rows: list,
    features: Callable,
    make_rows: Callable[[list, int], list[dict]],
    *,
    processes: int = 1,
    on_ray: bool = False,
    progress: bool = True,
) -> None:
    """Make the rows of a split and write them as shards.

    Args:
        folder: folder for the shards; created if missing.
        split: "train" or "test".
        rows: the inputs, a small picklable object for each row.
        features: a function that returns the columns (`datasets.Features`).
        make_rows: takes some of `rows` and the index of the first, returns them as dicts of columns. It must depend on
            nothing else, and is pickled for several processes.
        processes: number of processes that share the shards, with one thread each.
        on_ray: share the shards over the whole Ray cluster of this machine instead; its machines must see `folder`
            and the files that `make_rows` reads under the same paths.
        progress: show a progress bar.

    Raises:
        ImportError: `datasets`, or for `on_ray` Ray, is not installed.
    """
    import_datasets()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    count = -(-len(rows) // ROWS)
    jobs = [(folder / shard_name(split, n, count), rows[n * ROWS : (n + 1) * ROWS], n * ROWS) for n in range(count)]
    missing = [job for job in jobs if not job[0].exists()]
    for part in folder.glob(".*.part"):  # left by a killed build
        part.unlink()
    work = functools.partial(_write_shard, features, make_rows)
    done = _map_on_ray(work, missing) if on_ray else _map(work, missing, processes)
    with tqdm(total=count, initial=count - len(missing), desc=f"{folder.name} {split}", disable=not progress) as bar:
        for _ in done:
            bar.update()


def _map(work, jobs, processes) -> Iterator:
    if processes == 1 or not jobs:
        yield from map(work, jobs)
        return
    # spawned, because OpenGL does not survive a fork
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(work, jobs)
        finally:
            pool.shutdown(cancel_futures=True)


def _map_on_ray(work, jobs) -> Iterator:
    """The same with Ray Data; a single machine is its own cluster."""
    try:
        import ray
        from ray import data
    except ImportError:
        raise ImportError("Building on several machines needs Ray: pip install unipose-hf[ray]") from None
    if not jobs:
        return
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    data.DataContext.get_current().enable_progress_bars = False
    known = ray.put(jobs)

    def run(row):
        work(ray.get(known)[row["id"]])
        return row

    yield from data.range(len(jobs), override_num_blocks=len(jobs)).map(run).iter_rows()


def _write_shard(features, make_rows, job):
    path, rows, first = job
    from pyarrow import parquet

    # sums of floats depend on the number of threads
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        made = import_datasets().Dataset.from_list(make_rows(rows, first), features=features())
        parquet.write_table(made.data.table, part)  # `to_parquet` shows a progress bar for each
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
        torch.set_num_threads(threads)


def count_rows(folder: Path) -> dict[str, int]:
    """Rows of each configuration and split of a built data set: `{"A/train": ...}`."""
    from pyarrow import parquet

    counts = {}
    for path in sorted(folder.glob("*/*.parquet")):
        key = f"{path.parent.name}/{path.name.split('-')[0]}"
        counts[key] = counts.get(key, 0) + parquet.read_metadata(path).num_rows
    return counts


def import_datasets():
    """Imports `datasets`; its ImportError says how to install it."""
    try:
        import datasets
    except ImportError:
        raise ImportError("Data sets are written with datasets: pip install unipose-hf[train]") from None
    return datasets
