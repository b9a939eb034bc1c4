# SPDX-License-Identifier: Apache-2.0
"""Commands for training: build-data, train."""

import re
from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .checks import make_folder


@app.command()
def build_data(
    kind: Annotated[
        str, typer.Argument(help="imagescript, imagediff, posest-open or multi-person.", show_default=False)
    ],
    output: Annotated[Path, typer.Option(help="Folder for the data set; an interrupted build resumes.")],
    size: Annotated[int, typer.Option(min=1, help="Number of images or pairs; the paper has 52,000.")] = 500,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the paper's data sets; default: the open poses.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    picture_size: Annotated[
        int | None,
        typer.Option(min=64, help="Size of rendered images in pixels; default 256 to 512.", show_default=False),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Number of worker processes.")] = 1,
    on_ray: Annotated[bool, typer.Option("--on-ray", help="Distribute the work over a Ray cluster instead.")] = False,
    retrieval: Annotated[
        Path | None, typer.Option(help="Retrieval model to mine pairs; default: joint positions.", show_default=False)
    ] = None,
    refine_by: Annotated[
        str | None, typer.Option(help="Language model to refine texts or label people.", show_default=False)
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="OpenAI-compatible server with this model.", show_default=False)
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="Token for that server.", envvar="UNIPOSE_LLM_TOKEN", show_default=False)
    ] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(help="Upload as USER/NAME, if all licences allow it.", show_default=False)
    ] = None,
) -> None:
    """Build a data set of pictures, poses and texts, for `datasets.load_dataset(OUTPUT, "A")`."""
    from unipose_hf.data.builders.build import build_data, language_model
    from unipose_hf.data.builders.publishing import push_dataset

    make_folder(output)
    options = {} if picture_size is None else {"picture_size": picture_size}
    options |= dict(size=size, data=data, seed=seed, processes=processes, on_ray=on_ray)
    options |= dict(ask=language_model(refine_by, server, token), publish=push_to_hub is not None)
    for name, rows in build_data(kind, output, retrieval=retrieval, **options).items():
        typer.echo(f"{output}/{name}: {rows} rows")
    if push_to_hub is not None:
        typer.echo(push_dataset(output, push_to_hub))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def train(
    context: typer.Context,
    stage: Annotated[str, typer.Argument(help="alignment, projector, instruction or reasoning.")],
) -> None:
    """Train one stage of the language model: `unipose train STAGE --help` lists its arguments."""
    from ..training.arguments import STAGES

    if stage not in STAGES:
        raise ValueError(f"Unknown stage {stage!r}; choose one of {', '.join(STAGES)}.")
    from ..training.stages import run_stage

    # the only option that transformers names differently from the other commands
    run_stage(stage, [re.sub(r"^--output(?==|$)", "--output_dir", word) for word in context.args])
