# SPDX-License-Identifier: Apache-2.0
"""Posecode truth for the package `evaluate`: `evaluate.load("path/to/modules/posecode_truth")`."""

import datasets
import evaluate

from unipose_hf.evaluation.metrics.text_metrics import posecode_truth

CITATION = "Delmas et al., PoseScript, ECCV 2022"


class PosecodeTruth(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="Percentage of the codes that a text states that are true of the pose.",
            inputs_description="predictions: poses (n, 22, 3), axis-angle; references: n lists of (code, category).",
            citation=CITATION,
            features=datasets.Features(
                {"predictions": [[datasets.Value("float32")]], "references": [[datasets.Value("string")]]}
            ),
        )

    def _compute(self, predictions, references):
        return {"posecode_truth": posecode_truth(references, predictions)}
