# SPDX-License-Identifier: Apache-2.0
"""PA-MPJPE for the package `evaluate`: `evaluate.load("path/to/modules/pa_mpjpe")`."""

import datasets
import evaluate

from unipose_hf.evaluation.metrics.pose_errors import pa_mpjpe

CITATION = "Umeyama, Least-squares estimation of transformation parameters between two point patterns, PAMI 1991"


class PaMpjpe(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="Mean distance of joints in metres after the best rotation, scale and translation.",
            inputs_description="predictions, references: joints (n, joints, 3) in metres.",
            citation=CITATION,
            features=datasets.Features(
                {name: [[datasets.Value("float32")]] for name in ("predictions", "references")}
            ),
        )

    def _compute(self, predictions, references):
        return {"pa_mpjpe": float(pa_mpjpe(predictions, references).mean())}
