# SPDX-License-Identifier: Apache-2.0
"""The card of a built data set: a template of `cards/`, filled with the statistics of its shards."""

import json
from collections import Counter
from importlib.resources import files
from pathlib import Path

from unipose_hf.modeling.pose_unipose import write_file

from .shards import count_rows


def write_card(folder: str | Path, template: str) -> None:
    """Write `README.md` next to the shards; its header assigns the shards to configurations for `datasets`.

    Args:
        folder: contains `plan.json` and, for each configuration, a sub-folder of shards.
        template: name of a file in `cards/`, without `.md`. It has the placeholders `{{configs}}`, `{{figures}}`,
            `{{licences}}` and `{{plan}}`.
    """
    folder = Path(folder)
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    text = (files(__package__) / "cards" / f"{template}.md").read_text(encoding="utf-8")
    for placeholder, value in {
        "configs": _configs(folder),
        "figures": _figures(folder),
        "licences": _licences(folder),
        "plan": ", ".join(f"{key} {value}" for key, value in plan.items() if not isinstance(value, list)),
    }.items():
        text = text.replace("{{" + placeholder + "}}", value)
    write_file(folder / "README.md", text.encode())


def terms_of_rows(folder: Path) -> Counter:
    """The number of rows of each (set, licence), over all configurations."""
    found = Counter()
    for path in sorted(folder.glob("*/*.parquet")):
        found.update(zip(*_columns(path, "set", "licence"), strict=True))
    return found


def _configs(folder):
    lines = ["configs:"]
    for config in sorted({path.parent for path in folder.glob("*/*.parquet")}):
        lines += [f"- config_name: {config.name}", "  data_files:"]
        for split in sorted({path.name.split("-")[0] for path in config.glob("*.parquet")}, reverse=True):
            lines += [f"  - split: {split}", f"    path: {config.name}/{split}-*.parquet"]
    return "\n".join(lines)


def _figures(folder):
    lines = ["| configuration, split | rows | size | texts | words of a text |", "| --- | --- | --- | --- | --- |"]
    for name, rows in count_rows(folder).items():
        shards = sorted(folder.glob(f"{name}-*.parquet"))
        texts = [text for path in shards for column in _columns(path, "texts") for row in column for text in row]
        words = sum(len(text.split()) for text in texts) / max(1, len(texts))
        size = sum(path.stat().st_size for path in shards) / 1e6
        summary = f"{len(texts):,}, {len(set(texts)):,} of them distinct | {words:.1f}" if texts else "none |"
        lines.append(f"| {name} | {rows:,} | {size:.1f} MB | {summary} |")
    return "\n".join(lines)


def _licences(folder):
    return "\n".join(
        f"* {name}, {rows:,} rows: {terms}" for (name, terms), rows in sorted(terms_of_rows(folder).items())
    )


def _columns(path, *names):
    """The named columns that a shard has, as lists."""
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    names = [name for name in names if name in file.schema_arrow.names]
    return [column.to_pylist() for column in file.read(columns=names).columns]
