# SPDX-License-Identifier: Apache-2.0
"""The prompts: JSON Lines, in the folder that is the data set on the Hub."""

import json
import os
from pathlib import Path
from typing import Any

from unipose_hf.modeling.pose_unipose import write_file

TASKS = ("text-to-pose", "pose-editing")
FILES: tuple[str, ...] = ("README.md", *(f"{task}/test.jsonl" for task in TASKS))
"""The files of the data set: its card, and one of prompts for each configuration."""
_FOLDER = Path(__file__).with_name("data")
CARD: Path = _FOLDER / "README.md"


def load_prompts(task: str) -> list[dict[str, Any]]:
    """
    The prompts of a task, as dictionaries.

    * `id`, `kind`, `text`;
    * `predicates`: what must hold (`unipose_hf.evaluation.plain_english.judging`);
    * `either_side`: whether the mirror image is right too;
    * `witness`: a pose that is right, `(22, 3)` axis-angle in radians, as nested lists;
    * of `"pose-editing"` also `start`, a name; `pose`, the pose to edit, `(22, 3)`; `keep`, the limbs to leave alone.

    Raises:
        ValueError: unknown task.
    """
    if task not in TASKS:
        raise ValueError(f"There are no prompts for {task!r}; choose from {', '.join(TASKS)}.")
    return [json.loads(line) for line in (_FOLDER / task / "test.jsonl").read_text(encoding="utf-8").splitlines()]


def export_prompts(folder: str | os.PathLike) -> Path:
    """Writes the data set with its card to a folder for `hf upload USER/NAME FOLDER --repo-type dataset`."""
    for name in FILES:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, (_FOLDER / name).read_bytes())
    return Path(folder)
