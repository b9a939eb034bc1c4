# SPDX-License-Identifier: Apache-2.0
"""Commands that answer in words: describe, diff."""

from pathlib import Path
from typing import Annotated

import typer

from .app import Model, app
from .checks import check_target
from .loading import open_pipeline
from .reading import FILES, Facing, JointMap, Person, Up, reading


@app.command()
def describe(
    files: Annotated[list[Path], typer.Argument(help=f"Files, {FILES}, or folders of them.", show_default=False)],
    every: Annotated[int, typer.Option(min=1, help="Take every so many-th frame.")] = 1,
    seed: Annotated[int, typer.Option(help="Another seed gives another wording.")] = 0,
    version: Annotated[str, typer.Option(help="Kind of captions, as PoseScript names them.")] = "default",
    processes: Annotated[int, typer.Option(min=1, help="How many processes describe files at once.")] = 1,
    up: Up = None,
    facing: Facing = None,
    joint_map: JointMap = None,
    person: Person = None,
    output: Annotated[
        Path | None, typer.Option(help="A .parquet file for the captions, instead of printing.", show_default=False)
    ] = None,
) -> None:
    """Describe the poses of files in words, by measuring them. Prints file, frame and description, tab between.

    With --output, files that cannot be read are named and left out.
    """
    if output is not None:
        if output.suffix.lower() != ".parquet":
            raise ValueError(f"--output is {str(output)!r}; captions are kept as a .parquet file.")
        check_target(output, "--output")
    from ..data.caption_files import caption_files, find_pose_files, write_captions

    found = find_pose_files(files)
    told = reading(up, facing, joint_map, person)
    described = caption_files(found, every=every, seed=seed, version=version, processes=processes, reading=told)
    if output is None:
        for one in described:
            if one.error is not None:
                raise ValueError(one.error)
            for frame, caption in zip(one.frames, one.captions, strict=True):
                typer.echo(f"{one.file}\t{frame}\t{caption}")
        return
    rows = left_out = 0
    for one in write_captions(described, output):
        rows += len(one.frames)
        if one.error is not None:
            left_out += 1
            typer.echo(f"unipose: left out: {' '.join(one.error.split())}", err=True)
    if left_out:
        typer.echo(f"unipose: {left_out} of {len(found)} files could not be read and were left out.", err=True)
    typer.echo(f"{output}: {rows} captions of {len(found) - left_out} files")


@app.command()
def diff(
    pose_a: Annotated[Path, typer.Argument(help=f"A file: {FILES}.", show_default=False)],
    pose_b: Annotated[Path, typer.Argument(help="Another one, or the same.", show_default=False)],
    frame_a: Annotated[int, typer.Option(help="Frame of the first file.")] = 0,
    frame_b: Annotated[int, typer.Option(help="Frame of the second file.")] = 0,
    up: Up = None,
    facing: Facing = None,
    joint_map: JointMap = None,
    person: Person = None,
    model: Model = None,
) -> None:
    """Say how to get from the first pose to the second."""
    from ..data.pose_files import read_pose

    told = reading(up, facing, joint_map, person)
    poses = read_pose(pose_a, frame_a, **told), read_pose(pose_b, frame_b, **told)
    typer.echo(open_pipeline("pose-diff", model)({"poses": poses})["text"])
