# SPDX-License-Identifier: Apache-2.0
"""How much of what generated texts state is true of their poses, compared with shuffled texts.

Captions and instructions of `unipose_hf.captions` reach 1; a model is judged by how close it gets. Shuffled texts,
each compared with another text's pose, show what a text without knowledge of its pose reaches.
"""

import torch


def caption_truth(texts: list[str], poses: torch.Tensor, seed: int = 0) -> dict[str, float]:
    """Truth of captions about poses.

    Args:
        texts: n captions.
        poses: `(n, 22, 3)` axis-angle, y up; their yaw is ignored.
        seed: random seed of the shuffling.

    Returns:
        `codes_true`, the share of all stated codes that hold (0 if nothing could be read);
        `codes_true_of_shuffled_texts`, the same with the pose of another text; `clauses_read`, the share of clauses
        with a known statement, without which the first value says little; `codes_per_text`.

    Raises:
        ValueError: fewer than two texts, lengths that differ, or wrong shapes.
    """
    from unipose_hf.captions import codes_true

    return _figures(codes_true, texts, [poses], seed)


def instruction_truth(
    texts: list[str], poses_a: torch.Tensor, poses_b: torch.Tensor, seed: int = 0
) -> dict[str, float]:
    """Truth of instructions about how to get from poses A to poses B, as `caption_truth`.

    Args:
        texts: n instructions.
        poses_a, poses_b: `(n, 22, 3)` axis-angle, y up; their yaw is ignored, so sentences about turning are not
            counted.
        seed: random seed of the shuffling.
    """
    from unipose_hf.captions import paircodes_true

    return _figures(paircodes_true, texts, [poses_a, poses_b], seed)


def _figures(measure, texts, poses, seed):
    if len(texts) < 2:
        raise ValueError(f"There are {len(texts)} texts; expected at least two, so that they can be shuffled.")
    truth = measure(texts, *poses)
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(seed))
    others = torch.empty_like(order)
    others[order] = order.roll(1)  # no text keeps its pose
    shuffled = measure([texts[i] for i in others], *poses)
    return {
        "codes_true": _share(truth.true, truth.codes),
        "codes_true_of_shuffled_texts": _share(shuffled.true, shuffled.codes),
        "clauses_read": _share(truth.read, truth.clauses),
        "codes_per_text": _share(truth.codes, torch.ones(len(texts))),
    }


def _share(part, whole):
    return float(part.sum() / whole.sum().clamp_min(1))
