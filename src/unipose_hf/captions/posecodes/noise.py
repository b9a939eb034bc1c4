# SPDX-License-Identifier: Apache-2.0
"""The method's tolerance noise, drawn pose by pose, so that no caption depends on the batch around its pose."""

import dataclasses

import torch

from .measure import Posecodes, _super_codes, sort_into_categories
from .operators import POSE_OPERATORS


def blur_posecodes(codes: Posecodes, randoms) -> Posecodes:
    """Sort the values into categories anew, each moved by up to its operator's tolerance.

    Args:
        codes: of N poses, measured without noise; ``values`` stay what they are.
        randoms: N functions without arguments that give floats in [0, 1), one for each pose.
    """
    operators = [POSE_OPERATORS[name.split("/")[0]] for name in codes.names]
    draws = torch.tensor([[random() for _ in operators] for random in randoms]).reshape(codes.values.shape)
    tolerance = torch.tensor([operator.tolerance for operator in operators])
    categories = sort_into_categories(codes.values + (2 * draws - 1) * tolerance, operators)
    return dataclasses.replace(codes, categories=categories, supers=_super_codes(categories))
