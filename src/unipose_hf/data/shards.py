# SPDX-License-Identifier: Apache-2.0
"""Data sets as folders of Parquet shards that `datasets.load_dataset(folder)` reads.

A shard depends on its plan alone and is written whole or not at all. So a killed build goes on where it stopped, with
any number of processes, and ends with the same bytes.
"""

import functools
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from tqdm.auto import tqdm

from ..modeling.pose_unipose import write_file
from .licences import LICENCES

ROWS = 128  # of a shard: about 3 MB of rendered pictures, and what a killed build loses at the most


def shard_name(split: str, number: int, count: int) -> str:
    """The file name of a shard, as on the Hub."""
    return f"{split}-{number:05d}-of-{count:05d}.parquet"


def keep_plan(folder: str | os.PathLike, plan: dict) -> None:
    """Write down what is being built in a folder, or check that it is what was begun there.

    Raises:
        ValueError: the folder was begun with another plan.
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
            f"{folder} was begun with other settings ({other}); take the same ones, another folder, or remove it."
        )


def write_shards(
    folder: str | os.PathLike,
    split: str,
    rows: list,
    features: Callable,
    make_rows: Callable[[list, int], list[dict]],
    *,
    processes: int = 1,
    progress: bool = True,
) -> None:
    """Make the rows of a split and write them as shards.

    Args:
        folder: for the shards; made if missing.
        split: "train" or "test".
        rows: what to make, a small picklable thing for each row.
        features: a function that returns the columns (`datasets.Features`).
        make_rows: takes some of `rows` and the place of the first, returns them as dicts of columns. It must depend on
            nothing else, and is pickled for several processes.
        processes: that share the shards, one thread each where there are several.
        progress: show a progress bar.

    Raises:
        ImportError: `datasets` is not installed.
    """
    _import_datasets()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    count = -(-len(rows) // ROWS)
    jobs = [(folder / shard_name(split, n, count), rows[n * ROWS : (n + 1) * ROWS], n * ROWS) for n in range(count)]
    missing = [job for job in jobs if not job[0].exists()]
    for part in folder.glob(".*.part"):  # of a build that was killed outright
        part.unlink()
    work = functools.partial(_write_shard, features, make_rows)
    with tqdm(total=count, initial=count - len(missing), desc=f"{folder.name} {split}", disable=not progress) as bar:
        if processes == 1:
            for job in missing:
                work(job)
                bar.update()
        elif missing:
            # spawned, for OpenGL does not survive a fork
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(processes, context, torch.set_num_threads, (1,)) as pool:
                for _ in pool.map(work, missing):
                    bar.update()


def _write_shard(features, make_rows, job):
    path, rows, first = job
    from pyarrow import parquet

    made = _import_datasets().Dataset.from_list(make_rows(rows, first), features=features())
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        parquet.write_table(made.data.table, part)  # `to_parquet` shows a bar for each
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_card(folder: str | os.PathLike, title: str, text: str) -> None:
    """The `README.md` that tells `datasets` which shards are which: a configuration for each sub-folder of shards.

    The licences named in it are those that the shards' rows carry.
    """
    folder = Path(folder)
    configs, licences = [], set()
    for shards in sorted({path.parent for path in folder.glob("*/*.parquet")}):
        splits = sorted({path.name.split("-")[0] for path in shards.glob("*.parquet")}, reverse=True)
        configs.append(f"- config_name: {shards.name}\n  data_files:")
        configs += [f"  - split: {split}\n    path: {shards.name}/{split}-*.parquet" for split in splits]
        licences |= _sets_and_licences(shards.glob("*.parquet"))
    listed = "\n".join(f"* {name}: {licence}" for name, licence in sorted(licences))
    card = f"---\nconfigs:\n{chr(10).join(configs)}\n---\n# {title}\n\n{text}\n\n## Licences\n\n{listed}\n"
    write_file(folder / "README.md", card.encode())


def push_dataset(folder: str | os.PathLike, repo_id: str, *, private: bool = True, token: str | None = None) -> str:
    """Upload a finished data set to the Hub, if the licence of every row allows that.

    Args:
        folder: what a builder left. Pools, journals and the like stay here.
        repo_id: "user/name"; made if missing, private unless said otherwise.

    Returns:
        the address of the data set.

    Raises:
        FileNotFoundError: the folder holds no finished data set.
        ValueError: a licence forbids passing the rows on.
    """
    folder = Path(folder)
    shards = sorted(folder.glob("*/*.parquet"))
    if not shards or not (folder / "README.md").is_file():
        raise FileNotFoundError(f"{folder} holds no finished data set; build it first.")
    for name, licence in sorted(_sets_and_licences(shards)):
        if name not in LICENCES or not LICENCES[name].redistribution:
            raise ValueError(
                f"{folder} holds rows of {name}, whose licence ({licence}) does not allow them to be passed on; build "
                "without that set to publish the rest."
            )
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
    api.upload_folder(
        repo_id=repo_id, repo_type="dataset", folder_path=folder, allow_patterns=["README.md", "*/*.parquet"]
    )
    return f"https://huggingface.co/datasets/{repo_id}"


def _sets_and_licences(shards: Iterable[Path]) -> set[tuple[str, str]]:
    """(set, licence) of all rows."""
    from pyarrow import parquet

    found = set()
    for path in shards:
        columns = parquet.read_table(path, columns=["set", "licence"])
        found |= set(zip(*(column.to_pylist() for column in columns.columns), strict=True))
    return found


def _import_datasets():
    try:
        import datasets
    except ImportError:
        raise ImportError("Data sets are written with datasets: pip install unipose-hf[train]") from None
    return datasets
