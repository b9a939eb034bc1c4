# SPDX-License-Identifier: Apache-2.0
"""Commands that answer with poses: estimate, edit."""

from pathlib import Path
from typing import Annotated

import typer

from .app import Model, app
from .checks import check_target, make_folder, parse_box, result_names, within
from .loading import open_pipeline
from .reading import FILES, Facing, JointMap, Person, Up, reading


@app.command()
def estimate(
    images: Annotated[list[str], typer.Argument(help="Pictures of one person each.", show_default=False)],
    box: Annotated[
        str | None, typer.Option(help="Where the person is: x0,y0,x1,y1 in pixels.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results; made if missing.")] = Path("poses"),
    model: Model = None,
) -> None:
    """Estimate the pose of a person in each picture. Leaves NAME.npz, NAME.glb and NAME.png beside each other."""
    corners = None if box is None else parse_box(box)
    if corners is not None and len(images) > 1:
        raise ValueError(f"--box says where the person is in one picture, but {len(images)} pictures were given.")
    names = result_names(images, out)
    make_folder(out)
    run = open_pipeline("image-to-pose", model)
    from ..figures import VIEWS, Cell, Panel, draw_panel, save_png
    from ..modeling.image_processing_unipose import load_picture

    for image, name in zip(images, names, strict=True):
        picture = load_picture(image)
        [person] = run({"image": picture, "box": corners})
        pose = person["pose"]
        for suffix in (".npz", ".glb"):
            pose.save(out / f"{name}{suffix}")
        views = tuple(Cell(pose.render(**view), label) for label, view in VIEWS.items())
        shown = picture if corners is None else picture.crop(within(corners, *picture.size))
        save_png(draw_panel(Panel(name, (Cell(shown),), views)), out / f"{name}.png")
        typer.echo(f"{image}: {out / name}.npz, .glb, .png (score {person['score']:.2f})")


@app.command()
def edit(
    pose: Annotated[Path, typer.Argument(help=f"A file: {FILES}.", show_default=False)],
    text: Annotated[str, typer.Argument(help="What to change.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Result: .glb, .bvh, .obj, .npz or .json.")] = Path("edited.glb"),
    frame: Annotated[int, typer.Option(help="Frame of the file.")] = 0,
    up: Up = None,
    facing: Facing = None,
    joint_map: JointMap = None,
    person: Person = None,
    model: Model = None,
) -> None:
    """Change a pose as an instruction says."""
    from ..data.pose_files import read_pose
    from ..modeling.pose_unipose import SUFFIXES

    if out.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--out is {str(out)!r}; a pose is saved as one of {', '.join(SUFFIXES)}.")
    check_target(out)
    start = read_pose(pose, frame, **reading(up, facing, joint_map, person))
    edited = open_pipeline("pose-editing", model)({"pose": start, "text": text})
    edited["pose"].save(out)
    typer.echo(f"{out} (score {edited['score']:.2f})")
