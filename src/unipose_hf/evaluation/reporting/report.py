# SPDX-License-Identifier: Apache-2.0
"""Reports measured figures with published ones, as JSON and Markdown.

A table covers one task, data set, protocol and body. Our figures and published ones share a table only if all four
agree.
"""

from .ablations import ABLATIONS, ablation_rows
from .published import BODY_WHERE, PUBLISHED, UNIPOSE_SPREAD, WHERE

OURS = "ours"


def report_text(
    results: list[dict],
    title: str = "Evaluation",
    absent: dict[str, str] | None = None,
    other_models: dict[str, list[dict]] | None = None,
) -> str:
    """The report in Markdown.

    Args:
        results: `Result.to_dict()` of each task and data set, and the path of its `picture`, if it has one.
        absent: requested data set -> why it could not be read.
        other_models: other models' results by name, for the ablation tables.
    """
    lines = [
        f"# {title}",
        "",
        "Errors in mm or degrees, FID and counts as they are, times in seconds, the rest in per cent; in brackets the "
        "variance over several runs, if there were any. Figures share a table only if task, data, protocol and body "
        "are the same; others are not comparable.",
        *_times(results),
    ]
    for task in dict.fromkeys(result["task"] for result in results):
        of_task = [result for result in results if result["task"] == task]
        lines += ["", f"## {task}"]
        for result in of_task:
            if result.get("picture"):
                lines += ["", f"![best, median and worst answer, {result['data']}]({result['picture']})"]
        for (data, protocol, body), methods in tables(of_task).items():
            lines += ["", f"Data: {data}. Protocol: {protocol}. Body: {body}.", "", *_table(methods)]
        missing = {name: reason for result in of_task for name, reason in result["missing"].items()}
        if missing:
            lines += ["", "Not measured:", "", *(f"* {name}: {reason}" for name, reason in missing.items())]
        lines += _spread(task)
    if other_models:
        lines += _ablations({OURS: results} | other_models)
    return "\n".join([*lines, *_absent(results, absent or {})]) + "\n"


def _times(results):
    """The time of each measurement, and the share of the model's answers."""
    total, answering = (sum(result[name] for result in results) for name in ("seconds", "generation_seconds"))
    lines = ["", "| task | data | samples | seconds | of which answers |", "| --- | --- | --- | --- | --- |"]
    for result in results:
        share = 100 * result["generation_seconds"] / max(result["seconds"], 1e-9)
        named = f"| {result['task']} | {result['data']} | {result['samples']}"
        lines.append(f"{named} | {result['seconds']:.1f} | {share:.0f} % |")
    share = 100 * answering / max(total, 1e-9)
    return [*lines, "", f"Together {total:.0f} s, {share:.0f} % of them for the model's answers."]


def _ablations(models):
    lines = ["", "## Ablations"]
    for ablation in ABLATIONS:
        for data, rows in ablation_rows(ablation, models).items():
            shown = {name: {key: _number(value) for key, value in row.items()} for name, row in rows.items()}
            lines += ["", f"{ablation.title}. Data: {data}.", "", *_table(shown)]
        printed = {
            f"UniPose, {name}": dict(zip(ablation.printed, map(_number, values), strict=True))
            for name, values in ablation.published.items()
        }
        lines += ["", f"{ablation.title}, as printed.", "", *_table(printed)]
    return lines


def tables(results: list[dict]) -> dict[tuple[str, str, str], dict[str, dict[str, str]]]:
    """The tables of one task: (data, protocol, body) -> method -> figure -> text. Ours come first."""
    found = {}
    for result in results:
        for protocol, figures in result["figures"].items():
            key = result["data"], protocol, result["body"]
            found[key] = {OURS: {name: _with_variance(figure) for name, figure in figures.items()}}
    for row in PUBLISHED:
        if row.task == results[0]["task"]:
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
    spread = ", ".join(f"{name} {mean:g} ({variance:g})" for name, (mean, variance) in known.items())
    return ["", f"UniPose over three runs, with variances, as a measure of noise: {spread}."]


def _absent(results, absent):
    """Where to get the missing data of published figures, and what was wrong with the given data."""
    had = {result["data"] for result in results}
    tasks = {result["task"] for result in results}
    wanted = [*(row.data for row in PUBLISHED if row.task in tasks), *absent]
    needed = dict.fromkeys(data for data in wanted if data not in had)
    if not needed:
        return []
    lines = [
        "",
        "## Data that is not here",
        "",
        "Published figures are on sets that we may not bring along. Put them into one folder, as `unipose "
        "doctor --data FOLDER` lists them, and run `unipose evaluate --output OUT --data FOLDER --body "
        "SMPL_NEUTRAL.npz`.",
    ]
    notes = {data: [f"{WHERE[data]}."] if data in WHERE else [] for data in needed}
    for data, reason in absent.items():
        notes.get(data, []).append(reason)
    return [*lines, BODY_WHERE, "", *(f"* {data}: {' '.join(sentences)}" for data, sentences in notes.items())]


def _with_variance(figure: dict) -> str:
    mean = _number(figure["mean"])
    return mean if len(figure["runs"]) < 2 else f"{mean} ({round(figure['variance'], 6):.2g})"


def _number(value: float) -> str:
    """Three decimals below one, such as for FID, two below a hundred, one above."""
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"
