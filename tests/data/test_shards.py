# SPDX-License-Identifier: Apache-2.0
"""Shards: deterministic, complete or absent, and published only if permitted."""

import functools
import os
import time

import pytest

pytest.importorskip("datasets")

from unipose_hf.data.builders import shards
from unipose_hf.data.builders.dataset_card import write_card
from unipose_hf.data.builders.publishing import push_dataset
from unipose_hf.data.builders.shards import record_plan, write_shards

ROWS = 40  # shards of ROWS // 4


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "ROWS", ROWS // 4)


def features():
    from datasets import Features, Value

    return Features(
        {"number": Value("int64"), "place": Value("int64"), "set": Value("string"), "licence": Value("string")}
    )


def make_rows(rows, first, name="PoseEst-Open"):
    return [{"number": n, "place": first + i, "set": name, "licence": "free"} for i, n in enumerate(rows)]


def forbidden_rows(rows, first):
    return make_rows(rows, first, "COCO")


def rows_and_worker(folder, rows, first):
    """Rows that take a while, and a note of the process that made them."""
    (folder / f"worker-{first}").write_text(str(os.getpid()))
    time.sleep(0.5)
    return make_rows(rows, first)


def write(folder, make=make_rows, **options):
    write_shards(folder / "A", "train", [n * n for n in range(ROWS)], features, make, progress=False, **options)
    return {path.name: path.read_bytes() for path in sorted((folder / "A").iterdir())}


def finished(folder, make=make_rows):
    write(folder, make)
    record_plan(folder, {"kind": "numbers", "seed": 3, "sets": [["train", "COCO"]]})
    write_card(folder, "imagescript")
    return (folder / "README.md").read_text()


def test_readable_with_datasets_and_described_by_what_is_there(tmp_path):
    from datasets import load_dataset

    card = finished(tmp_path)
    loaded = load_dataset(str(tmp_path), "A", split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["number"] == [n * n for n in range(ROWS)] and loaded["place"] == list(range(ROWS))
    assert f"* PoseEst-Open, {ROWS} rows: free" in card and f"| A/train | {ROWS} |" in card
    assert "kind numbers, seed 3." in card and "{{" not in card


def test_interruption_anywhere_changes_no_byte(tmp_path, monkeypatch):
    whole = write(tmp_path / "whole")
    assert len(whole) == 4
    for stop_at in range(1, 8):  # inside the writing of a shard, or between the writing and the moving
        folder, done = tmp_path / str(stop_at), []

        def step(*_, done=done, stop_at=stop_at):
            done.append(1)
            if len(done) == stop_at:
                raise KeyboardInterrupt

        def stopping(rows, first, step=step):
            step()
            return make_rows(rows, first)

        replace = os.replace
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, "replace", lambda a, b, step=step, replace=replace: (step(), replace(a, b)))
            write(folder, stopping)
        left = {path.name: path.read_bytes() for path in (folder / "A").iterdir()}
        assert left.items() <= whole.items()  # only complete shards, and no other files
        (folder / "A" / ".train.1.part").write_bytes(b"left by a process that was killed outright")
        assert write(folder) == whole


def test_processes_change_no_byte(tmp_path):
    assert write(tmp_path / "two", processes=2) == write(tmp_path / "one")


def test_ray_changes_no_byte(tmp_path):
    """Two workers of Ray, on this machine."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install unipose-hf[ray]")
    whole = write(tmp_path / "one")
    write(tmp_path / "ray")
    for name in sorted(whole)[1:]:  # as if killed after the first
        (tmp_path / "ray" / "A" / name).unlink()
    here = {"env_vars": {"PYTHONPATH": os.environ["PYTHONPATH"]}}  # where the workers find `rows_and_worker`
    try:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=here)
    except Exception as error:  # some environments forbid the sockets and shared memory it needs
        pytest.skip(f"Ray does not start here ({error})")
    try:
        assert write(tmp_path / "ray", functools.partial(rows_and_worker, tmp_path), on_ray=True) == whole
        workers = {path.read_text() for path in tmp_path.glob("worker-*")}
        assert len(workers) == 2
    finally:
        ray.shutdown()


def test_other_settings_are_refused(tmp_path):
    record_plan(tmp_path, {"seed": 1, "size": 5})
    record_plan(tmp_path, {"size": 5, "seed": 1})
    with pytest.raises(ValueError, match="started with other settings .seed"):
        record_plan(tmp_path, {"seed": 2, "size": 5})


def test_only_free_data_is_pushed(tmp_path, monkeypatch):
    import huggingface_hub

    uploads = []
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda self, *a, **k: uploads.append(k))
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", lambda self, **k: uploads.append(k))
    with pytest.raises(FileNotFoundError, match="no finished data set"):
        push_dataset(tmp_path, "me/numbers")
    finished(tmp_path / "free")
    assert push_dataset(tmp_path / "free", "me/numbers").endswith("datasets/me/numbers")
    assert uploads[0]["private"] and uploads[1]["allow_patterns"] == ["README.md", "*/*.parquet"]
    finished(tmp_path / "bound", forbidden_rows)
    with pytest.raises(ValueError, match="Rows of COCO may not be uploaded"):
        push_dataset(tmp_path / "bound", "me/numbers")
    assert len(uploads) == 2
