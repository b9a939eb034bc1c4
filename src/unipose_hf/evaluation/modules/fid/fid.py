# SPDX-License-Identifier: Apache-2.0
"""Frechet distance of features for the package `evaluate`: `evaluate.load("path/to/modules/fid")`."""

import datasets
import evaluate

from unipose_hf.evaluation.metrics.fid import fid

CITATION = "Heusel et al., GANs trained by a two time-scale update rule, NeurIPS 2017"


class Fid(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="Frechet distance between the Gaussians fitted to two sets of features.",
            inputs_description="predictions, references: features (n, d) of generated and of real poses.",
            citation=CITATION,
            features=datasets.Features({name: [datasets.Value("float32")] for name in ("predictions", "references")}),
        )

    def _compute(self, predictions, references):
        return {"fid": fid(predictions, references)}
