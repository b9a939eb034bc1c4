# SPDX-License-Identifier: Apache-2.0
"""Runs all seven tasks on a photograph and on held-out motion capture: `unipose demo`."""

import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from transformers import pipeline

from unipose_hf.body import JOINT_NAMES
from unipose_hf.captions import caption_poses, instruct_pairs, pose_geometry
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.synthesis.rendering import render_training_images
from unipose_hf.evaluation import mpjpe
from unipose_hf.evaluation.protocols.held_out import CLAUSES
from unipose_hf.modeling.image_processing_unipose import load_picture
from unipose_hf.modeling.pose_unipose import Pose, write_file
from unipose_hf.modeling.processing_unipose import TASKS
from unipose_hf.visualization.panels import VIEWS, Cell, Panel, draw_overview, draw_panel, save_png

PHOTO = Path(__file__).parents[1] / "assets" / "photo.jpg"
PHOTO_CREDIT = "Photograph: Pose2Sim (David Pagnon and others), BSD-3-Clause."
CLIP = "dance_b"
DESCRIPTION = "a person kneeling, arms raised"
INSTRUCTION = "raise your left hand above your head"
LEFT_WRIST, RIGHT_WRIST = JOINT_NAMES.index("left_wrist"), JOINT_NAMES.index("right_wrist")
PICTURE_SEED = 8  # seed of the rendered person, background (a room) and camera


def held_out_frames() -> tuple[Pose, Pose]:
    """Two frames of a test clip: the one with the right hand highest, and the one with the left hand highest."""
    poses = load_open_poses("test")
    clip = poses.axis_angle[poses.clip_id == poses.clip_names.index(CLIP)]
    heights = pose_geometry(clip)[0][:, :, 1]
    highest = (int(heights[:, wrist].argmax()) for wrist in (RIGHT_WRIST, LEFT_WRIST))
    return tuple(Pose(clip[frame]) for frame in highest)


def run_demo(model, processor, folder: Path, log: Callable[[str], None] = print, plain=None) -> None:
    """
    Run the seven tasks once and write pictures, meshes and a report to a folder.

    Args:
        model, processor: a `UniPoseForConditionalGeneration` and its processor.
        folder: an existing folder; files with the same names are replaced.
        log: called with each paragraph of the report.
        plain: model and processor for the tasks without pictures; the same by default.
    """
    began = time.monotonic()
    report = _Report(log)
    run = {}
    for task, rule in TASKS.items():
        chosen = plain if plain and not rule.images else (model, processor)
        run[task] = pipeline(task, model=chosen[0], processor=chosen[1])
    pose, other = held_out_frames()
    photo = load_picture(PHOTO)
    rendered = render_training_images(_vectors(pose), seed=PICTURE_SEED, size=512, body="full", occlusion=0)
    picture = Image.fromarray(rendered.images[0])
    models = _describe_models(model, *(plain or ())[:1])
    they = "They run" if plain else "It runs"
    report.add(
        f"{models}. {they} on {model.device}. The poses come from the clip {CLIP}, which is held out from training, "
        "as is the photograph."
    )

    person = run["image-to-pose"](photo)[0]
    person_pose = person["pose"]
    [known] = run["image-to-pose"]({"image": picture, "box": (0, 0, *picture.size)})
    error = 1000 * float(mpjpe(_joints(known["pose"]), _joints(Pose(rendered.axis_angle[0]))).mean())
    report.task(
        "image-to-pose",
        f"the photograph -> person.glb, person.bvh, person.npz (score {person['score']:.2f}). On a rendered picture "
        f"of a held-out pose, the joints are off by {error:.0f} mm on average.",
    )
    image_text = run["image-to-pose-text"](photo)["text"]
    report.task("image-to-pose-text", f"the photograph -> {_quoted(image_text)}")

    generated = run["text-to-pose"](DESCRIPTION)
    measured = caption_poses(_vectors(generated["pose"]), max_clauses=CLAUSES)[0]
    report.task("text-to-pose", f"{_quoted(DESCRIPTION)} -> text-to-pose.png. Measured: {_quoted(measured)}")
    edited = run["pose-editing"]({"pose": pose, "text": INSTRUCTION})
    rise = 100 * float(edited["pose"].joints[LEFT_WRIST, 1] - pose.joints[LEFT_WRIST, 1])
    report.task(
        "pose-editing",
        f"a held-out pose, {_quoted(INSTRUCTION)} -> edited.glb; the left hand moved {abs(rise):.0f} cm "
        f"{'up' if rise >= 0 else 'down'}.",
    )

    pose_text = run["pose-to-text"](pose)["text"]
    measured = caption_poses(_vectors(pose), max_clauses=CLAUSES)[0]
    report.task("pose-to-text", f"a held-out pose -> {_quoted(pose_text)} Measured: {_quoted(measured)}")
    change = run["pose-diff"]({"poses": (pose, other)})["text"]
    measured = instruct_pairs(_vectors(pose), _vectors(other), max_clauses=CLAUSES)[0]
    report.task("pose-diff", f"two held-out poses -> {_quoted(change)} Measured: {_quoted(measured)}")
    image_change = run["image-diff"]({"images": (photo, picture)})["text"]
    report.task("image-diff", f"the photograph, a rendered picture -> {_quoted(image_change)}")

    for suffix in (".glb", ".bvh", ".npz"):
        person_pose.save(folder / f"person{suffix}")
    edited["pose"].save(folder / "edited.glb")

    photo_cell, picture_cell = Cell(photo, "photograph"), Cell(picture, "rendered picture")
    pose_cell, other_cell = Cell(_front(pose), "held-out pose"), Cell(_front(other), "another")
    panels = [
        Panel(
            "image-to-pose",
            (photo_cell,),
            tuple(Cell(person_pose.render(**view), label) for label, view in VIEWS.items()),
        ),
        Panel("image-to-pose-text", (photo_cell,), (Cell(image_text, "answer"),)),
        Panel("text-to-pose", (Cell(DESCRIPTION, "description"),), (Cell(_front(generated["pose"]), "answer"),)),
        Panel(
            "pose-editing", (pose_cell, Cell(INSTRUCTION, "instruction")), (Cell(_front(edited["pose"]), "answer"),)
        ),
        Panel("pose-to-text", (pose_cell,), (Cell(pose_text, "answer"),)),
        Panel("pose-diff", (pose_cell, other_cell), (Cell(change, "answer"),)),
        Panel("image-diff", (photo_cell, picture_cell), (Cell(image_change, "answer"),)),
    ]
    for panel in panels:
        save_png(draw_panel(panel), folder / f"{panel.title}.png")
    note = (
        f"{models}. The poses come from motion capture held out from training, as is the photograph.\n{PHOTO_CREDIT}\n"
        "The command unipose demo draws this picture."
    )
    about = Panel("about this picture", (Cell(note),), ())
    rows = [panels[0:2], panels[2:4], panels[4:6], [panels[6], about]]
    save_png(draw_overview(rows), folder / "overview.png")
    report.add(
        f"{time.monotonic() - began:.0f} seconds, threads: {torch.get_num_threads()}. {PHOTO_CREDIT} "
        f"Everything is in {folder}; start with overview.png."
    )
    write_file(folder / "report.txt", report.text().encode())


def _describe_models(model, plain=None) -> str:
    millions = [sum(p.numel() for p in one.parameters()) / 1e6 for one in (model, plain) if one is not None]
    if plain is None:
        return f"One model of {millions[0]:.1f} million parameters does all seven tasks"
    return (
        f"Two models share the seven tasks: one of {millions[1]:.1f} million parameters generates, edits, describes "
        f"and compares poses, one of {millions[0]:.1f} million estimates them from pictures"
    )


class _Report:
    """The report: each paragraph is logged at once and kept."""

    def __init__(self, log: Callable[[str], None]):
        self.log = log
        self.paragraphs = []

    def add(self, text: str) -> None:
        self.paragraphs.append(textwrap.fill(text, 100))
        self.log(self.paragraphs[-1] + "\n")

    def task(self, name: str, text: str) -> None:
        self.add(f"{name}: {text}")

    def text(self) -> str:
        return "\n\n".join(self.paragraphs) + "\n"


def _vectors(pose: Pose) -> torch.Tensor:
    return torch.from_numpy(pose.axis_angle.copy())[None]  # (1, 22, 3)


def _joints(pose: Pose) -> torch.Tensor:
    return torch.from_numpy(pose.joints)[None]  # (1, 22, 3) metres


def _front(pose: Pose) -> Image.Image:
    return pose.render(azimuth=0, elevation=3)


def _quoted(text: str) -> str:
    return f'"{text}"'
