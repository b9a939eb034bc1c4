# SPDX-License-Identifier: Apache-2.0
"""R-precision for the package `evaluate`: `evaluate.load("path/to/modules/r_precision")`."""

import datasets
import evaluate

from unipose_hf.evaluation.metrics.retrieval_metrics import r_precision

CITATION = "Delmas et al., PoseFix, ICCV 2023"


class RPrecision(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="How often, in per cent, a text finds its pose among random others.",
            inputs_description="predictions: embedded texts (n, d); references: embedded poses (n, d).",
            citation=CITATION,
            features=datasets.Features({name: [datasets.Value("float32")] for name in ("predictions", "references")}),
        )

    def _compute(self, predictions, references, pool=32, repetitions=10, seed=0):
        return r_precision(predictions, references, pool=pool, repetitions=repetitions, seed=seed)
