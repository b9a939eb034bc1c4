# SPDX-License-Identifier: Apache-2.0
"""Builds the bank's assets: merges rows of poses and parts, and solves reaching arms.

    python -m unipose_hf.data.language.pack [MORE.jsonl ...]

Rows of the given files are added to `named.jsonl`, `parts.jsonl` (rows with `part`), `edits.jsonl` (rows with `kind`)
and `scenes.jsonl` (rows with `base`); texts of an existing row are merged into it. Then `solved.safetensors` is
rebuilt.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save

from unipose_hf.modeling.pose_unipose import write_file

from .angles import angle_vector
from .bank import LOOSE, complete, read_rows
from .reach import solve_reach

FOLDER = Path(__file__).parent
MAX_DISTANCE = 0.10  # maximum distance of a hand from its target, in metres


def merge(files: list[str]) -> None:
    """Adds the rows of files to the bank, without duplicate texts."""
    bank = {
        "named.jsonl": (lambda row: row["name"], ("aliases", "texts")),
        "parts.jsonl": (lambda row: (row["part"], row["phrases"][0]), ("phrases", "commands")),
        "edits.jsonl": (lambda row: row["kind"], ("commands",)),
        "scenes.jsonl": (lambda row: (row["base"], *row["parts"]), ("texts", "commands")),
    }
    for file, (key, texts) in bank.items():
        rows = {}
        for row in [*read_rows(file), *(row for row in _rows(files) if _home(row) == file)]:
            known = rows.setdefault(key(row), row)
            if known is not row:
                _add_texts(known, row, texts)
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows.values())
        write_file(FOLDER / file, content.encode())


def _rows(files):
    lines = (line for file in files for line in Path(file).read_text(encoding="utf-8").splitlines())
    return [json.loads(line) for line in lines if line]


def _home(row):
    homes = {"kind": "edits.jsonl", "part": "parts.jsonl", "base": "scenes.jsonl"}
    return next((file for key, file in homes.items() if key in row), "named.jsonl")


def _add_texts(known, row, keys):
    for key in keys:
        taken = {text.lower().rstrip(".") for other in keys for text in known.get(other, [])}
        known[key] = known.get(key, []) + [text for text in row.get(key, []) if text.lower().rstrip(".") not in taken]


def solve() -> dict[str, torch.Tensor]:
    """Computes the arrays of [`LanguageBank`] from the bank's rows; prints hands that miss their target."""
    named, parts = read_rows("named.jsonl"), read_rows("parts.jsonl")
    named_angles = torch.stack([complete(_angles(row, 0)) for row in named])
    low, high = (torch.stack([_angles(row, end) for row in parts]) for end in (0, 1))
    middle = complete((low + high) / 2)
    rows = [row for row in [*named, *parts] if "reach" in row["pose"]]
    at = torch.tensor(["reach" in row["pose"] for row in [*named, *parts]])
    is_named = torch.tensor(["name" in row for row in rows])
    start = torch.cat([named_angles, middle])
    solved, distances = solve_reach(start[at], [row["pose"]["reach"] for row in rows], is_named)
    for row, away in zip(rows, distances.amax(1).tolist(), strict=True):
        if away > MAX_DISTANCE:
            print(
                f"{row.get('name') or row['phrases'][0]}: a hand is {100 * away:.0f} cm away from "
                f"{row['pose']['reach']}."
            )
    moved = torch.zeros_like(start).index_put((at.nonzero()[:, 0],), solved - start[at])
    named_angles = named_angles + moved[: len(named)]
    moved = moved[len(named) :]
    low, high = (torch.where(moved != 0, complete(end) + moved, end) for end in (low, high))
    loose = torch.stack([angle_vector(row.get("loose", {})) for row in named]).nan_to_num(LOOSE)
    return {
        "named_angles": named_angles,
        "named_loose": loose,
        "part_low": torch.minimum(low, high),
        "part_high": torch.maximum(low, high),
    }


def _angles(row: dict, end: int) -> torch.Tensor:
    """The angles of a row, NaN where not given; for a range, its lower (0) or upper (1) end."""
    pose = {name: value for name, value in row["pose"].items() if name != "reach"}
    return angle_vector({name: value[end] if isinstance(value, list) else value for name, value in pose.items()})


if __name__ == "__main__":
    merge(sys.argv[1:])
    write_file(FOLDER / "solved.safetensors", save(solve()))
