# SPDX-License-Identifier: Apache-2.0
"""`PoseToImagePipeline`: prompts and poses to pictures, with the ControlNet pipelines of diffusers."""

from __future__ import annotations

import inspect
import os
from typing import Any

from PIL import Image

try:
    import diffusers
    from diffusers import DiffusionPipeline
except ImportError as error:
    raise ImportError("Pictures of poses need diffusers: pip install 'unipose-hf[diffusers]'") from error

from .figures import as_people, checked_size
from .maps import depth_map, normal_map
from .skeletons import draw_skeletons

CONDITIONS = {"skeleton": draw_skeletons, "depth": depth_map, "normal": normal_map}
_OF_BOTH = ("torch_dtype", "cache_dir", "token", "local_files_only")  # arguments for both models
# `control_mode` of union ControlNets: xinsir's for SDXL, and InstantX's and Shakker Labs' for FLUX.1.
SDXL_UNION_MODES = {"skeleton": 0, "depth": 1, "normal": 4}
FLUX_UNION_MODES = {"skeleton": 4, "depth": 2}


class PoseToImagePipeline(DiffusionPipeline):
    """Generates pictures of people in given poses, with a ControlNet pipeline of diffusers.

    Args:
        painter: a `StableDiffusionControlNetPipeline`, `StableDiffusionXLControlNetPipeline`,
            `StableDiffusionXLControlNetUnionPipeline`, `FluxControlNetPipeline`, `QwenImageControlNetPipeline`, or
            another pipeline with the argument `control_image`. It stays available as the attribute `painter`, for its
            scheduler, adapters and offloading.

    Raises:
        ValueError: the pipeline takes no conditioning picture.
    """

    def __init__(self, painter: DiffusionPipeline) -> None:
        super().__init__()
        if not hasattr(painter, "controlnet"):
            raise ValueError(
                f"{type(painter).__name__} has no ControlNet; pass one of diffusers' ControlNet pipelines, or use "
                "PoseToImagePipeline.from_pretrained(model, controlnet)."
            )
        self.painter = painter

    @classmethod
    def from_pretrained(
        cls, model: str | os.PathLike, controlnet: str | os.PathLike | Any = None, **arguments: Any
    ) -> PoseToImagePipeline:
        """Loads a base model and a ControlNet.

        Args:
            model: a folder or a name on the Hub: a base model such as "stable-diffusion-v1-5/stable-diffusion-v1-5",
                or a whole ControlNet pipeline, as `save_pretrained` writes.
            controlnet: a folder, a name on the Hub, or a model. None if `model` has its own.
            arguments: passed to `AutoPipelineForText2Image.from_pretrained` of diffusers, such as `torch_dtype`.

        Raises:
            ValueError: there is no ControlNet, or diffusers has no ControlNet pipeline for the base model.
        """
        load = {name: arguments[name] for name in _OF_BOTH if name in arguments}
        if isinstance(controlnet, str | os.PathLike):
            controlnet = diffusers.AutoModel.from_pretrained(controlnet, **load)
        given = {} if controlnet is None else {"controlnet": controlnet}
        return cls(diffusers.AutoPipelineForText2Image.from_pretrained(model, **given, **arguments))

    @property
    def components(self) -> dict[str, Any]:
        """The models, tokenizers and scheduler of the painter."""
        return self.painter.components

    def to(self, *arguments: Any, **keywords: Any) -> PoseToImagePipeline:
        """Moves the painter to a device or a dtype."""
        self.painter.to(*arguments, **keywords)
        return self

    def enable_model_cpu_offload(self, *arguments: Any, **keywords: Any) -> None:
        """See the painter's method of this name."""
        self.painter.enable_model_cpu_offload(*arguments, **keywords)

    def save_pretrained(self, folder: str | os.PathLike, **arguments: Any) -> None:
        """Saves the painter, as an ordinary folder of diffusers that `from_pretrained` reads."""
        self.painter.save_pretrained(folder, **arguments)

    def conditioning_picture(
        self,
        pose: Any,
        size: int | tuple[int, int],
        *,
        condition: str = "skeleton",
        picture_size: tuple[int, int] | None = None,
        **view: Any,
    ) -> Image.Image:
        """The picture that the ControlNet is conditioned on.

        Args:
            pose, view: the people and the view (see `draw_skeletons`).
            size: width and height in pixels, or one number for both.
            condition: "skeleton", "depth" or "normal", what the ControlNet was trained on.
            picture_size: width and height of the photograph that the people's cameras belong to; they are moved so
                that all of it is in the middle of the new picture. By default the new picture's size.

        Raises:
            ValueError: an unknown condition, or a wrong size or view.
        """
        if condition not in CONDITIONS:
            raise ValueError(f"condition is {condition!r}; use one of {', '.join(CONDITIONS)}.")
        size = checked_size(size)
        if picture_size is not None:
            pose = [_moved(person, picture_size, size) for person in as_people(pose)]
        return CONDITIONS[condition](pose, size, **view)

    def __call__(
        self,
        prompt: str | list[str] | None = None,
        pose: Any = None,
        *,
        width: int | None = None,
        height: int | None = None,
        condition: str = "skeleton",
        picture_size: tuple[int, int] | None = None,
        view: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> Any:
        """Generates pictures.

        Args:
            prompt: what the picture should show. None if `arguments` has `prompt_embeds`.
            pose: one person, or several who stand in the same picture (see `draw_skeletons`).
            width, height: of the picture in pixels; by default what the model was trained on.
            condition, picture_size: see `conditioning_picture`.
            view: keywords of `draw_skeletons`, such as `{"style": "dwpose", "azimuth": 30}`.
            arguments: all other arguments of the painter, such as `controlnet_conditioning_scale`, `generator`,
                `num_inference_steps`.

        Returns:
            The painter's output; its `images` are PIL images.

        Raises:
            ValueError: no pose, or a wrong condition, size or view.
        """
        if pose is None:
            raise ValueError("There is no pose; pass one as `pose`, or several people as a list.")
        side = self._side()
        width, height = width or side, height or side
        accepted = inspect.signature(self.painter.__call__).parameters
        picture = self.conditioning_picture(
            pose, (width, height), condition=condition, picture_size=picture_size, **(view or {})
        )
        arguments = {"control_image" if "control_image" in accepted else "image": picture} | arguments
        mode = self._mode(condition)
        if mode is not None:
            arguments.setdefault("control_mode", mode)
        return self.painter(prompt=prompt, width=width, height=height, **arguments)

    def _side(self) -> int:
        sample = getattr(self.painter, "default_sample_size", None) or self.painter.unet.config.sample_size
        return int(sample * self.painter.vae_scale_factor)

    def _mode(self, condition: str) -> int | None:
        """`control_mode` of a union ControlNet, None for others."""
        controlnet = self.painter.controlnet
        if type(controlnet).__name__ == "ControlNetUnionModel":
            return SDXL_UNION_MODES[condition]
        if getattr(controlnet, "union", False):  # of FLUX
            if condition not in FLUX_UNION_MODES:
                raise ValueError(f"Union ControlNets for FLUX have no mode for {condition!r}; use skeleton or depth.")
            return FLUX_UNION_MODES[condition]
        return None


def _moved(person: Any, old: tuple[int, int], new: tuple[int, int]) -> dict[str, Any]:
    if not isinstance(person, dict) or person.get("camera") is None:
        raise ValueError("picture_size belongs to the cameras of people, and one has none; leave it out.")
    factor = min(new[0] / old[0], new[1] / old[1])
    scale, x, y = person["camera"]
    left, top = ((new[axis] - factor * old[axis]) / 2 for axis in (0, 1))
    return person | {"camera": (factor * scale, factor * x + left, factor * y + top)}
