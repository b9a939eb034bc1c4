# SPDX-License-Identifier: Apache-2.0
"""Writes animations: .gif with Pillow, .mp4 with PyAV."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from ..files.write import replacing

ANIMATION_SUFFIXES = (".gif", ".mp4")
_PALETTE_FRAMES = 4  # pictures whose colours a .gif uses for all
_CODECS = ("libx264", "h264", "mpeg4")  # the first one that the installed PyAV has


def import_av() -> ModuleType:
    """PyAV; `ImportError` with the remedy if it is not installed."""
    try:
        import av
    except ImportError:
        raise ImportError("Videos need PyAV: pip install unipose-hf[video]") from None
    return av


def write_animation(path: Path, pictures: Iterable[Image.Image], frame_rate: float) -> Path:
    """Write RGB pictures of one size as a .gif or .mp4, atomically, and return the path.

    Raises:
        ValueError: there are no pictures. ImportError: PyAV is missing (for .mp4).
    """
    pictures = iter(pictures)
    first = next(pictures, None)
    if first is None:
        raise ValueError(f"There are no pictures to write to {path}.")
    with replacing(path) as part:
        if path.suffix.lower() == ".gif":
            _write_gif(part, chain([first], pictures), frame_rate)
        else:
            _write_mp4(part, chain([first], pictures), first.size, frame_rate)
    return path


def _write_gif(path: Path, pictures: Iterator[Image.Image], frame_rate: float) -> None:
    """One palette for all frames, since a palette for each would flicker."""
    shown = list(pictures)
    some = shown[:: max(1, len(shown) // _PALETTE_FRAMES)]
    together = Image.fromarray(np.concatenate([np.asarray(picture) for picture in some]))
    palette = together.quantize(255, method=Image.Quantize.MEDIANCUT)
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in shown]
    milliseconds = 10 * max(2, round(100 / frame_rate))
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, optimize=False)


def _write_mp4(path: Path, pictures: Iterator[Image.Image], size: tuple[int, int], frame_rate: float) -> None:
    av = import_av()
    codec = next((name for name in _CODECS if name in av.codecs_available), None)
    if codec is None:
        raise ValueError("The installed PyAV has no encoder for .mp4; write a .gif, or reinstall av.")
    width, height = (side + side % 2 for side in size)  # the encoders require even sides
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=Fraction(frame_rate).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if codec != "mpeg4":
            stream.options = {"crf": "20"}
        else:
            stream.bit_rate = 4 * width * height * max(1, round(frame_rate)) // 10
        for picture in pictures:
            pixels = np.asarray(picture.convert("RGB"))
            pixels = np.pad(pixels, ((0, height - size[1]), (0, width - size[0]), (0, 0)), mode="edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        container.mux(stream.encode())
