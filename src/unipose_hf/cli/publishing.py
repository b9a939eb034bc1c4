# SPDX-License-Identifier: Apache-2.0
"""Commands for Hub folders: convert, export."""

from pathlib import Path
from typing import Annotated

import typer

from .app import Model, app
from .loading import find_folder, load_any


@app.command()
def convert(
    output: Annotated[Path, typer.Option(help="The new folder; must not exist or be empty.", show_default=False)],
    unipose: Annotated[Path | None, typer.Option(help="The published folder unipose/.", show_default=False)] = None,
    llava: Annotated[
        Path | None, typer.Option(help="Folder of liuhaotian/llava-v1.6-mistral-7b.", show_default=False)
    ] = None,
    pose_vqvae: Annotated[
        Path | None, typer.Option("--pose-vqvae", help="pose_vqvae/best_MPJPE.ckpt.", show_default=False)
    ] = None,
    pose_vit: Annotated[
        Path | None, typer.Option("--pose-vit", help="tokenhmr_model.ckpt, or HMR2's.", show_default=False)
    ] = None,
    clip_heads: Annotated[
        int | None, typer.Option(help="Attention heads, for a CLIP of another size.", show_default=False)
    ] = None,
    pose_vit_heads: Annotated[
        int | None, typer.Option(help="Attention heads, for a pose encoder of another size.", show_default=False)
    ] = None,
    max_shard_size: Annotated[
        str, typer.Option(help="Maximum size of a weight file; about one is in memory.")
    ] = "5GB",
) -> None:
    """Convert published weights to a folder for the Hub: all four parts, or --pose-vqvae or --pose-vit alone."""
    from unipose_hf.hub.conversion import convert as convert_parts

    parts = dict(unipose=unipose, llava=llava, pose_vqvae=pose_vqvae, pose_vit=pose_vit)
    options = dict(clip_heads=clip_heads, pose_vit_heads=pose_vit_heads, max_shard_size=max_shard_size)
    try:
        typer.echo(convert_parts(**parts, **options, out=output))
    except ValueError as error:
        sentence, *problems = str(error).split("\n  ")
        for problem in problems:  # one line per tensor that does not fit
            typer.echo(problem, err=True)
        raise ValueError(sentence.removesuffix(":") + ", see above." if problems else sentence) from error


@app.command()
def export(
    output: Annotated[Path, typer.Option(help="Output folder; files from an earlier export are replaced.")],
    model: Model = None,
    card: Annotated[
        Path | None, typer.Option(help="File for README.md; by default that of the model.", show_default=False)
    ] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(help="Upload as USER/NAME; with --all, give only USER.", show_default=False)
    ] = None,
    bundled: Annotated[
        bool, typer.Option("--all", help="Export every bundled model, each to its own folder in --output.")
    ] = False,
    plain_english: Annotated[
        bool,
        typer.Option("--plain-english", help="Export the plain-English benchmark, a data set, instead of a model."),
    ] = False,
) -> None:
    """Write a folder for the Hub that works with trust_remote_code=True, without this package."""
    from unipose_hf.hub.folder import export as export_folder
    from unipose_hf.hub.folder import export_bundled, push

    if plain_english:
        from ..evaluation.plain_english import export_prompts

        if bundled or model is not None or card is not None or push_to_hub is not None:
            raise ValueError(
                "--plain-english only writes a folder with its own card; leave out --all, --model, --card and "
                "--push-to-hub, and upload it by `hf upload USER/NAME FOLDER --repo-type dataset`."
            )
        typer.echo(export_prompts(output))
        return
    if bundled:
        if model is not None or card is not None:
            raise ValueError("--all exports the bundled models with their own cards; leave out --model and --card.")
        if push_to_hub is not None and "/" in push_to_hub:
            raise ValueError(
                f"--push-to-hub is {push_to_hub}; with --all, give only USER, since models keep their names."
            )
        for folder in export_bundled(output):
            typer.echo(folder)
            if push_to_hub is not None:
                typer.echo(push(folder, f"{push_to_hub}/{folder.name}"))
        return
    own_card = find_folder(model) / "README.md"
    if card is None and own_card.is_file():
        card = own_card
    typer.echo(export_folder(*load_any(model), output, card))
    if push_to_hub is not None:
        typer.echo(push(output, push_to_hub))
