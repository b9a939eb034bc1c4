# SPDX-License-Identifier: Apache-2.0
"""The method's tolerance noise, drawn per pose, so that captions do not depend on the batch."""

import dataclasses

import torch

from .measure import Posecodes, _super_codes, sort_into_categories
from .operators import POSE_OPERATORS


def blur_posecodes(codes: Posecodes, randoms) -> Posecodes:
    """Bin the values again, each shifted by up to its operator's tolerance.

    Args:
        codes: posecodes of N poses, measured without noise; ``values`` do not change.
        randoms: N functions without arguments that return floats in [0, 1), one for each pose.
    """
    operators = [POSE_OPERATORS[name.split("/")[0]] for name in codes.names]
    draws = torch.tensor([[random() for _ in operators] for random in randoms]).reshape(codes.values.shape)
    tolerance = torch.tensor([operator.tolerance for operator in operators])
    categories = sort_into_categories(codes.values + (2 * draws - 1) * tolerance, operators)
    return dataclasses.replace(codes, categories=categories, supers=_super_codes(categories))
