# SPDX-License-Identifier: Apache-2.0
"""The command motion, and videos for the command estimate."""

import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .checks import check_target
from .loading import open_pipeline
from .reading_options import Facing, JointMap, Person, PoseFile, Up, reading

Every = Annotated[int, typer.Option(min=1, help="Take every N-th frame.")]


class Names(StrEnum):
    """Joint names of a written skeleton."""

    smpl = "smpl"
    mixamo = "mixamo"


@app.command()
def motion(
    file: PoseFile,
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="Result: .glb, .bvh, .npz, .gif or .mp4.", show_default=False)
    ],
    every: Every = 1,
    frame_rate: Annotated[
        float | None,
        typer.Option(min=0.01, help="Frames per second, for files that do not specify it.", show_default="30"),
    ] = None,
    on_floor: Annotated[
        bool, typer.Option("--on-floor", help="Put the lowest point of the motion at height 0.")
    ] = False,
    names: Annotated[Names, typer.Option(help="Joint names in .glb and .bvh.")] = Names.smpl,
    up: Up = None,
    facing: Facing = None,
    joint_map: JointMap = None,
    person: Person = None,
) -> None:
    """Convert a motion to an animated .glb, .bvh, AMASS-style .npz, or a .gif or .mp4 of the body."""
    from ..motion.animation_files import ANIMATION_SUFFIXES
    from ..motion.motion import SUFFIXES, Motion

    if output.suffix.lower() not in (*SUFFIXES, *ANIMATION_SUFFIXES):
        suffixes = ", ".join((*SUFFIXES, *ANIMATION_SUFFIXES))
        raise ValueError(f"The output is {str(output)!r}; a motion is saved as one of {suffixes}.")
    check_target(output, "OUTPUT")
    moved = Motion.from_file(file, frame_rate, **reading(up, facing, joint_map, person))[::every]
    if output.suffix.lower() in ANIMATION_SUFFIXES:
        moved.render(output)
    else:
        moved.save(output, on_floor=on_floor, names=names.value)
    typer.echo(f"{output} ({len(moved)} frames, {moved.duration:.1f} seconds)")


def is_video(name: str) -> bool:
    from ..motion.video_files import VIDEOS

    return Path(name).suffix.lower() in VIDEOS


def estimate_videos(videos: list[tuple[str, str]], output: Path, model: str | None, every: int, **options) -> None:
    """Writes the motions of the people in videos, each with the name of its results."""
    run = open_pipeline("video-to-pose", model)
    for video, name in videos:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Nobody was found")
            people = run(video, every=every, **{key: value for key, value in options.items() if value is not None})
        if not people:
            typer.echo(f"{video}: nobody was found; lower --threshold")
            continue
        for number, person in enumerate(people, 1):
            part = output / (name if number == 1 else f"{name}-person{number}")
            motion = person["motion"].on_floor()
            for suffix in (".npz", ".glb"):
                motion.save(f"{part}{suffix}")
            typer.echo(f"{video}: {part}.npz, .glb ({len(motion)} frames, score {person['score']:.2f})")
        typer.echo(f"{video}: {people.overlay(output / f'{name}-overlay.mp4')}")
