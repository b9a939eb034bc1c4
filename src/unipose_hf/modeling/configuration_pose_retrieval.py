# SPDX-License-Identifier: Apache-2.0
"""Configurations of the two retrieval models (UniPose, CVPR 2025, supplement B.2)."""

from typing import Any, ClassVar, Literal, Self

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_unipose import PoseTokenizerConfig


@strict
class PoseTextRetrievalConfig(PreTrainedConfig):
    r"""
    Configuration of [`PoseTextRetrievalModel`]. The defaults are the published sizes: the published pose tokenizer's
    encoder, DistilBERT's vocabulary and word embeddings, and 512-dimensional features.

    Args:
        pose_config (`dict` or [`PoseTokenizerConfig`], *optional*): sizes of the pose encoder, which has the pose
            tokenizer's architecture.
        conv_channels (`list[int]`, *optional*, defaults to `[256, 256, 256]`): channels of the convolutions that
            follow; each halves the length of the joint axis.
        pose_hidden_size (`int`, *optional*, defaults to 512): width of the two layers that pool the result.
        vocab_size (`int`, *optional*, defaults to 30522): vocabulary size of the tokenizer.
        word_embedding_size (`int`, *optional*, defaults to 768): width of the word embeddings.
        pad_token_id (`int`, *optional*, defaults to 0): padding id, used when no attention mask is given.
        embed_dim (`int`, *optional*, defaults to 512): width of the features; each direction of the GRU produces half.
        initial_temperature (`float`, *optional*, defaults to 10.0): initial value of the learnt scale of the cosines.
        loss (`"symmetric"`, `"one-way"` or `"siglip"`, *optional*, defaults to `"symmetric"`): batch-based
            classification in both directions, as in PoseScript's released models; from text to pose only; or the
            sigmoid loss of SigLIP (Zhai et al., ICCV 2023).
        gated_head (`bool`, *optional*, defaults to `False`): scale every text and pose feature by a sigmoid of a
            linear layer over all features (context gating, Miech et al., 2018).
    """

    model_type = "pose_text_retrieval"
    sub_configs_defaults = {"pose_config": PoseTokenizerConfig}
    num_poses: ClassVar[int] = 1

    pose_config: dict | PreTrainedConfig | None = None
    conv_channels: list[int] | tuple[int, ...] = (256, 256, 256)
    pose_hidden_size: int = 512
    vocab_size: int = 30522
    word_embedding_size: int = 768
    pad_token_id: int | None = 0
    embed_dim: int = 512
    initial_temperature: float = 10.0
    loss: Literal["symmetric", "one-way", "siglip"] = "symmetric"
    gated_head: bool = False
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.embed_dim % 2:
            raise ValueError(f"embed_dim is {self.embed_dim}; it must be even, half for each direction of the GRU.")
        if self.initial_temperature <= 0:
            raise ValueError(f"initial_temperature is {self.initial_temperature}; it must be positive.")

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Self:
        # As in UniPoseConfig: with the package installed, use its own pipeline and not the remote folder's.
        if not cls.__module__.startswith("transformers_modules."):
            config_dict = {key: value for key, value in config_dict.items() if key != "custom_pipelines"}
        return super().from_dict(config_dict, **kwargs)


@strict
class PosePairTextRetrievalConfig(PoseTextRetrievalConfig):
    r"""
    Configuration of [`PosePairTextRetrievalModel`], with the fields and defaults of [`PoseTextRetrievalConfig`].
    The two poses share the pose encoder, and the first convolution takes the channels of both.
    """

    model_type = "pose_pair_text_retrieval"
    num_poses: ClassVar[int] = 2
