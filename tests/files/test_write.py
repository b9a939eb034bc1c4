# SPDX-License-Identifier: Apache-2.0
"""Written files are atomic, respect the umask, and leave no temporary files."""

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from unipose_hf import Pose, PoseTokenizerConfig, PoseTokenizerModel
from unipose_hf.body.bake import write_asset
from unipose_hf.data.mining.selection import farthest_points
from unipose_hf.files.write import replacing, temporary_folder_next_to
from unipose_hf.hub.folder import export
from unipose_hf.modeling.pose_unipose import SUFFIXES


@contextlib.contextmanager
def umask(mask):
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_files_have_the_permissions_that_new_files_have(tmp_path, mask):
    pose = Pose(np.zeros((22, 3)))
    with umask(mask):
        for suffix in SUFFIXES:
            pose.save(tmp_path / f"a{suffix}")
        pose.render(tmp_path / "a.png", size=32)
        export(PoseTokenizerModel(PoseTokenizerConfig(hidden_size=8)), None, tmp_path / "hub")
        farthest_points(
            np.random.default_rng(0).random((9, 22, 3)),
            4,
            state_file=tmp_path / "selection.safetensors",
            progress=False,
        )
        write_asset(tmp_path / "body.safetensors", {"a": np.zeros(2)}, {})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 14 and {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~mask}
    assert (tmp_path / "hub").stat().st_mode & 0o777 == 0o777 & ~mask


def test_what_fails_leaves_the_old_and_nothing_beside(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    (tmp_path / ".a.txt.part").write_text("what a killed process left")
    with pytest.raises(RuntimeError), replacing(target) as part:
        part.write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), temporary_folder_next_to(tmp_path / "folder") as made:
        (made / "x").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"] and target.read_text() == "old"
    with replacing(target) as part:
        save_file({"a": torch.zeros(2)}, part)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"] and target.stat().st_size > 40


def test_a_command_that_is_ended_leaves_nothing_half_made(tmp_path):
    """As a job scheduler ends it."""
    code = (
        "import sys, time; from pathlib import Path; from unipose_hf import cli; from unipose_hf.files import write\n"
        "@cli.app.command()\n"
        "def slow():\n"
        "    with write.temporary_folder_next_to(Path('made')) as made:\n"
        "        (made / 'weights').touch(); print('begun', flush=True); time.sleep(60)\n"
        "cli.main()"
    )
    command = subprocess.Popen([sys.executable, "-c", code, "slow"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert command.stdout.readline() == "begun\n" and list(tmp_path.iterdir())
    command.terminate()
    assert command.wait(120) == 128 + signal.SIGTERM and not list(tmp_path.iterdir())
