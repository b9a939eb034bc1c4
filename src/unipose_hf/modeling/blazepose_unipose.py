# SPDX-License-Identifier: Apache-2.0
"""BlazePose as a small frozen pose encoder: a square picture in, 39 landmarks in the picture and in metres out.

Network: Bazarevsky et al., "BlazePose: On-device Real-time Body Pose tracking" (https://arxiv.org/abs/2006.10204),
in the later form that also predicts metric landmarks (Grishchenko et al., "BlazePose GHUM Holistic",
https://arxiv.org/abs/2206.11678). `examples/publish/convert_blazepose.py` fills it with the published weights
(Apache-2.0).

The network expects a person upright in the middle of a 256-pixel square, so the backbone runs twice: once on the whole
picture to find the person, once on a rotated square around the hips. If it then does not clearly find a
person, it searches nine overlapping squares with half the picture's side.

Landmarks carry little depth and no rotation of limbs. An additional branch, `PoseHead`, can predict joints and
rotations from the input of the network's last stages, averaged over the square and its mirror image, as is usual in
pose estimation. The network itself stays as published.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoBackbone, AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.backbone_utils import BackboneConfigMixin, BackboneMixin
from transformers.modeling_outputs import BackboneOutput
from transformers.utils import is_tracing
from transformers.utils.generic import can_return_tuple

CPU_BATCH_SIZE = 4  # on a CPU: the first layers of larger batches do not fit in its cache, which halves the speed
CROP_SIZE = 256  # the network's own input, fixed by its last 2x2 convolution (256 / 2**7)
NUM_LANDMARKS = 39  # 33 body points and 6 alignment points
NUM_BODY_POINTS = 33
SHOULDERS, HIPS = slice(11, 13), slice(23, 25)
BODY_CENTRE, BODY_RIM = 33, 34  # alignment points: middle of the hips, and a point on the circle around the body
MIN_BOX_FILL = 0.6  # of a side of a person's box
CROP_MARGIN = 1.25  # the square is this much wider than that circle

# Scales that bring each kind of feature near unit variance over people in varied poses.
POSITION_SCALE, DEPTH_SCALE, WORLD_SCALE, LOGIT_SCALE = 6.0, 4.0, 3.0, 0.25
NUM_FEATURES = NUM_LANDMARKS * (2 + 1 + 1 + 1 + 3) + 6
NUM_JOINTS = 22  # of SMPL's body
# left and right swapped, as in `unipose_hf.body.MIRROR`, which is missing when a Hub repository ships this file alone
MIRROR = (0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20)
NUM_POSE_FEATURES = NUM_JOINTS * (3 + 6)


@strict
class BlazePoseConfig(BackboneConfigMixin, PreTrainedConfig):
    r"""Sizes of a [`BlazePoseBackbone`]; the defaults are those of BlazePose "full".

    image_size (`int`): side of the square `pixel_values`, in pixels.
    num_passes (`int`): 1 only runs on the whole picture; each further pass runs on the person found before.
    min_presence (`float`): a further pass whose confidence is below this, and below that of the pass before, is
        discarded.
    search_presence (`float`): pictures with a confidence below this after all passes are searched for a small person;
        0 never searches.
    stem_channels (`int`): channels after the first, stride-2 convolution.
    stage_channels, stage_depths, stage_kernels, stage_strides (`list[int]`): width, number of inverted residual
        blocks, depthwise kernel and stride of each stage.
    stage_expansions (`list[int]`): how many times wider a stage's first block is inside than at its input.
    expansion (`int`): the same for all other blocks and for the layer that ends the encoder.
    head_channels (`int`): width of the head.
    head_depths (`list[int]`): number of residual blocks after each of the head's two halvings.
    pose_head_stages (`int`): how many of the last stages are duplicated in the pose head.
    pose_head_depths (`list[int]`, *optional*): number of residual blocks of the pose head before the first halving and
        after each of the two; `None` for no pose head.
    """

    model_type = "unipose_blazepose"

    image_size: int = 512
    num_channels: int = 3
    num_passes: int = 2
    min_presence: float | int = 0.5
    search_presence: float | int = 0.7
    stem_channels: int = 24
    stage_channels: list[int] | tuple[int, ...] = (16, 24, 32, 64, 88, 144)
    stage_depths: list[int] | tuple[int, ...] = (1, 2, 2, 3, 3, 4)
    stage_kernels: list[int] | tuple[int, ...] = (3, 3, 5, 3, 5, 5)
    stage_strides: list[int] | tuple[int, ...] = (1, 2, 2, 2, 1, 2)
    stage_expansions: list[int] | tuple[int, ...] = (1, 4, 6, 6, 6, 6)
    expansion: int = 6
    head_channels: int = 288
    head_depths: list[int] | tuple[int, ...] = (4, 5)
    pose_head_stages: int = 2
    pose_head_depths: list[int] | tuple[int, ...] | None = None
    hidden_size: int | None = None
    _out_features: list[str] | None = None
    _out_indices: list[int] | None = None

    @property
    def feature_grid(self) -> tuple[int, int]:
        """Rows and columns of the feature map: one vector for the person."""
        return 1, 1

    def __post_init__(self, **kwargs):
        self.stage_names = ["landmarks"]
        self.set_output_features_output_indices(
            out_indices=kwargs.pop("out_indices", None), out_features=kwargs.pop("out_features", None)
        )
        super().__post_init__(**kwargs)
        if self.num_passes < 1:
            raise ValueError(f"num_passes is {self.num_passes}; it must be at least 1 (the default is 2).")
        if self.image_size < CROP_SIZE:
            raise ValueError(f"image_size is {self.image_size}; it must be at least the network's {CROP_SIZE} pixels.")
        features = NUM_FEATURES + (NUM_POSE_FEATURES if self.pose_head_depths else 0)
        if self.hidden_size not in (None, features):
            raise ValueError(f"hidden_size is {self.hidden_size}; the features of these heads number {features}.")
        self.hidden_size = features
        stages = (
            self.stage_channels,
            self.stage_depths,
            self.stage_kernels,
            self.stage_strides,
            self.stage_expansions,
        )
        if len({len(values) for values in stages}) > 1:
            raise ValueError(
                f"The stage_* lists have the lengths {[len(values) for values in stages]}; give each stage one value."
            )
        if not 0 < self.pose_head_stages < len(self.stage_depths):
            raise ValueError(
                f"pose_head_stages is {self.pose_head_stages}; of {len(self.stage_depths)} stages the pose head may "
                "have at least one of its own, and not all."
            )
        if 2 * math.prod(self.stage_strides) != 32:
            raise ValueError(
                f"stage_strides {list(self.stage_strides)} must multiply to 16, so that 256 pixels become 8."
            )


@dataclass
class BlazePoseOutput(BackboneOutput):
    """What a [`BlazePoseBackbone`] returns. Pixels are those of `pixel_values`, y down, (0, 0) the upper left corner.

    feature_maps (`tuple` of one `(n, C, 1, 1)`): [`landmark_features`], and those of the pose head if there is one.
    landmarks (`(n, 39, 5)`): x, y and depth in pixels (depth from the hips, away from the viewer), then the logits of
        "not hidden" and "inside the picture".
    world_landmarks (`(n, 39, 3)`): metres from the middle of the hips; x right in the picture, y up, z to the viewer.
    presence (`(n, 1)`): probability that the square holds a person.
    square (`(n, 4)`): the square around the person: centre x, y and side in pixels, turn in radians, clockwise.
    maps (`(n, 2, C, s, s)`): the network's feature maps of that square and of its mirror image before its last
        `pose_head_stages` stages, where the pose head begins.
    """

    landmarks: Tensor | None = None
    world_landmarks: Tensor | None = None
    presence: Tensor | None = None
    square: Tensor | None = None
    maps: Tensor | None = None


class ConvAct(nn.Sequential):
    """A convolution with bias, then (unless `act=False`) ReLU6. Batch normalisation is already in the weights."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: bool = True):
        layers = [nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups)]
        super().__init__(*layers, *([nn.ReLU6(inplace=True)] if act else []))


class InvertedResidual(nn.Module):
    """Widen, depthwise, narrow; a shortcut where sizes allow. An expansion of 1 has no widening layer."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        inside = inputs * expansion
        self.expand = ConvAct(inputs, inside) if expansion > 1 else nn.Identity()
        self.depthwise = ConvAct(inside, inside, kernel, stride, groups=inside)
        self.project = ConvAct(inside, outputs, act=False)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


class HeadBlock(nn.Module):
    """Separable convolution added to its input; with stride 2, to its max-pooled input (padded right and below)."""

    def __init__(self, channels: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.depthwise = nn.Conv2d(channels, channels, 3, stride, padding=1 if stride == 1 else 0, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            y, shortcut = x, x
        else:
            y, shortcut = F.pad(x, (0, 1, 0, 1)), F.max_pool2d(x, 2)
        y = F.relu6(self.depthwise(y), inplace=True)
        return F.relu6(shortcut + self.pointwise(y), inplace=True)


def _stages(config: BlazePoseConfig) -> list[list[InvertedResidual]]:
    stages, inputs = [], config.stem_channels
    for channels, depth, kernel, stride, expansion in zip(
        config.stage_channels,
        config.stage_depths,
        config.stage_kernels,
        config.stage_strides,
        config.stage_expansions,
        strict=True,
    ):
        blocks = [InvertedResidual(inputs, channels, kernel, stride, expansion)]
        blocks += [InvertedResidual(channels, channels, kernel, 1, config.expansion) for _ in range(depth - 1)]
        stages.append(blocks)
        inputs = channels
    return stages


def _neck(config: BlazePoseConfig) -> nn.Sequential:
    inputs = config.stage_channels[-1]
    wide = inputs * config.expansion
    return nn.Sequential(
        ConvAct(inputs, wide),
        ConvAct(wide, wide, 3, groups=wide),
        ConvAct(wide, wide, 3, groups=wide),
        ConvAct(wide, config.head_channels),
    )


def _head_blocks(channels: int, depths) -> list[HeadBlock]:
    return [
        block for n in depths for block in (HeadBlock(channels, stride=2), *(HeadBlock(channels) for _ in range(n)))
    ]


class BlazePoseLandmarker(nn.Module):
    """The network itself, in the units of the published file: one 256-pixel square, no cropping around it."""

    def __init__(self, config: BlazePoseConfig):
        super().__init__()
        stages, head = _stages(config), config.head_channels
        self.stem = ConvAct(config.num_channels, config.stem_channels, 3, stride=2)
        self.blocks = nn.Sequential(*itertools.chain(*stages))
        self.num_shared = sum(map(len, stages[: -config.pose_head_stages]))
        self.neck = _neck(config)
        self.head = nn.Sequential(*_head_blocks(head, config.head_depths))
        self.landmarks = nn.Conv2d(head, NUM_LANDMARKS * 5, 2)
        self.presence = nn.Conv2d(head, 1, 2)
        self.world = nn.Conv2d(head, NUM_LANDMARKS * 3, 2)

    def forward(self, squares: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Read squares `(n, 3, 256, 256)` in [0, 1].

        Returns landmarks `(n, 39, 5)` (x, y, depth in pixels of the square, two logits), presence `(n, 1)`, world
        landmarks `(n, 39, 3)` in metres, x right, y **down**, z **away** from the viewer, and the maps `(n, C, s, s)`
        before the last `pose_head_stages` stages.
        """
        maps = self.first_stages(squares)
        x = self.head(self.neck(self.blocks[self.num_shared :](maps)))  # (n, head_channels, 2, 2)
        landmarks = self.landmarks(x).float().view(-1, NUM_LANDMARKS, 5)
        presence = self.presence(x).float().flatten(1).sigmoid()
        return landmarks, presence, self.world(x).float().view(-1, NUM_LANDMARKS, 3), maps

    def first_stages(self, squares: Tensor) -> Tensor:
        """The maps `(n, C, s, s)` of squares `(n, 3, 256, 256)` in [0, 1] before the last `pose_head_stages` ones."""
        squares = squares.to(self.stem[0].weight.dtype, memory_format=torch.channels_last)  # 1.7 times as fast
        return self.blocks[: self.num_shared](self.stem(squares))


class PoseHead(nn.Module):
    """Maps of a square -> the pose of the person in it, on SMPL's 22 joints: last stages, neck and head of its own."""

    def __init__(self, config: BlazePoseConfig):
        super().__init__()
        channels, (before, *depths) = config.head_channels, config.pose_head_depths
        self.stages = nn.Sequential(*itertools.chain(*_stages(config)[-config.pose_head_stages :]))
        self.neck = _neck(config)
        self.blocks = nn.Sequential(*(HeadBlock(channels) for _ in range(before)), *_head_blocks(channels, depths))
        self.pose = nn.Conv2d(channels, NUM_POSE_FEATURES, 2)

    def forward(self, maps: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
        """From the maps `(n, C, s, s)` of squares `(n, 4)`.

        Returns joints `(n, 22, 3)`, metres from the pelvis in the picture's axes (x right, y up, z to the viewer), and
        the first two rows of local rotation matrices `(n, 22, 2, 3)`, not yet at right angles, the first that of the
        body against these axes.
        """
        pose = self.pose(self.blocks(self.neck(self.stages(maps)))).float().flatten(1)
        joints, rows = pose[:, : NUM_JOINTS * 3].view(-1, NUM_JOINTS, 3), pose[:, NUM_JOINTS * 3 :]
        rows = rows.view(-1, NUM_JOINTS, 2, 3)
        # from the square's axes to the picture's; y is up here, so the rotation is reversed
        turn = -square[:, 3]
        joints = torch.cat((_turn(joints[..., :2], turn), joints[..., 2:]), dim=-1)
        root = _turn(rows[:, 0].transpose(1, 2), turn).transpose(1, 2)  # (n, 2, 3): x and y of each column
        return joints, torch.cat((root[:, None], rows[:, 1:]), dim=1)

    def features(self, maps: Tensor, square: Tensor) -> Tensor:
        """Input of the projector, `(n, 198)`: joints times 3, then the rows.

        Averages the predictions for squares and for their mirror images; `maps` holds both, `(n, 2, C, s, s)`.
        """
        direct = self(maps[:, 0], square)
        mirrored = mirror_image(*self(maps[:, 1], mirror_square(square)))
        joints, rows = ((one + other) / 2 for one, other in zip(direct, mirrored, strict=True))
        return torch.cat((joints.flatten(1) * WORLD_SCALE, rows.flatten(1)), dim=1)


def mirror_image(joints: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Joints `(n, 22, 3)` and the first two rows of rotations `(n, 22, 2, 3)` of the same person in a mirror."""
    joints = joints[:, list(MIRROR)] * joints.new_tensor([-1.0, 1.0, 1.0])
    return joints, rows[:, list(MIRROR)] * rows.new_tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]])


def mirror_square(square: Tensor) -> Tensor:
    """Squares `(..., 4)` around people whose picture was mirrored within its square: the rotation is reversed."""
    return torch.cat((square[..., :3], -square[..., 3:]), dim=-1)


def _turn(xy: Tensor, angle: Tensor) -> Tensor:
    """Turn points `(n, ..., 2)` by `angle` `(n,)`; clockwise on the screen, where y points down."""
    angle = angle.view(-1, *[1] * (xy.dim() - 2))
    cos, sin = angle.cos(), angle.sin()
    x, y = xy.unbind(-1)
    return torch.stack((cos * x - sin * y, sin * x + cos * y), dim=-1)


def _select(choice: Tensor, yes: tuple[Tensor, ...], no: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Row by row, the answer `yes` where `choice` `(n, 1)` is true, else `no`."""
    return tuple(torch.where(choice.view(-1, *[1] * (a.dim() - 1)), a, b) for a, b in zip(yes, no, strict=True))


def person_square(landmarks: Tensor) -> Tensor:
    """The upright square around a person, `(n, 4)`: centre x, y, side, turn; from landmarks `(n, 39, 5)` in pixels.

    Centred on the hips and turned so that the shoulders are straight above them. The size is the geometric mean of
    two estimates: the network's own (its alignment points, as in MediaPipe), which is biased towards typical sizes and
    converges slowly on a small person, and the distance of the farthest body point, which may overshoot.
    """
    points, centre = landmarks[..., :2], landmarks[:, BODY_CENTRE, :2]
    body = points[:, :NUM_BODY_POINTS]
    up = body[:, SHOULDERS].mean(dim=1) - body[:, HIPS].mean(dim=1)
    # The floor keeps a collapsed guess (an empty picture) from dividing by zero.
    reach = (body - body[:, HIPS].mean(dim=1, keepdim=True)).norm(dim=-1).amax(dim=1).clamp(min=8.0)
    rim = (points[:, BODY_RIM] - centre).norm(dim=-1).clamp(min=8.0)
    side = 2.0 * CROP_MARGIN * (reach * rim).sqrt()
    return torch.stack((*centre.unbind(-1), side, torch.atan2(up[:, 0], -up[:, 1])), dim=-1)


def fills_box(landmarks: Tensor, boxes: Tensor) -> Tensor:
    """Whether people fill the boxes `(n, 4)` that they should be in, `(n, 1)`; landmarks `(n, 39, 5)`.

    A person fills a box if the landmarks, clamped to it, span at least MIN_BOX_FILL of one of its sides. Anybody fills
    a box of size zero.
    """
    points = landmarks[:, :NUM_BODY_POINTS, :2]
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    inside = points.maximum(low).minimum(high)
    spans = (inside.amax(dim=1) - inside.amin(dim=1)) / (high - low)[:, 0].clamp(min=1.0)
    return (spans.amax(dim=1, keepdim=True) >= MIN_BOX_FILL) | (high == low).all(dim=2)


def cut_square(pixel_values: Tensor, square: Tensor) -> Tensor:
    """Cut `square` `(n, 4)` out of `pixel_values` `(n, 3, S, S)` as `(n, 3, 256, 256)`; black outside the picture."""
    size = pixel_values.shape[-1]
    steps = (torch.arange(CROP_SIZE, device=square.device, dtype=square.dtype) + 0.5) / CROP_SIZE - 0.5
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    grid = torch.stack((x, y), dim=-1) * square[:, None, None, 2:3]  # (n, 256, 256, 2), pixels from the centre
    grid = _turn(grid, square[:, 3]) + square[:, None, None, :2]
    return F.grid_sample(pixel_values.to(grid.dtype), grid * (2.0 / size) - 1.0, align_corners=False)


def landmark_features(
    landmarks: Tensor, world_landmarks: Tensor, presence: Tensor, square: Tensor, size: int
) -> Tensor:
    """Landmark input of the projector, `(n, 318)`, every entry of order one. In this order:

    * 39 x 2: x, y in the picture's axes (x right, y up) from the square's centre, in square sides, times 6;
    * 39: depth towards the viewer in square sides, times 4;
    * 39: "not hidden", then 39: "inside the picture": tanh of a quarter of the logit;
    * 39 x 3: world landmarks (metres, x right, y up, z to the viewer), times 3;
    * 6: the square's centre x, y (-1 ... 1 over the picture, y up), log2 of its side over the picture's side, the
      sine and cosine of its turn, and presence (0 ... 1).

    All but the last six stay the same when person and square move or grow together.
    """
    centre, side, turn = square[:, None, :2], square[:, None, 2:3], square[:, 3:]
    xyz = torch.cat((landmarks[..., :2] - centre, landmarks[..., 2:3]), dim=-1) / side  # (n, 39, 3)
    logits = torch.tanh(landmarks[..., 3:] * LOGIT_SCALE)  # (n, 39, 2)
    flip = xyz.new_tensor([1.0, -1.0])
    location = torch.cat(
        (
            (square[:, :2] * (2.0 / size) - 1.0) * flip,
            torch.log2(square[:, 2:3] / size),
            turn.sin(),
            turn.cos(),
            presence,
        ),
        dim=-1,
    )
    parts = (
        xyz[..., :2] * flip * POSITION_SCALE,
        xyz[..., 2] * -DEPTH_SCALE,
        logits[..., 0],
        logits[..., 1],
        world_landmarks * WORLD_SCALE,
        location,
    )
    return torch.cat([part.flatten(1) for part in parts], dim=-1)


class BlazePoseBackbone(BackboneMixin, PreTrainedModel):
    """Picture -> landmarks of one person, as a `transformers` backbone with one feature map of 1 x 1.

    `pixel_values` `(n, 3, image_size, image_size)` in [0, 1] (RGB, not normalised) is a whole picture padded to a
    square, or the square around the person who is meant.
    """

    config: BlazePoseConfig
    config_class = BlazePoseConfig
    base_model_prefix = "blazepose"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    has_attentions = False
    # It has no attention, but a parent model could not choose its own implementation if these were False.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True
    # Half precision moves landmarks by pixels, and the network is too small for it to save much.
    _keep_in_fp32_modules_strict = {"landmarker", "pose_head"}

    def __init__(self, config: BlazePoseConfig):
        super().__init__(config)
        self.num_features = [config.hidden_size]
        self.landmarker = BlazePoseLandmarker(config)
        self.pose_head = PoseHead(config) if config.pose_head_depths else None
        self.post_init()

    @can_return_tuple
    def forward(self, pixel_values: Tensor, boxes: Tensor | None = None, **kwargs: Any) -> BlazePoseOutput:
        """Find the person in each picture; see [`BlazePoseOutput`] for what comes back.

        Args:
            boxes: `(n, 4)`, the box of each person, x0, y0, x1, y1 in pixels. If the later passes settle on
                something that does not fill its box, the result for the whole picture is used.

        Raises `ValueError` for a wrong shape, for NaN, and for values that are plainly not in [0, 1].
        """
        self._check(pixel_values)
        size, pixels = self.config.image_size, pixel_values.float()
        apart = pixels.device.type == "cpu" and not is_tracing()
        parts = pixels.split(CPU_BATCH_SIZE) if apart else (pixels,)
        known = (None,) * len(parts) if boxes is None else boxes.float().split([len(part) for part in parts])
        landmarks, presence, world, square, maps = map(
            torch.cat, zip(*map(self._locate_with_mirror, parts, known), strict=True)
        )
        features = landmark_features(landmarks, world, presence, square, size)
        if self.pose_head is not None:
            features = torch.cat((features, self.pose_head.features(maps, square)), dim=1)
        return BlazePoseOutput(
            feature_maps=(features[:, :, None, None].to(pixel_values.dtype),),
            landmarks=landmarks,
            world_landmarks=world,
            presence=presence,
            square=square,
            maps=maps,
        )

    def _locate_with_mirror(self, pixels: Tensor, boxes: Tensor | None = None) -> tuple[Tensor, ...]:
        """The result of [`_locate`], with the maps of the square and of its mirror image."""
        found = self._locate(pixels)
        if boxes is not None and not (fills := fills_box(found[0], boxes)).all():
            size = self.config.image_size
            whole = pixels.new_tensor([size / 2, size / 2, size, 0.0]).expand(len(pixels), 4)
            found = _select(fills, found, self._run_network(cut_square(pixels, whole), whole))
        *found, square, maps = found
        mirrored = self.landmarker.first_stages(cut_square(pixels, square).flip(-1))
        return *found, square, torch.stack((maps, mirrored), dim=1)

    def _locate(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The most confident result of [`_run_network`] for each picture `(n, 3, size, size)`."""
        size = self.config.image_size
        whole = pixels.new_tensor([size / 2, size / 2, size, 0.0]).expand(len(pixels), 4)
        small = F.interpolate(pixels, (CROP_SIZE, CROP_SIZE), mode="bilinear", antialias=True)
        best = self._refine(pixels, self._run_network(small, whole))
        lost = best[1] < self.config.search_presence
        if is_tracing():  # a graph cannot have as many rows as were lost
            found = self._refine(pixels, self._search(pixels))
            return _select(lost & (found[1] > best[1]), found, best)
        lost = lost[:, 0].nonzero()[:, 0]
        if len(lost) > 0:
            found = self._refine(pixels[lost], self._search(pixels[lost]))
            found = _select(found[1] > best[1][lost], found, tuple(part[lost] for part in best))
            best = tuple(part.index_copy(0, lost, new) for part, new in zip(best, found, strict=True))
        return best

    def _run_network(self, crops: Tensor, square: Tensor) -> tuple[Tensor, ...]:
        """Run the network on `crops` and convert its output to the picture's pixels and to our frame.

        Returns landmarks `(n, 39, 5)`, presence `(n, 1)`, world landmarks `(n, 39, 3)`, `square` `(n, 4)` itself and
        the maps `(n, C, s, s)`.
        """
        landmarks, presence, world, maps = self.landmarker(crops)
        scale = square[:, None, 2:3] / CROP_SIZE
        xy = _turn((landmarks[..., :2] - CROP_SIZE / 2) * scale, square[:, 3]) + square[:, None, :2]
        landmarks = torch.cat((xy, landmarks[..., 2:3] * scale, landmarks[..., 3:]), dim=-1)
        world = torch.cat((_turn(world[..., :2], square[:, 3]), world[..., 2:]), dim=-1)
        return landmarks, presence, world * world.new_tensor([1.0, -1.0, -1.0]), square, maps

    def _refine(self, pixels: Tensor, best: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Run the network `num_passes - 1` more times, each on the square around the person just found."""
        for _ in range(self.config.num_passes - 1):
            square = person_square(best[0]).detach()
            new = self._run_network(cut_square(pixels, square), square)
            best = _select((new[1] >= self.config.min_presence) | (new[1] >= best[1]), new, best)
        return best

    def _search(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The most confident result on nine squares of half the picture's side, which overlap by half of theirs."""
        size, best = self.config.image_size, None
        for y in (0.25, 0.5, 0.75):
            for x in (0.25, 0.5, 0.75):
                square = pixels.new_tensor([x * size, y * size, size / 2, 0.0]).expand(len(pixels), 4)
                new = self._run_network(cut_square(pixels, square), square)
                best = new if best is None else _select(new[1] > best[1], new, best)
        return best

    def _check(self, pixel_values: Tensor) -> None:
        size, channels = self.config.image_size, self.config.num_channels
        if pixel_values.dim() != 4 or tuple(pixel_values.shape[1:]) != (channels, size, size):
            raise ValueError(
                f"pixel_values has the shape {tuple(pixel_values.shape)}; expected (pictures, {channels}, {size}, "
                f"{size}): pad each picture to a square and resize it (the image processor does both)."
            )
        if len(pixel_values) and not is_tracing():
            low, high = (float(value) for value in torch.aminmax(pixel_values))  # NaN anywhere gives NaN
            if not (low > -0.5 and high < 1.5):
                raise ValueError(
                    f"pixel_values range from {low:g} to {high:g}; expected RGB values in [0, 1], neither normalised "
                    "nor NaN: divide 8-bit pictures by 255 and nothing else."
                )


# transformers finds the encoder of a UniPose by `model_type`, even when this file runs as remote code.
AutoConfig.register(BlazePoseConfig.model_type, BlazePoseConfig, exist_ok=True)
AutoBackbone.register(BlazePoseConfig, BlazePoseBackbone, exist_ok=True)

__all__ = ["BlazePoseBackbone", "BlazePoseConfig", "BlazePoseOutput"]
