# SPDX-License-Identifier: Apache-2.0
"""Configurations of the pose tokenizer and of UniPose (UniPose, CVPR 2025, sections 3.1-3.3 and supplement B)."""

import math
from dataclasses import field
from typing import Any, Literal, Self

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .blazepose_unipose import BlazePoseConfig  # noqa: F401  registers itself

# Version of `config.json`. Increase it with every new setting that changes what the same weights compute.
CONFIG_FORMAT = 2


def _check_format(settings):
    """Returns the settings of a `config.json`, or raises `ValueError` if a newer version wrote it."""
    found = settings.get("config_format", CONFIG_FORMAT)
    if found > CONFIG_FORMAT:
        raise ValueError(
            f"config.json has format {found}, but this version of unipose_hf reads format {CONFIG_FORMAT}: a newer "
            "version wrote it; upgrade unipose-hf."
        )
    return {**settings, "config_format": CONFIG_FORMAT}


@strict
class PoseTokenizerConfig(PreTrainedConfig):
    r"""
    Configuration of [`PoseTokenizerModel`]; the defaults are the published sizes (supplement B.1).

    The encoder convolves over the joint axis: an input layer on 22 joints, one layer for each length in
    `encoder_lengths` (after nearest-neighbour upsampling to it), `num_downsamples` halvings, residual blocks, and an
    output layer. Each position of the result is split into `codes_per_position` codes. The decoder does the reverse
    over `decoder_lengths`. With `kernel_size=1` and no lengths, every joint has its own codes, and a code means the
    same rotation at every joint.

    Args:
        num_joints (`int`, *optional*, defaults to 22): joints of a pose in SMPL order, including the root.
        hidden_size (`int`, *optional*, defaults to 512): channels of the convolutions.
        code_dim (`int`, *optional*, defaults to 256): width of one code vector.
        codebook_size (`int`, *optional*, defaults to 2048): number of codes.
        kernel_size (`int`, *optional*, defaults to 3): odd width of the convolutions over the joint axis.
        encoder_lengths (`list[int]`, *optional*, defaults to `[40, 80, 160]`): lengths the encoder upsamples to.
        num_downsamples (`int`, *optional*, defaults to 1): number of stride-2 convolutions after the upsampling.
        decoder_lengths (`list[int]`, *optional*, defaults to `[65, 51, 36, 22]`): lengths the decoder resamples to.
        num_residual_blocks (`int`, *optional*, defaults to 2): residual blocks in the encoder and in the decoder;
            their dilations are powers of three, falling to one.
        codes_per_position (`int`, *optional*, defaults to 1): codes that the channels of one position are split into.
        quantizer (`"ema"` or `"fsq"`, *optional*, defaults to `"ema"`): a codebook updated by exponential moving
            averages, as published, or a finite scalar quantiser (Mentzer et al., ICLR 2024) with `fsq_levels`.
        fsq_levels (`list[int]`, *optional*): number of levels of each code dimension: `code_dim` numbers whose product
            is `codebook_size`.
        search_rounds (`int`, *optional*, defaults to 0): number of rounds in which `encode` tries to move each level
            of each code up and down by one and keeps the change if the result decodes closer to the pose. Rounding
            alone picks the level nearest in latent space, which is not always the best. Requires `"fsq"` and a decoder
            that decodes each joint independently: `kernel_size=1` and no `decoder_lengths`.
        codebook_decay (`float`, *optional*, defaults to 0.99): decay of the codebook's moving averages.
        dead_code_threshold (`float`, *optional*, defaults to 1.0): codes with a smaller running count are re-seeded.
        config_format (`int`): format version of `config.json`; a newer one raises `ValueError`.
    """

    model_type = "unipose_pose_tokenizer"
    base_config_key = "pose_config"

    num_joints: int = 22
    hidden_size: int = 512
    code_dim: int = 256
    codebook_size: int = 2048
    kernel_size: int = 3
    encoder_lengths: list[int] | tuple[int, ...] = (40, 80, 160)
    num_downsamples: int = 1
    decoder_lengths: list[int] | tuple[int, ...] = (65, 51, 36, 22)
    num_residual_blocks: int = 2
    codes_per_position: int = 1
    quantizer: Literal["ema", "fsq"] = "ema"
    fsq_levels: list[int] | tuple[int, ...] | None = None
    search_rounds: int = 0
    codebook_decay: float = 0.99
    dead_code_threshold: float = 1.0
    initializer_range: float = 0.02
    config_format: int = CONFIG_FORMAT

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.quantizer == "fsq":
            levels = list(self.fsq_levels or [])
            if math.prod(levels) != self.codebook_size or len(levels) != self.code_dim:
                raise ValueError(
                    f"fsq_levels {levels} must hold code_dim={self.code_dim} numbers whose product is "
                    f"codebook_size={self.codebook_size}."
                )
        if self.search_rounds and (self.quantizer != "fsq" or self.kernel_size != 1 or self.decoder_lengths):
            raise ValueError(
                f"search_rounds is {self.search_rounds}, which needs quantizer='fsq', kernel_size=1 and no "
                "decoder_lengths, so that each joint is decoded independently; leave it at 0."
            )
        if (self.decoder_lengths or [self.num_joints])[-1] != self.num_joints:
            raise ValueError(f"decoder_lengths {self.decoder_lengths} must end with num_joints={self.num_joints}.")
        if not self.decoder_lengths and self.code_positions != self.num_joints:
            raise ValueError(
                f"Without decoder_lengths the codes must have {self.num_joints} positions, but they have "
                f"{self.code_positions}."
            )

    @property
    def code_positions(self) -> int:
        """Length of the encoder's output along the joint axis."""
        return (self.encoder_lengths or [self.num_joints])[-1] // 2**self.num_downsamples

    @property
    def num_codes(self) -> int:
        """Number of tokens in one pose."""
        return self.code_positions * self.codes_per_position

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Self:
        return super().from_dict(_check_format(config_dict), **kwargs)

    def to_dict(self) -> dict[str, Any]:
        output = super().to_dict()
        # "Tokenizer" in the class name makes transformers write auto_map entries as a text tokenizer's pairs.
        if isinstance(output.get("auto_map"), dict):
            output["auto_map"] = {
                name: entry[0] if isinstance(entry, list | tuple) else entry
                for name, entry in output["auto_map"].items()
            }
        return output


@strict
class UniPoseConfig(PreTrainedConfig):
    r"""
    Configuration of [`UniPoseForConditionalGeneration`]. The defaults are the published model: CLIP ViT-L/14-336, the
    ViT-H pose encoder and a pose tokenizer with 80 codes. The language model is a Llama unless `text_config` says
    otherwise.

    Token ids default to the published vocabulary order: text, codes, begin, end. Codes are contiguous from
    `pose_code_offset`.

    Args:
        text_config (`dict` or `PreTrainedConfig`, *optional*): any causal language model of transformers.
        vision_config (`dict`, `PreTrainedConfig` or `None`): the general vision encoder, CLIP by default; `None` for
            none.
        pose_vision_config (`dict`, `PreTrainedConfig` or `None`): the pose encoder, `VitPoseBackbone` by default or
            BlazePose by `{"model_type": "unipose_blazepose"}`; `None` for none.
        pose_config (`dict` or [`PoseTokenizerConfig`], *optional*): the pose tokenizer.
        image_token_id, pose_token_id, pose_start_token_id, pose_end_token_id, pose_query_token_id (`int`):
            ids of the placeholders of image features and prompt poses, of the tokens before and after a pose, and of
            the queries of a predicted pose.
        pose_code_offset (`int`): vocabulary id of code 0.
        vision_feature_layer (`int`, *optional*, defaults to -2): hidden state to use from the general encoder; its
            class token is dropped.
        vision_feature_size (`int`, *optional*): side of the grid that both feature maps are resampled to. Defaults to
            the general encoder's own grid, or to the pose encoder's map, unchanged, if there is no general encoder.
        image_seq_length (`int`, *optional*): number of tokens of one image; computed from the encoders by default.
        projector_hidden_act (`str`, *optional*, defaults to `"gelu"`): activation between the projector's two layers.
        image_tokens_per_cell (`int`, *optional*, defaults to 1): tokens the projector makes from one grid cell.
        pose_place_embeddings (`bool`, *optional*, defaults to `False`): add to each code of a prompt pose the query
            embedding of its position in the pose, so that a query can attend directly to the code of its own joint.
            Published weights do not use it.
        bidirectional_poses (`"all"`, `"answer"` or `"none"`, *optional*, defaults to `"all"`): which pose blocks use
            bidirectional attention: all of them, only the generated one (as published weights expect), or none.
        pose_answer_prefix_ids (`list[int]`, *optional*, defaults to none): text tokens that `generate_pose` inserts
            between the prompt and `<pose_start>`, for weights that learnt to write a space before a pose.
        config_format (`int`): format version of `config.json`; a newer one raises `ValueError`.
    """

    model_type = "unipose"
    keys_to_ignore_at_inference = ["past_key_values", "cache"]
    sub_configs_defaults = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model", optional=True),
        "pose_vision_config": SubConfigSpec(config_class=AutoConfig, model_type="vitpose_backbone", optional=True),
        "pose_config": PoseTokenizerConfig,
    }

    text_config: dict | PreTrainedConfig | None = None
    vision_config: dict | PreTrainedConfig | None = field(
        default_factory=lambda: {
            "model_type": "clip_vision_model",
            "image_size": 336,
            "patch_size": 14,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
        }
    )
    pose_vision_config: dict | PreTrainedConfig | None = field(
        default_factory=lambda: {
            "model_type": "vitpose_backbone",
            "image_size": [256, 192],
            "patch_size": [16, 16],
            "hidden_size": 1280,
            "num_hidden_layers": 32,
            "num_attention_heads": 16,
        }
    )
    pose_config: dict | PreTrainedConfig | None = None
    image_token_id: int = 34050
    pose_token_id: int = 34051
    pose_start_token_id: int = 34048
    pose_end_token_id: int = 34049
    pose_query_token_id: int = 34052
    pose_code_offset: int = 32000
    vision_feature_layer: int = -2
    vision_feature_size: int | None = None
    image_seq_length: int | None = None
    projector_hidden_act: str = "gelu"
    image_tokens_per_cell: int = 1
    pose_place_embeddings: bool = False
    bidirectional_poses: Literal["all", "answer", "none"] = "all"
    pose_answer_prefix_ids: list[int] | tuple[int, ...] = ()
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False
    config_format: int = CONFIG_FORMAT

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Self:
        config_dict = _check_format(config_dict)
        # The package registers its own pipelines. With this key, transformers would load those of the remote folder.
        if not cls.__module__.startswith("transformers_modules."):
            config_dict = {key: value for key, value in config_dict.items() if key != "custom_pipelines"}
        return super().from_dict(config_dict, **kwargs)
