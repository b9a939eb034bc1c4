# SPDX-License-Identifier: Apache-2.0
"""The command `evaluate`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .app import Model, app
from .checks import check_target, make_folder
from .loading import find_folder, load


@app.command()
def evaluate(
    count: Annotated[
        int | None, typer.Option(min=2, help="Number of poses; all by default.", show_default=False)
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            help="A .json file for the figures, or a folder for a report with published figures and pictures."
        ),
    ] = Path("figures.json"),
    model: Model = None,
    tasks: Annotated[
        str | None, typer.Option(help="For a report: tasks a,b,c; all by default.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="For a report: folder of published data sets to use instead of clips.", show_default=False),
    ] = None,
    body: Annotated[
        Path | None,
        typer.Option(
            help="For a report: an SMPL-family file, for the errors; SMPL_FEMALE and SMPL_MALE next to SMPL_NEUTRAL "
            "are used too.",
            show_default=False,
        ),
    ] = None,
    regressor: Annotated[
        Path | None, typer.Option(help="With --data: J_regressor_h36m.npy, for 3DPW's joints.", show_default=False)
    ] = None,
    retrieval: Annotated[
        str | None, typer.Option(help="For a report: another text-pose retrieval model.", show_default=False)
    ] = None,
    pair_retrieval: Annotated[
        str | None, typer.Option(help="For a report: another retrieval model for pairs.", show_default=False)
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            help="For a report: NAME=FOLDER of another model's report to compare with; repeatable.", show_default=False
        ),
    ] = None,
    plain_english: Annotated[
        bool, typer.Option("--plain-english", help="Instead, judge answers to 180 prompts in plain English.")
    ] = False,
) -> None:
    """Measure the seven tasks on held-out motion clips.

    With a folder as --output, also use the paper's protocols; an interrupted run resumes.
    """
    import contextlib
    import importlib.util
    import json

    report_options = dict(
        data=data, body=body, regressor=regressor, retrieval=retrieval, pair_retrieval=pair_retrieval
    )
    report = output.suffix.lower() != ".json"
    if not report and (tasks or compare or any(report_options.values())):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in ("tasks", *report_options))
        raise ValueError(f"{options} and --compare are options of a report; set its folder with --output.")
    if not report:
        check_target(output)
    if plain_english:
        if report or count is not None:
            raise ValueError(
                "--plain-english takes all prompts and writes a .json file; leave out --count, or a folder."
            )
        _plain_english(model, output)
        return
    needed = {"sacrebleu": "BLEU needs sacrebleu"}
    if report:
        needed["rouge_score"] = "ROUGE-L needs rouge-score"
    for module, sentence in needed.items():
        if importlib.util.find_spec(module) is None:  # otherwise it would only be missed after minutes
            raise ImportError(f"{sentence}: pip install unipose-hf[evaluate]")
    if report:
        _report(output, tasks, model, count, compare or [], **report_options)
        return
    loaded = load(model)
    from unipose_hf.evaluation.protocols.held_out import evaluate_held_out
    from unipose_hf.evaluation.reporting.card import figures_table

    from ..modeling.pose_unipose import write_file

    with contextlib.redirect_stdout(sys.stderr):  # it prints progress
        figures = evaluate_held_out(*loaded, count=count)
    write_file(output, (json.dumps(figures, indent=1) + "\n").encode())
    typer.echo(f"{figures['poses']} poses of the clips {', '.join(figures['clips'])}, {figures['seconds']} s\n")
    typer.echo(figures_table(figures))
    typer.echo(f"\nOn the bundled body, so not comparable with published figures. Saved as {output}.")


def _plain_english(model, output) -> None:
    import json

    from ..evaluation.plain_english import evaluate_prompts, prompts_table
    from ..modeling.pose_unipose import write_file

    figures = evaluate_prompts(*load(model, "text-to-pose"), log=lambda line: typer.echo(line, err=True))
    write_file(output, (json.dumps(figures, indent=1) + "\n").encode())
    typer.echo(f"{prompts_table(figures)}\n\nSaved as {output}.")


def _report(output, tasks, model, count, compare, data, body, regressor, retrieval, pair_retrieval) -> None:
    from unipose_hf.evaluation.protocols.open_set import OPEN_DATA, OpenSet
    from unipose_hf.evaluation.reporting.results import Setting

    from .. import auto
    from ..body import load_body
    from ..evaluation import run

    names = run.check_tasks(list(run.MEASUREMENTS) if tasks is None else [name.strip() for name in tasks.split(",")])
    others = {}
    for given in compare:
        name, _, folder = given.partition("=")
        if not folder:
            raise ValueError(f"--compare is {given!r}; give NAME=FOLDER.")
        others[name] = run.read_results(folder)
    make_folder(output)
    retrieval = retrieval or auto.BUNDLED_CHECKPOINT.with_name("pose-text-retrieval")
    pair_retrieval = pair_retrieval or auto.BUNDLED_CHECKPOINT.with_name("pose-pair-text-retrieval")
    named = {"model": model, "retrieval": retrieval, "pair_retrieval": pair_retrieval}
    folders = {name: find_folder(given) for name, given in named.items()}
    embedders = {name: _embedder(folder) for name, folder in folders.items() if name != "model"}
    bodies = {gender: load_body(file) for gender, file in _gendered(body).items()}
    setting = Setting(*load(model), OPEN_DATA, load_body(body, size="small"), bodies, **embedders)
    key = {"count": count, "body": setting.body_name, "bodies": sorted(bodies)}
    key |= {name: run.fingerprint(folder) for name, folder in folders.items()}
    if data is None:
        measurements = run.open_measurements(names, OpenSet(count), OPEN_DATA)
    else:
        measurements = run.paper_measurements(names, data, count, regressor)
        key["joints"] = "of the body" if regressor is None else "from the mesh"

    def log(line):
        typer.echo(line, err=True)

    title = f"Evaluation of {Path(model or folders['model']).resolve().name}"
    typer.echo(run.evaluate_into(output, setting, measurements, key, log, title, others))


def _gendered(body: Path | None) -> dict[str, Path]:
    """The female and male body files next to a neutral one, under their usual names."""
    if body is None or "NEUTRAL" not in body.name:
        return {}
    files = {gender: body.with_name(body.name.replace("NEUTRAL", gender.upper())) for gender in ("female", "male")}
    return {gender: file for gender, file in files.items() if file.is_file()}


def _embedder(folder: Path):
    from transformers import AutoModel, AutoTokenizer

    from unipose_hf.evaluation.metrics.embedding import embedder

    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"There is no config.json in the folder {folder}; give that of a retrieval model.")
    return embedder(AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))
