# SPDX-License-Identifier: Apache-2.0
"""Samples from built data sets, made when they are asked for.

A picture stays in its file's bytes until the collator reads it: a pass over the texts decodes none, and a broken one
is the collator's to name and leave out.
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
        sources: folders or Hub names of data sets whose rows are those of ImageScript, ImageDiff or of several people;
            `NAME:CONFIGURATION` where one has several, as ImageScript's `A` and `R`.
        tasks: to be taught; each row teaches those of them that its columns allow.
        split: of the data sets.
        reasoning: take sets of several people, and only these.
        pretraining: ask in the one wording of pretraining instead of 200.
        seed: with the number of the row it decides the text and the wording.

    Returns:
        a `datasets.Dataset` of samples, one for each row and task; columns that are mapped on to it join them.

    Raises:
        ValueError: no row of the sources teaches any of the tasks.
    """
    tasks, places = tuple(tasks), {"source": [], "row": [], "task": []}
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
                places["source"] += [number] * len(table)
                places["row"] += range(len(table))
                places["task"] += [task] * len(table)
    if not places["row"]:
        raise ValueError(f"{', '.join(sources)} teach none of {', '.join(tasks)}; give data sets whose rows do.")

    def make(chosen):
        samples = []
        for source, row, task in zip(chosen["source"], chosen["row"], chosen["task"], strict=True):
            name = f"{sources[source]} {row}"
            columns = {key: _file(value) for key, value in tables[source][row].items()}
            sample = make_sample(task, columns, name, seed=seed, pretraining=pretraining)
            samples.append({"id": f"{name} {task}", **sample})
        joined = {key: values for key, values in chosen.items() if key not in places}
        return joined | {key: [sample[key] for sample in samples] for key in samples[0]}

    return Dataset.from_dict(places).with_transform(make)


def _file(value):
    """A picture as the processor takes it, its bytes or its path; anything else as it is."""
    return (value["bytes"] or value["path"]) if isinstance(value, dict) else value
