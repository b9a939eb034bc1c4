# SPDX-License-Identifier: Apache-2.0
"""Draws tasks as panels: the input, an arrow, and the output. An overview consists of rows of panels."""

import functools
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from unipose_hf.modeling.pose_unipose import write_file

from .text import wrapped

# Views of an estimated pose next to its picture.
VIEWS = {
    "seen as in the picture": {"azimuth": 0, "elevation": 3},
    "from the side": {"azimuth": 90, "elevation": 3},
}

PICTURE = 260  # side of every picture, pixels
GAP, MARGIN = 12, 18
ARROW = 34
TITLE, LABEL = 38, 26  # heights of the lines above and below
MIN_FONT_SIZE, MAX_FONT_SIZE = 12, 21

PAGE, CARD, EDGE = "#eef1f5", "#ffffff", "#d5dbe3"
INK, QUIET, ACCENT = "#1d2430", "#667085", "#2f6fb3"
INPUT_COLOR, OUTPUT_COLOR = "#f2f4f7", "#e8f1fb"


@dataclass(frozen=True)
class Cell:
    """One element of a panel: a picture or a text, with a label below it."""

    content: Image.Image | str
    label: str = ""

    @property
    def is_text(self) -> bool:
        return isinstance(self.content, str)


@dataclass(frozen=True)
class Panel:
    """A task: its name, its inputs and its outputs."""

    title: str
    inputs: tuple[Cell, ...]
    outputs: tuple[Cell, ...]

    def texts(self) -> int:
        return sum(cell.is_text for cell in self.inputs + self.outputs)

    def width_without_texts(self) -> int:
        cells = len(self.inputs) + len(self.outputs)
        arrow = ARROW if self.inputs and self.outputs else 0
        return (cells - self.texts()) * PICTURE + (cells + 1) * GAP + arrow

    @staticmethod
    def height() -> int:
        return TITLE + PICTURE + LABEL + GAP


def draw_panel(panel: Panel, text_width: int = 380) -> Image.Image:
    """One panel as an RGB picture; `text_width` pixels for each of its texts."""
    width = panel.width_without_texts() + panel.texts() * text_width
    image = Image.new("RGB", (width, panel.height()), CARD)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width - 1, panel.height() - 1), outline=EDGE)
    draw.text((GAP, TITLE / 2 + 2), panel.title, fill=ACCENT, font=_font(20), anchor="lm")
    left = GAP
    for cells, box in ((panel.inputs, INPUT_COLOR), (panel.outputs, OUTPUT_COLOR)):
        if cells is panel.outputs and panel.inputs and cells:
            _draw_arrow(draw, left - GAP / 2, TITLE + PICTURE / 2)
            left += ARROW
        for cell in cells:
            cell_width = text_width if cell.is_text else PICTURE
            if isinstance(cell.content, str):
                draw.rounded_rectangle((left, TITLE, left + cell_width, TITLE + PICTURE), 8, fill=box)
                _draw_text(draw, cell.content, left + 12, TITLE + 10, cell_width - 24, PICTURE - 20)
            else:
                fitted = ImageOps.pad(cell.content, (PICTURE, PICTURE), Image.Resampling.LANCZOS, color=CARD)
                image.paste(fitted, (left, TITLE))
            middle = left + cell_width / 2
            draw.text((middle, TITLE + PICTURE + LABEL / 2), cell.label, fill=QUIET, font=_font(15), anchor="mm")
            left += cell_width + GAP
    return image


def draw_overview(rows: list[list[Panel]], width: int = 1720) -> Image.Image:
    """Rows of panels, `width` pixels wide; the texts of a row share the space that its pictures leave."""
    height = Panel.height()
    page = Image.new("RGB", (width, len(rows) * (height + MARGIN) + MARGIN), PAGE)
    for number, row in enumerate(rows):
        room = width - (len(row) + 1) * MARGIN - sum(panel.width_without_texts() for panel in row)
        text_width = room // max(1, sum(panel.texts() for panel in row))
        left = MARGIN
        for panel in row:
            picture = draw_panel(panel, text_width)
            page.paste(picture, (left, MARGIN + number * (height + MARGIN)))
            left += picture.width + MARGIN
    return page


def save_png(image: Image.Image, path: Path) -> None:
    """Write a PNG file atomically."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    write_file(Path(path), buffer.getvalue())


def _draw_arrow(draw: ImageDraw.ImageDraw, left: float, middle: float) -> None:
    tip = left + ARROW - 4
    draw.line((left + 4, middle, tip - 8, middle), fill=ACCENT, width=4)
    draw.polygon(((tip - 12, middle - 9), (tip - 12, middle + 9), (tip, middle)), fill=ACCENT)


def _draw_text(draw: ImageDraw.ImageDraw, text: str, left: int, top: int, width: int, height: int) -> None:
    """The text in the largest font size that fits; truncated with three dots if even the smallest does not fit."""
    for size in range(MAX_FONT_SIZE, MIN_FONT_SIZE - 1, -1):
        font = _font(size)
        lines = wrapped(text, font, width)
        step = round(1.35 * size)
        if len(lines) * step <= height:
            break
    else:
        lines = lines[: height // step]
        lines[-1] = lines[-1].rstrip(" .,") + " ..."
    top += max(0, (height - len(lines) * step) // 2)
    for i, line in enumerate(lines):
        draw.text((left, top + i * step), line, fill=INK, font=font)


@functools.cache
def _font(size: int):
    return ImageFont.load_default(size=size)
