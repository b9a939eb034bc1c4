# SPDX-License-Identifier: Apache-2.0
"""Trainers whose loss is their own refuse the options of `transformers.Trainer` that would make another."""


class OwnLoss:
    """
    To be put first in the bases of a trainer that computes its loss itself.

    Those options shift `labels` by one column. The code of a pose stands in the very column of its query, so that each
    query would be trained on its neighbour's code; and a trainer that has no `labels` would take no notice of them.

    Raises:
        ValueError: `label_smoothing_factor` or `compute_loss_func` is given.
    """

    def __init__(self, model=None, args=None, *rest, compute_loss_func=None, **kwargs):
        if args is not None and args.label_smoothing_factor:
            raise ValueError(
                f"label_smoothing_factor is {args.label_smoothing_factor}, which {type(self).__name__} does not know, "
                "since its loss is its own; leave it at 0."
            )
        if compute_loss_func is not None:
            raise ValueError(
                f"compute_loss_func was given to {type(self).__name__}, whose loss is its own; leave it out, or "
                "override compute_loss in a class of yours."
            )
        super().__init__(model, args, *rest, **kwargs)
