# SPDX-License-Identifier: Apache-2.0
"""Draws the results of a search."""

from collections.abc import Sequence

from PIL import Image

from .picture import contact_sheet, draw_pose


def draw_results(results: Sequence[dict], *, columns: int | None = None, cell: int = 256) -> Image.Image:
    """The poses that `pipeline("pose-retrieval")` found, best first, each with its score and its text if it has one.

    Args:
        results: the pipeline's output for one query.
        columns: results per row; by default about as many as rows.
        cell: pixels of the side of one pose; the two poses of a pair stand side by side.

    Raises:
        ValueError: there are no results, or they are texts.
    """
    if any("pose" not in row and "poses" not in row for row in results):
        raise ValueError("The results have no poses to draw; search a gallery of poses.")
    pictures = [_picture(row.get("poses") or (row["pose"],), cell) for row in results]
    labels = [" ".join([f"{row['score']:.2f}", row.get("text", "")]).strip() for row in results]
    return contact_sheet(pictures, columns=columns, labels=labels, cell=cell)


def _picture(poses, cell):
    size = cell // len(poses)
    sheet = Image.new("RGB", (size * len(poses), cell), "white")
    for i, pose in enumerate(poses):
        sheet.paste(draw_pose(pose, size=(size, cell)), (i * size, 0))
    return sheet
