# SPDX-License-Identifier: Apache-2.0
"""MPJPE for the package `evaluate`: `evaluate.load("path/to/modules/mpjpe")`."""

import datasets
import evaluate

from unipose_hf.evaluation.metrics.pose_errors import mpjpe

CITATION = "Ionescu et al., Human3.6M, PAMI 2014"


class Mpjpe(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="Mean distance of joints in metres, with the first joint of both, the pelvis, at the origin.",
            inputs_description="predictions, references: joints (n, joints, 3) in metres.",
            citation=CITATION,
            features=datasets.Features(
                {name: [[datasets.Value("float32")]] for name in ("predictions", "references")}
            ),
        )

    def _compute(self, predictions, references):
        return {"mpjpe": float(mpjpe(predictions, references).mean())}
