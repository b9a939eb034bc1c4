# SPDX-License-Identifier: Apache-2.0
"""README and docs are correct: code runs, commands exist, figures match the measurements."""

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

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {file: file.read_text(encoding="utf-8") for file in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))}
README = PAGES[ROOT / "README.md"]
SNIPPETS = [
    pytest.param(snippet, id=f"{file.stem}-{number}")
    for file, text in PAGES.items()
    for number, snippet in enumerate(re.findall(r"```python\n(.*?)```", text, re.S))
    if "export_onnx" not in snippet  # which tests/hub/test_graphs.py runs, and reads what it wrote
]
CARD = (BUNDLED_CHECKPOINT / "README.md").read_text(encoding="utf-8")


def run(snippet, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    exec(compile(snippet, "snippet", "exec"), names)
    return names


def test_there_are_snippets():
    assert len(SNIPPETS) >= 8


def test_the_command_lines_run_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [block] = re.findall(r"```bash\n(.*?)```", PAGES[DOCS / "command_line.md"], re.S)
    for line in block.splitlines():
        command, *arguments = shlex.split(line, comments=True)
        result = CliRunner().invoke(app, arguments)
        assert command == "unipose" and result.exit_code == 0, result.output
    for name in ("poses/photo.glb", "squat.glb", "squat.png", "bent.npz", "walk.png"):
        assert (tmp_path / name).is_file(), name


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippets_run(snippet, tmp_path, monkeypatch):
    assert run(snippet, tmp_path, monkeypatch)


def test_first_snippet_prints_what_the_readme_says(tmp_path, monkeypatch, capsys):
    run(SNIPPETS[0].values[0], tmp_path, monkeypatch)
    assert (tmp_path / "pose.glb").stat().st_size > 100_000
    printed = capsys.readouterr().out.strip().splitlines()[-1]
    [quoted] = re.findall(r"it prints\n\n> (.*?)\n", README)
    # rounding on another CPU may change one code or word, and thus the following ones
    assert SequenceMatcher(None, printed.split(), quoted.split()).ratio() > 0.8


def test_the_card_snippet_runs(tmp_path, monkeypatch):
    [snippet] = re.findall(r"```python\n(.*?)```", CARD, re.S)
    assert run(snippet, tmp_path, monkeypatch)["kick"].axis_angle.shape == (22, 3)


def test_figures_are_the_measured_ones():
    table = figures_table(json.loads((BUNDLED_CHECKPOINT / "figures.json").read_text()))
    assert table in PAGES[DOCS / "evaluation.md"] and table in CARD
    [chosen] = re.findall(r"ignore the input:\n\n(.*?)\n\n", README, re.S)
    assert len(chosen.splitlines()) > 2 and set(chosen.splitlines()) <= set(table.splitlines())


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.stem)
def test_files_that_a_page_names_exist(file):
    for link in re.findall(r"\]\(((?!http|#)[^)#]+)", PAGES[file]):
        assert (file.parent / link).is_file(), link
    for path in re.findall(r"`((?:examples|src|docs|tests)/[\w/.-]+)`", PAGES[file]):
        assert (ROOT / path).exists(), path


def test_commands_that_the_pages_name_exist():
    commands = {command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    text = "\n".join(PAGES.values())
    named = set(re.findall(r"^unipose ([a-z-]+)", text, re.M)) | set(re.findall(r"`unipose ([a-z-]+)", text))
    assert len(named) > 8 and named <= commands, named - commands
