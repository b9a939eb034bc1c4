# SPDX-License-Identifier: Apache-2.0
"""Images of records: the files they name, or renderings if they have none."""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from .picture_files import read_picture
from .records import PoseRecord

QUALITY = 92  # of JPEG


class Picture(NamedTuple):
    """A picture file, the pose (22, 3) of the person as its camera sees it, and the person's box in pixels or None."""

    content: bytes
    pose: np.ndarray
    box: list[float] | None


def load_or_render_pictures(records: list[PoseRecord], *, seed: int, size: int) -> list[Picture]:
    """An image of each record. Image files are used unchanged.

    Args:
        records: those with an image have poses in its camera frame, the others in a level world.
        seed, size: of the renderings, which depend on the seed and the index among the records to be rendered.

    Raises:
        FileNotFoundError: a picture is missing.
    """
    without_image = [record for record in records if record.image is None]
    rendered = iter(_render(without_image, seed, size) if without_image else ())
    return [next(rendered) if record.image is None else _read(record) for record in records]


def encode_picture(pixels: np.ndarray) -> bytes:
    """Pixels `(H, W, 3)` uint8 as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _render(records, seed, size):
    from .synthesis.rendering import render_training_images  # OpenGL

    batch = render_training_images(np.stack([record.pose for record in records]), seed=seed, size=size)
    for pixels, pose, box in zip(batch.images, batch.axis_angle, batch.boxes, strict=True):
        yield Picture(encode_picture(pixels), pose, box.tolist())


def _read(record):
    return Picture(read_picture(record.image), record.pose, None if record.box is None else list(record.box))
