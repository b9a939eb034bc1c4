# SPDX-License-Identifier: Apache-2.0
"""A demo page for the bundled models: turns a picture or a sentence into a pose and edits it by instruction.

python app.py
"""

import functools
import secrets
import tempfile
from pathlib import Path

from transformers import pipeline

import unipose_hf  # noqa: F401  registers the pipelines
from unipose_hf import Pose
from unipose_hf.auto import bundled_checkpoint

MESHES = tempfile.TemporaryDirectory()  # deleted when the app exits


@functools.cache
def run(task):
    """The pipeline of a task; tasks with the same bundled checkpoint share the model."""
    kinds = ("text-to-pose", "image-to-pose")
    first = next(kind for kind in kinds if bundled_checkpoint(kind) == bundled_checkpoint(task))
    if task == first:
        return pipeline(task)
    return pipeline(task, model=run(first).model, processor=run(first).processor)


def shown(pose):
    """What the page shows of a pose: the pose itself, a mesh that can be rotated, and a description."""
    file = Path(MESHES.name) / f"{secrets.token_hex(8)}.glb"
    pose.save(file)
    return pose.axis_angle.tolist(), str(file), run("pose-to-text")(pose)["text"]


def from_picture(picture):
    people = run("image-to-pose")(picture)
    if not people:
        raise ValueError("No person was found in the picture.")
    return shown(people[0]["pose"])  # the largest


def from_text(text):
    return shown(run("text-to-pose")(text)["pose"])


def edited(rotations, instruction):
    return shown(run("pose-editing")({"pose": Pose(rotations), "text": instruction})["pose"])


def page():
    import gradio as gr

    def answer(function):
        @functools.wraps(function)
        def safe(*given):
            if any(value is None for value in given):
                raise gr.Error("Start with a picture or a sentence.")
            try:
                return function(*given)
            except ValueError as error:  # a user error, shown as a message
                raise gr.Error(str(error)) from error

        return safe

    with gr.Blocks(title="UniPose", delete_cache=(3600, 3600)) as blocks:
        gr.Markdown("# UniPose\n3D human poses from pictures and words, and back.")
        held = gr.State()
        with gr.Row():
            with gr.Column():
                picture = gr.Image(type="pil", label="Picture (the largest person is used)")
                text = gr.Textbox(label="Or a sentence, then Enter", placeholder="a person kneeling, arms raised")
                change = gr.Textbox(label="Edit the pose", placeholder="raise the left arm above the head")
            with gr.Column():
                mesh = gr.Model3D(label="Pose")
                words = gr.Textbox(label="Description")
        results = [held, mesh, words]
        picture.input(answer(from_picture), picture, results)
        text.submit(answer(from_text), text, results)
        change.submit(answer(edited), [held, change], results)
    return blocks


if __name__ == "__main__":
    page().launch()
