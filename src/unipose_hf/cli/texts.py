# SPDX-License-Identifier: Apache-2.0
"""Commands that answer with text: describe, diff."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from .app import By, Model, Style, app
from .checks import check_target
from .loading import open_pipeline
from .reading_options import FILES, Facing, JointMap, Person, PoseFile, Up, reading

_BATCH = 16  # poses per batch of the model


@app.command()
def describe(
    files: Annotated[list[Path], typer.Argument(help=f"Files, {FILES}, or folders of them.", show_default=False)],
    every: Annotated[int, typer.Option(min=1, help="Take every N-th frame.")] = 1,
    by: Annotated[By, typer.Option(help="Source of the text: the model, or measurements of the poses.")] = By.measure,
    style: Annotated[
        Style | None,
        typer.Option(
            help="Plain English, short or full, or statements of measured relations.", show_default="measured"
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="With --by measure: random seed of the wording.")] = None,
    version: Annotated[
        str | None,
        typer.Option(help="With --by measure: caption version, as named by PoseScript.", show_default="default"),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="With --by measure: number of worker processes.")
    ] = None,
    up: Up = None,
    facing: Facing = None,
    joint_map: JointMap = None,
    person: Person = None,
    model: Model = None,
    output: Annotated[
        Path | None, typer.Option(help="A .parquet file for the captions, instead of printing.", show_default=False)
    ] = None,
) -> None:
    """Describe the poses in files. Prints file, frame and description, separated by tabs.

    Files that cannot be read are reported and skipped, unless none can be read.
    """
    if output is not None:
        if output.suffix.lower() != ".parquet":
            raise ValueError(f"--output is {str(output)!r}; captions can only be saved as a .parquet file.")
        check_target(output)
    given = dict(seed=seed, version=version, processes=processes)
    given = {name: value for name, value in given.items() if value is not None}
    if by is By.model and given:
        raise ValueError(f"--{next(iter(given))} belongs to --by measure; the model does not use it.")
    if by is By.measure and model is not None:
        raise ValueError("--model requires --by model.")
    if version is not None and style not in (None, Style.measured):
        raise ValueError(f"--version belongs to --style measured; --style {style.value} has no versions.")
    from unipose_hf.data.formats.caption_files import caption_file, caption_files, find_pose_files, write_captions

    found = find_pose_files(files)
    reading_options = reading(up, facing, joint_map, person)
    if by is By.measure:
        given |= {} if style is None else {"style": style.value}
        described = caption_files(found, every=every, reading=reading_options, **given)
    else:
        run = open_pipeline("pose-to-text", model)

        def in_words(poses):
            voice = {} if style is None else {"style": style.value}
            return [answer["text"] for answer in run(list(poses), batch_size=_BATCH, **voice)]

        described = (caption_file(file, every=every, describe=in_words, reading=reading_options) for file in found)
    if output is not None:
        described = write_captions(described, output)
    rows = [len(one.frames) for one in _readable(described, len(found), printing=output is None)]
    if output is not None:
        typer.echo(f"{output}: {sum(rows)} captions of {len(rows)} files")


def _readable(described, count: int, printing: bool) -> Iterator:
    """The files that could be read; the others are reported on stderr. Raises if there are none."""
    left_out = 0
    for one in described:
        if one.error is None:
            if printing:
                for frame, caption in zip(one.frames, one.captions, strict=True):
                    typer.echo(f"{one.file}\t{frame}\t{caption}")
            yield one
        elif count == 1:
            raise ValueError(one.error)
        else:
            left_out += 1
            typer.echo(f"unipose: skipped: {' '.join(one.error.split())}", err=True)
    if left_out == count:
        raise ValueError("None of the files could be read; see the error of each.")
    if left_out:
        typer.echo(f"unipose: {left_out} of {count} files could not be read and were skipped.", err=True)


@app.command()
def diff(
    pose_a: PoseFile,
    pose_b: Annotated[Path, typer.Argument(metavar="FILE", help="Second file, or the same one.", show_default=False)],
    frame_a: Annotated[int, typer.Option(help="Frame of the first file.")] = 0,
    frame_b: Annotated[int, typer.Option(help="Frame of the second file.")] = 0,
    by: Annotated[By, typer.Option(help="Source of the text: the model, or measurements of the poses.")] = By.model,
    style: Annotated[
        Style | None,
        typer.Option(
            help="Plain English, short or full, or statements of measured relations.",
            show_default="full; with --by measure, measured",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="With --by measure --style measured: random seed of the wording.")
    ] = None,
    up: Up = None,
    facing: Facing = None,
    joint_map: JointMap = None,
    person: Person = None,
    model: Model = None,
) -> None:
    """Say how to get from the first pose to the second."""
    if by is By.model and seed is not None:
        raise ValueError("--seed belongs to --by measure; the model does not use it.")
    if by is By.measure and model is not None:
        raise ValueError("--model requires --by model.")
    if seed is not None and style not in (None, Style.measured):
        raise ValueError(f"--seed belongs to --style measured; --style {style.value} has only one wording.")
    from unipose_hf.data.formats.pose_files import read_pose

    reading_options = reading(up, facing, joint_map, person)
    poses = read_pose(pose_a, frame_a, **reading_options), read_pose(pose_b, frame_b, **reading_options)
    before, after = (pose.axis_angle[None] for pose in poses)
    if by is By.model:
        voice = {} if style is None else {"style": style.value}
        typer.echo(open_pipeline("pose-diff", model)({"poses": poses}, **voice)["text"])
    elif style in (None, Style.measured):
        from ..captions import instruct_pairs

        typer.echo(instruct_pairs(before, after, seed=seed or 0)[0])
    else:
        from ..data.language import describe_changes

        typer.echo(describe_changes(before, after, style=style.value)[0])
