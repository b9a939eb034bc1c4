# SPDX-License-Identifier: Apache-2.0
"""Trainers with a custom loss refuse the options of `transformers.Trainer` that would replace it."""


class CustomLoss:
    """
    Mixin; put it first in the bases of a trainer that computes its own loss.

    These options shift `labels` by one position. The code of a pose is at the same position as its query, so each
    query would be trained on its neighbour's code; and a trainer without `labels` would silently ignore the options.

    Raises:
        ValueError: `label_smoothing_factor` or `compute_loss_func` is given.
    """

    def __init__(self, model=None, args=None, *rest, compute_loss_func=None, **kwargs):
        if args is not None and args.label_smoothing_factor:
            raise ValueError(
                f"label_smoothing_factor is {args.label_smoothing_factor}, but {type(self).__name__} has its own "
                "loss and does not support it; leave it at 0."
            )
        if compute_loss_func is not None:
            raise ValueError(
                f"compute_loss_func was given, but {type(self).__name__} has its own loss; leave it out, or override "
                "compute_loss in a subclass."
            )
        super().__init__(model, args, *rest, **kwargs)
