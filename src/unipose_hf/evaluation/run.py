# SPDX-License-Identifier: Apache-2.0
"""Evaluates all tasks and writes figures, report and pictures to a folder; an interrupted run resumes."""

import dataclasses
import functools
import hashlib
import io
import json
import re
import time
from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from unipose_hf.modeling.pose_unipose import write_file

from .protocols.open_set import REASONING, OpenSet
from .protocols.paper_sets import paper_sets, read_samples
from .protocols.pose_protocols import (
    image_to_pose,
    pose_editing,
    reasoning_image_to_pose,
    retrieval,
    text_to_pose,
    tokenizer,
)
from .protocols.protocol_joints import body_joints, fourteen_body_joints, fourteen_mesh_joints, twenty_four_joints
from .protocols.text_protocols import image_diff, image_to_pose_text, pose_diff, pose_to_text
from .reporting.cases import draw_cases
from .reporting.published import H36M, SMPL, THREEDPW
from .reporting.report import report_text
from .reporting.results import Setting

# name of the measurement -> the task of the open set that provides its samples, and the protocol
MEASUREMENTS = {
    "tokenizer": ("text-to-pose", tokenizer),
    "text-to-pose": ("text-to-pose", text_to_pose),
    "pose-editing": ("pose-editing", pose_editing),
    "image-to-pose": ("image-to-pose", image_to_pose),
    REASONING: (REASONING, reasoning_image_to_pose),
    "pose-to-text": ("pose-to-text", pose_to_text),
    "pose-diff": ("pose-diff", pose_diff),
    "image-to-pose-text": ("image-to-pose-text", image_to_pose_text),
    "image-diff": ("image-diff", image_diff),
    "retrieval": ("pose-to-text", retrieval),
    "pair-retrieval": ("pose-diff", retrieval),
}
FIGURES, REPORT = "figures.json", "report.md"
JPEG_SIDE, JPEG_QUALITY = 1000, 60  # small, because a report is kept with the code


class Measurement(NamedTuple):
    """One task on one data set: `protocol(samples(), setting)` gives the result."""

    name: str
    data: str
    samples: Callable[[], list[dict]]
    protocol: Callable


def open_measurements(tasks: Iterable[str], open_set: OpenSet, data: str) -> list[Measurement]:
    """The measurements that need no download."""
    return [
        Measurement(task, data, functools.partial(open_set.samples, of), protocol)
        for task in tasks
        for of, protocol in [MEASUREMENTS[task]]
    ]


def paper_measurements(
    tasks: Iterable[str], root: str | PathLike, count: int | None = None, regressor: str | PathLike | None = None
) -> list[Measurement]:
    """The measurements on the published sets in a folder, see `paper_sets.py`; missing sets raise when measured.

    Args:
        count: number of samples per set, 10,000 by default.
        regressor: `J_regressor_h36m.npy`, which defines the 14 joints of 3DPW and Human3.6M; without it, the nearest
            14 joints of the body, which are not comparable.

    Raises:
        FileNotFoundError, ValueError: the regressor does not exist or is invalid.
    """
    tasks = set(tasks)
    fourteen = fourteen_body_joints() if regressor is None else fourteen_mesh_joints(regressor)
    return [
        Measurement(
            name,
            one.data,
            functools.partial(read_samples, one, name, count),
            functools.partial(_pictures, one.data, fourteen) if name == "image-to-pose" else MEASUREMENTS[name][1],
        )
        for one in paper_sets(root)
        for name in one.measurements
        if name in tasks
    ]


def _pictures(data, fourteen, samples, setting):
    """Image-to-pose on the joints used for this set: 14, or SMPL's 24 if the body has them."""
    twenty_four = twenty_four_joints() if setting.body_name == SMPL else body_joints()
    return image_to_pose(samples, setting, fourteen if data in (THREEDPW, H36M) else twenty_four)


def evaluate_into(
    folder: str | PathLike,
    setting: Setting,
    measurements: Iterable[Measurement],
    key: dict | None = None,
    log: Callable[[str], None] = print,
    title: str = "Evaluation",
    other_models: dict[str, list[dict]] | None = None,
) -> Path:
    """Runs the measurements, and updates `figures.json`, `pictures/` and `report.md` after each.

    Finished measurements with the same `key` are not repeated; the report contains all with this key.

    Args:
        folder: output folder; created if missing.
        setting: the setting; `data` is replaced by that of each measurement.
        key: what the figures depend on besides task and data, as plain values: model, number of samples.
        log: called with a line for each finished measurement.
        other_models: other models' results (`read_results`) by name, for the ablation tables.

    Returns:
        The path of the report.
    """
    folder, measurements = Path(folder), list(measurements)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    results = {(one["task"], one["data"]): one for one in _kept(folder / FIGURES, key)}
    absent = {}
    for number, measurement in enumerate(measurements, start=1):
        name = measurement.name, measurement.data
        outcome = "done"
        if name not in results:
            try:
                samples = measurement.samples()
            except (FileNotFoundError, ValueError) as error:  # missing or damaged: continue with the others
                absent[measurement.data] = outcome = str(error)
            else:
                results[name] = _measure(measurement, samples, folder, setting)
        ordered = sorted(results.values(), key=lambda one: list(MEASUREMENTS).index(one["task"]))
        state = {"key": key, "results": ordered}
        write_file(folder / FIGURES, (json.dumps(state, indent=1) + "\n").encode())
        write_file(folder / REPORT, report_text(ordered, title, absent, other_models).encode())
        log(f"{measurement.name}, {measurement.data}: {number} of {len(measurements)}, {outcome}")
    return folder / REPORT


def read_results(folder: str | PathLike) -> list[dict]:
    """Reads the results of an earlier `evaluate_into`.

    Raises:
        FileNotFoundError: there are none in the folder.
    """
    path = Path(folder) / FIGURES
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}; give a report folder written by `unipose evaluate --output`.")
    return json.loads(path.read_text(encoding="utf-8"))["results"]


def check_tasks(tasks: Iterable[str]) -> list[str]:
    """Returns the tasks if there are any and all can be measured.

    Raises:
        ValueError: none, or an unknown one.
    """
    tasks = list(tasks)
    for task in tasks or [""]:
        if task not in MEASUREMENTS:
            raise ValueError(f"There is no task {task!r} to evaluate; choose from {', '.join(MEASUREMENTS)}.")
    return tasks


def fingerprint(folder: str | PathLike) -> str:
    """A digest of the weights and the configuration in a model folder, to detect changes."""
    digest = hashlib.sha256()
    for file in sorted(Path(folder).iterdir()):
        if file.suffix == ".safetensors" or file.name in ("config.json", "generation_config.json", "tokenizer.json"):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def _measure(measurement, samples, folder, setting):
    setting = dataclasses.replace(setting, data=measurement.data)  # which also resets its clock
    began = time.monotonic()
    result = measurement.protocol(samples, setting)
    result.seconds, result.generation_seconds = time.monotonic() - began, setting.generation_seconds
    plain = result.to_dict()
    if result.errors is not None:
        plain["picture"] = f"pictures/{re.sub('[^a-z0-9]+', '-', f'{result.task} {result.data}'.lower())}.jpg"
        page, buffer = draw_cases(result, samples), io.BytesIO()
        page.thumbnail((JPEG_SIDE, JPEG_SIDE))
        page.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
        write_file(folder / plain["picture"], buffer.getvalue())
    return plain


def _kept(file, key):
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # missing, or not ours
        return []
    return state.get("results", []) if isinstance(state, dict) and state.get("key") == key else []
