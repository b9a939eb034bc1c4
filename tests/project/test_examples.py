# SPDX-License-Identifier: Apache-2.0
"""The scripts in examples/everyday and the notebooks run on small inputs."""

import io
import json
import runpy
import shutil
import sys
import threading
import urllib.error
import urllib.request
from http.server import HTTPServer
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image
from transformers import AutoModel

from unipose_hf import Pose, named_pose, sample

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = EXAMPLES / "everyday"
NOTEBOOKS = sorted((EXAMPLES / "notebooks").glob("*.ipynb"))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a script of examples/everyday in an empty folder and returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def script(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return script


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    shutil.copy(sample("walk.bvh"), folder)
    return folder


def test_a_folder_of_pictures_becomes_poses(run, tmp_path):
    (tmp_path / "pictures").mkdir()
    shutil.copy(sample("photo.jpg"), tmp_path / "pictures" / "a.jpg")
    assert "a.jpg: score" in run("estimate_folder", "pictures", "poses")
    assert Pose.from_npz(tmp_path / "poses" / "a.npz").axis_angle.shape == (22, 3)
    assert (tmp_path / "poses" / "a.png").is_file()


def test_a_pose_is_edited_line_by_line(run, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("raise both arms\nbend your left knee\nundo\n\n"))
    run("edit_loop", "--output", "one.json")
    monkeypatch.setattr(sys, "stdin", io.StringIO("raise both arms\n\n"))
    run("edit_loop", "--output", "same.json")
    one, same = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "same"))
    assert one == same and one != named_pose("standing relaxed").to_dict()


def test_a_library_of_clips_is_captioned(run, tmp_path, clips):
    run("caption_library", clips, "captions.jsonl", "--every", 20)
    rows = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text().splitlines()]
    assert len(rows) > 1 and [row["frame"] for row in rows] == [20 * number for number in range(len(rows))]
    assert all(row["file"] == "walk.bvh" and row["text"].endswith(".") for row in rows)


def test_poses_are_found_by_words(run, tmp_path, clips):
    printed = run("search", "the left leg is in front", "--clips", clips, "--top", 3).splitlines()
    assert len(printed) == 3 and all("walk.bvh" in line for line in printed)
    assert (tmp_path / "found.png").is_file()


def test_words_become_a_skeleton(run, tmp_path):
    assert "skeleton.png" in run("pose_to_picture", "a deep squat", "--size", 128)
    assert Image.open(tmp_path / "skeleton.png").getextrema() != ((0, 0),) * 3


def test_own_poses_finetune_a_model(run, tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("warrior two", "deep squat"):
        named_pose(name).save(tmp_path / "mine" / f"{name}.npz")
        (tmp_path / "mine" / f"{name}.txt").write_text(f"{name}\na person in {name}\n")
    run("finetune_own_poses", "mine", "tuned", "--steps", 1)
    assert AutoModel.from_pretrained(tmp_path / "tuned").num_parameters() > 1e6


def test_tasks_are_served():
    handler = runpy.run_path(str(SCRIPTS / "serve.py"))["Handler"]
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        request = json.dumps({"text": "hands on hips"}).encode()
        answer = json.load(urllib.request.urlopen(f"{address}/text-to-pose", request))
        assert Pose(answer["pose"]).joints.shape == (22, 3) and 0 < answer["score"] <= 1
        with pytest.raises(urllib.error.HTTPError, match="400") as refused:
            urllib.request.urlopen(f"{address}/text-to-song", request)
        assert "text-to-song" in json.load(refused.value)["error"]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebooks_run_and_keep_their_outputs(file, tmp_path):
    notebook = nbformat.read(file, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(bool(cell.outputs) for cell in code) >= 2 and not any("error" in str(cell.outputs[:1]) for cell in code)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
