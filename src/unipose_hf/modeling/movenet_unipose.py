# SPDX-License-Identifier: Apache-2.0
"""MoveNet MultiPose: detects people in a picture, each with a box and 17 keypoints, in a single pass.

Architecture: a MobileNetV2 with width multiplier 1.5 (https://arxiv.org/abs/1801.04381), a feature pyramid down to
stride 4, and CenterNet heads (Zhou et al., "Objects as Points", https://arxiv.org/abs/1904.07850).
`examples/publish/convert_movenet.py` converts the Apache-2.0 weights of "MoveNet MultiPose Lightning". Both sides of
the input must be multiples of 32; the model was trained at 256 pixels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

STRIDE = 4  # of the heads' output maps
NUM_KEYPOINTS = 17  # COCO's: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles, left before right
MIN_KEYPOINT_SCORE = 0.127  # keypoints with a lower score are left out of the person's score (the published value)
REACH = 0.3  # of the map's shorter side: divides the squared distance of a keypoint from its regressed position


@strict
class MoveNetConfig(PreTrainedConfig):
    r"""Configuration of a [`MoveNetMultiPose`]; the defaults are the published sizes.

    stem_channels (`int`): channels after the first, stride-2 convolution.
    stage_channels, stage_depths, stage_strides (`list[int]`): width, number of inverted residual blocks and stride of
        each stage; the pyramid takes the last stage at each resolution, and the last convolution.
    expansion (`int`): expansion ratio of the blocks (the first block is not expanded).
    last_channels (`int`): width of the backbone's last convolution.
    pyramid_channels (`list[int]`): width of the pyramid at 1/32, 1/16, 1/8 and 1/4 of the picture's size.
    head_channels (`int`): width of the layer inside each head.
    """

    model_type = "unipose_movenet"

    stem_channels: int = 48
    stage_channels: list[int] | tuple[int, ...] = (24, 40, 48, 96, 144, 240, 480)
    stage_depths: list[int] | tuple[int, ...] = (1, 2, 3, 4, 3, 3, 1)
    stage_strides: list[int] | tuple[int, ...] = (1, 2, 2, 2, 1, 2, 1)
    expansion: int = 6
    last_channels: int = 1280
    pyramid_channels: list[int] | tuple[int, ...] = (64, 32, 24, 24)
    head_channels: int = 96


@dataclass
class MoveNetOutput(ModelOutput):
    """Output of a [`MoveNetMultiPose`], one row per person over all pictures; pixels of `pixel_values`, y down.

    picture (`(n,)`): index of the picture in the batch.
    scores (`(n,)`): probability of a person's centre times the mean score of the detected keypoints, in [0, 1].
    boxes (`(n, 4)`): x0, y0, x1, y1.
    keypoints (`(n, 17, 3)`): x, y and a score in [0, 1].
    """

    picture: Tensor | None = None
    scores: Tensor | None = None
    boxes: Tensor | None = None
    keypoints: Tensor | None = None


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's padding: with stride 2, only on the right and bottom."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, bias: bool = True
    ):
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)) if self.stride[0] == 2 else x)


class InvertedResidual(nn.Module):
    """Inverted residual block; with an expansion of 1 it has no expansion layer."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        inside = inputs * expansion
        self.expand = (
            nn.Sequential(SameConv(inputs, inside), nn.ReLU6(inplace=True)) if expansion > 1 else nn.Identity()
        )
        self.depthwise = nn.Sequential(SameConv(inside, inside, 3, stride, groups=inside), nn.ReLU6(inplace=True))
        self.project = SameConv(inside, outputs)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


class SeparableConv(nn.Sequential):
    """Depthwise 3 x 3 without bias, pointwise, ReLU."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(SameConv(inputs, inputs, 3, groups=inputs, bias=False), SameConv(inputs, outputs), nn.ReLU())


class MoveNetMultiPose(PreTrainedModel):
    """Detects the people in a batch of pictures.

    `pixel_values` `(n, 3, H, W)` in [0, 1] (RGB, not normalised); H and W must be multiples of 32.
    """

    config: MoveNetConfig
    config_class = MoveNetConfig
    base_model_prefix = "movenet"
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: MoveNetConfig):
        super().__init__(config)
        self.stem = nn.Sequential(SameConv(3, config.stem_channels, 3, stride=2), nn.ReLU6(inplace=True))
        self.stages, inputs = nn.ModuleList(), config.stem_channels
        for index, (channels, depth, stride) in enumerate(
            zip(config.stage_channels, config.stage_depths, config.stage_strides, strict=True)
        ):
            expansion = config.expansion if index else 1
            blocks = [InvertedResidual(inputs, channels, stride, expansion)]
            blocks += [InvertedResidual(channels, channels, 1, config.expansion) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*blocks))
            inputs = channels
        self.last = nn.Sequential(SameConv(inputs, config.last_channels), nn.ReLU6(inplace=True))
        self.lateral_stages = (3, 2, 1)  # the last stages at strides 16, 8 and 4
        wide = config.pyramid_channels
        laterals = [config.last_channels, *(config.stage_channels[stage] for stage in self.lateral_stages)]
        into = [wide[0], *wide[:-1]]
        self.laterals = nn.ModuleList(SameConv(*pair) for pair in zip(laterals, into, strict=True))
        self.pyramid = nn.ModuleList(SeparableConv(*pair) for pair in zip(into[1:], wide[1:], strict=True))

        def head(outputs):
            return nn.Sequential(
                SeparableConv(wide[-1], config.head_channels), SameConv(config.head_channels, outputs)
            )

        self.center, self.box_scale, self.box_offset = head(1), head(2), head(2)
        self.keypoint_heatmap, self.keypoint_regress = head(NUM_KEYPOINTS), head(2 * NUM_KEYPOINTS)
        self.keypoint_offset = head(2 * NUM_KEYPOINTS)
        self.post_init()

    def features(self, pixel_values: Tensor) -> Tensor:
        """`(n, 3, H, W)` in [0, 1] -> the feature map `(n, C, H / 4, W / 4)` for the heads."""
        pixels = (pixel_values * 2 - 1).contiguous(memory_format=torch.channels_last)  # 1.5 times as fast
        x, stage_outputs = self.stem(pixels), []
        for stage in self.stages:
            x = stage(x)
            stage_outputs.append(x)
        x = self.laterals[0](self.last(x))
        for lateral, merge, stage in zip(self.laterals[1:], self.pyramid, self.lateral_stages, strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False) + lateral(stage_outputs[stage])
            x = merge(x)
        return x

    def forward(self, pixel_values: Tensor, threshold: float = 0.1, max_people: int = 60, **kwargs) -> MoveNetOutput:
        """Detect people.

        Args:
            pixel_values: `(n, 3, H, W)`.
            threshold: minimum probability of a person's centre.
            max_people: maximum number of people per picture.

        Raises `ValueError` for a wrong shape.
        """
        if pixel_values.dim() != 4 or pixel_values.shape[1] != 3 or any(side % 32 for side in pixel_values.shape[2:]):
            raise ValueError(
                f"pixel_values has the shape {tuple(pixel_values.shape)}; expected (pictures, 3, H, W) with sides "
                "divisible by 32."
            )
        maps = self.features(pixel_values)
        center = self.center(maps).sigmoid()[:, 0]  # (n, h, w)
        peaks = center * (center >= F.max_pool2d(center[:, None], 5, 1, padding=2)[:, 0])
        scores, cells = peaks.flatten(1).topk(min(max_people, peaks[0].numel()), dim=1)
        picture, rank = (scores >= threshold).nonzero(as_tuple=True)
        return self._read(maps, picture, cells[picture, rank], scores[picture, rank])

    def _read(self, maps: Tensor, picture: Tensor, cell: Tensor, center: Tensor) -> MoveNetOutput:
        """The people whose centres lie in the cells `(m,)` of the pictures `(m,)`."""
        height, width = maps.shape[-2:]

        def at_cells(values):  # (n, C, h, w) -> (m, C)
            return values[picture, :, cell // width, cell % width]

        middle = torch.stack((cell // width, cell % width), dim=-1).to(maps.dtype)  # (m, 2), y before x as in the maps
        limit = middle.new_tensor([height, width])
        half = at_cells(self.box_scale(maps)).clamp(min=0) / 2
        box_middle = middle + at_cells(self.box_offset(maps))
        low, high = ((box_middle + sign * half).clamp(min=0).minimum(limit) for sign in (-1, 1))
        guess = middle[:, None] + at_cells(self.keypoint_regress(maps)).view(-1, NUM_KEYPOINTS, 2)

        y = torch.arange(height, device=maps.device, dtype=maps.dtype)
        x = torch.arange(width, device=maps.device, dtype=maps.dtype)
        inside = ((y >= low[:, :1]) & (y < high[:, :1]))[:, :, None] & ((x >= low[:, 1:]) & (x < high[:, 1:]))[:, None]
        distance = (y - guess[..., :1]).square()[..., None] + (x - guess[..., 1:]).square()[..., None, :]
        near = torch.exp(-distance / (REACH * min(height, width))) * inside[:, None]  # (m, 17, h, w)
        heat = self.keypoint_heatmap(maps).sigmoid()[picture] * near
        score, best = heat.flatten(2).max(dim=2)
        offset = self.keypoint_offset(maps).unflatten(1, (NUM_KEYPOINTS, 2))  # (n, 17, 2, h, w)
        each = torch.arange(NUM_KEYPOINTS, device=maps.device)
        found = torch.stack((best // width, best % width), dim=-1)
        found = found + offset[picture[:, None], each, :, best // width, best % width]
        counted = score > MIN_KEYPOINT_SCORE
        mean = (score * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
        return MoveNetOutput(
            picture=picture,
            scores=center * mean,
            boxes=torch.cat((low.flip(-1), high.flip(-1)), dim=-1) * STRIDE,
            keypoints=torch.cat((found.flip(-1) * STRIDE, score[..., None]), dim=-1),
        )


__all__ = ["MoveNetConfig", "MoveNetMultiPose", "MoveNetOutput"]
