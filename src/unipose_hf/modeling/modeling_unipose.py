# SPDX-License-Identifier: Apache-2.0
"""UniPose: a language model that reads and writes 3D human poses as tokens (CVPR 2025, section 3).

Two frozen vision encoders see the same image; their features are concatenated cell by cell and projected to the
language model. A pose is `num_codes` tokens of the pose tokenizer between `<pose_start>` and `<pose_end>`. A pose to
be predicted is `num_codes` learnt queries, which attend to each other in both directions and are answered in one pass.
"""

import copy
import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModel, Cache, PreTrainedModel
from transformers.masking_utils import create_masks_for_generate
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, CausalLMOutputWithPast
from transformers.modeling_utils import slice_logits_to_keep
from transformers.processing_utils import Unpack
from transformers.quantizers import AutoQuantizationConfig
from transformers.utils import TransformersKwargs, is_tracing, torch_compilable_check
from transformers.utils.generic import can_return_tuple, is_flash_attention_requested

from .configuration_unipose import UniPoseConfig
from .encoders_unipose import (
    NO_ENCODER,
    UniPoseMultiModalProjector,
    build_encoder,
    feature_map,
    image_grid,
    resample,
    supports_attention,
)
from .generation_unipose import CACHE_KEY, NO_PLACEHOLDERS, PoseDecodingState, UniPoseGenerationMixin
from .modeling_pose_tokenizer import PoseTokenizerModel


@dataclass
class UniPoseModelOutputWithPast(BaseModelOutputWithPast):
    """
    last_hidden_state (`torch.FloatTensor` of shape `(batch, sequence_length, hidden_size)`).
    past_key_values (`Cache`; `cache` from transformers 5.24 on), hidden_states, attentions: as the language model
        returns them.
    image_hidden_states (`torch.FloatTensor` of shape `(images, image_seq_length, hidden_size)`): projected features.
    """

    image_hidden_states: torch.FloatTensor | None = None


@dataclass
class UniPoseCausalLMOutputWithPast(CausalLMOutputWithPast):
    """
    loss (`torch.FloatTensor`): cross-entropy, if `labels` or `shift_labels` were given.
    logits (`torch.FloatTensor` of shape `(batch, sequence_length, vocab_size)`): the next token or, at a query, its
        own code.
    past_key_values (`Cache`; `cache` from transformers 5.24 on), hidden_states, attentions: as the language model
        returns them.
    image_hidden_states (`torch.FloatTensor` of shape `(images, image_seq_length, hidden_size)`): projected features.
    pose_logits (`torch.FloatTensor` of shape `(poses, num_codes, codebook_size)`): the logits of the codes at the
        queries, in the order of the query blocks. Returned for the positions in `code_mask`, or if labels are given
        and there are queries (but not in a compiled forward pass).
    """

    image_hidden_states: torch.FloatTensor | None = None
    pose_logits: torch.FloatTensor | None = None


def make_shift_labels(labels: torch.LongTensor, input_ids: torch.LongTensor, config: UniPoseConfig):
    """Labels `(batch, sequence_length)` at their own positions -> the targets of the logits at each position.

    The logits at a position predict the next token, but those at a query predict the code at that same position.
    `<pose_start>` before a query predicts nothing (-100), and nothing predicts `<pose_end>`: both are certain.
    Collators use this function too: trainers that compute the loss themselves need `shift_labels` in the batch.
    """
    is_query = input_ids == config.pose_query_token_id
    next_labels = F.pad(labels[:, 1:], (0, 1), value=-100)
    before_query = F.pad(is_query[:, 1:], (0, 1), value=False) & ~is_query
    return torch.where(is_query, labels, next_labels.masked_fill(before_query, -100))


def pose_block_ids(input_ids: torch.LongTensor, config: UniPoseConfig) -> torch.LongTensor:
    """Token ids `(batch, sequence_length)` -> the index of the bidirectional pose block at each position, or -1.

    `config.bidirectional_poses` says which blocks are bidirectional: `"all"`, only the queries (`"answer"`), or
    `"none"`. The tokens before and after a block stay causal (paper section 3.3).
    """
    inside = torch.zeros_like(input_ids, dtype=torch.bool)
    if config.bidirectional_poses != "none":
        inside = input_ids == config.pose_query_token_id
    if config.bidirectional_poses == "all":
        first, size = config.pose_code_offset, config.pose_config.codebook_size
        is_code = (input_ids >= first) & (input_ids < first + size)
        inside = inside | is_code | (input_ids == config.pose_token_id)
    marks = (input_ids == config.pose_start_token_id) | (input_ids == config.pose_end_token_id)
    return marks.long().cumsum(1).masked_fill(~inside, -1)


# Patterns of module names. An error of one percent in the encoder or in a code's logits moves joints by centimetres.
_NOT_QUANTISED = ["lm_head", ".*vision_tower", ".*multi_modal_projector", ".*pose_tokenizer"]


def _language_model_only(quantization_config):
    """Adds `_NOT_QUANTISED` to a configuration that names no modules; libraries name the argument differently."""
    if isinstance(quantization_config, dict):
        quantization_config = AutoQuantizationConfig.from_dict(quantization_config)
    quantization_config = copy.copy(quantization_config)
    for name in ("modules_to_not_convert", "llm_int8_skip_modules"):
        if getattr(quantization_config, name, _NOT_QUANTISED) is None:
            setattr(quantization_config, name, list(_NOT_QUANTISED))
    return quantization_config


class UniPosePreTrainedModel(PreTrainedModel):
    config: UniPoseConfig
    config_class = UniPoseConfig
    base_model_prefix = "model"
    input_modalities = ("image", "text", "pose")
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = ["past_key_values", "cache"]
    # bfloat16 would flip 2-10 % of the codes
    _keep_in_fp32_modules_strict = ["pose_tokenizer"]
    _supports_sdpa = True
    _supports_flash_attn = True  # for text only; `forward` refuses it for bidirectional blocks
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    @classmethod
    def from_pretrained(cls, *args, quantization_config=None, **kwargs):
        """As in transformers, but a `quantization_config` that does not name the modules to skip quantises only the
        language model, without its head.
        """
        if quantization_config is not None:
            kwargs["quantization_config"] = _language_model_only(quantization_config)
        return super().from_pretrained(*args, **kwargs)

    def set_attn_implementation(self, attn_implementation, *args, **kwargs):
        """As in transformers, but an encoder that does not support the implementation keeps its own."""
        if isinstance(attn_implementation, str):
            models = [module for module in self.modules() if isinstance(module, PreTrainedModel)]
            unable = {id(model.config) for model in models if not supports_attention(type(model), attn_implementation)}
            unable.discard(id(self.config.text_config))
            parts = [name for name in self.config.sub_configs if id(getattr(self.config, name)) not in unable]
            attn_implementation = dict.fromkeys(["", *parts], attn_implementation)
        super().set_attn_implementation(attn_implementation, *args, **kwargs)


class UniPoseModel(UniPosePreTrainedModel):
    r"""
    The vision encoders, the pose tokenizer and the language model without its head.

    The pose tokenizer is never trained here. An encoder without trainable parameters stays in evaluation mode when
    `train()` is called: a frozen encoder must not use dropout or stochastic depth.

    Attributes: `vision_tower` and `pose_vision_tower` (either may be `None`), `pose_tokenizer`,
    `multi_modal_projector` (`None` without an encoder), `language_model`, `pose_query_embeddings` (one row for each
    position in a pose block).
    """

    def __init__(self, config: UniPoseConfig):
        super().__init__(config)
        rows, columns = image_grid(config)
        image_seq_length = rows * columns * config.image_tokens_per_cell or None
        if config.image_seq_length is None:
            config.image_seq_length = image_seq_length
        elif config.image_seq_length != image_seq_length:
            raise ValueError(
                f"image_seq_length is {config.image_seq_length}, but the vision encoders of this configuration "
                f"produce {image_seq_length} image tokens; leave image_seq_length out to have it computed."
            )
        self.vision_tower = build_encoder(config.vision_config)
        self.pose_vision_tower = build_encoder(config.pose_vision_config)
        self.multi_modal_projector = UniPoseMultiModalProjector(config) if image_seq_length else None
        self.pose_tokenizer = PoseTokenizerModel(config.pose_config)
        self.language_model = AutoModel.from_config(config.text_config)
        self.pose_query_embeddings = nn.Embedding(config.pose_config.num_codes, config.text_config.hidden_size)
        self.post_init()

    def train(self, mode: bool = True) -> "UniPoseModel":
        super().train(mode)
        self.pose_tokenizer.eval()  # in training mode it would update its codebook
        for tower in (self.vision_tower, self.pose_vision_tower):
            if tower is not None and not any(parameter.requires_grad for parameter in tower.parameters()):
                tower.eval()
        return self

    def _apply(self, fn, recurse=True):
        # `.to(dtype)`, `.half()` and `.bfloat16()` skip what `from_pretrained(dtype=...)` keeps in float32.
        names = self._keep_in_fp32_modules_strict
        named_tensors = itertools.chain(self.named_parameters(), self.named_buffers())
        kept = {id(tensor) for name, tensor in named_tensors if not names.isdisjoint(name.split("."))}

        def apply(tensor):
            moved = fn(tensor)
            halved = moved.dtype in (torch.float16, torch.bfloat16)
            return tensor.to(moved.device) if halved and id(tensor) in kept else moved

        return super()._apply(apply, recurse)

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    @can_return_tuple
    def get_image_features(
        self,
        pixel_values: torch.FloatTensor | None = None,
        pose_pixel_values: torch.FloatTensor | None = None,
        vision_features: torch.FloatTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        """Images -> input embeddings, in `.pooler_output` `(images, image_seq_length, hidden_size)`.

        Args:
            pixel_values (`(images, 3, H, W)`): input of the general encoder; only for models that have one.
            pose_pixel_values (`(images, 3, h, w)`): input of the pose encoder; only for models that have one.
            vision_features (`(images, cells, channels)`): instead of both, the `.last_hidden_state` that this method
                returned for the same images; no encoder is run.

        Raises:
            ValueError: an input that the model needs is missing, or the model has no encoder for it.
        """
        if vision_features is not None:
            if pixel_values is not None or pose_pixel_values is not None:
                raise ValueError("Give either images or their vision_features, not both.")
            return self._project(vision_features)
        views = {"pixel_values": (self.vision_tower, pixel_values)}
        views["pose_pixel_values"] = (self.pose_vision_tower, pose_pixel_values)
        needed = [name for name, (tower, _) in views.items() if tower is not None]
        given = [name for name, (_, pixels) in views.items() if pixels is not None]
        if not needed:
            raise ValueError(NO_ENCODER)
        if needed != given:
            raise ValueError(
                f"This model needs {' and '.join(needed)} for its images, but was given {' and '.join(given)}; use "
                "the processor that was saved with it."
            )
        first_outputs, cells = None, []
        for tower, pixels in views.values():
            if tower is not None:
                layer = self.config.vision_feature_layer if tower is self.vision_tower else -1
                features, outputs = feature_map(tower, pixels, layer, **kwargs)  # (images, C, rows, columns)
                first_outputs = first_outputs or outputs
                features = resample(features, image_grid(self.config))
                cells.append(features.flatten(2).transpose(1, 2))  # (images, cells, C)
        outputs = self._project(torch.cat([part.to(cells[0].device) for part in cells], -1))
        # only if requested, not if merely needed for a layer
        if kwargs.get("output_hidden_states", self.config.output_hidden_states):
            outputs.hidden_states = first_outputs.hidden_states
        outputs.attentions = first_outputs.attentions
        return outputs

    def _project(self, cells):
        """Encoder features `(images, cells, channels)` -> these and their projection to the language model."""
        if self.multi_modal_projector is None:
            raise ValueError(NO_ENCODER)
        cells = cells.to(self.multi_modal_projector.linear_1.weight.dtype)
        return BaseModelOutputWithPooling(last_hidden_state=cells, pooler_output=self.multi_modal_projector(cells))

    def get_placeholder_mask(
        self, input_ids: torch.LongTensor | None, inputs_embeds: torch.FloatTensor, image_features: torch.FloatTensor
    ) -> torch.BoolTensor:
        """Mask of the image placeholders `(batch, sequence_length, 1)`, found by embedding if `input_ids` is None.

        Raises:
            ValueError: the number of `<image>` placeholders differs from the number of image features.
        """
        if input_ids is None:
            token = torch.tensor(self.config.image_token_id, device=inputs_embeds.device)
            mask = (inputs_embeds == self.get_input_embeddings()(token)).all(-1)
        else:
            mask = input_ids == self.config.image_token_id
        images, each = image_features.shape[:2]
        torch_compilable_check(
            mask.sum() == images * each,
            lambda: (
                f"The prompt has {int(mask.sum())} <image> placeholders, but {images} images need "
                f"{images * each} ({each} each); build prompt and images in one call of the processor."
            ),
        )
        return mask.unsqueeze(-1)

    @torch.no_grad()
    def get_pose_codes(self, pose_values: torch.FloatTensor) -> torch.LongTensor:
        """Local rotation matrices `(poses, 22, 3, 3)` -> codes `(poses, num_codes)`, from 0."""
        return self.pose_tokenizer.encode(pose_values, return_dict=True).codes

    def replace_pose_placeholders(
        self, input_ids: torch.LongTensor, pose_values: torch.FloatTensor | None
    ) -> torch.LongTensor:
        """Token ids `(batch, sequence_length)` with each run of `<pose>` placeholders replaced by the codes of the
        next pose.

        Raises:
            ValueError: there are not exactly `num_codes` placeholders for each pose.
        """
        mask = input_ids == self.config.pose_token_id
        num_poses, num_codes = 0 if pose_values is None else len(pose_values), self.config.pose_config.num_codes
        torch_compilable_check(
            mask.sum() == num_poses * num_codes,
            lambda: (
                f"The prompt has {int(mask.sum())} <pose> placeholders, but {num_poses} poses in pose_values need "
                f"{num_poses * num_codes} ({num_codes} each); build prompt and poses in one call of the processor."
            ),
        )
        if not num_poses:
            return input_ids
        codes = self.get_pose_codes(pose_values).to(input_ids.device) + self.config.pose_code_offset
        return input_ids.masked_scatter(mask, codes)

    def _embed(self, input_ids):
        inputs_embeds = self.get_input_embeddings()(input_ids)
        if input_ids.shape[1] == 1:  # a decoding step: a query is never alone
            return inputs_embeds
        input_ids = input_ids.to(inputs_embeds.device)
        is_query = input_ids == self.config.pose_query_token_id
        first, size = self.config.pose_code_offset, self.config.pose_config.codebook_size
        in_block = is_query | ((input_ids >= first) & (input_ids < first + size))
        # every block holds `num_codes` of them, so counting gives the position in the block
        position = (in_block.cumsum(1) - 1).clamp_min(0) % self.config.pose_config.num_codes
        queries = self.pose_query_embeddings(position).to(inputs_embeds)  # (batch, sequence_length, hidden_size)
        if self.config.pose_place_embeddings:
            inputs_embeds = torch.where((in_block & ~is_query).unsqueeze(-1), inputs_embeds + queries, inputs_embeds)
        return torch.where(is_query.unsqueeze(-1), queries, inputs_embeds)

    def has_pose_block(self, input_ids: torch.LongTensor) -> bool:
        """Whether these tokens contain a bidirectional pose block; in a compiled pass, whether they may."""
        attends = self.config.bidirectional_poses != "none"
        return attends and (is_tracing() or bool((pose_block_ids(input_ids, self.config) >= 0).any()))

    def _attention_mask(self, input_ids, inputs_embeds, attention_mask, cache, position_ids):
        """The language model's mask: bidirectional within such pose blocks, causal elsewhere."""
        if attention_mask is not None and not (torch.is_tensor(attention_mask) and attention_mask.ndim == 2):
            return attention_mask  # prepared by the caller
        if input_ids is None or input_ids.shape[1] == 1 or not self.has_pose_block(input_ids):
            return attention_mask  # the language model makes its usual mask
        config = self.language_model.config
        if is_flash_attention_requested(config):
            raise ValueError(
                f"Attention implementation {config._attn_implementation!r} does not support bidirectional attention "
                'within a pose block; load the model with attn_implementation="sdpa" (or "eager").'
            )
        past_length = 0 if cache is None else int(cache.get_seq_length())
        return create_masks_for_generate(
            config=config,
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            # block indices refer to positions in the cache
            block_sequence_ids=F.pad(pose_block_ids(input_ids, self.config), (past_length, 0), value=-1),
            **{CACHE_KEY: cache},
        )

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pose_pixel_values: torch.FloatTensor | None = None,
        vision_features: torch.FloatTensor | None = None,
        pose_values: torch.FloatTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        mm_token_type_ids: torch.LongTensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        cache: Cache | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> UniPoseModelOutputWithPast:
        """See [`UniPoseForConditionalGeneration.forward`]."""
        cache = past_key_values if cache is None else cache
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give either input_ids or inputs_embeds, not both.")
        if input_ids is not None:
            if input_ids.shape[1] > 1 or pose_values is not None:
                input_ids = self.replace_pose_placeholders(input_ids, pose_values)
            inputs_embeds = self._embed(input_ids)
            input_ids = input_ids.to(inputs_embeds.device)  # with a device map each part may be on another device
        elif pose_values is not None:
            raise ValueError(NO_PLACEHOLDERS)
        image_outputs = (mm_encoder_outputs or {}).get("image")
        views = (pixel_values, pose_pixel_values, vision_features)
        if image_outputs is None and any(view is not None for view in views):
            image_outputs = self.get_image_features(*views, return_dict=True)
        image_features = None
        if image_outputs is not None:
            image_features = image_outputs.pooler_output.to(inputs_embeds.device, inputs_embeds.dtype)
            mask = self.get_placeholder_mask(input_ids, inputs_embeds, image_features)
            inputs_embeds = inputs_embeds.masked_scatter(mask, image_features)
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=self._attention_mask(input_ids, inputs_embeds, attention_mask, cache, position_ids),
            position_ids=position_ids,
            **{CACHE_KEY: cache},
            **kwargs | {"return_dict": True},
        )
        return UniPoseModelOutputWithPast(
            last_hidden_state=outputs.last_hidden_state,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=image_features,
            **{CACHE_KEY: getattr(outputs, CACHE_KEY)},
        )


class UniPoseForConditionalGeneration(UniPoseGenerationMixin, UniPosePreTrainedModel):
    r"""UniPose with its language-model head: text, images and poses in; text and poses out."""

    output_modalities = ("text", "pose")
    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}
    _tp_plan = {"lm_head": "colwise_gather_output"}

    def __init__(self, config: UniPoseConfig):
        super().__init__(config)
        self.model = UniPoseModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.generation_config.pose_decoding = "argmax"
        # otherwise loading drops attributes that transformers does not know
        self.generation_config._from_model_config = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def get_image_features(
        self,
        pixel_values: torch.FloatTensor | None = None,
        pose_pixel_values: torch.FloatTensor | None = None,
        vision_features: torch.FloatTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        """See [`UniPoseModel.get_image_features`]."""
        return self.model.get_image_features(pixel_values, pose_pixel_values, vision_features, **kwargs)

    def get_pose_codes(self, pose_values: torch.FloatTensor) -> torch.LongTensor:
        """See [`UniPoseModel.get_pose_codes`]."""
        return self.model.get_pose_codes(pose_values)

    def forward_poses(self, input_ids: torch.LongTensor, **kwargs: Unpack[TransformersKwargs]) -> torch.FloatTensor:
        """Logits of the codes at the queries, `(poses, num_codes, codebook_size)`; the head computes nothing else.

        Args:
            input_ids (`(batch, sequence_length)`): contains blocks of `<pose_query>`; the result keeps their order.
            kwargs: as for `forward`.
        """
        hidden_states = self.model(input_ids=input_ids, **kwargs | {"return_dict": True}).last_hidden_state
        at_queries = hidden_states[input_ids.to(hidden_states.device) == self.config.pose_query_token_id]
        return self.project_to_codes(at_queries).unflatten(0, (-1, self.config.pose_config.num_codes))

    def project_to_codes(self, hidden_states: torch.FloatTensor) -> torch.FloatTensor:
        """Hidden states `(..., hidden_size)` -> logits over the codes `(..., codebook_size)`.

        Skips the rows of the head for text, which are most of it, unless only the head's own `forward` can use its
        weight: if it is adapted, quantised, offloaded or sharded.
        """
        head, weight = self.lm_head, self.lm_head.weight
        whole = type(head) is nn.Linear and type(weight) is nn.Parameter and len(weight) == head.out_features
        if not whole or weight.device != hidden_states.device:
            return self.code_logits(head(hidden_states))
        return F.linear(hidden_states, self.code_logits(weight.T).T)

    def _next_logits(self, hidden_states, cache, pose_state):
        """Hidden states of a `generate` step `(batch, sequence_length, hidden_size)` -> logits of the next token."""
        if pose_state.kind == "text":
            return pose_state.end(self.lm_head(hidden_states[:, -1:]), cache)
        before, queries = hidden_states[:, : -pose_state.num_codes], hidden_states[:, -pose_state.num_codes :]
        return pose_state.end(self.lm_head(before[:, -1:]), cache, self.project_to_codes(queries))

    def code_logits(self, logits: torch.FloatTensor) -> torch.FloatTensor:
        """Logits over the vocabulary `(..., vocab_size)` -> over the codes `(..., codebook_size)`."""
        first = self.config.pose_code_offset
        return logits[..., first : first + self.config.pose_config.codebook_size]

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        pose_pixel_values: torch.FloatTensor | None = None,
        vision_features: torch.FloatTensor | None = None,
        pose_values: torch.FloatTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        shift_labels: torch.LongTensor | None = None,
        mm_token_type_ids: torch.LongTensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        code_mask: torch.BoolTensor | None = None,
        pose_state: PoseDecodingState | None = None,
        cache: Cache | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> UniPoseCausalLMOutputWithPast:
        r"""One pass through the model.

        Args:
            input_ids (`(batch, sequence_length)`): a prompt pose is `<pose_start>`, `num_codes` times `<pose>` (or its
                codes), `<pose_end>`; a pose to be predicted has `<pose_query>` instead of `<pose>`.
            pixel_values (`(images, 3, H, W)`), pose_pixel_values (`(images, 3, h, w)`): the inputs of the general and
                of the pose encoder, in the order of the images in the batch.
            vision_features (`(images, cells, channels)`): instead of both, the encoders' features of these images, as
                [`UniPoseModel.get_image_features`] returns them in `.last_hidden_state`.
            pose_values (`(poses, 22, 3, 3)`): local rotations of the prompt poses, in order.
            attention_mask (`(batch, sequence_length)`): 1 for tokens, 0 for padding on either side; a mask of another
                shape is passed to the language model unchanged.
            inputs_embeds (`(batch, sequence_length, hidden_size)`): instead of `input_ids`; pose blocks are then not
                recognised and stay causal.
            labels (`(batch, sequence_length)`): targets at their own positions, codes at the queries, -100 for none.
            shift_labels (`(batch, sequence_length)`): instead of `labels`, the result of [`make_shift_labels`].
            mm_token_type_ids: ignored; accepted because processors return it.
            past_key_values, cache (`Cache`): two names for the same argument; transformers uses the second from 5.24.
            mm_encoder_outputs: `{"image": get_image_features(...)}` instead of the pixels.
            logits_to_keep: 0 for the logits of all positions, n for the last n, a mask for a selection.
            code_mask (`(batch, sequence_length)`): mask of the positions of whole poses to be predicted; `pose_logits`
                are then computed there, over the codes only, which saves the rest of the vocabulary.
            pose_state: set by `generate`; the logits are then those of the next token under the pose grammar.

        Raises:
            ValueError: placeholders do not match the images or poses, an encoder is missing, or flash attention is
                used with a bidirectional pose block.
        """
        cache = past_key_values if cache is None else cache
        if pose_state is not None and pose_state.kind == "skip":
            return UniPoseCausalLMOutputWithPast(logits=pose_state.end(None, None), **{CACHE_KEY: cache})
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            pose_pixel_values=pose_pixel_values,
            vision_features=vision_features,
            pose_values=pose_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            mm_encoder_outputs=mm_encoder_outputs,
            cache=cache,
            **kwargs | {"return_dict": True},
        )
        cache = getattr(outputs, CACHE_KEY)
        hidden_states = outputs.last_hidden_state
        if pose_state is None:
            logits = self.lm_head(slice_logits_to_keep(hidden_states, logits_to_keep))
        else:
            logits = self._next_logits(hidden_states, cache, pose_state)
        loss, pose_logits = None, None
        if code_mask is not None:
            codes = self.project_to_codes(hidden_states[code_mask])
            pose_logits = codes.unflatten(0, (-1, self.config.pose_config.num_codes))
        if labels is not None or shift_labels is not None:
            if shift_labels is None and input_ids is not None:
                shift_labels = make_shift_labels(labels, input_ids, self.config)
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=logits.shape[-1], shift_labels=shift_labels, **kwargs
            )
            # the number of queries depends on the data, and shapes in a compiled graph cannot
            at_all_positions = pose_logits is None and input_ids is not None and logits.shape[:2] == input_ids.shape
            if at_all_positions and not is_tracing():
                at_queries = logits[input_ids.to(logits.device) == self.config.pose_query_token_id]
                if len(at_queries):
                    pose_logits = self.code_logits(at_queries).unflatten(0, (-1, self.config.pose_config.num_codes))
        return UniPoseCausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=outputs.image_hidden_states,
            pose_logits=pose_logits,
            **{CACHE_KEY: cache},
        )


__all__ = [
    "UniPoseCausalLMOutputWithPast",
    "UniPoseForConditionalGeneration",
    "UniPoseModel",
    "UniPoseModelOutputWithPast",
    "UniPoseMultiModalProjector",
    "UniPosePreTrainedModel",
    "image_grid",
    "make_shift_labels",
    "pose_block_ids",
]
