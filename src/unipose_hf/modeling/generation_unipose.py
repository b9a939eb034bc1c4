# SPDX-License-Identifier: Apache-2.0
"""How UniPose writes poses: all codes of a pose come from one forward pass over its queries (paper section 3.3)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import GenerationMixin
from transformers.utils import ModelOutput


@dataclass
class UniPosePoseOutput(ModelOutput):
    """
    What [`UniPoseGenerationMixin.generate_pose`] returns; `rows` is `batch * num_return_sequences`.

    rotations (`torch.FloatTensor` of shape `(rows, 22, 3, 3)`): local rotations, float32, SMPL joint order.
    codes (`torch.LongTensor` of shape `(rows, num_codes)`): the codes, from 0; the likeliest for `"expected"`.
    scores (`torch.FloatTensor` of shape `(rows,)`): geometric mean of the probabilities of `codes`, in (0, 1].
    probabilities (`torch.FloatTensor` of shape `(batch, num_codes, codebook_size)`): the distributions over codes, at
        the temperature asked for.
    """

    rotations: torch.FloatTensor | None = None
    codes: torch.LongTensor | None = None
    scores: torch.FloatTensor | None = None
    probabilities: torch.FloatTensor | None = None


class UniPoseGenerationMixin(GenerationMixin):
    """`generate`, where a pose costs one forward pass, and `generate_pose` for answers that are nothing but a pose."""

    @torch.no_grad()
    def generate_pose(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
        decoding: str | None = None,
        num_return_sequences: int = 1,
        temperature: float = 1.0,
        **model_inputs,
    ) -> UniPosePoseOutput:
        """Answers each prompt with one pose, in a single forward pass over prompt, `<pose_start>` and queries.

        Args:
            input_ids (`(batch, columns)`): prompts, padded on the left, without `<pose_start>` at the end.
            attention_mask (`(batch, columns)`, *optional*): 0 for padding.
            decoding (*optional*, defaults to `config.pose_decoding`): `"argmax"` takes the likeliest code in every
                place, the same as greedy `generate`; `"sample"` draws each code from its own distribution;
                `"expected"` decodes the mean code vector of every place, which varies smoothly with the prompt.
            num_return_sequences (`int`): poses for each prompt; more than one only with `"sample"`.
            temperature (`float`): divides the logits before the softmax.
            model_inputs: what else the processor returned (`pixel_values`, `pose_pixel_values`, `pose_values`, ...).

        Raises:
            ValueError: a bad option, or padding on the right.
        """
        decoding = decoding or self.config.pose_decoding
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
        start = input_ids.new_full((len(input_ids), 1), self.config.pose_start_token_id)
        queries = input_ids.new_full((len(input_ids), num_codes), self.config.pose_query_token_id)
        attention_mask = F.pad(attention_mask, (0, 1 + num_codes), value=1)
        model_inputs.pop("mm_token_type_ids", None)  # as long as the prompt, and not used
        hidden_states = self.model(
            input_ids=torch.cat([input_ids, start, queries], 1),
            attention_mask=attention_mask,
            position_ids=(attention_mask.long().cumsum(1) - 1).clamp_min(0),
            use_cache=False,
            **model_inputs,
        ).last_hidden_state
        logits = self.code_logits(self.lm_head(hidden_states[:, -num_codes:]))  # (batch, num_codes, codebook_size)
        probabilities = (logits.float() / temperature).softmax(-1)
        if decoding == "sample":
            draws = torch.multinomial(probabilities.flatten(0, 1), num_return_sequences, replacement=True)
            codes = draws.unflatten(0, (-1, num_codes)).transpose(1, 2).flatten(0, 1)  # (rows, num_codes)
        else:
            codes = probabilities.argmax(-1)
        tokenizer = self.model.pose_tokenizer
        decoded = tokenizer.decode_expected(probabilities) if decoding == "expected" else tokenizer.decode(codes)
        chosen = probabilities.repeat_interleave(num_return_sequences, 0).gather(-1, codes.unsqueeze(-1))
        return UniPosePoseOutput(
            rotations=decoded.rotations,
            codes=codes,
            scores=chosen.squeeze(-1).log().mean(-1).exp(),
            probabilities=probabilities,
        )

    @torch.no_grad()
    def decode_poses(self, sequences: torch.LongTensor) -> list[list[torch.FloatTensor]]:
        """Token ids `(batch, columns)` -> for each row the rotations `(22, 3, 3)` of its complete pose blocks.

        A block that was cut short is left out. Give only the new columns, `sequences[:, prompt_length:]`, to leave out
        the poses of the prompt.
        """
        num_codes, first = self.config.pose_config.num_codes, self.config.pose_code_offset
        poses = [[] for _ in sequences]
        if sequences.shape[1] < num_codes + 2:
            return poses
        windows = sequences.unfold(1, num_codes + 2, 1)  # (batch, places, num_codes + 2)
        codes = windows[..., 1:-1] - first
        found = ((codes >= 0) & (codes < self.config.pose_config.codebook_size)).all(-1)
        found &= windows[..., 0] == self.config.pose_start_token_id
        found &= windows[..., -1] == self.config.pose_end_token_id
        rotations = self.model.pose_tokenizer.decode(codes[found].to(self.device)).rotations
        for row, pose in zip(found.nonzero()[:, 0].tolist(), rotations, strict=True):
            poses[row].append(pose)
        return poses
