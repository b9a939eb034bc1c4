# SPDX-License-Identifier: Apache-2.0
"""All tasks one after the other into a folder: figures, report, pictures. Started again it goes on where it was."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from unipose_hf.figures import save_png
from unipose_hf.modeling.pose_unipose import write_file

from .cases import draw_cases
from .pose_protocols import image_to_pose, pose_editing, retrieval, text_to_pose, tokenizer
from .report import write_report
from .results import Setting
from .text_protocols import image_diff, image_to_pose_text, pose_diff, pose_to_text

# name of the measurement -> the task whose samples it takes, and the protocol
MEASUREMENTS = {
    "tokenizer": ("text-to-pose", tokenizer),
    "text-to-pose": ("text-to-pose", text_to_pose),
    "pose-editing": ("pose-editing", pose_editing),
    "image-to-pose": ("image-to-pose", image_to_pose),
    "pose-to-text": ("pose-to-text", pose_to_text),
    "pose-diff": ("pose-diff", pose_diff),
    "image-to-pose-text": ("image-to-pose-text", image_to_pose_text),
    "image-diff": ("image-diff", image_diff),
    "retrieval": ("pose-to-text", retrieval),
    "pair-retrieval": ("pose-diff", retrieval),
}


def evaluate_into(
    folder: str | Path,
    setting: Setting,
    samples_of: Callable[[str], list[dict]],
    tasks: Iterable[str] = tuple(MEASUREMENTS),
    key: dict | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Measures tasks, and writes `tasks/TASK.json`, `pictures/TASK.png`, `figures.json` and `report.md`.

    A task that was finished with the same `key` is not measured again; the report has all tasks of this key.

    Args:
        folder: made if missing.
        samples_of: task -> its samples, for example `OpenSet().samples`.
        tasks: keys of `MEASUREMENTS`.
        key: what the figures depend on beside the task, plain values: which model, how many samples.
        say: told of each finished task.

    Returns:
        The path of the report.

    Raises:
        ValueError: there is no such task.
    """
    folder, tasks = Path(folder), check_tasks(tasks)
    for name in ("tasks", "pictures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    files = {task: folder / "tasks" / f"{task}.json" for task in MEASUREMENTS}
    for number, task in enumerate(tasks, start=1):
        if _finished(files[task], key) is None:
            result = _measure(task, folder, setting, samples_of)
            write_file(files[task], (json.dumps({"key": key, "result": result}, indent=1) + "\n").encode())
        report = write_report([kept for file in files.values() if (kept := _finished(file, key))], folder)
        say(f"{task}: {number} of {len(tasks)} done")
    return report


def check_tasks(tasks: Iterable[str]) -> list[str]:
    """The tasks, if there are any and all can be measured.

    Raises:
        ValueError: none, or an unknown one.
    """
    tasks = list(tasks)
    for task in tasks or [""]:
        if task not in MEASUREMENTS:
            raise ValueError(f"There is no task {task!r} to evaluate; choose from {', '.join(MEASUREMENTS)}.")
    return tasks


def files_key(folder: str | Path) -> list:
    """What tells whether a folder still holds the same model: its files, with their sizes and times of change."""
    files = sorted(file for file in Path(folder).iterdir() if file.suffix in (".json", ".safetensors"))
    return [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _measure(task, folder, setting, samples_of):
    of, protocol = MEASUREMENTS[task]
    samples = samples_of(of)
    result = protocol(samples, setting)
    if result.errors is not None:
        save_png(draw_cases(result, samples), folder / "pictures" / f"{task}.png")
    return result.to_dict()


def _finished(file, key):
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or not ours
        return None
    return kept["result"] if isinstance(kept, dict) and kept.get("key") == key and "result" in kept else None
