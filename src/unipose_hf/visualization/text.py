# SPDX-License-Identifier: Apache-2.0
"""Wraps texts into lines."""

from collections.abc import Iterator

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def wrapped(text: str, font: Font, width: int) -> list[str]:
    """The lines of a text set in `font` (a PIL font) that are at most `width` pixels wide."""
    lines = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in _broken(paragraph.split(), font, width):
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return lines


def _broken(words: list[str], font: Font, width: int) -> Iterator[str]:
    """The words; those wider than a line are split."""
    for word in words:
        start = 0
        for end in range(1, len(word) + 1):
            if end - start > 1 and font.getlength(word[start:end]) > width:
                yield word[start : end - 1]
                start = end - 1
        yield word[start:]
