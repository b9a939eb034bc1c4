# SPDX-License-Identifier: Apache-2.0
"""The package structure of CONTRIBUTING.md: imports go one way, and modules stay small."""

import ast
from pathlib import Path

import pytest

import unipose_hf

ROOT = Path(unipose_hf.__file__).parent
# Each subpackage may import the ones before it; `hub` only the first two, `imaging` none that reads or trains.
ROOMS = [
    "modeling",
    "files",
    "body",
    "captions",
    "visualization",
    "data",
    "motion",
    "evaluation",
    "training",
    "hub",
    "imaging",
    "app",
    "cli",
]
MAY_IMPORT = {room: set(ROOMS[:number]) for number, room in enumerate(ROOMS)} | {"hub": {"modeling", "files"}}
MAY_IMPORT |= {"imaging": {"modeling", "files", "body", "visualization"}}
MAY_IMPORT |= {"files": set(), "assets": {"modeling"}}
MAX_FILES, MAX_LINES = 20, 650


def imported_rooms(file):
    """The rooms of the package that a file imports from, at its top or within its functions."""
    package = ("unipose_hf", *file.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            names = [".".join([*base, *([node.module] if node.module else [])])]
        for name in names:
            parts = name.split(".")
            if parts[0] == "unipose_hf" and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_run_one_way(room):
    wrong = {}
    for file in (ROOT / room).rglob("*.py"):
        found = set(imported_rooms(file)) - MAY_IMPORT[room] - {room}
        if found:
            wrong[str(file.relative_to(ROOT))] = sorted(found)
    assert not wrong, f"{room} may import {sorted(MAY_IMPORT[room])} alone"


def test_every_room_is_known_and_small():
    rooms = {path.parent for path in ROOT.rglob("*.py")}
    assert {room.relative_to(ROOT).parts[0] for room in rooms if room != ROOT} == set(MAY_IMPORT)
    crowded = {str(room): files for room in rooms if (files := len(list(room.glob("[!_]*.py")))) > MAX_FILES}
    assert not crowded
    long = {f.name: n for f in ROOT.rglob("*.py") if (n := len(f.read_text().splitlines())) > MAX_LINES}
    assert not long


def test_no_folder_of_the_examples_is_crowded():
    examples = ROOT.parents[1] / "examples"
    folders = [examples, *(path for path in examples.rglob("*") if path.is_dir() and path.name != "__pycache__")]
    sizes = {str(folder.relative_to(examples)): len(list(folder.glob("*.*"))) for folder in folders}
    assert sum(sizes.values()) > MAX_FILES and not {folder: n for folder, n in sizes.items() if n > MAX_FILES}


def test_the_drawing_of_the_docs_shows_every_room():
    drawing = (ROOT.parents[1] / "docs" / "pictures" / "rooms.svg").read_text(encoding="utf-8")
    assert all(f">{room}</text>" in drawing for room in ROOMS)
