# SPDX-License-Identifier: Apache-2.0
"""The pose tokenizer: a VQ-VAE between the 22 joint rotations of a pose and discrete codes.

UniPose (CVPR 2025), section 3.2 and supplement B.1. It always runs in float32, whatever the dtype of the surrounding
model: bfloat16 would flip 2-10 % of the codes.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput, is_tracing
from transformers.utils.generic import can_return_tuple

from .configuration_unipose import PoseTokenizerConfig
from .rotation_unipose import matrix_to_rotation_6d, rotation_6d_to_matrix

# Poses per batch on a CPU: the activations of larger batches do not fit in its cache.
ENCODE_BATCH_SIZE, DECODE_BATCH_SIZE = 32, 64


@dataclass
class PoseTokenizerEncoderOutput(ModelOutput):
    """
    codes (`torch.LongTensor` of shape `(..., num_codes)`): the tokens of each pose.
    latents (`torch.FloatTensor` of shape `(..., num_codes, code_dim)`): the encoder's output before quantisation.
    """

    codes: torch.LongTensor | None = None
    latents: torch.FloatTensor | None = None


@dataclass
class PoseTokenizerDecoderOutput(ModelOutput):
    """rotations (`torch.FloatTensor` of shape `(..., num_joints, 3, 3)`): local rotations, SMPL joint order."""

    rotations: torch.FloatTensor | None = None


@dataclass
class PoseTokenizerOutput(ModelOutput):
    """
    loss (`torch.FloatTensor`): reconstruction plus commitment loss.
    rotations (`torch.FloatTensor` of shape `(..., num_joints, 3, 3)`): the decoded poses.
    codes (`torch.LongTensor` of shape `(..., num_codes)`): the codes of the input poses.
    reconstruction_loss (`torch.FloatTensor`): mean squared error of the rotation matrices.
    commitment_loss (`torch.FloatTensor`): mean squared distance between latents and their code vectors (0 for
        `"fsq"`).
    perplexity (`torch.FloatTensor`): exponential of the entropy of the codes used in this batch.
    """

    loss: torch.FloatTensor | None = None
    rotations: torch.FloatTensor | None = None
    codes: torch.LongTensor | None = None
    reconstruction_loss: torch.FloatTensor | None = None
    commitment_loss: torch.FloatTensor | None = None
    perplexity: torch.FloatTensor | None = None


def _convolve(hidden, weight, bias, stride=1, padding=0, dilation=1):
    """Convolution over the rows of `(batch, length, channels)`.

    It is a 2D convolution with a height of one, because 1D convolutions do not support channels-last memory, which is
    up to twice as fast on a CPU and lets resampling copy whole rows.
    """
    picture = hidden.transpose(1, 2).unsqueeze(2)  # (batch, channels, 1, length)
    result = F.conv2d(picture, weight.unsqueeze(2), bias, (1, stride), (0, padding), (1, dilation))
    return result.squeeze(2).transpose(1, 2)


class PoseTokenizerConvolution(nn.Conv1d):
    """A `Conv1d` on `(batch, length, channels)`."""

    def forward(self, hidden, rows: torch.LongTensor | None = None):
        """Computes all rows of the result, or only `rows`."""
        (stride,), (padding,), (dilation,), (width,) = self.stride, self.padding, self.dilation, self.kernel_size
        if rows is None:
            return _convolve(hidden, self.weight, self.bias, stride, padding, dilation)
        reach = dilation * torch.arange(width, device=rows.device)
        windows = (stride * rows.unsqueeze(1) + reach).flatten()  # rows of the padded input, `width` for each result
        padded = F.pad(hidden, (0, 0, padding, padding))
        return _convolve(padded.index_select(1, windows), self.weight, self.bias, stride=width)


def _convolution(in_channels: int, out_channels: int, width: int, dilation: int = 1) -> PoseTokenizerConvolution:
    padding = dilation * (width // 2)
    return PoseTokenizerConvolution(in_channels, out_channels, width, padding=padding, dilation=dilation)


def _activate(hidden):
    return F.relu(hidden, inplace=True)  # in place: the convolution's gradient does not need its result


def resampled(layer, hidden, length: int):
    """`relu(layer(hidden))` resampled to `length` rows by nearest neighbour; dropped rows are not computed."""
    rows = torch.arange(hidden.shape[1], dtype=torch.float32, device=hidden.device)
    rows = F.interpolate(rows[None, None], size=length, mode="nearest")[0, 0].long()
    if length < hidden.shape[1]:
        return _activate(layer(hidden, rows))
    return _activate(layer(hidden)).index_select(1, rows)


class PoseTokenizerResidualBlock(nn.Module):
    """`x + conv1x1(relu(dilated conv(relu(x))))`, no normalisation."""

    def __init__(self, config: PoseTokenizerConfig, dilation: int):
        super().__init__()
        self.conv1 = _convolution(config.hidden_size, config.hidden_size, config.kernel_size, dilation)
        self.conv2 = _convolution(config.hidden_size, config.hidden_size, 1)

    def forward(self, hidden):  # (batch, length, hidden_size), unchanged
        return self.conv2(_activate(self.conv1(F.relu(hidden)))).add_(hidden)


def _residual_blocks(config: PoseTokenizerConfig) -> nn.Sequential:
    count = config.num_residual_blocks
    return nn.Sequential(*(PoseTokenizerResidualBlock(config, 3 ** (count - 1 - i)) for i in range(count)))


class PoseTokenizerEncoder(nn.Module):
    def __init__(self, config: PoseTokenizerConfig):
        super().__init__()
        hidden = config.hidden_size
        self.lengths = tuple(config.encoder_lengths)
        self.codes_per_position = config.codes_per_position
        self.input_layer = _convolution(6, hidden, config.kernel_size)
        self.upsample_layers = nn.ModuleList(_convolution(hidden, hidden, config.kernel_size) for _ in self.lengths)
        self.downsample_layers = nn.ModuleList(
            PoseTokenizerConvolution(hidden, hidden, 4, stride=2, padding=1) for _ in range(config.num_downsamples)
        )
        self.residual_blocks = _residual_blocks(config)
        self.output_layer = _convolution(hidden, config.code_dim * config.codes_per_position, config.kernel_size)

    def forward(self, rotation_6d):  # (batch, num_joints, 6)
        hidden, layer = rotation_6d, self.input_layer
        for length, next_layer in zip(self.lengths, self.upsample_layers, strict=True):
            hidden, layer = resampled(layer, hidden, length), next_layer
        hidden = _activate(layer(hidden))
        for layer in self.downsample_layers:
            hidden = layer(hidden)
        hidden = self.output_layer(self.residual_blocks(hidden))  # (batch, positions, channels)
        return hidden.unflatten(2, (self.codes_per_position, -1)).flatten(1, 2)  # (batch, num_codes, code_dim)


class PoseTokenizerDecoder(nn.Module):
    def __init__(self, config: PoseTokenizerConfig):
        super().__init__()
        hidden = config.hidden_size
        self.lengths = tuple(config.decoder_lengths)
        self.positions = config.code_positions
        self.input_layer = _convolution(config.code_dim * config.codes_per_position, hidden, config.kernel_size)
        self.resample_layers = nn.ModuleList(_convolution(hidden, hidden, config.kernel_size) for _ in self.lengths)
        self.residual_blocks = _residual_blocks(config)
        self.middle_layer = _convolution(hidden, hidden, config.kernel_size)
        self.output_layer = _convolution(hidden, 6, config.kernel_size)

    def forward(self, code_vectors):  # (batch, num_codes, code_dim)
        hidden, layer = code_vectors.unflatten(1, (self.positions, -1)).flatten(2), self.input_layer
        for length, next_layer in zip(self.lengths, self.resample_layers, strict=True):
            hidden, layer = resampled(layer, hidden, length), next_layer
        hidden = _activate(layer(hidden))
        return self.output_layer(self.middle_layer(self.residual_blocks(hidden)))  # (batch, num_joints, 6)


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


class PoseTokenizerVectorQuantizer(nn.Module):
    """A codebook of exponential moving averages that re-seeds dead codes (van den Oord et al. 2017, appendix A.1).

    The running sums and counts are buffers, so a reloaded model continues training where it stopped.
    """

    def __init__(self, config: PoseTokenizerConfig):
        super().__init__()
        self.decay = config.codebook_decay
        self.dead_code_threshold = config.dead_code_threshold
        self.codebook = nn.Buffer(torch.zeros(config.codebook_size, config.code_dim))
        self.running_sum = nn.Buffer(torch.zeros(config.codebook_size, config.code_dim))
        self.running_count = nn.Buffer(torch.ones(config.codebook_size))
        self.initialized = nn.Buffer(torch.tensor(False))

    def forward(self, latents):  # (..., code_dim) -> code vectors (..., code_dim), codes (...), commitment loss
        flat = latents.detach().reshape(-1, latents.shape[-1])
        if self.training and not self.initialized:
            self.codebook.copy_(self._random_rows(flat))
            self.running_sum.copy_(self.codebook)
            self.running_count.fill_(1)
            self.initialized.fill_(True)
        codes = self.nearest(latents)
        vectors = F.embedding(codes, self.codebook)
        if self.training:
            self._update(flat, codes.flatten())
        commitment = F.mse_loss(latents, vectors)
        return latents + (vectors - latents).detach(), codes, commitment

    def nearest(self, latents):
        """Latents (..., code_dim) -> indices of the nearest code vectors (...)."""
        # |latent|^2 is the same for every code and left out
        flat = latents.reshape(latents.shape[0], math.prod(latents.shape[1:-1]), latents.shape[-1])
        distances = _convolve(flat, -2 * self.codebook.unsqueeze(2), self.codebook.square().sum(1))
        return distances.argmin(-1).reshape(latents.shape[:-1])

    def _random_rows(self, flat):
        rows = torch.randint(len(flat), (len(self.codebook),), device=flat.device)
        spread = 0.01 / math.sqrt(flat.shape[1])  # so that a row drawn twice does not give identical codes
        rows = flat[rows] + spread * torch.randn_like(self.codebook)
        if _is_distributed():
            torch.distributed.broadcast(rows, src=0)
        return rows

    def _update(self, flat, codes):
        counts = torch.bincount(codes, minlength=len(self.codebook)).to(flat.dtype)
        sums = torch.zeros_like(self.running_sum).index_add_(0, codes, flat)
        if _is_distributed():  # every process sees all data and keeps the same codebook
            torch.distributed.all_reduce(counts)
            torch.distributed.all_reduce(sums)
        self.running_count.lerp_(counts, 1 - self.decay)
        self.running_sum.lerp_(sums, 1 - self.decay)
        dead = self.running_count < self.dead_code_threshold
        seeds = self._random_rows(flat)
        self.running_sum.copy_(torch.where(dead[:, None], seeds, self.running_sum))
        self.running_count.copy_(torch.where(dead, torch.ones_like(self.running_count), self.running_count))
        self.codebook.copy_(self.running_sum / self.running_count[:, None])


class PoseTokenizerScalarQuantizer(nn.Module):
    """Finite scalar quantisation (Mentzer et al., ICLR 2024): every dimension is bounded and rounded."""

    def __init__(self, config: PoseTokenizerConfig):
        super().__init__()
        levels = torch.tensor(list(config.fsq_levels))
        basis = torch.cumprod(torch.cat([levels.new_ones(1), levels[:-1]]), 0)
        digits = torch.arange(config.codebook_size)[:, None] // basis % levels
        self.levels = nn.Buffer(levels, persistent=False)
        self.basis = nn.Buffer(basis, persistent=False)
        # every dimension in [-1, 1]; explicitly float32, because loading in bfloat16 changes the default dtype
        self.codebook = nn.Buffer(2 * digits.float() / (levels - 1) - 1, persistent=False)

    def forward(self, latents):  # (..., code_dim) -> code vectors (..., code_dim), codes (...), commitment loss (none)
        codes = self.nearest(latents)
        bounded = torch.tanh(latents)
        vectors = bounded + (F.embedding(codes, self.codebook) - bounded).detach()
        return vectors, codes, latents.new_zeros(())

    def nearest(self, latents):
        """Latents (..., code_dim) -> code indices (...)."""
        return self.numbers(torch.tanh(latents))

    def numbers(self, vectors):
        """Vectors (..., code_dim) in [-1, 1] -> indices of the codes at the nearest levels (...)."""
        digits = torch.round((vectors + 1) / 2 * (self.levels - 1))
        return (digits.long() * self.basis).sum(-1)


class PoseTokenizerModel(PreTrainedModel):
    r"""
    The pose tokenizer of UniPose: `encode` turns rotations into codes, `decode` turns codes into rotations.

    Poses are local rotation matrices of shape `(..., 22, 3, 3)` in SMPL joint order, with any number of leading
    dimensions.
    """

    config: PoseTokenizerConfig
    config_class = PoseTokenizerConfig
    base_model_prefix = "pose_tokenizer"
    main_input_name = "rotations"
    input_modalities = ("pose",)
    _no_split_modules = ["PoseTokenizerResidualBlock"]
    # It has no attention, but a parent model could not choose its own implementation if these were False.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    def __init__(self, config: PoseTokenizerConfig):
        super().__init__(config)
        self.encoder = PoseTokenizerEncoder(config)
        self.decoder = PoseTokenizerDecoder(config)
        quantizer = PoseTokenizerScalarQuantizer if config.quantizer == "fsq" else PoseTokenizerVectorQuantizer
        self.quantizer = quantizer(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, nn.Conv1d):
            # the number of inputs sets the scale, as in torch; a fixed 0.02 would be too small for 6 channels
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            bound = 1 / math.sqrt(module.weight[0].numel())
            init.uniform_(module.bias, -bound, bound)
            if module is self.decoder.output_layer:
                # Joints start near the identity. Otherwise the spine converges to a full turn between pelvis and
                # shoulders, which the losses on joints and vertices cannot see.
                init.copy_(module.bias, module.bias.new_tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
        elif isinstance(module, PoseTokenizerVectorQuantizer):
            init.zeros_(module.codebook)
            init.zeros_(module.running_sum)
            init.ones_(module.running_count)
            init.zeros_(module.initialized)
        elif isinstance(module, PoseTokenizerScalarQuantizer):  # not in the checkpoint: computed from the levels
            fresh = PoseTokenizerScalarQuantizer(self.config)
            for name, buffer in fresh.named_buffers():
                init.copy_(getattr(module, name), buffer)
        else:
            super()._init_weights(module)

    @can_return_tuple
    def encode(self, rotations: torch.Tensor) -> PoseTokenizerEncoderOutput:
        """Rotation matrices `(..., num_joints, 3, 3)` -> codes `(..., num_codes)`.

        Raises:
            ValueError: wrong shape, or a value that is not finite.
        """
        leading, flat = self._checked(rotations)
        with self._full_precision(rotations.device):
            parts = [self.encoder(part) for part in _parts(matrix_to_rotation_6d(flat), ENCODE_BATCH_SIZE)]
            codes = torch.cat([self.quantizer.nearest(part) for part in parts])
            latents = torch.cat(parts)
            if self.config.search_rounds:
                codes = self._search(codes, flat)
        return PoseTokenizerEncoderOutput(
            codes=codes.reshape(*leading, *codes.shape[1:]), latents=latents.reshape(*leading, *latents.shape[1:])
        )

    @can_return_tuple
    def decode(self, codes: torch.LongTensor) -> PoseTokenizerDecoderOutput:
        """Codes `(..., num_codes)` -> rotation matrices `(..., num_joints, 3, 3)`.

        Raises:
            ValueError: the last dimension is not `num_codes`, or a code is outside the codebook.
        """
        if codes.shape[-1:] != (self.config.num_codes,):
            raise ValueError(
                f"A pose has {self.config.num_codes} codes, but the codes have shape {tuple(codes.shape)}."
            )
        # a compiled graph cannot depend on values
        if not is_tracing() and codes.numel() and not (0 <= codes.min() and codes.max() < self.config.codebook_size):
            raise ValueError(
                f"Codes must be in 0..{self.config.codebook_size - 1}, found {codes.min()}..{codes.max()}."
            )
        codebook = self.quantizer.codebook
        return self._decode_vectors(F.embedding(codes.to(codebook.device), codebook))

    @can_return_tuple
    def decode_expected(
        self, probabilities: torch.Tensor, known: torch.Tensor | None = None
    ) -> PoseTokenizerDecoderOutput:
        """Distributions over the codebook `(..., num_codes, codebook_size)` -> rotations of the expected code vectors.

        Differentiable: a loss on the decoded pose reaches the distributions.

        Args:
            known: codes `(..., num_codes)` that replace their distributions; -1 where the distribution is used.
        """
        codebook = self.quantizer.codebook
        with self._full_precision(codebook.device):
            vectors = probabilities.to(codebook.device, torch.float32) @ codebook
        if known is not None:
            vectors = torch.where((known >= 0)[..., None], codebook[known.clamp(min=0)], vectors)
        return self._decode_vectors(vectors)

    @can_return_tuple
    def forward(
        self, rotations: torch.Tensor, noise: torch.Tensor | None = None, **kwargs: Any
    ) -> PoseTokenizerOutput:
        r"""
        rotations (`torch.FloatTensor` of shape `(..., num_joints, 3, 3)`): local rotation matrices.
        noise (`torch.FloatTensor` of shape `(..., num_joints, 6)`, *optional*): added to the 6D rotations that are
            encoded; the target stays clean (supplement B.1).
        """
        leading, flat = self._checked(rotations)
        with self._full_precision(rotations.device):
            rotation_6d = matrix_to_rotation_6d(flat)
            if noise is not None:
                rotation_6d = rotation_6d + noise.reshape(rotation_6d.shape)
            vectors, codes, commitment = self.quantizer(self.encoder(rotation_6d))
            decoded = rotation_6d_to_matrix(self.decoder(vectors))
            reconstruction = F.mse_loss(decoded, flat)
            share = torch.bincount(codes.flatten(), minlength=self.config.codebook_size) / codes.numel()
        return PoseTokenizerOutput(
            loss=reconstruction + commitment,
            rotations=decoded.reshape(rotations.shape),
            codes=codes.reshape(*leading, -1),
            reconstruction_loss=reconstruction,
            commitment_loss=commitment,
            perplexity=torch.special.entr(share).sum().exp(),
        )

    @torch.no_grad()
    def _search(self, codes, rotations):
        """Codes `(batch, num_codes)` -> codes at most one level away that decode closer to the rotations.

        Each joint has its own codes, so all joints are searched at once.
        """
        quantizer = self.quantizer
        steps = 2 / (quantizer.levels - 1)  # between levels, (code_dim,)

        def decoding_error(vectors):
            decoded = self._decode_vectors(vectors.reshape(*codes.shape, self.config.code_dim)).rotations
            return (decoded - rotations).square().sum((-1, -2))  # (batch, num_joints)

        vectors = F.embedding(codes, quantizer.codebook)
        vectors = vectors.unflatten(1, (rotations.shape[1], -1)).flatten(2)  # (batch, num_joints, levels of a joint)
        steps = steps.repeat(vectors.shape[-1] // len(steps))
        best = decoding_error(vectors)
        for _, dimension, sign in itertools.product(range(self.config.search_rounds), range(len(steps)), (-1, 1)):
            moved = vectors.clone()
            moved[..., dimension] = (moved[..., dimension] + sign * steps[dimension]).clamp(-1, 1)
            error = decoding_error(moved)
            vectors = torch.where((error < best)[..., None], moved, vectors)
            best = torch.minimum(error, best)
        return quantizer.numbers(vectors.reshape(*codes.shape, self.config.code_dim))

    def _decode_vectors(self, vectors):
        leading = vectors.shape[:-2]
        with self._full_precision(vectors.device):
            parts = _parts(vectors.reshape(-1, *vectors.shape[-2:]), DECODE_BATCH_SIZE)
            rotations = rotation_6d_to_matrix(torch.cat([self.decoder(part) for part in parts]))
        return PoseTokenizerDecoderOutput(rotations=rotations.reshape(*leading, *rotations.shape[1:]))

    def _checked(self, rotations):
        expected = (self.config.num_joints, 3, 3)
        if rotations.shape[-3:] != expected:
            raise ValueError(
                f"Rotations must have shape (..., {expected[0]}, 3, 3), found {tuple(rotations.shape)}; "
                "convert axis-angle with axis_angle_to_matrix."
            )
        if not is_tracing() and not torch.isfinite(rotations).all():
            raise ValueError("Rotations must be finite, found NaN or infinity.")
        return rotations.shape[:-3], rotations.float().reshape(-1, *expected)

    @staticmethod
    def _full_precision(device):
        return torch.autocast(device_type=device.type, enabled=False)


def _parts(poses, at_once: int):
    # one compiled graph serves any number of poses
    return poses.split(at_once) if poses.device.type == "cpu" and not is_tracing() else (poses,)
