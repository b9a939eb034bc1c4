# SPDX-License-Identifier: Apache-2.0
"""Texts and poses in one embedding space: retrieve a pose, or a pair of poses, by text, or a text by pose.

UniPose (CVPR 2025), supplement B.2; the objectives are those of PoseScript (Delmas et al., 2022) and of SigLIP.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput, is_tracing
from transformers.utils.generic import can_return_tuple

from .configuration_pose_retrieval import PosePairTextRetrievalConfig, PoseTextRetrievalConfig
from .modeling_pose_tokenizer import PoseTokenizerEncoder
from .rotation_unipose import matrix_to_rotation_6d


@dataclass
class PoseTextRetrievalOutput(ModelOutput):
    """
    loss (`torch.FloatTensor`): text `i` belongs to pose `i`; None if the numbers of texts and poses differ.
    logits (`torch.FloatTensor` of shape `(texts, poses)`): cosine similarities times the learnt temperature.
    text_embeds (`torch.FloatTensor` of shape `(texts, embed_dim)`): unit vectors.
    pose_embeds (`torch.FloatTensor` of shape `(poses, embed_dim)`): unit vectors.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    text_embeds: torch.FloatTensor | None = None
    pose_embeds: torch.FloatTensor | None = None


def batch_classification_loss(logits: torch.Tensor) -> torch.Tensor:
    """Batch-based classification: row i of the `(n, n)` logits must choose column i (supplement B.2, eq. 2)."""
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def sigmoid_loss(logits: torch.Tensor) -> torch.Tensor:
    """SigLIP: each of the `(n, n)` logits is a binary decision whether its row and column belong together."""
    belongs = 2 * torch.eye(len(logits), device=logits.device) - 1
    return -F.logsigmoid(belongs * logits).sum(1).mean()


class RetrievalPoseEncoder(nn.Module):
    """The pose tokenizer's encoder on each pose, then convolutions over the joint axis of all poses together."""

    def __init__(self, config: PoseTextRetrievalConfig):
        super().__init__()
        self.encoder = PoseTokenizerEncoder(config.pose_config)
        widths = [config.num_poses * config.pose_config.code_dim, *config.conv_channels]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(widths[i], widths[i + 1], 3, stride=2, padding=1) for i in range(len(widths) - 1)
        )
        length = math.ceil(config.pose_config.num_codes / 2 ** len(self.convolutions))
        # Pooled with separate weights for every position: a mean would forget which joint is which.
        self.pooling = nn.Linear(widths[-1] * length, config.pose_hidden_size)
        self.hidden_layer = nn.Linear(config.pose_hidden_size, config.pose_hidden_size)
        self.output_layer = nn.Linear(config.pose_hidden_size, config.embed_dim)

    def forward(self, rotation_6d):  # (batch, num_poses, num_joints, 6) -> (batch, embed_dim)
        latents = self.encoder(rotation_6d.flatten(0, 1)).transpose(1, 2)  # (batch * num_poses, code_dim, num_codes)
        hidden = latents.unflatten(0, rotation_6d.shape[:2]).flatten(1, 2)  # (batch, num_poses * code_dim, num_codes)
        for convolution in self.convolutions:
            hidden = F.relu(convolution(hidden))
        hidden = F.relu(self.pooling(hidden.flatten(1)))
        return self.output_layer(F.relu(self.hidden_layer(hidden)))


class RetrievalTextEncoder(nn.Module):
    """Word embeddings and one bidirectional GRU layer; the last states of both directions are concatenated.

    Each direction is a separate GRU that reads its text from the start; its outputs on the padding that follows are
    ignored. Packed sequences would do the same, but their backward pass takes twice as long on a CPU.
    """

    def __init__(self, config: PoseTextRetrievalConfig):
        super().__init__()
        width, half = config.word_embedding_size, config.embed_dim // 2
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.forward_gru = nn.GRU(width, half, batch_first=True)
        self.backward_gru = nn.GRU(width, half, batch_first=True)

    def forward(self, input_ids, attention_mask):  # both (batch, sequence_length) -> (batch, embed_dim)
        if is_tracing() or len(input_ids) < 4 * _LENGTHS:
            return self._read(input_ids, attention_mask)
        order = attention_mask.sum(1).argsort()  # texts of similar length together save most of the padding
        states = [self._read(input_ids[rows], attention_mask[rows]) for rows in order.chunk(_LENGTHS)]
        return torch.cat(states)[order.argsort()]

    def _read(self, input_ids, attention_mask):
        last = attention_mask.sum(1, keepdim=True) - 1  # (batch, 1)
        # move words to the front and padding to the end, whichever side the tokenizer pads
        is_word = attention_mask.bool()
        target = torch.where(is_word, is_word.cumsum(1) - 1, last + (~is_word).cumsum(1))
        source = torch.arange(target.shape[1], device=target.device).expand(target.shape)
        positions = torch.zeros_like(target).scatter(1, target, source)
        if not is_tracing():  # a traced graph cannot depend on the longest text
            positions = positions[:, : int(last.max()) + 1]
        words = self.word_embeddings(input_ids.gather(1, positions))  # (batch, sequence_length, width)
        reverse = (last - torch.arange(positions.shape[1], device=last.device)).clamp_min(0)
        backwards = words.gather(1, reverse[..., None].expand(words.shape))
        states = torch.cat([self.forward_gru(words)[0], self.backward_gru(backwards)[0]], -1)
        return states.gather(1, last[..., None].expand(-1, -1, states.shape[-1]))[:, 0]


class PoseTextRetrievalModel(PreTrainedModel):
    r"""
    Embeds texts and poses so that they can be compared by cosine similarity.

    Poses are local rotation matrices `(batch, 22, 3, 3)` in SMPL joint order, y up. They must face the viewer
    (`unipose_hf.body.remove_yaw`): texts do not mention the heading, and the models are trained this way. To start
    from a trained pose tokenizer and pretrained word embeddings, set the sizes of both in the configuration and run:

        model.pose_encoder.encoder.load_state_dict(pose_tokenizer.encoder.state_dict())
        model.set_input_embeddings(language_model.get_input_embeddings())
    """

    config: PoseTextRetrievalConfig
    config_class = PoseTextRetrievalConfig
    base_model_prefix = "pose_retrieval"
    main_input_name = "rotations"
    input_modalities = ("pose", "text")
    _no_split_modules = ["RetrievalPoseEncoder", "RetrievalTextEncoder"]
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True  # it has no attention

    def __init__(self, config: PoseTextRetrievalConfig):
        super().__init__(config)
        self.pose_encoder = RetrievalPoseEncoder(config)
        self.text_encoder = RetrievalTextEncoder(config)
        self.gates = None
        if config.gated_head:
            self.gates = nn.ModuleDict({side: nn.Linear(config.embed_dim, config.embed_dim) for side in _SIDES})
        # Learning its logarithm keeps the factor positive and scales its updates with its size.
        self.log_temperature = nn.Parameter(torch.zeros(()))
        self.logit_bias = nn.Parameter(torch.zeros(())) if config.loss == "siglip" else None
        self.post_init()

    @property
    def temperature(self) -> torch.Tensor:
        """The scalar that multiplies the cosine similarities."""
        return self.log_temperature.exp()

    def get_input_embeddings(self) -> nn.Module:
        return self.text_encoder.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.text_encoder.word_embeddings = value

    @can_return_tuple
    def get_text_features(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """Token ids `(batch, sequence_length)` -> unit vectors in `.pooler_output` `(batch, embed_dim)`.

        Raises:
            ValueError: a text has no token.
        """
        if attention_mask is None:
            attention_mask = input_ids != self.config.pad_token_id
        if not is_tracing():  # a compiled graph cannot depend on values
            empty = ~attention_mask.bool().any(1)
            if empty.any():
                raise ValueError(
                    f"Text {int(empty.nonzero()[0])} of the batch has no token; every text needs at least one word."
                )
        features = self._unit(self.text_encoder(input_ids, attention_mask), "text")
        return BaseModelOutputWithPooling(pooler_output=features)

    @can_return_tuple
    def get_pose_features(self, rotations: torch.Tensor, **kwargs: Any) -> BaseModelOutputWithPooling:
        """Rotations `(batch, 22, 3, 3)`, or `(batch, 2, 22, 3, 3)` for pairs -> unit vectors in `.pooler_output`
        `(batch, embed_dim)`.

        Raises:
            ValueError: wrong shape, or a value that is not finite.
        """
        count = self.config.num_poses
        shape = (*((count,) if count > 1 else ()), self.config.pose_config.num_joints, 3, 3)
        if rotations.shape[1:] != shape:
            expected = ", ".join(map(str, shape))
            raise ValueError(f"Rotations must have shape (batch, {expected}), found {tuple(rotations.shape)}.")
        if not is_tracing() and not torch.isfinite(rotations).all():
            raise ValueError("Rotations must be finite, found NaN or infinity.")
        rotation_6d = matrix_to_rotation_6d(rotations).reshape(rotations.shape[0], count, -1, 6)
        features = self._unit(self.pose_encoder(rotation_6d.to(self.dtype)), "pose")
        return BaseModelOutputWithPooling(pooler_output=features)

    @can_return_tuple
    def forward(
        self,
        rotations: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> PoseTextRetrievalOutput:
        r"""
        rotations (`torch.FloatTensor` of shape `(poses, 22, 3, 3)` or `(poses, 2, 22, 3, 3)` for pairs): the poses.
        input_ids (`torch.LongTensor` of shape `(texts, sequence_length)`): the texts.
        attention_mask (`torch.LongTensor` of shape `(texts, sequence_length)`, *optional*): 1 for
            words, 0 for padding.

        Raises:
            ValueError: neither poses nor texts are given, or `get_pose_features` or `get_text_features` raises it.
        """
        if rotations is None and input_ids is None:
            raise ValueError("There is nothing to embed; give rotations, input_ids or both.")
        poses = texts = None
        if rotations is not None:
            poses = self.get_pose_features(rotations, return_dict=True).pooler_output
        if input_ids is not None:
            texts = self.get_text_features(input_ids, attention_mask, return_dict=True).pooler_output
        loss = logits = None
        if poses is not None and texts is not None:
            with torch.autocast(device_type=texts.device.type, enabled=False):
                logits = self.temperature * (texts @ poses.T)
            if self.logit_bias is not None:
                logits = logits + self.logit_bias
            if len(texts) == len(poses):
                loss = self._loss(logits)
        return PoseTextRetrievalOutput(loss=loss, logits=logits, text_embeds=texts, pose_embeds=poses)

    def _loss(self, logits):
        if self.config.loss == "siglip":
            return sigmoid_loss(logits)
        loss = batch_classification_loss(logits)
        return loss if self.config.loss == "one-way" else (loss + batch_classification_loss(logits.T)) / 2

    def _unit(self, features, side):
        if self.gates is not None:
            features = features * self.gates[side](features).sigmoid()
        return F.normalize(features.float(), dim=-1)  # bfloat16 would move cosines by hundredths

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, nn.Conv1d | nn.Linear):  # so that poses differ in the features from the start
            init.kaiming_normal_(module.weight, nonlinearity="relu")
            init.zeros_(module.bias)
        elif isinstance(module, nn.GRU):
            for name, weight in module.named_parameters():
                if weight.ndim == 1:
                    # The update gate starts open: the state then remembers the beginning of a long text.
                    bias = torch.zeros_like(weight)
                    bias[module.hidden_size : 2 * module.hidden_size] = 0.5  # twice, in bias_ih and in bias_hh
                    init.copy_(weight, bias)
                elif name.startswith("weight_hh"):
                    init.orthogonal_(weight)
                else:
                    init.xavier_uniform_(weight)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight)
        elif isinstance(module, PoseTextRetrievalModel):
            init.constant_(module.log_temperature, math.log(self.config.initial_temperature))
            if module.logit_bias is not None:
                init.constant_(module.logit_bias, -10.0)  # as in SigLIP: most pairs of a batch do not match


_SIDES = ("text", "pose")
_LENGTHS = 4  # groups of texts of similar length in a batch


class PosePairTextRetrievalModel(PoseTextRetrievalModel):
    r"""
    Like [`PoseTextRetrievalModel`], for instructions and pairs of poses `(batch, 2, 22, 3, 3)`: an instruction says
    how to get from the first pose to the second. Both poses must face the viewer.
    """

    config: PosePairTextRetrievalConfig
    config_class = PosePairTextRetrievalConfig


__all__ = ["PosePairTextRetrievalModel", "PoseTextRetrievalModel"]
