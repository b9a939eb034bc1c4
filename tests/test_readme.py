# SPDX-License-Identifier: Apache-2.0
"""The README tells the truth: its Python runs, its commands exist, its figures are those of the bundled card."""

import json
import re
import shlex
from difflib import SequenceMatcher
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unipose_hf.auto import BUNDLED_CHECKPOINT
from unipose_hf.cli import app
from unipose_hf.evaluation.reporting.card import figures_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.S)
CARD = (BUNDLED_CHECKPOINT / "README.md").read_text(encoding="utf-8")


def run(snippet, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    exec(compile(snippet, "README.md", "exec"), names)
    return names


def test_there_are_snippets():
    assert len(SNIPPETS) >= 4


def test_the_command_lines_run_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [block] = re.findall(r"## Command line\n.*?```bash\n(.*?)```", README, re.S)
    for line in block.splitlines():
        command, *arguments = shlex.split(line, comments=True)
        result = CliRunner().invoke(app, arguments)
        assert command == "unipose" and result.exit_code == 0, result.output
    for name in ("poses/photo.glb", "squat.glb", "squat.png", "bent.npz", "walk.png"):
        assert (tmp_path / name).is_file(), name


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippets_run(number, tmp_path, monkeypatch):
    assert run(SNIPPETS[number], tmp_path, monkeypatch)


def test_first_snippet_prints_what_the_readme_says(tmp_path, monkeypatch, capsys):
    run(SNIPPETS[0], tmp_path, monkeypatch)
    assert (tmp_path / "pose.glb").stat().st_size > 100_000
    printed = capsys.readouterr().out.strip().splitlines()[-1]
    [quoted] = re.findall(r"it prints\n\n> (.*?)\n", README)
    # another processor may round one code or word differently, and the words after it follow
    assert SequenceMatcher(None, printed.split(), quoted.split()).ratio() > 0.8


def test_the_card_snippet_runs(tmp_path, monkeypatch):
    [snippet] = re.findall(r"```python\n(.*?)```", CARD, re.S)
    assert run(snippet, tmp_path, monkeypatch)["kick"].axis_angle.shape == (22, 3)


def test_figures_are_the_measured_ones():
    table = figures_table(json.loads((BUNDLED_CHECKPOINT / "figures.json").read_text()))
    assert table in README and table in CARD


def test_files_and_commands_that_the_readme_names_exist():
    for link in re.findall(r"\]\(((?!http|#)[^)]+)\)", README):
        assert (ROOT / link).is_file(), link
    commands = {command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    told = set(re.findall(r"^unipose ([a-z-]+)", README, re.M)) | set(re.findall(r"`unipose ([a-z-]+)", README))
    assert len(told) > 8 and told <= commands, told - commands
    for path in re.findall(r"`((?:examples|src)/[\w/.-]+)`", README):
        assert (ROOT / path).exists(), path
