# SPDX-License-Identifier: Apache-2.0
"""Commands that produce poses and renderings: estimate, text-to-pose, edit, render."""

import io
import math
import warnings
from pathlib import Path
from typing import Annotated

import typer

from .app import Model, app
from .checks import SHEET, check_target, make_folder, parse_box, pictures_in, result_names, within
from .loading import open_pipeline
from .motions import estimate_videos, is_video
from .reading_options import Facing, Frame, JointMap, Person, PoseFile, Up, reading

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_SHEET_CELL, _SHEET_WIDTH = 320, 8000  # pixels; the cells of many pictures are smaller
Render = Annotated[bool, typer.Option("--render", help="Also write a picture next to the result: NAME.png.")]


@app.command()
def estimate(
    images: Annotated[
        list[str], typer.Argument(help="Pictures or videos of people, or folders of pictures.", show_default=False)
    ],
    box: Annotated[
        str | None, typer.Option(help="Box around the person: x0,y0,x1,y1 in pixels.", show_default=False)
    ] = None,
    max_people: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum number of people per picture, largest first.", show_default="all"),
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Minimum score of a person.", show_default="0.2")] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help='Which person is meant: "on the left", "in the red shirt", "who kneels".', show_default=False
        ),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="In videos: process every N-th frame.")] = 1,
    output: Annotated[Path, typer.Option(help="Folder for the results; created if missing.")] = Path("poses"),
    model: Model = None,
) -> None:
    """Estimate the poses of the people in each picture. Writes NAME.npz, NAME.glb and NAME.png for the largest person,
    NAME-person2.npz and so on for the others, and NAME-overlay.jpg with the bodies drawn on the picture. A folder also
    gets sheet.jpg: all its pictures with bodies, names and scores.

    For a video, NAME.npz and NAME.glb hold the motion, and NAME-overlay.mp4 shows the bodies."""
    corners = None if box is None else parse_box(box)
    has_folder = any(Path(image).is_dir() for image in images)
    images = pictures_in(images, _PICTURES)
    videos = [image for image in images if is_video(image)]
    for option, what in (("--box", box), ("--text", text)):
        if what is not None and videos:
            raise ValueError(f"{option} selects a person in a picture, but {videos[0]} is a video; leave it out.")
    if corners is not None and len(images) > 1:
        raise ValueError(f"--box applies to one picture, but {len(images)} pictures were given.")
    names = result_names(images, output)
    make_folder(output)
    if videos:
        found = [(image, name) for image, name in zip(images, names, strict=True) if image in videos]
        estimate_videos(found, output, model, every=every, max_people=max_people, threshold=threshold)
        names = [name for image, name in zip(images, names, strict=True) if image not in videos]
        images = [image for image in images if image not in videos]
        if not images:
            return
    run = open_pipeline("image-to-pose", model)
    from unipose_hf.visualization.panels import Cell

    from ..modeling.image_processing_unipose import load_picture
    from ..modeling.pose_unipose import write_file

    sheet_cells = []  # for the sheet: overlay and label of each picture
    for image, name in zip(images, names, strict=True):
        picture = load_picture(image)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Nobody was found")
            people = run({"image": picture, "box": corners, "text": text}, max_people=max_people, threshold=threshold)
        if not people:
            typer.echo(f"{image}: nobody was found; set --box, or lower --threshold")
            sheet_cells += [(_thumbnail(picture), f"{name}: nobody")] if has_folder else []
            continue
        overlay = people.overlay(output / f"{name}-overlay.jpg")
        scores = ", ".join(f"{person['score']:.2f}" for person in people)
        sheet_cells += [(_thumbnail(overlay), f"{name}: {scores}")] if has_folder else []
        for number, person in enumerate(people, 1):
            part = name if number == 1 else f"{name}-person{number}"
            for suffix in (".npz", ".glb"):
                person["pose"].save(output / f"{part}{suffix}")
            shown = picture.crop(within(person["box"], *picture.size))
            _draw(output / f"{part}.png", part, [Cell(shown)], person["pose"])
            typer.echo(f"{image}: {output / part}.npz, .glb, .png (score {person['score']:.2f})")
        typer.echo(f"{image}: {output / name}-overlay.jpg")
    if sheet_cells:
        from unipose_hf.visualization import contact_sheet

        pictures, labels = zip(*sheet_cells, strict=True)
        buffer = io.BytesIO()
        cell = max(32, min(_SHEET_CELL, _SHEET_WIDTH // math.ceil(math.sqrt(len(pictures)))))
        contact_sheet(pictures, labels=labels, cell=cell).save(buffer, "JPEG", quality=92)
        write_file(output / SHEET, buffer.getvalue())
        typer.echo(output / SHEET)


def _thumbnail(picture):
    picture = picture.copy()
    picture.thumbnail((_SHEET_CELL, _SHEET_CELL))
    return picture


@app.command()
def text_to_pose(
    text: Annotated[str, typer.Argument(help="Description of the pose.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Result: .glb, .bvh, .obj, .npz or .json.")] = Path("pose.glb"),
    render: Render = False,
    model: Model = None,
) -> None:
    """Generate a pose from a text."""
    _check_pose_target(output)
    answer = open_pipeline("text-to-pose", model)(text)
    _save(answer, output, render and ["text-to-pose", text])


@app.command()
def edit(
    pose: PoseFile,
    text: Annotated[str, typer.Argument(help="What to change.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Result: .glb, .bvh, .obj, .npz or .json.")] = Path("edited.glb"),
    frame: Frame = 0,
    up: Up = None,
    facing: Facing = None,
    joint_map: JointMap = None,
    person: Person = None,
    render: Render = False,
    model: Model = None,
) -> None:
    """Edit a pose according to an instruction."""
    from unipose_hf.data.formats.pose_files import read_pose

    _check_pose_target(output)
    start = read_pose(pose, frame, **reading(up, facing, joint_map, person))
    edited = open_pipeline("pose-editing", model)({"pose": start, "text": text})
    _save(edited, output, render and ["pose-editing", text, start])


@app.command()
def render(
    file: PoseFile,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Result: .png, .jpg or .webp; .gif or .mp4 for the whole motion.",
            show_default="NAME.png, here",
        ),
    ] = None,
    frame: Frame = 0,
    every: Annotated[int, typer.Option(min=1, help="For .gif and .mp4: take every N-th frame.")] = 1,
    up: Up = None,
    facing: Facing = None,
    joint_map: JointMap = None,
    person: Person = None,
    size: Annotated[int, typer.Option(min=16, max=8192, help="Size of the square picture, in pixels.")] = 512,
    azimuth: Annotated[
        float, typer.Option(help="View direction in degrees: 0 for the front, 90 for the body's left.")
    ] = 25,
    elevation: Annotated[float, typer.Option(help="Camera elevation, in degrees.")] = 10,
) -> None:
    """Render a pose from a file, or a whole motion."""
    from unipose_hf.data.formats.pose_files import read_pose

    from ..motion.animation_files import ANIMATION_SUFFIXES

    output = Path(f"{file.stem}.png") if output is None else output
    if output.suffix.lower() not in _PICTURES + ANIMATION_SUFFIXES:
        raise ValueError(
            f"--output is {str(output)!r}; a picture is saved as one of {', '.join(_PICTURES + ANIMATION_SUFFIXES)}."
        )
    check_target(output)
    options = reading(up, facing, joint_map, person)
    if output.suffix.lower() in ANIMATION_SUFFIXES:
        from ..motion import Motion

        Motion.from_file(file, **options)[::every].render(output, size, azimuth=azimuth, elevation=elevation)
    else:
        read_pose(file, frame, **options).render(output, size, azimuth=azimuth, elevation=elevation)
    typer.echo(output)


def _check_pose_target(output: Path) -> None:
    from ..modeling.pose_unipose import SUFFIXES

    if output.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--output is {str(output)!r}; a pose is saved as one of {', '.join(SUFFIXES)}.")
    check_target(output)


def _save(answer: dict, output: Path, shown) -> None:
    """Saves a pipeline's result, and a picture of `shown`: title, text and optionally the source pose."""
    answer["pose"].save(output)
    written = str(output)
    if shown:
        from unipose_hf.visualization.panels import Cell

        title, text, *start = shown
        before = [Cell(pose.render(azimuth=0, elevation=3), "before") for pose in start]
        _draw(output.with_suffix(".png"), title, [*before, Cell(text)], answer["pose"])
        written += ", .png"
    notes = [f"the named pose {answer['name']!r}"] if "name" in answer else []
    notes += [f"score {answer['score']:.2g}"] if "score" in answer else []
    typer.echo(written + (f" ({', '.join(notes)})" if notes else ""))


def _draw(path: Path, title: str, given: list, pose) -> None:
    from unipose_hf.visualization.panels import VIEWS, Cell, Panel, draw_panel, save_png

    views = tuple(Cell(pose.render(**view), label) for label, view in VIEWS.items())
    save_png(draw_panel(Panel(title, tuple(given), views)), path)
