# SPDX-License-Identifier: Apache-2.0
"""The vision encoders of UniPose behind one interface: any model or backbone of transformers gives a map of features.

An encoder whose configuration has no `patch_size` states the size of its map by `feature_grid`.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoBackbone, AutoModel, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.backbone_utils import BackboneMixin

from .configuration_unipose import UniPoseConfig

NO_ENCODER = (
    "Images were given, but this model has no vision encoder; load a model whose configuration has a vision_config or "
    "a pose_vision_config."
)


def _height_width(size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def _native_grid(config) -> tuple[int, int]:
    """Rows and columns of an encoder's feature map for an image of its configured size."""
    if (grid := getattr(config, "feature_grid", None)) is not None:
        return grid
    if not hasattr(config, "patch_size"):
        raise ValueError(
            f"The configuration of a {config.model_type} encoder does not tell the size of its feature map; set "
            "vision_feature_size."
        )
    sides = zip(_height_width(config.image_size), _height_width(config.patch_size), strict=True)
    rows, columns = (side // patch for side, patch in sides)
    return rows, columns


def image_grid(config: UniPoseConfig) -> tuple[int, int]:
    """Rows and columns of the grid that both encoders' features are resampled to; (0, 0) without an encoder."""
    if config.vision_config is None and config.pose_vision_config is None:
        return 0, 0
    if config.vision_feature_size is not None:
        return config.vision_feature_size, config.vision_feature_size
    return _native_grid(config.vision_config or config.pose_vision_config)


def _tokens_to_map(tokens, picture: torch.Size, patch_size) -> torch.Tensor:
    """Patch tokens (n, extra + rows * columns, C) -> map (n, C, rows, columns), without class and register tokens."""
    rows, columns = (side // patch for side, patch in zip(picture[-2:], _height_width(patch_size), strict=True))
    return tokens[:, tokens.shape[1] - rows * columns :].transpose(1, 2).unflatten(2, (rows, columns))


def _pad_to_square(feature_map):
    """Pads with zeros on both sides, so that an upright crop covers the same square as the general view."""
    missing = feature_map.shape[-2] - feature_map.shape[-1]  # rows - columns
    wide, tall = max(missing, 0), max(-missing, 0)
    return F.pad(feature_map, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2))


def supports_attention(model_class: type[PreTrainedModel], attention: str) -> bool:
    """Whether a model class supports an attention implementation; all support `"eager"`."""
    if "flash" in attention:
        return model_class._supports_flash_attn
    known = {"sdpa": model_class._supports_sdpa, "flex_attention": model_class._supports_flex_attn}
    return known.get(attention, True)


def build_encoder(config) -> PreTrainedModel | None:
    """An untrained encoder: any model or backbone of transformers, by its configuration; None for None."""
    if config is None:
        return None
    auto_class = AutoModel if type(config) in AutoModel._model_mapping else AutoBackbone
    attention = config._attn_implementation
    if attention is not None and not supports_attention(auto_class._model_mapping[type(config)], attention):
        config._attn_implementation = None  # it was chosen for the language model; the encoder uses its default
    return auto_class.from_config(config)


def feature_map(tower: PreTrainedModel, pixels: torch.Tensor, layer: int, **kwargs) -> tuple[torch.Tensor, object]:
    """Images `(n, 3, h, w)` -> an encoder's map of features `(n, channels, rows, columns)`, and all its outputs.

    Args:
        layer: the hidden state to use of a model that is no backbone.
    """
    pixels = pixels.to(tower.dtype)
    if getattr(tower.config, "num_experts", 1) > 1:  # ViTPose+ has an expert for each data set; the first is COCO's
        kwargs["dataset_index"] = torch.zeros(len(pixels), dtype=torch.long, device=pixels.device)
    kwargs["return_dict"] = True
    if isinstance(tower, BackboneMixin):
        outputs = tower(pixels, **kwargs)
        features = outputs.feature_maps[-1]
    else:
        outputs = tower(pixels, **(kwargs | {"output_hidden_states": True}))
        features = outputs.hidden_states[layer]
    if features.ndim == 3:
        features = _tokens_to_map(features, pixels.shape, tower.config.patch_size)
    return features, outputs


def resample(features: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """A feature map `(n, channels, rows, columns)` on another grid; an upright crop is padded to a square first."""
    if features.shape[-2:] == grid:
        return features
    if grid[0] == grid[1]:
        features = _pad_to_square(features)
    return F.interpolate(features, size=grid, mode="bilinear", align_corners=True)


class UniPoseMultiModalProjector(nn.Module):
    """Two linear layers with a GELU between them: one grid cell -> `image_tokens_per_cell` tokens.

    Args:
        config (`UniPoseConfig`): the input channels are those of its vision encoders, concatenated.
    """

    def __init__(self, config: UniPoseConfig):
        super().__init__()
        towers = [tower for tower in (config.vision_config, config.pose_vision_config) if tower is not None]
        hidden_size = config.text_config.hidden_size
        self.linear_1 = nn.Linear(sum(tower.hidden_size for tower in towers), hidden_size)
        self.act = ACT2FN[config.projector_hidden_act]
        self.linear_2 = nn.Linear(hidden_size, hidden_size * config.image_tokens_per_cell)
        self.hidden_size = hidden_size

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        """(images, cells, channels) -> (images, cells * image_tokens_per_cell, hidden_size)"""
        rows = self.linear_2(self.act(self.linear_1(cells)))
        return rows.unflatten(2, (-1, self.hidden_size)).flatten(1, 2)
