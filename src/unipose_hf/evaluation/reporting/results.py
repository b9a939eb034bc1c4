# SPDX-License-Identifier: Apache-2.0
"""The result of a protocol: figures with their variance over seeds, what could not be measured, and all answers."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from unipose_hf.body import load_body


class Figure(NamedTuple):
    """Mean and population variance over runs, one per seed."""

    mean: float
    variance: float
    runs: tuple[float, ...]

    @classmethod
    def of(cls, runs: Iterable[float]) -> "Figure":
        runs = tuple(float(run) for run in runs)
        return cls(statistics.fmean(runs), statistics.pvariance(runs), runs)


def over_seeds(run: Callable[[int], dict[str, float]], seeds: Iterable[int]) -> dict[str, Figure]:
    """Runs a measurement once per seed; every run must return figures with the same names."""
    runs = [run(seed) for seed in seeds]
    return {name: Figure.of(one[name] for one in runs) for name in runs[0]}


def fixed(figures: dict[str, float]) -> dict[str, Figure]:
    """Figures that do not depend on the seed."""
    return {name: Figure.of([value]) for name, value in figures.items()}


class Embedder(NamedTuple):
    """A text-pose retrieval model as two functions that return unit vectors `(n, d)`.

    `texts` takes a list of texts; `poses` takes axis-angle poses `(n, 22, 3)` facing the viewer, or two such tensors
    for a pair model.
    """

    texts: Callable[[list[str]], torch.Tensor]
    poses: Callable[..., torch.Tensor]


@dataclass
class Setting:
    """The models and options of an evaluation.

    Attributes:
        model, processor: a [`UniPoseForConditionalGeneration`] and its processor.
        data: name of the data set of the samples; for a name in `published.py`, published figures are shown too.
        body: a body model; the small bundled one by default.
        gendered: "female" and "male" -> bodies of the same kind, used for the true poses of women and men.
        retrieval, pair_retrieval: embedders of single poses and of pairs; without them, dependent metrics are skipped.
        batch_size: number of prompts per batch.
        seeds: random measurements are run once for each seed.
        samples_per_text: poses drawn per text, for the reconstruction errors.
        generation_seconds: time spent on the model's answers so far.
    """

    model: object
    processor: object
    data: str
    body: object = field(default_factory=lambda: load_body(size="small"))
    gendered: dict[str, object] = field(default_factory=dict)
    retrieval: Embedder | None = None
    pair_retrieval: Embedder | None = None
    batch_size: int = 32
    seeds: tuple[int, ...] = (0, 1, 2)
    samples_per_text: int = 30
    generation_seconds: float = field(default=0.0, init=False)

    @property
    def body_name(self) -> str:
        return {"smpl": "SMPL", "smplh": "SMPL-H", "smplx": "SMPL-X"}.get(
            getattr(self.body, "model_type", None), "bundled body"
        )


@dataclass
class Result:
    """Figures of one task on one data set and one body.

    Attributes:
        figures: by protocol and name; `_mm` and `_deg` give the unit, everything else except `fid` is in per cent.
        missing: what could not be measured -> one sentence on why and what to do.
        answers: the model's texts, or its poses `(n, 22, 3)` axis-angle; empty if there are none.
        errors: `(n,)`, the error of each answer; `error_name` describes it.
        seconds, generation_seconds: total time, and the time of the model's answers.
    """

    task: str
    data: str
    body: str
    samples: int
    figures: dict[str, dict[str, Figure]]
    missing: dict[str, str] = field(default_factory=dict)
    answers: list[str] | torch.Tensor = ()
    errors: torch.Tensor | None = None
    error_name: str = ""
    seconds: float = 0.0
    generation_seconds: float = 0.0

    def to_dict(self) -> dict:
        """Everything except the answers, as plain values for JSON."""
        figures = {
            protocol: {
                name: {"mean": figure.mean, "variance": figure.variance, "runs": list(figure.runs)}
                for name, figure in named.items()
            }
            for protocol, named in self.figures.items()
        }
        return {
            "task": self.task,
            "data": self.data,
            "body": self.body,
            "samples": self.samples,
            "figures": figures,
            "missing": self.missing,
            "seconds": round(self.seconds, 1),
            "generation_seconds": round(self.generation_seconds, 1),
        }
