# SPDX-License-Identifier: Apache-2.0
"""Endless samples from the open poses: poses from the sampler, texts from the caption engine, rendered images.

They come in blocks of one task; a block is made when its first sample is requested. A sample depends only on the seed
and its index, so resumed and distributed runs see the same ones; a trainer must take them in order
(`train_sampling_strategy="sequential"`).
"""

import functools

import roma
import torch
from datasets import Dataset

from unipose_hf.body import LIMBS, TRUNK, mirror_pose, remove_yaw
from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.data.instructions import choose_template, fill_template, pretraining_template
from unipose_hf.data.language.composer import Composer
from unipose_hf.data.samples import separate_media
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.modeling.processing_unipose import TASKS, style_suffix
from unipose_hf.training.collator import pose_codes
from unipose_hf.training.pose_tokenizer import pose_pool

# How often each task is drawn in each stage.
TASK_SHARES = {
    "alignment": {"text-to-pose": 3, "pose-editing": 2, "pose-to-text": 3, "pose-diff": 2},
    "projector": {"image-to-pose": 3, "image-to-pose-text": 1, "image-diff": 1},
    "instruction": {
        "text-to-pose": 2,
        "pose-editing": 2,
        "pose-to-text": 2,
        "pose-diff": 3,
        "image-to-pose": 4,
        "image-to-pose-text": 3,
        "image-diff": 3,
    },
}
# The same for samples in plain English.
PLAIN_SHARES = {"text-to-pose": 6, "pose-editing": 7, "pose-to-text": 2.2, "pose-diff": 1.8}
BAND = 4  # blocks of prompts hold texts of similar length, cut from this many times the rows, sorted by length
ANSWER_CLAUSES = 9  # maximum number of statements in an answer, as in the evaluation
# Answers only state what would still hold if joints were rotated by STEADY radians, and prefer poses with at least
# MIN_STATEMENTS statements; prompts may state anything.
STEADY, MIN_STATEMENTS = 0.1, 5
PROMPT_CLAUSES = 4, 12  # number of statements in a prompt: users write short ones too
# The trunk with the head, each arm and each leg: parts that two frames of one movement may share.
SHARED_PARTS = ([*TRUNK, *LIMBS["head"]], *(list(limb) for name, limb in LIMBS.items() if name != "head"))
SHARED_LIMB = 0.6  # how often the two poses of a related pair share a limb


def open_samples(
    count: int,
    shares: dict[str, float],
    pose_tokenizer: PoseTokenizerModel,
    *,
    images: dict[str, torch.Tensor] | None = None,
    block: int = 48,
    seed: int = 0,
    templates: float = 0.0,
    poses: int = 131_072,
    composer: Composer | None = None,
    plain: float = 0.0,
    captured: torch.Tensor | None = None,
) -> Dataset:
    """
    Args:
        count: number of samples; all differ.
        shares: how often each task is drawn, as in `TASK_SHARES`.
        pose_tokenizer: the pose tokenizer of the model in training.
        images: `features` `(n, channels)`, or `(n, cells, channels)`, and `poses` `(n, 22, 3)` of rendered people
            (`image_bank`), for tasks with images.
        block: consecutive samples of one task; use the batch size, so that a step has one task: many small steps
            taught more here than few large ones.
        seed: random seed.
        templates: share of the samples whose prompt uses one of 200 wordings instead of the pipelines' wording.
        poses: number of different poses to draw from.
        composer: composer of plain-English texts (`unipose_hf.data.language`).
        plain: share of the blocks made by the composer, with the tasks that are both in `shares` and in
            `PLAIN_SHARES`.
        captured: additional poses `(n, 22, 3)` to draw from.

    Returns:
        a `datasets.Dataset` that makes its samples on access: the four keys of every sample, `pose_codes`,
        `vision_features`, `pictured`, `stated` and `id`, as [`UniPoseCollator`] reads them.

    Raises:
        ValueError: a task needs images and there are none.
    """
    if images is None and any(TASKS[task].images for task in shares):
        raise ValueError("Some tasks need images, but there are none; build them with build_image_bank.")
    blocks = _Blocks(shares, pose_tokenizer, images, block, seed, templates, poses, composer, plain, captured)

    def make(numbers):
        samples = [blocks[number // block][number % block] for number in numbers["number"]]
        return {key: [sample[key] for sample in samples] for key in samples[0]}

    return Dataset.from_dict({"number": range(count)}).with_transform(make)


class _Blocks:
    def __init__(self, shares, pose_tokenizer, images, rows, seed, templates, poses, composer, plain, captured):
        self.shares, self.composer, self.plain = shares, composer, plain
        self.pool = remove_yaw(pose_pool(seed, poses))
        if captured is not None:
            self.pool = torch.cat([self.pool, captured, mirror_pose(captured)])
        self.pose_tokenizer, self.images = pose_tokenizer, images
        self.rows, self.seed, self.templates = rows, seed, templates
        self.block = functools.lru_cache(maxsize=4)(self._make)

    def __getitem__(self, number):
        return self.block(number)

    def _make(self, number):
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        if self.composer is not None and float(torch.rand(1, generator=generator)) < self.plain:
            return self._plain(number, generator)
        task = _random_task(self.shares, generator)
        rule, rows = TASKS[task], self.rows
        count = max(1, rule.images + rule.poses, 2 if task == "pose-editing" else 1)  # poses per sample
        features, num_candidates = None, 2 * rows if rule.answer == "text" else rows
        if rule.images:
            chosen = torch.randint(len(self.images["poses"]), (num_candidates * count,), generator=generator)
            features = self.images["features"][chosen].float()
            # (candidates, images, cells, channels)
            features = features.reshape(num_candidates, count, -1, features.shape[-1])
            poses = self.images["poses"][chosen].unflatten(0, (num_candidates, count))
        elif count == 1:
            poses = self.pool[torch.randint(len(self.pool), (num_candidates,), generator=generator)][:, None]
        else:
            poses = related_pairs(self.pool, num_candidates, generator)
        texts, stated = self._texts(task, poses, generator)
        if num_candidates > rows:  # from texts with few statements a model learns to say nothing
            best = sorted(range(num_candidates), key=lambda row: -min(len(stated[row]), MIN_STATEMENTS))[:rows]
            texts, stated, poses = [texts[row] for row in best], [[]] * rows, poses[best]
            features = None if features is None else features[best]
        in_chat = [*range(rule.poses), *([count - 1] if rule.answer == "pose" else [])]
        chat_poses = poses[:, in_chat]  # (rows, poses, 22, 3)
        extra_columns = {
            "stated": stated,
            "vision_features": [None] * rows,
            "pictured": [[]] * rows,
            "weights": [None] * rows,
        }
        if features is not None:
            extra_columns |= {
                "vision_features": [list(row) for row in features],
                "pictured": [list(row) for row in poses],
            }
        return self._chats(task, number, chat_poses, texts, extra_columns, generator)

    def _plain(self, number, generator):
        """A block in plain English."""
        shares = {task: share for task, share in PLAIN_SHARES.items() if task in self.shares}
        task, rows = _random_task(shares, generator), self.rows
        make = {
            "text-to-pose": self.composer.prompts,
            "pose-editing": self.composer.instructions,
            "pose-to-text": self.composer.descriptions,
            "pose-diff": self.composer.differences,
        }[task]
        band = 1 if TASKS[task].answer == "text" else BAND
        composed = make(band * rows, int(torch.randint(2**31, (1,), generator=generator)))
        by_length = sorted(range(band * rows), key=lambda row: len(composed.texts[row]))
        first = int(torch.randint((band - 1) * rows + 1, (1,), generator=generator))
        chosen = by_length[first : first + rows]
        texts, styles = ([column[row] for row in chosen] for column in (composed.texts, composed.styles))
        poses = composed.poses[chosen]
        if task == "pose-editing":
            poses = face_viewer_together(poses)
        elif task != "text-to-pose":
            poses = remove_yaw(poses)
        extra_columns = {"stated": [[]] * rows, "vision_features": [None] * rows, "pictured": [[]] * rows}
        extra_columns["weights"] = composed.weights[chosen].tolist()
        return self._chats(task, number, poses, texts, extra_columns, generator, styles)

    def _chats(self, task, number, poses, texts, extra_columns, generator, styles=None):
        """The samples of a block, from its poses `(rows, poses, 22, 3)` in chat order, its texts and other columns."""
        rule, rows = TASKS[task], self.rows
        codes = iter(pose_codes(self.pose_tokenizer, list(poses.flatten(0, 1))))
        wordings = torch.rand(rows, generator=generator).tolist()
        samples = []
        for row in range(rows):
            name = f"{task} {self.seed}-{number}-{row}"
            template = choose_template(task, name) if wordings[row] < self.templates else pretraining_template(task)
            if styles and rule.answer == "text":
                template += style_suffix(task, styles[row])
            text = texts[row] if rule.text else None
            images = [{"image": None}] * rule.images
            question = fill_template(template, images=images, poses=poses[row, : rule.poses], text=text)
            answer = {"type": "pose", "pose": poses[row, -1]} if rule.answer == "pose" else _text(texts[row])
            messages = [{"role": "user", "content": question}, {"role": "assistant", "content": [answer]}]
            sample = {
                "id": name,
                "task": task,
                **separate_media(messages),
                "pose_codes": [next(codes) for _ in poses[row]],
            }
            samples.append(sample | {key: column[row] for key, column in extra_columns.items()})
        return samples

    def _texts(self, task, poses, generator):
        rule, seed = TASKS[task], int(torch.randint(2**31, (1,), generator=generator))
        clauses, nothing = ANSWER_CLAUSES, [[]] * len(poses)
        if rule.text:
            low, high = PROMPT_CLAUSES
            clauses = int(torch.randint(low, high + 1, (1,), generator=generator))
        if task == "image-to-pose":
            return [""] * len(poses), nothing
        options = {"seed": seed, "max_clauses": clauses, "steady": 0.0 if rule.text else STEADY, "return_codes": True}
        if task in ("pose-editing", "pose-diff", "image-diff"):
            texts, stated = instruct_pairs(poses[:, 0], poses[:, 1], **options)
            return texts, nothing if rule.text else stated
        return caption_poses(poses[:, 0], **options)


def face_viewer_together(pairs: torch.Tensor) -> torch.Tensor:
    """Rotates both poses of each pair `(rows, 2, 22, 3)` about the vertical so that the first faces the viewer."""
    before, after = roma.rotvec_to_rotmat(pairs[:, :, 0]).unbind(1)  # (rows, 3, 3)
    first = remove_yaw(pairs[:, 0])
    turn = roma.rotvec_to_rotmat(first[:, 0]) @ before.mT
    second = pairs[:, 1].clone()
    second[:, 0] = roma.rotmat_to_rotvec(turn @ after)
    return torch.stack([first, second], 1)


def _random_task(shares: dict[str, float], generator: torch.Generator) -> str:
    weights = torch.tensor(list(shares.values()), dtype=torch.float)
    return list(shares)[int(torch.multinomial(weights, 1, generator=generator))]


def related_pairs(pool: torch.Tensor, rows: int, generator: torch.Generator) -> torch.Tensor:
    """Pairs `(rows, 2, 22, 3)` of poses from the pool `(n, 22, 3)`: half unrelated, half sharing some limbs, like
    neighbouring frames of a movement.
    """
    first, second = (pool[torch.randint(len(pool), (rows,), generator=generator)] for _ in range(2))
    related = torch.rand(rows, generator=generator) < 0.5
    return torch.stack([first, share_limbs(first, second, related, SHARED_LIMB, generator)], 1)


def share_limbs(
    first: torch.Tensor, second: torch.Tensor, related: torch.Tensor, share: float, generator: torch.Generator
) -> torch.Tensor:
    """`second` `(rows, 22, 3)` with each limb copied from `first` in a share of the related rows."""
    second = second.clone()
    for limb in SHARED_PARTS:
        shared = related & (torch.rand(len(second), generator=generator) < share)
        second[:, limb] = torch.where(shared[:, None, None], first[:, limb], second[:, limb])
    return second


def _text(text):
    return {"type": "text", "text": text}
