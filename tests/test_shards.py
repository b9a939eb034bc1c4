# SPDX-License-Identifier: Apache-2.0
"""Shards: the same bytes however they came about, whole or absent, and published only where that is allowed."""

import os

import pytest

pytest.importorskip("datasets")

from unipose_hf.data import shards
from unipose_hf.data.shards import keep_plan, push_dataset, write_card, write_shards

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


def write(folder, make=make_rows, **options):
    write_shards(folder / "A", "train", [n * n for n in range(ROWS)], features, make, progress=False, **options)
    return {path.name: path.read_bytes() for path in sorted((folder / "A").iterdir())}


def test_readable_with_datasets(tmp_path):
    from datasets import load_dataset

    write(tmp_path)
    write_card(tmp_path, "Numbers", "Some numbers.")
    loaded = load_dataset(str(tmp_path), "A", split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["number"] == [n * n for n in range(ROWS)] and loaded["place"] == list(range(ROWS))
    assert "* PoseEst-Open: free" in (tmp_path / "README.md").read_text()


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
        assert left.items() <= whole.items()  # whole shards only, and nothing beside them
        (folder / "A" / ".train.1.part").write_bytes(b"left by a process that was killed outright")
        assert write(folder) == whole


def test_processes_change_no_byte(tmp_path):
    assert write(tmp_path / "two", processes=2) == write(tmp_path / "one")


def test_other_settings_are_refused(tmp_path):
    keep_plan(tmp_path, {"seed": 1, "size": 5})
    keep_plan(tmp_path, {"size": 5, "seed": 1})
    with pytest.raises(ValueError, match="begun with other settings .seed"):
        keep_plan(tmp_path, {"seed": 2, "size": 5})


def test_only_free_data_is_pushed(tmp_path, monkeypatch):
    import huggingface_hub

    uploads = []
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda self, *a, **k: uploads.append(k))
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", lambda self, **k: uploads.append(k))
    with pytest.raises(FileNotFoundError, match="no finished data set"):
        push_dataset(tmp_path, "me/numbers")
    write(tmp_path / "free")
    write_card(tmp_path / "free", "Numbers", "")
    assert push_dataset(tmp_path / "free", "me/numbers").endswith("datasets/me/numbers")
    assert uploads[0]["private"] and uploads[1]["allow_patterns"] == ["README.md", "*/*.parquet"]
    write(tmp_path / "bound", forbidden_rows)
    write_card(tmp_path / "bound", "Numbers", "")
    with pytest.raises(ValueError, match="rows of COCO, whose licence .free. does not allow"):
        push_dataset(tmp_path / "bound", "me/numbers")
    assert len(uploads) == 2
