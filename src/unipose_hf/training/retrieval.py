# SPDX-License-Identifier: Apache-2.0
"""Training of the retrieval models on texts and poses (UniPose, supplement B.2).

As published there are two phases, each a call of [`train_retrieval`] with texts of its own: automatic ones without
end, from `draw_captions`, `draw_siblings` or `draw_instructions`, then others, which people wrote, from `draw_given`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from unipose_hf.body import mirror_pose, remove_yaw
from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.captions.flip import flip_text
from unipose_hf.modeling.modeling_pose_retrieval import PoseTextRetrievalModel
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix
from unipose_hf.training.loop import LoopArguments, train_loop
from unipose_hf.training.open_samples import PROMPT_CLAUSES, related_pairs, share_limbs

# What a batch is drawn by: its size and a generator -> poses `(rows, 22, 3)` or pairs `(rows, 2, 22, 3)`, and texts.
Draw = Callable[[int, torch.Generator], tuple[torch.Tensor, list[str]]]

SIBLINGS, SHARED_SIBLING_LIMB = 4, 0.75  # poses of a batch that resemble one another, and how often they share a limb


def draw_captions(pool: torch.Tensor, rows: int, generator: torch.Generator) -> tuple[torch.Tensor, list[str]]:
    """Poses of the pool `(n, 22, 3)` and their automatic captions, whole ones and short ones."""
    poses = pool[torch.randint(len(pool), (rows,), generator=generator)]
    return poses, caption_poses(poses, **_wording(generator))


def draw_instructions(pool: torch.Tensor, rows: int, generator: torch.Generator) -> tuple[torch.Tensor, list[str]]:
    """Pairs `(rows, 2, 22, 3)` of poses of the pool and the automatic instructions from the first to the second.

    Half of the pairs are unrelated, half share some of the limbs, as neighbours in a movement do.
    """
    pairs = related_pairs(pool, rows, generator)
    return pairs, instruct_pairs(pairs[:, 0], pairs[:, 1], **_wording(generator))


def draw_siblings(pool: torch.Tensor, rows: int, generator: torch.Generator) -> tuple[torch.Tensor, list[str]]:
    """Poses of which every `SIBLINGS` have most limbs of one other pose, and their whole captions: hard to tell apart.

    Recall among the poses of one movement needs them: poses drawn independently are soon told apart. The other pose
    is not one of its siblings, since with it among them the model learnt less.
    """
    poses = pool[torch.randint(len(pool), (rows,), generator=generator)]
    shared = poses[: -(-rows // SIBLINGS)].repeat_interleave(SIBLINGS, 0)[:rows]
    poses = share_limbs(shared, poses, torch.ones(rows, dtype=torch.bool), SHARED_SIBLING_LIMB, generator)
    return poses, caption_poses(poses, seed=int(torch.randint(2**31, (1,), generator=generator)))


def _wording(generator):
    """Seed and length of the texts of a batch: half of the batches say everything, half as little as users do."""
    seed, everything = torch.randint(2**31, (2,), generator=generator).tolist()
    fewest, most = PROMPT_CLAUSES
    clauses = int(torch.randint(fewest, most + 1, (1,), generator=generator))
    return {"seed": seed, "max_clauses": None if everything % 2 else clauses}


def draw_given(
    poses: torch.Tensor, texts: Sequence[str | Sequence[str]], rows: int, generator: torch.Generator
) -> tuple[torch.Tensor, list[str]]:
    """Rows of data at hand: poses `(n, 22, 3)` or pairs `(n, 2, 22, 3)`, each with a text or several to choose from.

    Raises:
        ValueError: there are not as many texts as poses, or none.
    """
    if not len(poses) or len(poses) != len(texts):
        raise ValueError(f"There are {len(texts)} texts for {len(poses)} poses; give one, or a list, for each.")
    chosen = torch.randint(len(poses), (rows,), generator=generator)
    which = torch.rand(rows, generator=generator).tolist()
    choices = [[texts[i]] if isinstance(texts[i], str) else texts[i] for i in chosen.tolist()]
    return poses[chosen], [str(c[int(w * len(c))]) for c, w in zip(choices, which, strict=True)]


def flip_some(poses: torch.Tensor, texts: list[str], generator: torch.Generator) -> tuple[torch.Tensor, list[str]]:
    """Exchange left and right in about half of the rows, text and poses together, where the text can be flipped."""
    poses, texts = poses.clone(), list(texts)
    for i in (torch.rand(len(texts), generator=generator) < 0.5).nonzero()[:, 0].tolist():
        flipped = flip_text(texts[i])
        if flipped is not None:
            poses[i], texts[i] = mirror_pose(poses[i]), flipped
    return poses, texts


def train_retrieval(
    name: str,
    model: PoseTextRetrievalModel,
    tokenizer: PreTrainedTokenizerBase,
    draw: Draw,
    arguments: LoopArguments,
    folder: str | Path,
    rows: int = 256,
    flip: bool = True,
    stop_at: int | None = None,
) -> None:
    """Trains a retrieval model on what `draw` gives, resuming from `folder/{name}.pt`.

    The log holds the loss, how many texts of a batch find their pose first (`recall@1`, per cent of `rows`), and the
    temperature. `flip` exchanges left and right in half of the rows (published for texts that people wrote).
    """
    model.train()

    def step_losses(step, generator):
        poses, texts = draw(rows, generator)
        told = [i for i, text in enumerate(texts) if text]  # nothing can be said of some poses
        poses, texts = remove_yaw(poses[told]), [texts[i] for i in told]
        if flip:
            poses, texts = flip_some(poses, texts, generator)
        words = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = model(axis_angle_to_matrix(poses), words["input_ids"], words["attention_mask"])
        found = output.logits.argmax(1) == torch.arange(len(texts))
        return {"loss": output.loss, "recall@1": 100 * found.float().mean(), "temperature": model.temperature}

    train_loop(name, model, step_losses, arguments, folder, stop_at=stop_at)
    model.eval()
