# SPDX-License-Identifier: Apache-2.0
"""Images -> views for UniPose's general encoder (CLIP) and its pose encoder, with PIL and numpy only."""

import base64
import functools
import io
import math
import os
import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import BatchFeature
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)
from transformers.processing_utils import ImagesKwargs

from .fetching_unipose import fetch

MIN_SIDE = 16
MAX_PIXELS = 100_000_000
MAX_ASPECT_RATIO = 20
# PIL reads many more, some of them by running other programs.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "GIF", "BMP", "PPM")


class UniPoseImageProcessorKwargs(ImagesKwargs, total=False):
    r"""
    general_size (`int`, *optional*):
        Side of the general view: resize the shortest edge to it, centre crop, then normalise as CLIP does. `None` for
            no view.
    pose_size (`int` or `(int, int)`, *optional*):
        Side of the pose view, or its height and width.
    pose_view (`str`, *optional*):
        `"square"`: the whole image, padded with black to a square, in [0, 1]. `"crop"`: resize the shortest edge to
        the longer side of `pose_size`, centre crop, then normalise as for ImageNet.
    box_margin (`float`, *optional*):
        Side of the square that is cut out around a box, as a multiple of the box's longer side.
    boxes (`list`, *optional*):
        For each image, `(x0, y0, x1, y1)` in pixels of the upright image, or `None`.
    """

    general_size: int | None
    pose_size: int | list | tuple | None
    pose_view: str | None
    box_margin: float | None
    boxes: list | tuple | None


class UniPoseImageProcessor(PilBackend):
    r"""
    Produces `pose_pixel_values` `(n, 3, *pose_size)` and, if `general_size` is set, `pixel_values`
    `(n, 3, general_size, general_size)`, both float32.

    The published model uses `general_size=336`, `pose_size=(256, 192)`, `pose_view="crop"` (supplement B.2); the
    defaults are those of the bundled checkpoint: one view of 512 pixels for BlazePose. With a box, both views show the
    square around the box, cut from the image at full resolution.

    Of the usual options of image processors, `do_rescale=False` keeps values in 0 ... 255, `rescale_factor` sets
    another scale, and `do_normalize=False` skips the mean and standard deviation. The encoder determines how a view is
    resized and cropped, so other options (`size`, `do_resize=False`, `image_mean`, ...) and unknown ones raise
    `ValueError`.

    Images are paths, URLs, PIL images, arrays or tensors `(H, W)`, `(H, W, C)` or `(C, H, W)` with 1, 3 or 4 channels:
    8- and 16-bit integers, or floats in [0, 1]. EXIF orientation is applied; transparent pixels become white.
    """

    general_size = None
    pose_size = 512
    pose_view = "square"
    box_margin = 1.25
    do_rescale = do_normalize = True
    valid_kwargs = UniPoseImageProcessorKwargs

    def __init__(self, **kwargs: Any) -> None:
        _check_options(kwargs)
        super().__init__(**kwargs)
        self._options()

    @property
    def model_input_names(self) -> list[str]:
        return [*(["pixel_values"] if self.general_size else []), "pose_pixel_values"]

    @classmethod
    def from_dict(cls, image_processor_dict: dict[str, Any], **kwargs: Any) -> Self:
        # A later version of transformers may have written the file: unknown options in it are not the user's mistake.
        known = {*_OPTIONS, *_FIXED_OPTIONS, *_IGNORED_OPTIONS, *UniPoseImageProcessorKwargs.__annotations__}
        return super().from_dict({k: v for k, v in image_processor_dict.items() if k in known}, **kwargs)

    def fetch_images(self, image_url_or_urls: Any) -> Any:
        """Any nesting of images -> the same nesting of upright RGB PIL images."""
        if isinstance(image_url_or_urls, list | tuple):
            return [self.fetch_images(image) for image in image_url_or_urls]
        return load_picture(image_url_or_urls)

    def preprocess(
        self,
        images: Any,
        boxes: Sequence[Sequence[float] | None] | Sequence[float] | None = None,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """
        Args:
            images: one image or any nesting of images.
            boxes: for each image, `(x0, y0, x1, y1)` in pixels of the upright image, or `None`.

        Raises:
            FileNotFoundError: the file does not exist. ValueError: an unreadable, too small, too large or too thin
                image, an invalid array, an empty or misplaced box, an option that is unknown or cannot be set.
        """
        _check_options(kwargs)
        options = self._options(**kwargs)
        general, pose, margin = options["general_size"], options["pose_size"], options["box_margin"]
        scale = options["rescale_factor"] if options["do_rescale"] else 1.0
        pictures = [load_picture(picture) for picture in flatten_pictures(images)]
        boxes = [None] * len(pictures) if boxes is None else list(boxes)
        if len(boxes) == 4 and len(pictures) == 1 and np.isscalar(boxes[0]):
            boxes = [boxes]
        if len(boxes) != len(pictures):
            raise ValueError(
                f"There are {len(boxes)} boxes for {len(pictures)} images; give one box or None for each."
            )
        squares = [_square_of_box(box, picture.size, margin) for box, picture in zip(boxes, pictures, strict=True)]
        framed = list(zip(pictures, squares, strict=True))
        clip = imagenet = ()
        if options["do_normalize"]:
            clip, imagenet = (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD), (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        data = {}
        if general:
            views = [_cropped(picture, square, general, math.floor) for picture, square in framed]
            data["pixel_values"] = np.stack([_normalize(view, scale, *clip) for view in views])
        if options["pose_view"] == "square":
            views = [_normalize(_padded(picture, square, pose), scale) for picture, square in framed]
        else:
            views = [_cropped(picture, square, pose, round) for picture, square in framed]
            views = [_normalize(view, scale, *imagenet) for view in views]
        data["pose_pixel_values"] = np.stack(views)
        return BatchFeature(data, tensor_type=return_tensors)

    def _options(self, **given):
        """This processor's options, updated by those of a call; only `general_size` may be set to `None`."""
        options = {name: getattr(self, name) for name in _OPTIONS}
        options |= {name: value for name, value in given.items() if value is not None or name == "general_size"}
        view, size = options["pose_view"], options["pose_size"]
        if view not in ("square", "crop"):
            raise ValueError(f"pose_view is {view!r}; choose 'square' or 'crop'.")
        if view == "square" and not isinstance(size, int):
            raise ValueError(f"pose_size is {size}; the square pose view needs a single number.")
        return options

    def to_dict(self) -> dict[str, Any]:
        output = super().to_dict()
        output.pop("boxes", None)
        return output


# Options that can be set, options with a fixed value, and options that transformers writes to files or that do not
# change a result.
_OPTIONS = ("general_size", "pose_size", "pose_view", "box_margin", "do_rescale", "rescale_factor", "do_normalize")
_FIXED_OPTIONS = {"do_resize": True, "do_convert_rgb": True, "data_format": "channels_first", "device": "cpu"}
_IGNORED_OPTIONS = (
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "auto_map",
    "default_to_square",
)
_IGNORED_OPTIONS += ("boxes", "return_tensors", "disable_grouping")


def _check_options(options):
    for name, value in options.items():
        if name in _OPTIONS or name in _IGNORED_OPTIONS or value is None:
            continue
        if name in _FIXED_OPTIONS:
            if str(getattr(value, "value", value)) != str(_FIXED_OPTIONS[name]):
                raise ValueError(
                    f"{name} is {value!r}, but a UniPose image processor only supports {_FIXED_OPTIONS[name]!r}."
                )
        elif name in UniPoseImageProcessorKwargs.__annotations__:
            raise ValueError(
                f"{name} cannot be set: each encoder determines how its view is resized and cropped; set "
                "general_size, pose_size or pose_view instead."
            )
        else:
            raise ValueError(f"A UniPose image processor has no option {name!r}; it has {', '.join(_OPTIONS)}.")


def flatten_pictures(images):
    """Any nesting of images -> a flat list; an array or tensor with four dimensions is a list of images."""
    if isinstance(images, list | tuple):
        return [picture for item in images for picture in flatten_pictures(item)]
    if isinstance(images, np.ndarray | torch.Tensor) and images.ndim == 4:
        return list(images)
    return [images]


def load_picture(image):
    """
    A path, URL, data URL, bytes, PIL image, array or tensor -> an upright RGB PIL image.

    Raises:
        FileNotFoundError: the file does not exist. ValueError: it is not an image, is damaged, or has an unreasonable
            size.
    """
    if isinstance(image, np.ndarray | torch.Tensor):
        name, image = "The array", _array_to_picture(image)
    elif isinstance(image, Image.Image):
        name = "The image"
    else:
        name, image = _open(image)
    _check_size(name, *image.size)
    try:
        return _to_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError as error:  # raised for a frame that is larger than the header says
        raise ValueError(_too_large(name)) from error
    except (OSError, SyntaxError, EOFError, ValueError, IndexError) as error:
        # PIL reads the pixels only now, and raises many kinds of errors if they are damaged
        raise ValueError(
            f"{name} is damaged and cannot be read as an image ({error}); try saving it again."
        ) from error


def _open(source):
    name = str(source)[:200] if isinstance(source, str | os.PathLike) else "The data"
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        source = fetch(source)
    if isinstance(source, str) and source.startswith("data:image/"):
        name = "The data URL"
        try:
            source = base64.b64decode(source.split(",", 1)[-1])
        except ValueError as error:
            raise ValueError(f"{name} is damaged ({error}); expected data:image/png;base64,... .") from error
    if isinstance(source, bytes | bytearray):
        source = io.BytesIO(source)
    elif isinstance(source, str | os.PathLike):
        source = os.fspath(source)
        if not os.path.exists(source):
            raise FileNotFoundError(f"There is no image {name!r}; check the path.")
    elif not hasattr(source, "read"):
        raise ValueError(
            f"An image must be a path, a URL, a PIL image or an array, but {type(source).__name__} was given."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `_check_size` decides
            return name, Image.open(source, formats=picture_formats())
    except Image.DecompressionBombError as error:
        raise ValueError(_too_large(name)) from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, ValueError) and ("too large" in str(error) or "Too much memory" in str(error)):
            raise ValueError(_too_large(name)) from error  # raised for the text chunks of a PNG file
        raise ValueError(f"{name} is not an image that PIL can read; give a JPEG, PNG or WebP file.") from error


@functools.cache
def picture_formats():
    """The members of `FORMATS` that the installed PIL can read."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _too_large(name):
    return (
        f"{name} is a decompression bomb, or an image of more than {MAX_PIXELS // 10**6} megapixels; make it smaller "
        "first."
    )


def _check_size(name, width, height):
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"{name} is {width} x {height} pixels; an image needs at least {MIN_SIDE} on each side.")
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{name} is {width} x {height} pixels, more than {MAX_PIXELS // 10**6} megapixels; make it smaller first."
        )
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ValueError(
            f"{name} is {width} x {height} pixels, thinner than 1:{MAX_ASPECT_RATIO}; crop it to the person first."
        )


def _to_rgb(image):
    if image.mode == "RGB":
        image.load()
        return image
    if image.mode.startswith("I") or image.mode == "F":  # 16 and 32 bits per pixel, which PIL would clip at 255
        values = np.asarray(image, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("it holds NaN or infinite values")
        small = values.max() <= 255 and not image.mode.startswith("I;16")
        top = 1.0 if values.max() <= 1 and image.mode == "F" else 255.0 if small else 65535.0
        return Image.fromarray((values / top * 255).clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _array_to_picture(array):
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu()
        array = (array.float() if array.is_floating_point() else array).numpy()
    shape, kind = array.shape, array.dtype.kind
    if array.ndim == 3 and shape[-1] not in (1, 3, 4) and shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if not (array.ndim == 2 or array.ndim == 3 and array.shape[-1] in (3, 4)) or array.size == 0:
        raise ValueError(
            f"An image array must have shape (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels, but has {shape}."
        )
    if kind not in "buif":
        raise ValueError(f"An image array must hold numbers, but its type is {array.dtype}.")
    if kind == "f" and not np.isfinite(array).all():
        raise ValueError("The image array holds NaN or infinite values.")
    low, high = array.min(), array.max()
    top = 1 if kind in "bf" else 65535 if array.dtype == np.uint16 else 255
    if low < -0.01 * top or high > 1.01 * top:
        raise ValueError(
            f"The array of type {array.dtype} holds values from {low:g} to {high:g}; floats must be in [0, 1] and "
            "integers in [0, 255] (uint16: [0, 65535])."
        )
    if array.dtype != np.uint8:
        array = (array.astype(np.float64) * (255 / top)).clip(0, 255).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(array))


def _square_of_box(box, size, margin):
    """Box -> (left, top, side) of the square around it in pixels, or `None` for the whole image."""
    if box is None:
        return None
    width, height = size
    try:
        values = np.asarray(box, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (4,) or not np.isfinite(values).all():
        raise ValueError(f"A box must be four finite numbers (x0, y0, x1, y1) in pixels, but {box!r} was given.")
    x0, y0, x1, y1 = values
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"The box {_show(values)} is empty; it must have x0 < x1 and y0 < y1.")
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"The box {_show(values)} is outside the image of {width} x {height} pixels.")
    if min(x1 - x0, y1 - y0) < 2:
        raise ValueError(
            f"The box {_show(values)} covers less than two pixels of the image; boxes are in pixels, not fractions."
        )
    side = margin * max(x1 - x0, y1 - y0)
    return ((x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side)


def _show(box):
    return "(" + ", ".join(f"{value:g}" for value in box) + ")"


def _padded(picture, square, size):
    """The square of an image at `size` pixels, black outside the image; `None` is the smallest square around it."""
    width, height = picture.size
    if square is None:
        side = max(width, height)
        square = ((width - side) / 2, (height - side) / 2, side)
    left, top, side = square
    visible = (max(left, 0), max(top, 0), min(left + side, width), min(top + side, height))
    scale = size / side
    # Only the visible part is resized and then pasted, so no large black canvas is ever created.
    target = [round((edge - start) * scale) for edge, start in zip(visible, (left, top, left, top), strict=True)]
    x0, y0, x1, y1 = target
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    part = picture
    if visible != (0, 0, width, height) or (x1 - x0, y1 - y0) != picture.size:
        part = picture.resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR, box=visible, reducing_gap=3.0)
    if part.size == (size, size):
        return part
    view = Image.new("RGB", (size, size))
    view.paste(part, (x0, y0))
    return view


def _cropped(picture, square, size, rounding):
    """Resizes the shortest edge to `size` and crops the centre; a given square is used as a whole.

    A size (height, width) is cut from the square of the longer side. `rounding` of odd margins follows the library
    that each encoder was trained with.
    """
    height, width = (size, size) if isinstance(size, int) else size
    side = max(height, width)
    if square is not None:
        picture = _padded(picture, square, side)
    else:
        short = min(picture.size)
        picture = picture.resize([side * edge // short for edge in picture.size], Image.Resampling.BICUBIC)
        left, top = (rounding((edge - side) / 2) for edge in picture.size)
        picture = picture.crop((left, top, left + side, top + side))
    left, top = (side - width) // 2, (side - height) // 2
    return picture.crop((left, top, left + width, top + height))


def _normalize(picture, scale, mean=None, std=None):
    """PIL image -> (3, H, W) float32, times `scale`, then perhaps centred and divided."""
    pixels = np.asarray(picture, dtype=np.float32) / np.float32(1 / scale)  # division by 255, bit-exact
    if mean is not None:
        pixels = (pixels - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


__all__ = ["UniPoseImageProcessor"]
