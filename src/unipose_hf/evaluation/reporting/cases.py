# SPDX-License-Identifier: Apache-2.0
"""Draws the best, median and worst answer of a task: the input, the answer and the truth."""

import torch
from PIL import Image

from unipose_hf.evaluation.protocols.samples import references
from unipose_hf.visualization.panels import MARGIN, PICTURE, Cell, Panel, draw_overview
from unipose_hf.visualization.picture import draw_pose

from .results import Result

PAGE_WIDTH = 1300  # with texts; without texts the width fits the pictures


def chosen_cases(errors: torch.Tensor) -> dict[str, int]:
    """The rows with the smallest, the median and the largest error `(n,)`."""
    order = errors.argsort(stable=True).tolist()
    return {"best": order[0], "median": order[(len(order) - 1) // 2], "worst": order[-1]}


def draw_cases(result: Result, samples: list[dict]) -> Image.Image:
    """One row for each case, as an RGB picture.

    Raises:
        ValueError: the result has no answers.
    """
    if result.errors is None:
        raise ValueError(f"{result.task} gave no answers to draw.")
    rows = []
    for name, row in chosen_cases(result.errors).items():
        title = f"{result.task}, {name} of {result.samples}: {result.error_name} {float(result.errors[row]):.3g}"
        sample, answer = samples[row], result.answers[row]
        if isinstance(answer, str):
            inputs = _input_cells(sample, sample["poses"])
            outputs = Cell(answer or "(nothing)", "answer"), Cell(references(sample)[0], "reference")
        else:
            inputs = ()  # the input of the tokenizer is the truth
            if result.task != "tokenizer":
                inputs = _input_cells(sample, sample["poses"][:-1])
                inputs += (Cell(sample["text"], "text"),) if sample.get("text") else ()
            truth = tuple(_pose_cell(pose, "truth") for pose in sample["poses"][-1:])  # some have only joints
            outputs = _pose_cell(answer, "answer"), *truth
        rows.append([Panel(title, inputs, outputs)])
    panel = rows[0][0]
    return draw_overview(rows, PAGE_WIDTH if panel.texts() else panel.width_without_texts() + 2 * MARGIN)


def _input_cells(sample, poses):
    """Images if the model saw any, otherwise poses."""
    if sample.get("images"):
        return tuple(Cell(_as_image(image), "picture") for image in sample["images"])
    return tuple(_pose_cell(pose, "pose") for pose in poses)


def _as_image(image):
    from unipose_hf.modeling.image_processing_unipose import load_picture

    if not isinstance(image, dict):
        return load_picture(image)
    picture, box = load_picture(image["image"]), image.get("box")
    return picture if box is None else picture.crop([round(edge) for edge in box])  # the part that the model saw


def _pose_cell(pose, label):
    return Cell(draw_pose(torch.as_tensor(pose), size=PICTURE), label)
