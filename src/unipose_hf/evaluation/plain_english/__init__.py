# SPDX-License-Identifier: Apache-2.0
"""The plain-English benchmark: prompts as people type them, and answers judged by measuring them."""

from .facts import measure_pose
from .judging import Judgement, judge_pose, mirror_prompt
from .prompts import export_prompts, load_prompts
from .running import evaluate_prompts, prompts_table

__all__ = [
    "Judgement",
    "evaluate_prompts",
    "export_prompts",
    "judge_pose",
    "load_prompts",
    "measure_pose",
    "mirror_prompt",
    "prompts_table",
]
