# SPDX-License-Identifier: Apache-2.0
"""The command `unipose`, also `python -m unipose_hf.cli`.

A user's mistake ends as one sentence on stderr and exit code 2. What only one command needs is imported inside it.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

# The base of typer's complaints about a command line; where it lives depends on typer's version.
UsageError = typer.BadParameter.__base__


class _Commands(TyperGroup):
    """Commands whose foreseen errors are one sentence each."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # of `unipose ... | head`, which typer ends quietly
            raise
        except (ValueError, OSError, ImportError) as error:
            sentence = str(error)
            if isinstance(error, OSError) and error.strerror:
                sentence = f"{error.filename or 'A file'} cannot be read or written ({error.strerror})."
        except UsageError as error:
            sentence = error.format_message()
        typer.echo(f"unipose: {' '.join(sentence.split())}", err=True)
        raise typer.Exit(2)


app = typer.Typer(
    cls=_Commands,
    help="Read, describe, compare, estimate, generate and edit 3D human poses.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Model = Annotated[
    Path | None, typer.Option("--model", help="Folder of another model than the bundled one.", show_default=False)
]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures; made if missing.")] = Path("demo"),
    model: Model = None,
) -> None:
    """Run all seven tasks on a photograph and on motion capture, and leave pictures and meshes of them."""
    _make_folder(out)
    loaded = _load(model)
    from .demo import run_demo

    run_demo(*loaded, out, say=typer.echo)


@app.command()
def describe(
    files: Annotated[
        list[Path], typer.Argument(help=".npz (AMASS), .bvh or .json files, or folders of them.", show_default=False)
    ],
    every: Annotated[int, typer.Option(min=1, help="Take every so many-th frame.")] = 1,
    seed: Annotated[int, typer.Option(help="Another seed gives another wording.")] = 0,
    version: Annotated[str, typer.Option(help="Kind of captions, as PoseScript names them.")] = "default",
    processes: Annotated[int, typer.Option(min=1, help="How many processes describe files at once.")] = 1,
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
        _check_target(output, "--output")
    from .data.caption_files import caption_files, find_pose_files, write_captions

    found = find_pose_files(files)
    described = caption_files(found, every=every, seed=seed, version=version, processes=processes)
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
def estimate(
    images: Annotated[list[str], typer.Argument(help="Pictures of one person each.", show_default=False)],
    box: Annotated[
        str | None, typer.Option(help="Where the person is: x0,y0,x1,y1 in pixels.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results; made if missing.")] = Path("poses"),
    model: Model = None,
) -> None:
    """Estimate the pose of a person in each picture. Leaves NAME.npz, NAME.glb and NAME.png beside each other."""
    corners = None if box is None else _parse_box(box)
    if corners is not None and len(images) > 1:
        raise ValueError(f"--box says where the person is in one picture, but {len(images)} pictures were given.")
    names = _result_names(images, out)
    _make_folder(out)
    run = _pipeline("image-to-pose", model)
    from .figures import VIEWS, Cell, Panel, draw_panel, save_png
    from .modeling.image_processing_unipose import load_picture

    for image, name in zip(images, names, strict=True):
        picture = load_picture(image)
        [person] = run({"image": picture, "box": corners})
        pose = person["pose"]
        for suffix in (".npz", ".glb"):
            pose.save(out / f"{name}{suffix}")
        views = tuple(Cell(pose.render(**view), label) for label, view in VIEWS.items())
        shown = picture if corners is None else picture.crop(_within(corners, *picture.size))
        save_png(draw_panel(Panel(name, (Cell(shown),), views)), out / f"{name}.png")
        typer.echo(f"{image}: {out / name}.npz, .glb, .png (score {person['score']:.2f})")


@app.command()
def edit(
    pose: Annotated[Path, typer.Argument(help="An .npz, .bvh or .json file.", show_default=False)],
    text: Annotated[str, typer.Argument(help="What to change.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Result: .glb, .bvh, .obj, .npz or .json.")] = Path("edited.glb"),
    frame: Annotated[int, typer.Option(help="Frame of the file.")] = 0,
    model: Model = None,
) -> None:
    """Change a pose as an instruction says."""
    from .data.pose_files import read_pose
    from .modeling.pose_unipose import SUFFIXES

    if out.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--out is {str(out)!r}; a pose is saved as one of {', '.join(SUFFIXES)}.")
    _check_target(out)
    start = read_pose(pose, frame)
    edited = _pipeline("pose-editing", model)({"pose": start, "text": text})
    edited["pose"].save(out)
    typer.echo(f"{out} (score {edited['score']:.2f})")


@app.command()
def diff(
    pose_a: Annotated[Path, typer.Argument(help="An .npz, .bvh or .json file.", show_default=False)],
    pose_b: Annotated[Path, typer.Argument(help="Another one, or the same.", show_default=False)],
    frame_a: Annotated[int, typer.Option(help="Frame of the first file.")] = 0,
    frame_b: Annotated[int, typer.Option(help="Frame of the second file.")] = 0,
    model: Model = None,
) -> None:
    """Say how to get from the first pose to the second."""
    from .data.pose_files import read_pose

    poses = read_pose(pose_a, frame_a), read_pose(pose_b, frame_b)
    typer.echo(_pipeline("pose-diff", model)({"poses": poses})["text"])


@app.command()
def evaluate(
    count: Annotated[int | None, typer.Option(min=2, help="Poses to use; all by default.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="JSON file for the figures.")] = Path("figures.json"),
    model: Model = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for a report beside published figures, with pictures.", show_default=False),
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(help="With --output: tasks a,b,c; all by default.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="With --output: folder of published sets, in place of the clips.", show_default=False),
    ] = None,
    body: Annotated[
        Path | None,
        typer.Option(
            help="With --output: an SMPL-family file, for the errors; beside SMPL_NEUTRAL also its SMPL_FEMALE and "
            "SMPL_MALE are taken.",
            show_default=False,
        ),
    ] = None,
    regressor: Annotated[
        Path | None, typer.Option(help="With --data: J_regressor_h36m.npy, for 3DPW's joints.", show_default=False)
    ] = None,
    retrieval: Annotated[
        Path | None, typer.Option(help="With --output: another text-pose retrieval model.", show_default=False)
    ] = None,
    pair_retrieval: Annotated[
        Path | None, typer.Option(help="With --output: another retrieval model of pairs.", show_default=False)
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(help="With --output: NAME=FOLDER of another model's report; repeat it.", show_default=False),
    ] = None,
) -> None:
    """Measure the seven tasks on motion clips that are kept for tests.

    With --output also by the paper's protocols; started again with the same folder, it goes on where it was.
    """
    import contextlib
    import importlib.util
    import json

    of_report = dict(data=data, body=body, regressor=regressor, retrieval=retrieval, pair_retrieval=pair_retrieval)
    if output is None and (tasks or beside or any(of_report.values())):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in ("tasks", *of_report))
        raise ValueError(f"{options} and --beside belong to a report; give its folder by --output.")
    if output is None:
        _check_target(out)
    needed = {"sacrebleu": "BLEU needs sacrebleu"}
    if output is not None:
        needed["rouge_score"] = "ROUGE-L needs rouge-score"
    for module, sentence in needed.items():
        if importlib.util.find_spec(module) is None:  # it would be missed only after minutes
            raise ImportError(f"{sentence}: pip install unipose-hf[evaluate]")
    if output is not None:
        _report(output, tasks, model, count, beside or [], **of_report)
        return
    loaded = _load(model)
    from .evaluation.card import figures_table
    from .evaluation.held_out import evaluate_held_out
    from .modeling.pose_unipose import write_file

    with contextlib.redirect_stdout(sys.stderr):  # it tells how far it is
        figures = evaluate_held_out(*loaded, count=count)
    write_file(out, (json.dumps(figures, indent=1) + "\n").encode())
    typer.echo(f"{figures['poses']} poses of the clips {', '.join(figures['clips'])}, {figures['seconds']} s\n")
    typer.echo(figures_table(figures))
    typer.echo(f"\nOn the bundled body, so not comparable with published figures. Saved as {out}.")


def _report(output, tasks, model, count, beside, data, body, regressor, retrieval, pair_retrieval) -> None:
    from . import auto
    from .body import load_body
    from .evaluation import run
    from .evaluation.open_set import OPEN_DATA, OpenSet
    from .evaluation.results import Setting

    names = run.check_tasks(list(run.MEASUREMENTS) if tasks is None else [name.strip() for name in tasks.split(",")])
    others = {}
    for given in beside:
        name, _, folder = given.partition("=")
        if not folder:
            raise ValueError(f"--beside is {given!r}; give NAME=FOLDER.")
        others[name] = run.read_results(folder)
    _make_folder(output, "--output")
    model = model or auto.BUNDLED_CHECKPOINT
    folders = {
        "model": model,
        "retrieval": retrieval or auto.BUNDLED_CHECKPOINT.with_name("pose-text-retrieval"),
        "pair_retrieval": pair_retrieval or auto.BUNDLED_CHECKPOINT.with_name("pose-pair-text-retrieval"),
    }
    embedders = {name: _embedder(folder) for name, folder in folders.items() if name != "model"}
    bodies = {gender: load_body(file) for gender, file in _gendered(body).items()}
    setting = Setting(*_load(model), OPEN_DATA, load_body(body, size="small"), bodies, **embedders)
    key = {"count": count, "body": setting.body_name, "bodies": sorted(bodies)}
    key |= {name: run.fingerprint(folder) for name, folder in folders.items()}
    if data is None:
        measurements = run.open_measurements(names, OpenSet(count), OPEN_DATA)
    else:
        measurements = run.paper_measurements(names, data, count, regressor)
        key["joints"] = "of the body" if regressor is None else "from the mesh"

    def say(line):
        typer.echo(line, err=True)

    title = f"Evaluation of {model.resolve().name}"
    typer.echo(run.evaluate_into(output, setting, measurements, key, say, title, others))


def _gendered(body: Path | None) -> dict[str, Path]:
    """The files of women and men that lie beside a neutral body, by the names that these files usually have."""
    if body is None or "NEUTRAL" not in body.name:
        return {}
    files = {gender: body.with_name(body.name.replace("NEUTRAL", gender.upper())) for gender in ("female", "male")}
    return {gender: file for gender, file in files.items() if file.is_file()}


def _embedder(folder: Path):
    from transformers import AutoModel, AutoTokenizer

    from .evaluation.embedding import embedder

    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"There is no config.json in the folder {folder}; give that of a retrieval model.")
    return embedder(AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))


@app.command()
def build_data(
    kind: Annotated[
        str, typer.Argument(help="imagescript, imagediff, posest-open or multi-person.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder for the data set; one that was begun is continued.")],
    size: Annotated[int, typer.Option(min=1, help="Pictures or pairs; the paper has 52,000.")] = 500,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the paper's sets; the open poses without.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed gives another choice.")] = 0,
    picture_size: Annotated[
        int | None, typer.Option(min=64, help="Of rendered pictures, in pixels; 256 to 512.", show_default=False)
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="That make pictures and texts.")] = 1,
    on_ray: Annotated[bool, typer.Option("--on-ray", help="Share the work on a Ray cluster instead.")] = False,
    retrieval: Annotated[
        Path | None, typer.Option(help="Retrieval model that mines pairs; joints do without.", show_default=False)
    ] = None,
    refine_by: Annotated[
        str | None, typer.Option(help="Language model that refines texts or labels people.", show_default=False)
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="OpenAI-compatible server that has this model.", show_default=False)
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="For that server.", envvar="UNIPOSE_LLM_TOKEN", show_default=False)
    ] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(help="Upload as USER/NAME, if all licences allow it.", show_default=False)
    ] = None,
) -> None:
    """Build a data set of pictures, poses and texts, for `datasets.load_dataset(OUT, "A")`."""
    from .data.build import build_data, language_model
    from .data.publishing import push_dataset

    _make_folder(out)
    options = {} if picture_size is None else {"picture_size": picture_size}
    options |= dict(size=size, data=data, seed=seed, processes=processes, on_ray=on_ray)
    options |= dict(ask=language_model(refine_by, server, token), publish=push_to_hub is not None)
    for name, rows in build_data(kind, out, retrieval=retrieval, **options).items():
        typer.echo(f"{out}/{name}: {rows} rows")
    if push_to_hub is not None:
        typer.echo(push_dataset(out, push_to_hub))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def train(
    context: typer.Context,
    stage: Annotated[str, typer.Argument(help="alignment, projector, instruction or reasoning.")],
) -> None:
    """Train one stage of the language model: `unipose train STAGE --help` lists its arguments."""
    from .training.arguments import STAGES

    if stage not in STAGES:
        raise ValueError(f"There is no stage {stage!r}; choose one of {', '.join(STAGES)}.")
    from .training.stages import run_stage

    run_stage(stage, context.args)


@app.command()
def convert(
    out: Annotated[Path, typer.Option(help="The new folder; must not exist or be empty.", show_default=False)],
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
        int | None, typer.Option(help="Of a CLIP of another size than the published one.", show_default=False)
    ] = None,
    pose_vit_heads: Annotated[
        int | None, typer.Option(help="Of a pose encoder of another size.", show_default=False)
    ] = None,
    max_shard_size: Annotated[str, typer.Option(help="Of a file of weights; memory holds about one.")] = "5GB",
) -> None:
    """Turn published weights into a folder for the Hub: all four parts, or --pose-vqvae or --pose-vit alone."""
    from .conversion import convert as convert_parts

    parts = dict(unipose=unipose, llava=llava, pose_vqvae=pose_vqvae, pose_vit=pose_vit)
    options = dict(clip_heads=clip_heads, pose_vit_heads=pose_vit_heads, max_shard_size=max_shard_size)
    try:
        typer.echo(convert_parts(**parts, **options, out=out))
    except ValueError as error:
        sentence, *problems = str(error).split("\n  ")
        for problem in problems:  # each tensor that does not fit on a line of its own
            typer.echo(problem, err=True)
        raise ValueError(sentence.removesuffix(":") + ", see above." if problems else sentence) from error


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="The folder; files that it wrote before are replaced.")],
    model: Model = None,
    card: Annotated[
        Path | None, typer.Option(help="The README.md; that of the model by default.", show_default=False)
    ] = None,
    push_to_hub: Annotated[str | None, typer.Option(help="Upload as USER/NAME.", show_default=False)] = None,
) -> None:
    """Write a folder for the Hub: it works there with trust_remote_code=True and without this package."""
    from . import auto
    from .hub import export as export_folder
    from .hub import push

    own_card = (model or auto.BUNDLED_CHECKPOINT) / "README.md"
    if card is None and own_card.is_file():
        card = own_card
    typer.echo(export_folder(*_load_any(model), out, card))
    if push_to_hub is not None:
        typer.echo(push(out, push_to_hub))


@app.command()
def doctor(
    data: Annotated[
        Path | None, typer.Option(help="Folder of data sets; tells which are there.", show_default=False)
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="A config.json or a model's folder; tells the memory it needs.", show_default=False),
    ] = None,
) -> None:
    """Tell what is installed, what works, and how to mend the rest. Exit code 0 if the main job works."""
    from .doctor import examine, list_data

    if model is not None:
        from .memory_plan import available_memory, plan_memory, read_config, say_plan

        say_plan(plan_memory(read_config(model)), available_memory(), typer.echo)
        typer.echo()
    if data is not None:
        list_data(data, typer.echo)
        typer.echo()
    raise typer.Exit(0 if examine(typer.echo) else 1)


def _load(folder: Path | None):
    """The model and processor of a folder, the bundled ones by default."""
    from . import auto
    from .hub import check_fit, edited_code
    from .modeling.modeling_unipose import UniPoseForConditionalGeneration
    from .modeling.processing_unipose import UniPoseProcessor

    if folder is None:
        folder, mend = auto.BUNDLED_CHECKPOINT, "reinstall unipose-hf, or give another model by --model FOLDER"
    else:
        mend = "give --model a folder that save_pretrained or `hf download NAME --local-dir FOLDER` made"
    _check_model_folder(folder, mend)
    if edited := edited_code(folder):
        raise ValueError(
            f"{edited[0]} in {folder} was edited by hand, but this command runs the code of the installed package; "
            "take the edit back, or load the folder by trust_remote_code=True where the package is not installed."
        )
    model = _load_weights(UniPoseForConditionalGeneration, folder, mend)
    try:
        processor = UniPoseProcessor.from_pretrained(folder)
    except Exception as error:  # among them the bare Exception of the tokenizers library
        raise ValueError(f"The tokenizer or processor in {folder} is damaged ({error}); {mend}.") from error
    check_fit(model.config, processor)
    return model, processor


def _load_weights(model_class, folder: Path, mend: str):
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    told = logging.get_verbosity()
    logging.set_verbosity_error()  # the library's report on weights would stand before the sentence
    try:
        return model_class.from_pretrained(folder).eval()
    except SafetensorError as error:
        raise ValueError(f"The weights in {folder} are damaged ({error}); {mend}.") from error
    except RuntimeError as error:  # tensors of other shapes
        raise ValueError(f"The weights in {folder} do not fit its config.json ({error}); {mend}.") from error
    finally:
        logging.set_verbosity(told)


def _load_any(folder: Path | None):
    """Like `_load`, for every model that the package has; where there is no processor, `None` or a tokenizer."""
    if folder is None or (folder / "processor_config.json").is_file():
        return _load(folder)
    from transformers import AutoModel, AutoTokenizer

    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"There is no config.json in the folder {folder}; give the folder of a model.")
    model = _load_weights(AutoModel, folder, "download or save it again")
    return model, AutoTokenizer.from_pretrained(folder) if (folder / "tokenizer.json").is_file() else None


def _check_model_folder(folder: Path, mend: str) -> None:
    import json

    for needed in ("config.json", "*.safetensors", "processor_config.json", "tokenizer.json"):
        if not any(folder.glob(needed)):
            raise FileNotFoundError(f"There is no {needed} in the folder {folder}; {mend}.")
        if needed == "config.json":
            try:
                kind = json.loads((folder / needed).read_text(encoding="utf-8"))["model_type"]
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{folder / needed} is not the configuration of a model; {mend}.") from None
            if kind != "unipose":
                raise ValueError(f"The model in {folder} is of the type {kind!r}, but 'unipose' is needed; {mend}.")


def _pipeline(task: str, folder: Path | None):
    model, processor = _load(folder)
    from transformers import pipeline

    return pipeline(task, model=model, processor=processor)


def _parse_box(text: str) -> tuple[float, ...]:
    try:
        x0, y0, x1, y1 = (float(number) for number in text.split(","))
    except ValueError:
        raise ValueError(
            f"--box is {text!r}; expected four numbers x0,y0,x1,y1 in pixels, for example --box 40,10,300,480."
        ) from None
    return x0, y0, x1, y1


def _within(box: tuple[float, ...], width: int, height: int) -> tuple[float, ...]:
    """The part of a box that lies in a picture."""
    x0, y0, x1, y1 = box
    return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)


def _result_names(images: list[str], out: Path) -> list[str]:
    """The name of each picture's results, without suffix; refuses to overwrite a picture or another's results."""
    names = {}
    for image in images:
        is_file = not image.startswith(("http://", "https://"))
        if is_file and not Path(image).is_file():
            raise FileNotFoundError(f"There is no picture {image}; check the path.")
        name = Path(image.split("?")[0]).stem
        if is_file and Path(image).resolve() == (out / f"{name}.png").resolve():
            raise ValueError(f"The results would overwrite the picture {image}; give another folder by --out.")
        if name in names:
            raise ValueError(f"The results of {names[name]} and {image} would have one name; estimate one at a time.")
        names[name] = image
    return list(names)


def _make_folder(folder: Path, option: str = "--out") -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"The folder {folder} cannot be made ({error.strerror}); give another one by {option}."
        ) from None
    _check_writable(folder, option)


def _check_target(file: Path, option: str = "--out") -> None:
    """That a file can be written there, before minutes of work."""
    if not file.parent.is_dir():
        raise FileNotFoundError(f"The folder {file.parent} does not exist; make it first.")
    if file.is_dir():
        raise ValueError(f"{option} is {file}, which is a folder; give the name of a file.")
    _check_writable(file.parent, option)


def _check_writable(folder: Path, option: str = "--out") -> None:
    import os

    if not os.access(folder, os.W_OK):
        raise ValueError(f"The folder {folder} cannot be written to; give another place by {option}.")


def main() -> None:
    """The entry point of the command."""
    app(prog_name="unipose")


if __name__ == "__main__":
    main()
