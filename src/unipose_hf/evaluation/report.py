# SPDX-License-Identifier: Apache-2.0
"""Measured figures beside published ones, as JSON and Markdown.

A table holds one task, data set, protocol and body. Ours and a published figure share a table, and so a column, only
where all four agree.
"""

import json
from pathlib import Path

from unipose_hf.modeling.pose_unipose import write_file

from .published import BODY_WHERE, PUBLISHED, UNIPOSE_SPREAD, WHERE

OURS = "ours"


def write_report(results: list[dict], folder: str | Path, title: str = "Evaluation") -> Path:
    """Writes `figures.json` and `report.md` into a folder, and returns the path of the report.

    Args:
        results: of each task `Result.to_dict()`.
    """
    folder = Path(folder)
    write_file(folder / "figures.json", (json.dumps(results, indent=1) + "\n").encode())
    pictures = {result["task"]: f"pictures/{result['task']}.png" for result in results}
    pictures = {task: path for task, path in pictures.items() if (folder / path).is_file()}
    return write_file(folder / "report.md", report_text(results, title, pictures).encode())


def report_text(results: list[dict], title: str = "Evaluation", pictures: dict[str, str] | None = None) -> str:
    """The report in Markdown; `pictures` are paths by task."""
    lines = [
        f"# {title}",
        "",
        "Errors in mm or degrees, FID as it is, everything else in per cent; in brackets the variance over several "
        "runs, where there were any. Figures stand in one table only if task, data, protocol and body are the same: "
        "others do not compare.",
    ]
    for result in results:
        lines += ["", f"## {result['task']}"]
        if pictures and result["task"] in pictures:
            lines += ["", f"![best, median and worst answer]({pictures[result['task']]})"]
        for (data, protocol, body), methods in tables(result).items():
            lines += ["", f"Data: {data}. Protocol: {protocol}. Body: {body}.", "", *_table(methods)]
        if result["missing"]:
            lines += ["", "Not measured:", ""]
            lines += [f"* {name}: {reason}" for name, reason in result["missing"].items()]
        lines += _spread(result["task"])
    return "\n".join([*lines, *_absent(results)]) + "\n"


def tables(result: dict) -> dict[tuple[str, str, str], dict[str, dict[str, str]]]:
    """The tables of one task: (data, protocol, body) -> method -> figure -> what to print. Ours come first."""
    found = {}
    for protocol, figures in result["figures"].items():
        key = result["data"], protocol, result["body"]
        found[key] = {OURS: {name: _with_variance(figure) for name, figure in figures.items()}}
    for row in PUBLISHED:
        if row.task == result["task"]:
            methods = found.setdefault((row.data, row.protocol, row.body), {})
            methods[row.method] = {name: _number(value) for name, value in row.figures.items()}
    return found


def _table(methods):
    columns = list(dict.fromkeys(name for figures in methods.values() for name in figures))
    lines = [f"| method | {' | '.join(columns)} |", f"|{' --- |' * (len(columns) + 1)}"]
    for method, figures in methods.items():
        lines.append(f"| {method} | {' | '.join(figures.get(name, '') for name in columns)} |")
    return lines


def _spread(task):
    known = {name: value for (of, name), value in UNIPOSE_SPREAD.items() if of == task}
    if not known:
        return []
    told = ", ".join(f"{name} {mean:g} ({variance:g})" for name, (mean, variance) in known.items())
    return ["", f"UniPose over three runs, with variances, as a measure of noise: {told}."]


def _absent(results):
    """Where to get the data of the published figures that we have none on."""
    had = {result["data"] for result in results}
    tasks = {result["task"] for result in results}
    needed = dict.fromkeys(row.data for row in PUBLISHED if row.task in tasks and row.data not in had)
    if not needed:
        return []
    lines = [
        "",
        "## Data that is not here",
        "",
        "The published figures above are on sets that we may not bring along.",
    ]
    return [*lines, BODY_WHERE, "", *(f"* {data}: {WHERE[data]}." for data in needed)]


def _with_variance(figure: dict) -> str:
    mean = _number(figure["mean"])
    return mean if len(figure["runs"]) < 2 else f"{mean} ({figure['variance']:.2g})"


def _number(value: float) -> str:
    """Three decimals below one, as FID has them, two below a hundred, one above."""
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"
