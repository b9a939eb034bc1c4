# SPDX-License-Identifier: Apache-2.0
"""Texts that the model in training writes itself, rewarded sentence by sentence for what is true of their poses.

Texts to be imitated are always true, and yet a model that imitates them says what is false: each begins with what is
rare, and a model that is not sure of it has to begin with something. What it writes can be read back and held against
the poses, so that it learns to say what it knows. The gradient is that of policy gradients (Williams, "Simple
statistical gradient-following algorithms for connectionist reinforcement learning", 1992) on samples of the model as
it is. This is ours, not the paper's.
"""

from typing import NamedTuple

import torch

from unipose_hf.captions import codes_true, paircodes_true

MAX_NEW_TOKENS = 160
OTHERS = 3  # poses of the batch that a sentence is held against, to see how little it says
FALSE = 1.25  # what a false statement costs, where a true one that holds for no other pose earns 1


class OwnTexts(NamedTuple):
    """
    input_ids, attention_mask: prompts and what the model has written behind them, `(samples, columns)`.
    weights: of the logarithm of each token's probability, at its own column, `(samples, columns)`; 0 for prompts.
    true: share of all stated codes that are true.
    codes: stated codes of a text.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    weights: torch.Tensor
    true: float
    codes: float


@torch.no_grad()
def own_texts(model, processor, prompts: dict, answered: torch.Tensor, poses: torch.Tensor) -> OwnTexts:
    """
    Args:
        model: as it is; its probabilities are sampled from.
        processor: of the model.
        prompts: a batch of the model, padded on the right, with answers; these are left out.
        answered: the columns that the logits of these answers are of, `(samples, columns)`; the first is its prompt's
            last.
        poses: that the texts are about, axis-angle `(samples, 1, 22, 3)` for captions and `(samples, 2, 22, 3)` for
            instructions.
    """
    input_ids, attention_mask = _cut(prompts["input_ids"], answered, model.config.text_config.pad_token_id)
    rest = {name: value for name, value in prompts.items() if name not in ("input_ids", "attention_mask")}
    was_training = model.training
    model.eval()
    sequences = model.generate(
        input_ids=input_ids,
        attention_mask=attention_mask,
        **rest,
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
    written = ends.cumsum(1) - ends.long() == 0  # up to the end token, with it
    sentences, places = _sentences(processor, sequences[:, start:], written & ~ends)
    values, true, codes = sentence_values(sentences, poses.cpu())
    weights = torch.zeros(sequences.shape)
    flat = torch.tensor([value for row in values for value in row])
    if len(flat) > 1:
        # Without the mean the gradient would be the same on average, and noisier. The end of a text is worth 0.
        mean, scale = flat.mean(), flat.std().clamp(min=0.1)
        weights[:, start:] = torch.where(ends.cpu(), -mean / scale, 0.0)
        for row, (worth, bounds) in enumerate(zip(values, places, strict=True)):
            for value, (first, last) in zip(worth, bounds, strict=True):
                weights[row, start + first : start + last] = (value - mean) / scale
        weights[:, start:] *= written.cpu()
    mask = torch.cat((attention_mask, written.to(attention_mask.dtype)), dim=1)
    return OwnTexts(sequences, mask, weights.to(sequences.device), true / max(1.0, codes), codes / len(values))


def sentence_values(sentences: list[list[str]], poses: torch.Tensor) -> tuple[list[list[float]], float, float]:
    """What each sentence is worth: one for each true code that it adds, less the share of other poses for which the
    code holds too, less `FALSE` for each false one and for each clause that cannot be read. A sentence that adds
    nothing costs as much as a false one.

    Args:
        sentences: of each text. They are read with those before them, since they may speak of "it" and "the other".
        poses: as for [`own_texts`].

    Returns:
        the worth of each sentence of each text, how many codes are true, and how many were stated.
    """
    texts = [" ".join(said[: count + 1]) for said in sentences for count in range(len(said))]
    rows = torch.tensor([row for row, said in enumerate(sentences) for _ in said], dtype=torch.long)
    if not texts:
        return [[] for _ in sentences], 0.0, 0.0
    tallies = []
    for shift in range(OTHERS + 1):
        about = poses.roll(shift, dims=0)[rows].unbind(1)
        tallies.append(codes_true(texts, *about) if len(about) == 1 else paircodes_true(texts, *about))
    own, *others = tallies
    common = torch.stack([tally.true for tally in others]).mean(0)
    worth = own.true - common - FALSE * (own.codes - own.true + own.clauses - own.read)
    first = torch.cat((torch.tensor([True]), rows[1:] != rows[:-1]))
    gained, added = (totals - torch.where(first, 0.0, totals.roll(1)) for totals in (worth, own.codes))
    gained = torch.where(added > 0, gained, gained.clamp(max=-FALSE)).tolist()
    last = torch.cat((rows[1:] != rows[:-1], torch.tensor([True])))
    gained = iter(gained)
    values = [[next(gained) for _ in said] for said in sentences]
    return values, float(own.true[last].sum()), float(own.codes[last].sum())


def _cut(input_ids, answered, pad_token_id):
    """The prompts alone, padded on the left, and their mask."""
    lengths = answered.long().argmax(1) + 1
    columns = torch.arange(int(lengths.max()), device=input_ids.device) - (lengths.max() - lengths)[:, None]
    cut = input_ids.gather(1, columns.clamp(min=0))
    return cut.masked_fill(columns < 0, pad_token_id), (columns >= 0).long()


def _sentences(processor, tokens, written):
    """The sentences of each row of tokens, and of each its first token and the one behind its last."""
    sentences, places = [], []
    for row, count in zip(tokens.tolist(), written.sum(1).tolist(), strict=True):
        pieces = processor.tokenizer.batch_decode([[token] for token in row[:count]])
        ends = [place + 1 for place, piece in enumerate(pieces) if piece.rstrip().endswith(".")]
        ends += [count] if count and count not in ends else []
        bounds = list(zip([0, *ends], ends, strict=False))
        sentences.append([processor.tokenizer.decode(row[a:b]).strip() for a, b in bounds])
        places.append(bounds)
    return sentences, places
