# SPDX-License-Identifier: Apache-2.0
"""Groups samples of similar length, so that batches contain little padding.

The sampler of transformers draws from the global generator, so a resumed run would see another order.
"""

from collections.abc import Iterable, Iterator

import torch
from datasets import Dataset
from torch.utils.data import Sampler

from unipose_hf.modeling.processing_unipose import UniPoseProcessor

BATCHES_PER_SORT = 50  # batches sorted together: more reduce padding, fewer shuffle better


class LengthGroupedSampler(Sampler[int]):
    """
    Shuffles all samples, sorts runs of 50 batches by length, and shuffles the batches, differently in each epoch.

    Args:
        lengths: lengths of the samples in tokens.
        batch_size: samples per optimiser step over all processes; they have similar lengths.
        seed: together with the epoch, determines the order.
    """

    def __init__(self, lengths: Iterable[int], batch_size: int, seed: int = 0) -> None:
        self.lengths = torch.as_tensor(list(lengths))
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        shuffled = torch.randperm(len(self.lengths), generator=generator)
        runs = shuffled.split(BATCHES_PER_SORT * self.batch_size)
        batches = [batch for run in runs for batch in run[self.lengths[run].argsort()].split(self.batch_size)]
        whole = [batch for batch in batches if len(batch) == self.batch_size]
        rest = [batch for batch in batches if len(batch) < self.batch_size]  # the incomplete last batch
        for index in torch.randperm(len(whole), generator=generator).tolist():
            yield from whole[index].tolist()
        for batch in rest:
            yield from batch.tolist()


def add_lengths(dataset: Dataset, processor: UniPoseProcessor, column: str = "length") -> Dataset:
    """Adds to a `datasets.Dataset` of samples the approximate number of tokens of each, within a token or two."""

    def count(samples):
        texts = [" ".join(_texts(messages)) for messages in samples["messages"]]
        words = processor.tokenizer(texts, add_special_tokens=False)["input_ids"]
        images = [_count_parts(messages, "image") * processor.num_image_tokens for messages in samples["messages"]]
        poses = [_count_parts(messages, "pose") * (processor.num_codes + 2) for messages in samples["messages"]]
        return {column: [len(row) + a + b for row, a, b in zip(words, images, poses, strict=True)]}

    return dataset.map(count, batched=True, desc="counting tokens")


def _texts(messages):
    return (part["text"] for turn in messages for part in turn["content"] if part["type"] == "text")


def _count_parts(messages, kind):
    return sum(part["type"] == kind for turn in messages for part in turn["content"])
