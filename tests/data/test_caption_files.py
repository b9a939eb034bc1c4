# SPDX-License-Identifier: Apache-2.0
"""Captions of many pose files: all formats, several processes, unreadable files, no partial output."""

import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from unipose_hf import Pose, cli
from unipose_hf.captions import caption_poses
from unipose_hf.data.formats import caption_files as module
from unipose_hf.data.formats.caption_files import caption_files, find_pose_files, write_captions
from unipose_hf.data.formats.pose_files import read_poses
from unipose_hf.data.open_poses import load_open_poses


@pytest.fixture
def folder(tmp_path):
    """Files of every kind, one of them below another folder, and one that is none of poses."""
    poses = load_open_poses("test").axis_angle[[0, 9, 30, 40, 50]]
    (tmp_path / "poses" / "deep").mkdir(parents=True)
    for name, pose in (("b.json", poses[0]), ("c.bvh", poses[1]), ("deep/one.npz", poses[2])):
        Pose(pose).save(tmp_path / "poses" / name)
    frames = []
    for pose in poses:
        Pose(pose).save(tmp_path / "frame.npz")
        frames.append(np.load(tmp_path / "frame.npz")["poses"])
    np.savez(tmp_path / "poses" / "a.npz", poses=np.concatenate(frames))
    (tmp_path / "poses" / "notes.txt").write_text("no poses")
    return tmp_path / "poses"


@pytest.fixture
def broken(folder):
    (folder / "broken.npz").write_bytes(b"\x00\xffno archive")
    (folder / "cut.bvh").write_text((folder / "c.bvh").read_text()[:300])
    return folder


@pytest.fixture
def run(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    return lambda *arguments: CliRunner().invoke(cli.app, ["describe", *map(str, arguments)])


def table(path):
    parquet = pytest.importorskip("pyarrow.parquet")
    read = parquet.read_table(path)
    assert read.column_names == ["file", "frame", "caption"]
    return [tuple(row.values()) for row in read.to_pylist()]


def left_behind(folder):
    return sorted(path.name for path in folder.parent.iterdir() if path.name not in ("poses", "frame.npz"))


def test_a_folder_gives_its_pose_files_in_order(folder):
    names = ["a.npz", "b.json", "c.bvh", "deep/one.npz"]
    assert find_pose_files([folder]) == [folder / name for name in names]
    assert find_pose_files([folder / "c.bvh", folder]) == [folder / name for name in ("c.bvh", *names[:2], names[3])]
    with pytest.raises(FileNotFoundError, match="no file or folder .*none.npz"):
        find_pose_files([folder, folder / "none.npz"])
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no file of poses \(.npz, .bvh, .json.*\) in the folder .*empty"):
        find_pose_files([folder / "empty"])


def test_captions_are_those_of_the_poses(folder):
    files = find_pose_files([folder])
    for options in (dict(), dict(seed=3, version="N2")):
        for one in caption_files(files, **options):
            assert one.error is None
            assert one.captions == caption_poses(read_poses(one.file), **options)
            assert one.frames == list(range(len(one.captions)))
    [motion] = caption_files(files[:1], every=2)
    assert motion.frames == [0, 2, 4] and motion.captions == caption_poses(read_poses(files[0])[[0, 2, 4]])
    with pytest.raises(ValueError, match="version 'Z'"):
        next(caption_files(files, version="Z"))


def test_two_processes_do_what_one_does(broken):
    files = find_pose_files([broken])
    assert list(caption_files(files, every=2, seed=1, processes=2)) == list(caption_files(files, every=2, seed=1))


def test_the_table_holds_what_is_printed(run, folder):
    pytest.importorskip("pyarrow")
    printed = run("poses", "--every", 3, "--seed", 2, "--version", "F")
    assert printed.exit_code == 0, printed.output
    rows = [tuple(line.split("\t")) for line in printed.stdout.splitlines()]
    assert [row[:2] for row in rows[:3]] == [("poses/a.npz", "0"), ("poses/a.npz", "3"), ("poses/b.json", "0")]
    kept = run("poses", "--every", 3, "--seed", 2, "--version", "F", "--output", "out.parquet")
    assert kept.exit_code == 0 and kept.stdout == "out.parquet: 5 captions of 4 files\n" and not kept.stderr
    assert table("out.parquet") == [(file, int(frame), caption) for file, frame, caption in rows]
    assert left_behind(folder) == ["out.parquet"]
    other = run("poses", "--every", 3, "--version", "F")
    assert other.stdout != printed.stdout


def test_rows_are_written_in_batches(folder, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(module, "_ROWS", 2)
    files = find_pose_files([folder])
    output = folder.parent / "out.parquet"
    seen = []
    for one in write_captions(caption_files(files), output):
        seen.append(one.file)
        assert output.with_name(".out.parquet.part").exists() and not output.exists()
    assert seen == files and left_behind(folder) == ["out.parquet"]
    assert parquet.ParquetFile(output).num_row_groups == 3  # 5 rows; 1 and 1; 1
    assert [row[2] for row in table(output)] == [caption for one in caption_files(files) for caption in one.captions]


def test_files_that_cannot_be_read_are_named_and_left_out(run, broken):
    pytest.importorskip("pyarrow")
    result = run("poses", "--output", "out.parquet")
    assert result.exit_code == 0 and result.stdout == "out.parquet: 8 captions of 4 files\n"
    first, second, count = result.stderr.splitlines()
    assert "skipped: poses/broken.npz" in first and "skipped: poses/cut.bvh" in second
    assert count == "unipose: 2 of 6 files could not be read and were skipped."
    assert {row[0] for row in table("out.parquet")} == {
        f"poses/{n}" for n in ("a.npz", "b.json", "c.bvh", "deep/one.npz")
    }
    printed = run("poses")
    assert printed.exit_code == 0 and printed.stderr == result.stderr
    assert [row.split("\t")[2] for row in printed.stdout.splitlines()] == [row[2] for row in table("out.parquet")]
    alone = run("poses/broken.npz")
    assert alone.exit_code == 2 and "broken.npz" in alone.stderr and alone.stderr.count("\n") == 1
    both = run("poses/broken.npz", "poses/cut.bvh")
    assert both.exit_code == 2 and "None of the files" in both.stderr


def test_the_shape_of_a_subject_does_not_hide_the_motions(run, folder):
    """Every folder of a subject in AMASS has such a file."""
    np.savez(folder / "deep" / "shape.npz", betas=np.zeros(16), gender=np.array("female"))
    result = run("poses/deep")
    assert result.exit_code == 0 and result.stdout.startswith("poses/deep/one.npz\t0\t")
    assert "skipped: poses/deep/shape.npz has" in result.stderr and "1 of 2 files" in result.stderr


def test_surprising_damage_costs_one_file_only(folder, monkeypatch):
    def read(path):
        if path.suffix == ".bvh":
            raise KeyError("channels")
        return read_poses(path)

    monkeypatch.setattr(module, "read_poses", read)
    errors = {one.file.name: one.error for one in caption_files(find_pose_files([folder]))}
    assert "c.bvh cannot be read (KeyError: 'channels')" in errors.pop("c.bvh")
    assert set(errors.values()) == {None}


def test_nothing_is_half_written(run, broken, monkeypatch):
    pytest.importorskip("pyarrow")
    (broken.parent / "out.parquet").write_text("an older table")
    none = run("poses/broken.npz", "poses/cut.bvh", "--output", "out.parquet")
    assert (
        none.exit_code == 2 and "None of the files could be read" in none.stderr and "was not written" in none.stderr
    )
    monkeypatch.setattr(module, "_ROWS", 1)

    def break_off(poses, **_):
        if len(poses) == 5 or len(poses) == 0:
            return [""] * len(poses)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "caption_poses", break_off)
    assert run("poses", "--output", "out.parquet").exit_code != 0
    assert left_behind(broken) == ["out.parquet"]
    assert (broken.parent / "out.parquet").read_text() == "an older table"


def test_mistakes_are_told_before_any_work(run, folder):
    shutil.rmtree(folder / "deep")
    for arguments, words in (
        (("poses", "--output", "out.csv"), ("--output is 'out.csv'", ".parquet")),
        (("poses", "--output", "none/out.parquet"), ("folder none does not exist",)),
        (("poses", "poses/none.bvh", "--output", "out.parquet"), ("none.bvh",)),
        (("poses", "--version", "Z", "--output", "out.parquet"), ("'Z'", "default")),
        (("poses", "--processes", 0), ("--processes",)),
    ):
        result = run(*arguments)
        assert result.exit_code == 2 and all(word in result.stderr for word in words), result.output
        assert result.stderr.startswith("unipose: ") and result.stderr.count("\n") == 1 and not result.stdout
    assert left_behind(folder) == []


def test_a_process_that_is_killed_is_told(folder, monkeypatch):
    class Pool:
        def __init__(self, *_, **__):
            pass

        def map(self, *_):
            raise module.BrokenProcessPool

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(module, "ProcessPoolExecutor", Pool)
    with pytest.raises(OSError, match="use fewer processes"):
        list(caption_files([folder / "a.npz"], processes=2))


def test_missing_pyarrow_is_told(folder, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="pip install unipose-hf"):
        next(write_captions(iter(()), tmp_path / "out.parquet"))
    assert torch.is_tensor(read_poses(folder / "a.npz"))
