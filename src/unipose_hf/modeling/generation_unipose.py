# SPDX-License-Identifier: Apache-2.0
"""Pose generation: all codes of a pose come from one forward pass over its queries (paper section 3.3).

`generate` hides that pass from the decoding loops of transformers. When a row of the batch has written `<pose_start>`,
its queries are appended to the next step. Their logits go into a queue, from which the row takes one code per step
without another pass, then `<pose_end>`; sampling, beam search and streaming see ordinary tokens. The keys and values
of the queries are moved from the cache to a stash and put back at the row's own positions when its pose is finished: a
cache position always belongs to the token at the same position, whatever the other rows do meanwhile.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import Cache, GenerationMixin, LogitsProcessor, StaticCache
from transformers.cache_utils import DummyLayer, DynamicLayer, StaticLayer
from transformers.distributed.fsdp import is_fsdp_managed_module
from transformers.generation import GenerationMode
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils import ModelOutput

# The name of the cache in arguments and outputs of transformers: `past_key_values` up to 5.23, then `cache`.
CACHE_KEY = "cache" if "cache" in BaseModelOutputWithPast.__dataclass_fields__ else "past_key_values"

NO_PLACEHOLDERS = "pose_values need input_ids: with inputs_embeds their placeholders cannot be found."
NO_QUERIES = "With inputs_embeds a prompt cannot end with <pose_start>; give input_ids."


@dataclass
class UniPosePoseOutput(ModelOutput):
    """
    What [`UniPoseGenerationMixin.generate_pose`] returns; `rows` is `batch * num_return_sequences`.

    rotations (`torch.FloatTensor` of shape `(rows, 22, 3, 3)`): local rotations, float32, SMPL joint order.
    codes (`torch.LongTensor` of shape `(rows, num_codes)`): the codes, starting at 0; for `"expected"`, the most
    likely ones. scores (`torch.FloatTensor` of shape `(rows,)`): geometric mean of the probabilities of `codes`, in
    (0, 1]. probabilities (`torch.FloatTensor` of shape `(batch, num_codes, codebook_size)`): the distributions over
    codes, at the given temperature.
    """

    rotations: torch.FloatTensor | None = None
    codes: torch.LongTensor | None = None
    scores: torch.FloatTensor | None = None
    probabilities: torch.FloatTensor | None = None


class PoseDecodingState:
    """The progress of each batch row within the pose it is writing, during one call of `generate`.

    In each step of the decoding loop, `begin` decides the `kind` of step, the model runs (or not), and `end` returns
    the logits of the next token of every row.

    Args:
        config (`UniPoseConfig`): token ids, `num_codes`, `codebook_size`.
        eos_token_ids (`list[int]`): after one of these a row is finished and no longer needs steps.
        may_skip (`bool`): whether a step may skip the forward pass; False if all processes must run the same steps.
    """

    def __init__(self, config, eos_token_ids: list[int], may_skip: bool):
        self.config = config
        self.num_codes = config.pose_config.num_codes
        self.codes = slice(config.pose_code_offset, config.pose_code_offset + config.pose_config.codebook_size)
        self.eos_token_ids = set(eos_token_ids)
        self.may_skip = may_skip
        self.kind = "text"  # "text": one forward pass; "pose": one with appended queries; "skip": none
        self.positions: list[int | None] = []  # per row: the next position in its pose block, or None in text
        self.query_starts: list[int | None] = []  # per row: cache position of its first stashed query
        self.finished: list[bool] = []
        self.length = 0  # tokens that have been through a step
        self.skipped = 0  # how many of the last tokens are not in the cache yet
        self.queue = None  # (batch, num_codes, codebook_size) logits of the poses being written
        self.stash = []  # per layer: keys and values of the queries, (batch, heads, num_codes, head_dim), or None
        self.vocab_size = 0

    def begin(self, last_tokens: list[int], cache: Cache | None, is_prompt: bool):
        """Decides the kind of the step from the last token of each row, before the model runs."""
        if not self.positions:
            self.positions = [None] * len(last_tokens)
            self.query_starts = [None] * len(last_tokens)
            self.finished = [False] * len(last_tokens)
            self.length = 0 if cache is None else int(cache.get_seq_length())
        starting = False
        for row, token in enumerate(last_tokens):
            if self.positions[row] == self.num_codes + 1:  # `<pose_end>` has been written
                self.positions[row] = None
            if not is_prompt:  # a prompt may end with any token without finishing its row
                self.finished[row] |= token in self.eos_token_ids
            if token == self.config.pose_start_token_id and self.positions[row] is None:
                self.positions[row] = 0
                starting = True
        waiting = [position for position, finished in zip(self.positions, self.finished, strict=True) if not finished]
        skip = self.may_skip and len(waiting) > 0 and None not in waiting
        self.kind = "pose" if starting else "skip" if skip else "text"
        if self.kind != "skip" and (self.skipped or self._ended_rows()):
            self.settle(cache)

    def count(self, num_tokens: int):
        """Counts `num_tokens` new tokens of this step, without the queries."""
        self.length += num_tokens
        self.skipped += num_tokens if self.kind == "skip" else 0

    def end(
        self,
        logits: torch.FloatTensor | None,
        cache: Cache | None,
        code_logits: torch.FloatTensor | None = None,
    ) -> torch.FloatTensor:
        """Logits of the forward pass (`None` if skipped) -> logits of the next token, `(batch, 1, vocab_size)`.

        In a step with queries, `logits` are those before the queries, and `code_logits` those of the queries over the
        codes.
        """
        if self.kind == "skip":
            logits = self.queue.new_full((len(self.positions), 1, self.vocab_size), -torch.inf)
        else:
            logits = logits[:, -1:].clone()
        if self.kind == "pose":
            self._take_queries(code_logits, cache)
        config, self.vocab_size = self.config, logits.shape[-1]
        logits[..., self.codes] = -torch.inf  # codes never appear in text
        banned = [config.pose_end_token_id, config.pose_query_token_id, config.pose_token_id, config.image_token_id]
        logits[..., banned] = -torch.inf
        rows = [row for row, position in enumerate(self.positions) if position is not None]
        if rows:
            logits[rows] = -torch.inf
            in_block = [row for row in rows if self.positions[row] < self.num_codes]
            at_end = [row for row in rows if self.positions[row] == self.num_codes]
            logits[in_block, 0, self.codes] = self.queue[in_block, [self.positions[row] for row in in_block]]
            logits[at_end, 0, config.pose_end_token_id] = 0.0
        for row in rows:
            self.positions[row] += 1
        return logits

    def closing_rows(self) -> list[int]:
        """Rows whose next token is `<pose_end>`, after `end`."""
        return [row for row, position in enumerate(self.positions) if position == self.num_codes + 1]

    def _take_queries(self, logits, cache):
        """Moves the logits of the queries to the queue, and their keys and values from the cache to the stash."""
        starting = [row for row, position in enumerate(self.positions) if position == 0]
        self.queue = logits if self.queue is None else self._replace_rows(self.queue, logits, starting)
        stash = []
        for index, layer in enumerate(cache.layers):
            if layer.keys is None:
                stash.append(None)
                continue
            queries = slice(self.length, self.length + self.num_codes)
            fresh = [states[:, :, queries].clone() for states in (layer.keys, layer.values)]
            if self.stash:
                fresh = [self._replace_rows(*pair, starting) for pair in zip(self.stash[index], fresh, strict=True)]
            stash.append(fresh)
            if isinstance(layer, StaticLayer):
                layer.cumulative_length.sub_(self.num_codes)
            else:
                layer.crop(-self.num_codes)
        self.stash = stash
        for row in starting:
            self.query_starts[row] = self.length

    @staticmethod
    def _replace_rows(old, new, rows):
        old = old.clone()
        old[rows] = new[rows].to(old.device)
        return old

    def settle(self, cache: Cache | None):
        """Brings the cache up to `length`: adds skipped positions and puts back the queries of finished poses.

        Unfinished poses get as many queries as they have tokens, so that the cache can be returned.
        """
        if not self.stash:
            return
        for layer, stash in zip(cache.layers, self.stash, strict=True):
            if stash is None:
                continue
            if isinstance(layer, StaticLayer):
                layer.cumulative_length.add_(self.skipped)
            else:
                layer.keys, layer.values = (F.pad(x, (0, 0, 0, self.skipped)) for x in (layer.keys, layer.values))
            for row, first in enumerate(self.query_starts):
                if first is not None:
                    count = min(self.num_codes, self.length - first)
                    layer.keys[row, :, first : first + count] = stash[0][row, :, :count]
                    layer.values[row, :, first : first + count] = stash[1][row, :, :count]
        self.skipped = 0
        for row in self._ended_rows():
            self.query_starts[row] = None

    def _ended_rows(self):
        return [
            row for row, first in enumerate(self.query_starts) if first is not None and self.positions[row] is None
        ]

    def reorder(self, rows: torch.LongTensor):
        """Row i becomes the former row `rows[i]`, as in the cache."""
        order = rows.tolist()
        self.positions = [self.positions[row] for row in order]
        self.query_starts = [self.query_starts[row] for row in order]
        self.finished = [self.finished[row] for row in order]
        if self.queue is not None and any(position is not None for position in self.positions):
            self.queue = self.queue[rows.to(self.queue.device)]
        if any(first is not None for first in self.query_starts):
            self.stash = [
                None if stash is None else [states[rows.to(states.device)] for states in stash] for stash in self.stash
            ]


class PoseEndLogitsProcessor(LogitsProcessor):
    """Forces `<pose_end>` after the last code, whatever other processors have made of its score."""

    def __init__(self, state: PoseDecodingState):
        self.state = state

    def __call__(self, input_ids, scores):
        rows = self.state.closing_rows()
        scores[rows] = -torch.inf
        scores[rows, self.state.config.pose_end_token_id] = 0.0
        return scores


class UniPoseGenerationMixin(GenerationMixin):
    """`generate`, in which a pose costs one forward pass, and `generate_pose` for answers that are a single pose."""

    # assisted decoding feeds several tokens per step, across the boundaries of pose blocks
    _supported_generation_modes = [
        GenerationMode.GREEDY_SEARCH,
        GenerationMode.SAMPLE,
        GenerationMode.BEAM_SEARCH,
        GenerationMode.BEAM_SAMPLE,
    ]

    @torch.no_grad()
    def generate(self, *args, **kwargs):
        """[`~transformers.GenerationMixin.generate`] for answers that mix text and poses.

        Takes the processor's output and all arguments of the transformers method. Greedy search, sampling, beam
        search, streamers, static caches and reused caches work as usual. Each row may write any number of poses at any
        time. A pose is `<pose_start>`, `num_codes` codes, `<pose_end>`: it costs one forward pass, but counts as
        `num_codes + 2` new tokens. The grammar is enforced: no codes or placeholders in text, nothing but codes within
        a pose. `decode_poses` turns the result into rotations. The prompt's poses are returned as codes.

        Limits:
        * Tokens after a pose attend to its queries, not to the codes that were drawn from them.
        * A prompt may end with `<pose_start>`, but not within a pose; a pose cut off by `max_new_tokens` cannot be
          continued.
        * It needs a cache with plain layers: no `use_cache=False` (refused when a pose begins) and no quantized cache.
          The cache of a sliding-window model keeps all keys; attention is still windowed.
          Your own `StaticCache` needs room for `num_codes` more positions.
        * No flash attention, and no flex attention with a static cache; no `prefill_chunk_size` if the prompt has a
          bidirectional pose block; no assisted decoding, no continuous batching.
        * Token penalties and bans apply to codes as they do to words.
        * `hidden_states` and `attentions` are `None` for steps that needed no forward pass.
        * With `inputs_embeds` the poses of the prompt attend causally, and it cannot end with `<pose_start>`.

        Raises:
            ValueError: the call hits one of these limits, or the inputs do not match (see `forward`).
        """
        for name in {"cache", "past_key_values"} & kwargs.keys():
            kwargs[CACHE_KEY] = kwargs.pop(name)
        result = super().generate(*args, **kwargs)
        cache = kwargs.get(CACHE_KEY)
        cache = getattr(result, CACHE_KEY, None) if cache is None else cache
        if (state := getattr(cache, "_pose_state", None)) is not None:
            state.settle(cache)
            del cache._pose_state
        return result

    def _validate_generation_mode(self, generation_mode, *args):
        if generation_mode not in self._supported_generation_modes:
            raise ValueError(
                f"{generation_mode.value.replace('_', ' ').capitalize()} cannot write poses; leave its options out "
                "and use greedy search, sampling or beam search."
            )
        super()._validate_generation_mode(generation_mode, *args)

    def init_continuous_batching(self, *args, **kwargs):
        raise ValueError(
            "Continuous batching cannot write poses; use generate() without cache_implementation='paged'."
        )

    # Hooks of transformers' `generate`, in the order in which it calls them.

    def _prepare_model_inputs(self, inputs, bos_token_id, model_kwargs):
        inputs, input_name, model_kwargs = super()._prepare_model_inputs(inputs, bos_token_id, model_kwargs)
        # before rows are repeated for beams: poses A, B of a row would be repeated as A, A, B, B
        pose_values = model_kwargs.pop("pose_values", None)
        if input_name == "input_ids":
            inputs = self.model.replace_pose_placeholders(inputs, pose_values)
        elif pose_values is not None:
            raise ValueError(NO_PLACEHOLDERS)
        elif not model_kwargs["input_ids"].shape[1]:
            self._check_embedded_prompt(inputs)
        return inputs, input_name, model_kwargs

    def _prepare_multimodal_encoder_kwargs_for_generation(self, model_kwargs):
        # transformers would drop pose_pixel_values that come without pixel_values
        views = [model_kwargs.pop(name, None) for name in ("pixel_values", "pose_pixel_values", "vision_features")]
        model_kwargs.setdefault("mm_encoder_outputs", {})
        if any(view is not None for view in views):
            model_kwargs["mm_encoder_outputs"]["image"] = self.get_image_features(*views, return_dict=True)
        return model_kwargs

    def _prepare_static_cache(self, cache_implementation, batch_size, max_cache_len, prefill_chunk_size, model_kwargs):
        # the queries temporarily follow the last position
        room = max_cache_len + self.config.pose_config.num_codes
        cache = super()._prepare_static_cache(cache_implementation, batch_size, room, prefill_chunk_size, model_kwargs)
        for index, layer in enumerate(cache.layers):
            if layer.is_sliding:  # positions that slid out could not be restored when the queries are removed
                cache.layers[index] = StaticLayer(self._previous_max_cache_length)
        return cache

    def _prepare_cache_for_generation(self, generation_config, model_kwargs, *args, **kwargs):
        super()._prepare_cache_for_generation(generation_config, model_kwargs, *args, **kwargs)
        cache = model_kwargs.get(CACHE_KEY)
        eos_token_ids = generation_config._eos_token_tensor
        state = PoseDecodingState(
            self.config,
            eos_token_ids=[] if eos_token_ids is None else eos_token_ids.tolist(),
            # with sharded weights all processes must run the model equally often
            may_skip=not (is_deepspeed_zero3_enabled() or is_fsdp_managed_module(self)),
        )
        model_kwargs["pose_state"] = state
        if cache is None:
            return
        cache._pose_state = state  # where `_reorder_cache` finds it
        if isinstance(cache, StaticCache) and "flex" in self.model.language_model.config._attn_implementation:
            raise ValueError(
                'flex_attention is wrong with a static cache; use attn_implementation="sdpa" or another cache.'
            )
        if not isinstance(cache, StaticCache) and not cache.get_seq_length():
            for index, layer in enumerate(cache.layers):
                if layer.is_sliding:  # see _prepare_static_cache
                    cache.layers[index] = DynamicLayer()

    def _get_logits_processor(self, *args, model_kwargs=None, **kwargs):
        processors = super()._get_logits_processor(*args, model_kwargs=model_kwargs, **kwargs)
        if model_kwargs is not None and "pose_state" in model_kwargs:
            processors.append(PoseEndLogitsProcessor(model_kwargs["pose_state"]))
        return processors

    def _prefill(self, input_ids, generation_config, model_kwargs, **kwargs):
        self._check_prompt(input_ids, chunked=generation_config.prefill_chunk_size is not None)
        return super()._prefill(input_ids, generation_config, model_kwargs, **kwargs)

    def prepare_inputs_for_generation(
        self,
        input_ids,
        next_sequence_length=None,
        cache=None,
        attention_mask=None,
        inputs_embeds=None,
        is_first_iteration=False,
        pose_state: PoseDecodingState | None = None,
        past_key_values=None,
        **kwargs,
    ):
        cache = past_key_values if cache is None else cache
        if pose_state is not None:
            last_tokens = input_ids[:, -1].tolist() if input_ids.shape[1] else [-1] * len(input_ids)
            pose_state.begin(last_tokens, cache, is_prompt=is_first_iteration)
            if pose_state.kind == "skip":
                pose_state.count(1)
                return {"input_ids": input_ids[:, -1:], CACHE_KEY: cache, "pose_state": pose_state}
        model_inputs = super().prepare_inputs_for_generation(
            input_ids,
            next_sequence_length=next_sequence_length,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **{CACHE_KEY: cache},
            **kwargs,
        )
        model_inputs.pop("mm_token_type_ids", None)  # unused, and too short for the queries
        ids = model_inputs["input_ids"]
        num_tokens = model_inputs["inputs_embeds"].shape[1] if ids is None else ids.shape[1]
        if num_tokens > 1 or (pose_state is not None and pose_state.kind == "pose"):
            # the mask for static caches ignores pose blocks; the model makes its own
            model_inputs["attention_mask"] = attention_mask
        if pose_state is None:
            return model_inputs
        pose_state.count(num_tokens)
        model_inputs["pose_state"] = pose_state
        if pose_state.kind == "pose":
            self._append_queries(model_inputs, cache, pose_state.length)
        return model_inputs

    def get_compiled_call(self, compile_config):
        compiled_call = super().get_compiled_call(compile_config)

        def call(pose_state=None, **model_inputs):
            if pose_state is None or pose_state.kind != "text":  # other shapes, or no forward pass at all
                return self(pose_state=pose_state, **model_inputs)
            outputs = compiled_call(**model_inputs)
            outputs.logits = pose_state.end(outputs.logits, getattr(outputs, CACHE_KEY))
            return outputs

        return call

    def _reorder_cache(self, cache, beam_idx):
        cache.reorder_cache(beam_idx)
        cache._pose_state.reorder(beam_idx)
        return cache

    def _check_prompt(self, input_ids, chunked: bool):
        config = self.config
        if not input_ids.shape[1]:
            return
        ends_with_start = input_ids[:, -1] == config.pose_start_token_id
        opened = (input_ids == config.pose_start_token_id).sum(1) - ends_with_start.long()
        closed = (input_ids == config.pose_end_token_id).sum(1)
        if bool((opened > closed).any()):
            raise ValueError(
                f"The prompt in row {int((opened > closed).nonzero()[0])} ends within a pose block; it must end "
                "before or right after <pose_start>, or after <pose_end>."
            )
        if chunked and (bool(ends_with_start.any()) or self.model.has_pose_block(input_ids)):
            raise ValueError(
                "prefill_chunk_size would split bidirectional pose blocks; leave it out for prompts with poses."
            )

    def _check_embedded_prompt(self, inputs_embeds):
        """`_check_prompt` for tokens known by their embeddings only, `(batch, sequence_length, hidden_size)`."""
        start, end = self.config.pose_start_token_id, self.config.pose_end_token_id
        tokens = torch.full(inputs_embeds.shape[:2], -1, device=inputs_embeds.device)
        for token in (start, end):
            embedding = self.get_input_embeddings()(tokens.new_tensor(token)).to(inputs_embeds)
            tokens[(inputs_embeds == embedding).all(-1)] = token
        if bool((tokens[:, -1:] == start).any()):
            raise ValueError(NO_QUERIES)
        self._check_prompt(tokens, chunked=False)

    def _append_queries(self, model_inputs, cache, length):
        """Appends the queries to every row; only rows that begin a pose use them."""
        config, num_codes = self.config, self.config.pose_config.num_codes
        if cache is None:
            raise ValueError("Writing a pose needs a cache; call generate with use_cache=True.")
        ids = model_inputs["input_ids"]
        if ids is None:
            raise ValueError(NO_QUERIES)
        for layer in cache.layers:
            if type(layer) not in (DynamicLayer, StaticLayer, DummyLayer):
                raise ValueError(
                    f"A pose cannot be written into a cache with a {type(layer).__name__}; leave past_key_values and "
                    "cache_implementation out, or pass DynamicCache()."
                )
            if isinstance(layer, StaticLayer) and layer.max_cache_len < length + num_codes:
                raise ValueError(
                    f"The static cache holds {layer.max_cache_len} positions, but a pose that begins at position "
                    f"{length} needs {length + num_codes}; make it num_codes={num_codes} longer than the longest "
                    "sequence."
                )
        model_inputs["input_ids"] = F.pad(ids, (0, num_codes), value=config.pose_query_token_id)
        if (position_ids := model_inputs.get("position_ids")) is not None:
            steps = torch.arange(1, num_codes + 1, device=position_ids.device)
            model_inputs["position_ids"] = torch.cat([position_ids, position_ids[..., -1:] + steps], -1)
        if (attention_mask := model_inputs.get("attention_mask")) is not None:
            model_inputs["attention_mask"] = F.pad(attention_mask, (0, num_codes), value=1)

    @torch.no_grad()
    def generate_pose(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        decoding: str | None = None,
        num_return_sequences: int = 1,
        temperature: float = 1.0,
        steps: int = 1,
        **model_inputs,
    ) -> UniPosePoseOutput:
        """Answers each prompt with one pose, in a single forward pass over prompt, `<pose_start>` and queries.

        In one pass the codes are chosen independently. With more `steps`, each pass decides some of the codes, the
        most certain first, and later passes see them (as in MaskGIT, Chang et al. 2022); this is for models trained
        with some of the codes given.

        Args:
            input_ids (`(batch, sequence_length)`): prompts, padded on the left, without `<pose_start>` at the end.
            attention_mask (`(batch, sequence_length)`, *optional*): 0 for padding.
            decoding (*optional*, defaults to `generation_config.pose_decoding`): `"argmax"` takes the most likely code
                at every position, like greedy `generate`; `"sample"` draws each code from its own distribution;
                `"expected"` decodes the mean code vector at every position, which varies smoothly with the prompt.
            num_return_sequences (`int`): poses per prompt; more than one only with `"sample"`.
            temperature (`float`): divides the logits before the softmax.
            steps (`int`): number of forward passes, at most `num_codes`.
            model_inputs: everything else the processor returned (`pixel_values`, `pose_pixel_values`, `pose_values`,
                ...).

        Raises:
            ValueError: a bad option, or padding on the right.
        """
        decoding = decoding or getattr(self.generation_config, "pose_decoding", "argmax")
        if decoding not in ("argmax", "expected", "sample"):
            raise ValueError(f'decoding is {decoding!r}; choose "argmax", "expected" or "sample".')
        if num_return_sequences < 1 or (num_return_sequences > 1 and decoding != "sample"):
            raise ValueError(
                f"num_return_sequences is {num_return_sequences} with decoding {decoding!r}, which has one answer; "
                'use 1, or decoding="sample" for several.'
            )
        if not temperature > 0:
            raise ValueError(
                f'temperature is {temperature}; it must be above 0 (decoding="argmax" is its limit at 0).'
            )
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if not bool(attention_mask[:, -1].all()):
            raise ValueError('The prompts are padded on the right; set padding_side="left" on the tokenizer.')

        num_codes = self.config.pose_config.num_codes
        if not 1 <= steps <= num_codes:
            raise ValueError(f"steps is {steps}; a pose of {num_codes} codes is decoded in 1 to {num_codes} steps.")
        start = [*self.config.pose_answer_prefix_ids, self.config.pose_start_token_id]
        start = input_ids.new_tensor(start).expand(len(input_ids), -1)
        queries = input_ids.new_full((len(input_ids), num_codes), self.config.pose_query_token_id)
        attention_mask = F.pad(attention_mask, (0, start.shape[1] + num_codes), value=1)
        model_inputs.pop("mm_token_type_ids", None)  # unused, and only as long as the prompt
        model_inputs |= {
            "attention_mask": attention_mask,
            "position_ids": (attention_mask.long().cumsum(1) - 1).clamp_min(0),
            "use_cache": False,
            "return_dict": True,
        }
        prompt = torch.cat([input_ids, start], 1)

        def predicted(answers):
            hidden_states = self.model(input_ids=torch.cat([prompt, answers], 1), **model_inputs).last_hidden_state
            return (self.project_to_codes(hidden_states[:, -num_codes:]).float() / temperature).softmax(-1)

        probabilities = predicted(queries)  # (batch, num_codes, codebook_size)
        if steps > 1 and num_return_sequences > 1:  # from the second pass on, the answers to one prompt differ
            batch = len(input_ids)
            queries, prompt, probabilities = (
                rows.repeat_interleave(num_return_sequences, 0) for rows in (queries, prompt, probabilities)
            )
            for name, value in model_inputs.items():
                if isinstance(value, torch.Tensor):  # as many pictures or poses for each prompt
                    rows = value.unflatten(0, (batch, -1)).repeat_interleave(num_return_sequences, 0)
                    model_inputs[name] = rows.flatten(0, 1)
        tokenizer = self.model.pose_tokenizer
        decided = torch.zeros_like(queries, dtype=torch.bool)
        for step in range(1, steps):
            codes = self._chosen_codes(probabilities, decoding)
            variance = self._code_variance(probabilities).masked_fill(decided, -1.0)
            surest = variance.argsort(1)[:, : num_codes * step // steps]
            decided = torch.zeros_like(decided).scatter(1, surest, True)
            queries = torch.where(decided, codes + self.config.pose_code_offset, queries)
            probabilities = torch.where(decided[..., None], probabilities, predicted(queries))
        if num_return_sequences > len(probabilities) // len(input_ids):
            draws = torch.multinomial(probabilities.flatten(0, 1), num_return_sequences, replacement=True)
            codes = draws.unflatten(0, (-1, num_codes)).transpose(1, 2).flatten(0, 1)  # (rows, num_codes)
        else:
            codes = self._chosen_codes(probabilities, decoding)
            codes = torch.where(decided, queries - self.config.pose_code_offset, codes)
        if decoding == "expected":
            decoded = tokenizer.decode_expected(probabilities, return_dict=True)
        else:
            decoded = tokenizer.decode(codes, return_dict=True)
        chosen = probabilities.repeat_interleave(len(codes) // len(probabilities), 0).gather(-1, codes.unsqueeze(-1))
        return UniPosePoseOutput(
            rotations=decoded.rotations,
            codes=codes,
            scores=chosen.squeeze(-1).log().mean(-1).exp(),
            probabilities=probabilities,
        )

    @staticmethod
    def _chosen_codes(probabilities, decoding):
        """Distributions `(batch, num_codes, codebook_size)` -> one code each: sampled, or the most likely."""
        if decoding == "sample":
            return torch.multinomial(probabilities.flatten(0, 1), 1).view(probabilities.shape[:2])
        return probabilities.argmax(-1)

    def _code_variance(self, probabilities):
        """Variance of the code vectors under each distribution, `(batch, num_codes)`: how uncertain a code is."""
        codebook = self.model.pose_tokenizer.quantizer.codebook.to(probabilities)
        mean = probabilities @ codebook
        return probabilities @ codebook.square().sum(-1) - mean.square().sum(-1)

    @torch.no_grad()
    def decode_poses(self, sequences: torch.LongTensor) -> list[list[torch.FloatTensor]]:
        """Token ids `(batch, sequence_length)` -> for each row the rotations `(22, 3, 3)` of its complete pose blocks.

        Incomplete blocks are ignored. Pass only the new tokens, `sequences[:, prompt_length:]`, to exclude the poses
        of the prompt.
        """
        num_codes, first = self.config.pose_config.num_codes, self.config.pose_code_offset
        poses = [[] for _ in sequences]
        if sequences.shape[1] < num_codes + 2:
            return poses
        windows = sequences.unfold(1, num_codes + 2, 1)  # (batch, windows, num_codes + 2)
        codes = windows[..., 1:-1] - first
        found = ((codes >= 0) & (codes < self.config.pose_config.codebook_size)).all(-1)
        found &= windows[..., 0] == self.config.pose_start_token_id
        found &= windows[..., -1] == self.config.pose_end_token_id
        rotations = self.model.pose_tokenizer.decode(codes[found], return_dict=True).rotations
        for row, pose in zip(found.nonzero()[:, 0].tolist(), rotations, strict=True):
            poses[row].append(pose)
        return poses
