# SPDX-License-Identifier: Apache-2.0
"""Texts and poses in one space: retrieval of a pose, or of a pair of poses, by text and the other way round.

UniPose (CVPR 2025), supplement B.2; the objectives are those of PoseScript (Delmas et al., 2022) and of SigLIP.
"""

import math
from dataclasses import dataclass

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
    loss (`torch.FloatTensor`): of text `i` belonging to pose `i`; None where there are not as many texts as poses.
    logits (`torch.FloatTensor` of shape `(texts, poses)`): cosines times the learnt temperature.
    text_embeds (`torch.FloatTensor` of shape `(texts, embed_dim)`): of unit length.
    pose_embeds (`torch.FloatTensor` of shape `(poses, embed_dim)`): of unit length.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    text_embeds: torch.FloatTensor | None = None
    pose_embeds: torch.FloatTensor | None = None


def batch_classification_loss(logits: torch.Tensor) -> torch.Tensor:
    """BBC: every row of `(n, n)` logits chooses its own column among those of the batch (supplement B.2, eq. 2)."""
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def sigmoid_loss(logits: torch.Tensor) -> torch.Tensor:
    """SigLIP: each of `(n, n)` logits says by itself whether row and column belong together."""
    belongs = 2 * torch.eye(len(logits), device=logits.device) - 1
    return -F.logsigmoid(belongs * logits).sum(1).mean()


class RetrievalPoseEncoder(nn.Module):
    """The pose tokenizer's encoder, one pose at a time, then convolutions over the joint axis that take all poses."""

    def __init__(self, config: PoseTextRetrievalConfig):
        super().__init__()
        self.encoder = PoseTokenizerEncoder(config.pose_config)
        widths = [config.num_poses * config.pose_config.code_dim, *config.conv_channels]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(widths[i], widths[i + 1], 3, stride=2, padding=1) for i in range(len(widths) - 1)
        )
        length = math.ceil(config.pose_config.num_codes / 2 ** len(self.convolutions))
        # What is left is pooled with weights of its own for every place: a mean would forget which joint is which.
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
    """Word embeddings and one bidirectional GRU layer, the last states of its two directions side by side.

    Each direction is a GRU of its own that reads from where its text begins; what it makes of the padding behind is
    not looked at. Packed sequences would do the same, but their gradient takes twice as long on a processor.
    """

    def __init__(self, config: PoseTextRetrievalConfig):
        super().__init__()
        width, half = config.word_embedding_size, config.embed_dim // 2
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.forward_gru = nn.GRU(width, half, batch_first=True)
        self.backward_gru = nn.GRU(width, half, batch_first=True)

    def forward(self, input_ids, attention_mask):  # (batch, length) twice -> (batch, embed_dim)
        last = attention_mask.sum(1, keepdim=True) - 1  # (batch, 1)
        # words first and padding behind, wherever the tokenizer pads
        is_word = attention_mask.bool()
        target = torch.where(is_word, is_word.cumsum(1) - 1, last + (~is_word).cumsum(1))
        columns = torch.arange(target.shape[1], device=target.device).expand(target.shape)
        places = torch.zeros_like(target).scatter(1, target, columns)
        if not is_tracing():  # a graph cannot be as long as its longest text
            places = places[:, : int(last.max()) + 1]
        words = self.word_embeddings(input_ids.gather(1, places))  # (batch, length, width)
        reverse = (last - torch.arange(places.shape[1], device=last.device)).clamp_min(0)
        backwards = words.gather(1, reverse[..., None].expand(words.shape))
        states = torch.cat([self.forward_gru(words)[0], self.backward_gru(backwards)[0]], -1)
        return states.gather(1, last[..., None].expand(-1, -1, states.shape[-1]))[:, 0]


class PoseTextRetrievalModel(PreTrainedModel):
    r"""
    Features of texts and of poses, to be compared by their cosine.

    Poses are local rotation matrices `(batch, 22, 3, 3)` in SMPL joint order, y up, and face the viewer
    (`unipose_hf.body.remove_yaw`): texts say nothing of the heading, and the models are trained so. To start from a
    trained pose tokenizer and from pretrained words, with both tokenizers' sizes in the configuration:

        model.pose_encoder.encoder.load_state_dict(pose_tokenizer.encoder.state_dict())
        model.set_input_embeddings(language_model.get_input_embeddings())
    """

    config: PoseTextRetrievalConfig
    config_class = PoseTextRetrievalConfig
    base_model_prefix = "pose_retrieval"
    main_input_name = "rotations"
    input_modalities = ("pose", "text")
    _no_split_modules = ["RetrievalPoseEncoder", "RetrievalTextEncoder"]
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True  # nothing in it attends

    def __init__(self, config: PoseTextRetrievalConfig):
        super().__init__(config)
        self.pose_encoder = RetrievalPoseEncoder(config)
        self.text_encoder = RetrievalTextEncoder(config)
        self.gates = None
        if config.gated_head:
            self.gates = nn.ModuleDict({side: nn.Linear(config.embed_dim, config.embed_dim) for side in _SIDES})
        # The factor is learnt by its logarithm, which keeps it positive and lets it grow in proportion.
        self.log_temperature = nn.Parameter(torch.zeros(()))
        self.logit_bias = nn.Parameter(torch.zeros(())) if config.loss == "siglip" else None
        self.post_init()

    @property
    def temperature(self) -> torch.Tensor:
        """What cosines are multiplied by, a scalar."""
        return self.log_temperature.exp()

    def get_input_embeddings(self):
        return self.text_encoder.word_embeddings

    def set_input_embeddings(self, value):
        self.text_encoder.word_embeddings = value

    @can_return_tuple
    def get_text_features(self, input_ids, attention_mask=None, **kwargs) -> BaseModelOutputWithPooling:
        """Token ids `(batch, length)` -> unit vectors in `.pooler_output` `(batch, embed_dim)`; padding changes none.

        Raises:
            ValueError: a text has no token.
        """
        if attention_mask is None:
            attention_mask = input_ids != self.config.pad_token_id
        if not is_tracing():  # what values are cannot be asked within a compiled graph
            empty = ~attention_mask.bool().any(1)
            if empty.any():
                raise ValueError(f"Text {int(empty.nonzero()[0])} of the batch has no token; every text needs a word.")
        features = self._unit(self.text_encoder(input_ids, attention_mask), "text")
        return BaseModelOutputWithPooling(pooler_output=features)

    @can_return_tuple
    def get_pose_features(self, rotations, **kwargs) -> BaseModelOutputWithPooling:
        """Rotations `(batch, 22, 3, 3)`, of pairs `(batch, 2, 22, 3, 3)` -> unit vectors in `.pooler_output`
        `(batch, embed_dim)`.

        Raises:
            ValueError: the shape is another one, or a value is not finite.
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
    def forward(self, rotations=None, input_ids=None, attention_mask=None, **kwargs) -> PoseTextRetrievalOutput:
        r"""
        rotations (`torch.FloatTensor` of shape `(poses, 22, 3, 3)` or `(poses, 2, 22, 3, 3)` for pairs): the poses.
        input_ids (`torch.LongTensor` of shape `(texts, length)`): the texts.
        attention_mask (`torch.LongTensor` of shape `(texts, length)`, *optional*): 1 for words, 0 for padding.

        Raises:
            ValueError: there are neither poses nor texts, or as `get_pose_features` and `get_text_features` say.
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
                init.constant_(module.logit_bias, -10.0)  # as in SigLIP: nearly all pairs of a batch do not belong


_SIDES = ("text", "pose")


class PosePairTextRetrievalModel(PoseTextRetrievalModel):
    r"""
    As [`PoseTextRetrievalModel`], for instructions and the pairs of poses `(batch, 2, 22, 3, 3)` they belong to: the
    instruction leads from the first to the second. Either pose faces the viewer.
    """

    config: PosePairTextRetrievalConfig
    config_class = PosePairTextRetrievalConfig


__all__ = ["PosePairTextRetrievalModel", "PoseTextRetrievalModel"]
