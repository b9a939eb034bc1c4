# SPDX-License-Identifier: Apache-2.0
"""Samples from built data sets, made on access.

An image stays encoded until the collator reads it: a pass over the texts decodes none, and the collator logs and skips
damaged ones.
"""

from collections.abc import Iterable

from datasets import Dataset, Image, load_dataset

from unipose_hf.data.samples import make_sample, teachable_tasks


def row_samples(
    sources: list[str],
    tasks: Iterable[str],
    *,
    split: str = "train",
    reasoning: bool = False,
    pretraining: bool = False,
    seed: int = 0,
) -> Dataset:
    """
    Args:
        sources: folders or Hub names of data sets in the format of ImageScript, ImageDiff or the multi-person set;
            `NAME:CONFIGURATION` selects a configuration, such as `A` and `R` of ImageScript.
        tasks: the tasks to train; each row is used for those that its columns support.
        split: the split of the data sets.
        reasoning: use multi-person sets, and only these.
        pretraining: use the single pretraining wording of prompts instead of 200.
        seed: together with the row index, determines the text and the wording.

    Returns:
        a `datasets.Dataset` of samples, one for each row and task, plus any columns added to it by `map`.

    Raises:
        ValueError: no source supports any of the tasks.
    """
    tasks, index = tuple(tasks), {"source": [], "row": [], "task": []}
    tables = []
    for source in sources:
        name, _, configuration = source.partition(":")
        table = load_dataset(name, configuration or None, split=split)
        for column, feature in table.features.items():
            if isinstance(feature, Image):
                table = table.cast_column(column, Image(decode=False))
        tables.append(table)
    for number, table in enumerate(tables):
        for task in tasks:
            if task in teachable_tasks(table.column_names, reasoning=reasoning):
                index["source"] += [number] * len(table)
                index["row"] += range(len(table))
                index["task"] += [task] * len(table)
    if not index["row"]:
        raise ValueError(f"{', '.join(sources)} support none of the tasks {', '.join(tasks)}; give data sets that do.")

    def make(chosen):
        samples = []
        for source, row, task in zip(chosen["source"], chosen["row"], chosen["task"], strict=True):
            name = f"{sources[source]} {row}"
            columns = {key: _file(value) for key, value in tables[source][row].items()}
            sample = make_sample(task, columns, name, seed=seed, pretraining=pretraining)
            samples.append({"id": f"{name} {task}", **sample})
        added_columns = {key: values for key, values in chosen.items() if key not in index}
        return added_columns | {key: [sample[key] for sample in samples] for key in samples[0]}

    return Dataset.from_dict(index).with_transform(make)


def _file(value):
    """The bytes or path of an image, as the processor takes it; other values unchanged."""
    return (value["bytes"] or value["path"]) if isinstance(value, dict) else value
