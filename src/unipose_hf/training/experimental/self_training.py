# SPDX-License-Identifier: Apache-2.0
"""Self-training: the model writes texts itself and is rewarded, sentence by sentence, for true statements.

Reference texts are always true, yet a model that imitates them makes false statements: each text starts with something
rare, and an uncertain model has to start with something. Its own texts can be read back and compared with the poses,
so that it learns to state what it knows. Uses policy gradients (Williams, "Simple statistical gradient-following
algorithms for connectionist reinforcement learning", 1992) on samples of the current model. This is not in the paper.
"""

from typing import NamedTuple

import torch

from unipose_hf.captions import codes_true, paircodes_true

MAX_NEW_TOKENS = 160
NUM_OTHER_POSES = 3  # other poses of the batch that a sentence is compared with, to see how specific it is
FALSE_PENALTY = 1.25  # cost of a false statement; a true one that holds for no other pose earns 1


class SampledTexts(NamedTuple):
    """
    input_ids, attention_mask: prompts followed by the texts that the model wrote, `(samples, sequence_length)`.
    weights: advantage of each token, the weight of its log-probability, `(samples, sequence_length)`; 0 for prompts.
    true: share of all stated codes that are true.
    codes: mean number of codes stated per text.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    weights: torch.Tensor
    true: float
    codes: float


@torch.no_grad()
def sample_texts(model, processor, prompts: dict, answered: torch.Tensor, poses: torch.Tensor) -> SampledTexts:
    """
    Args:
        model: the model to sample from.
        processor: the processor of the model.
        prompts: a batch for the model, padded on the right, with answers, which are removed.
        answered: mask of the positions whose logits predict the answers, `(samples, sequence_length)`; the first
            is the last position of the prompt.
        poses: the poses described by the texts, axis-angle `(samples, 1, 22, 3)` for captions and
            `(samples, 2, 22, 3)` for instructions.
    """
    input_ids, attention_mask = _cut(prompts["input_ids"], answered, model.config.text_config.pad_token_id)
    other_inputs = {name: value for name, value in prompts.items() if name not in ("input_ids", "attention_mask")}
    was_training = model.training
    model.eval()
    sequences = model.generate(
        input_ids=input_ids,
        attention_mask=attention_mask,
        **other_inputs,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        suppress_tokens=[model.config.pose_start_token_id],
        max_new_tokens=MAX_NEW_TOKENS,
    )
    model.train(was_training)
    start = input_ids.shape[1]
    ends = torch.isin(
        sequences[:, start:], torch.tensor(model.generation_config.eos_token_id, device=sequences.device)
    )
    written = ends.cumsum(1) - ends.long() == 0  # up to and including the end token
    sentences, spans = _sentences(processor, sequences[:, start:], written & ~ends)
    rewards, true, codes = sentence_rewards(sentences, poses.cpu())
    weights = torch.zeros(sequences.shape)
    flat = torch.tensor([reward for row in rewards for reward in row])
    if len(flat) > 1:
        # The mean is a baseline: it reduces the variance of the gradient. The end of a text has reward 0.
        mean, scale = flat.mean(), flat.std().clamp(min=0.1)
        weights[:, start:] = torch.where(ends.cpu(), -mean / scale, 0.0)
        for row, (text_rewards, bounds) in enumerate(zip(rewards, spans, strict=True)):
            for reward, (first, last) in zip(text_rewards, bounds, strict=True):
                weights[row, start + first : start + last] = (reward - mean) / scale
        weights[:, start:] *= written.cpu()
    mask = torch.cat((attention_mask, written.to(attention_mask.dtype)), dim=1)
    return SampledTexts(sequences, mask, weights.to(sequences.device), true / max(1.0, codes), codes / len(rewards))


def sentence_rewards(sentences: list[list[str]], poses: torch.Tensor) -> tuple[list[list[float]], float, float]:
    """The reward of each sentence: one for each true code that it adds, minus the share of other poses for which the
    code also holds, minus `FALSE_PENALTY` for each false code and each clause that cannot be read. A sentence that
    adds nothing costs as much as a false one.

    Args:
        sentences: the sentences of each text. They are read with their predecessors, since they may refer to "it" and
            "the other".
        poses: as for [`sample_texts`].

    Returns:
        the reward of each sentence of each text, the number of true codes, and the number of stated codes.
    """
    texts = [" ".join(parts[: count + 1]) for parts in sentences for count in range(len(parts))]
    rows = torch.tensor([row for row, parts in enumerate(sentences) for _ in parts], dtype=torch.long)
    if not texts:
        return [[] for _ in sentences], 0.0, 0.0
    tallies = []
    for shift in range(NUM_OTHER_POSES + 1):
        about = poses.roll(shift, dims=0)[rows].unbind(1)
        tallies.append(codes_true(texts, *about) if len(about) == 1 else paircodes_true(texts, *about))
    own, *others = tallies
    common = torch.stack([tally.true for tally in others]).mean(0)
    rewards = own.true - common - FALSE_PENALTY * (own.codes - own.true + own.clauses - own.read)
    first = torch.cat((torch.tensor([True]), rows[1:] != rows[:-1]))
    gained, added = (totals - torch.where(first, 0.0, totals.roll(1)) for totals in (rewards, own.codes))
    gained = torch.where(added > 0, gained, gained.clamp(max=-FALSE_PENALTY)).tolist()
    last = torch.cat((rows[1:] != rows[:-1], torch.tensor([True])))
    gained = iter(gained)
    rewards = [[next(gained) for _ in parts] for parts in sentences]
    return rewards, float(own.true[last].sum()), float(own.codes[last].sum())


def _cut(input_ids, answered, pad_token_id):
    """The prompts without answers, padded on the left, and their mask."""
    lengths = answered.long().argmax(1) + 1
    positions = torch.arange(int(lengths.max()), device=input_ids.device) - (lengths.max() - lengths)[:, None]
    cut = input_ids.gather(1, positions.clamp(min=0))
    return cut.masked_fill(positions < 0, pad_token_id), (positions >= 0).long()


def _sentences(processor, tokens, written):
    """The sentences in each row of tokens, and their token spans (start, end)."""
    sentences, spans = [], []
    for row, count in zip(tokens.tolist(), written.sum(1).tolist(), strict=True):
        pieces = processor.tokenizer.batch_decode([[token] for token in row[:count]])
        ends = [index + 1 for index, piece in enumerate(pieces) if piece.rstrip().endswith(".")]
        ends += [count] if count and count not in ends else []
        bounds = list(zip([0, *ends], ends, strict=False))
        sentences.append([processor.tokenizer.decode(row[a:b]).strip() for a, b in bounds])
        spans.append(bounds)
    return sentences, spans
