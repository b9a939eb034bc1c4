# SPDX-License-Identifier: Apache-2.0
"""Samples of every task that need no download: the test clips of the open poses, automatic captions, and
rendered pictures."""

import dataclasses
import functools

import numpy as np
import torch
from PIL import Image

from unipose_hf.body import remove_yaw
from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.data.builders.multi_person import MAX_PEOPLE, hints_at, render_group
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.synthesis.rendering import render_training_images
from unipose_hf.data.synthesis.sampling import random_global_turn
from unipose_hf.visualization.outfit import Outfit

from .held_out import CLAUSES, REFERENCES, choose_poses, other_of_clip
from .samples import build_sample

OPEN_DATA = "open held-out clips"
REASONING = "reasoning-image-to-pose"  # not a task of its own: an image-to-pose with words that single out a person
PICTURE_SIZE = 512


class OpenSet:
    """The held-out poses as samples, drawn as in `evaluate_held_out`.

    Args:
        count: number of poses, spread over all clips; all of them by default.
        seed: random seed of captions, pairs and images.

    Raises:
        ValueError: too few poses, none of which share a clip.
    """

    def __init__(self, count: int | None = None, seed: int = 0):
        poses = load_open_poses("test")
        chosen = choose_poses(poses.clip_id, count)
        self.seed = seed
        self.poses = poses.axis_angle[chosen]  # (n, 22, 3)
        self._generator = torch.Generator().manual_seed(seed)
        torch.randperm(len(chosen), generator=self._generator)  # as there, so that pairs and images are the same
        self.sources = other_of_clip(poses.clip_id[chosen], self._generator)  # the source pose of each edit

    def samples(self, task: str) -> list[dict]:
        """The samples of one task, or of `REASONING`, see `samples.py`.

        Raises:
            ValueError: there is no such task.
        """
        make = {
            "text-to-pose": self._text_to_pose,
            "pose-editing": self._pose_editing,
            "image-to-pose": self._image_to_pose,
            REASONING: self._reasoning,
            "pose-to-text": self._texts,
            "pose-diff": self._texts,
            "image-to-pose-text": self._texts,
            "image-diff": self._texts,
        }
        if task not in make:
            raise ValueError(f"The open set has no task {task!r}; choose one of {', '.join(make)}.")
        return make[task](task)

    @functools.cached_property
    def _pictures(self):
        turned = random_global_turn(self.poses, self._generator, full_yaw=True)
        return render_training_images(turned, seed=self.seed, size=PICTURE_SIZE)

    def _text_to_pose(self, task):
        captions, stated = caption_poses(self.poses, seed=self.seed, max_clauses=CLAUSES, return_codes=True)
        rows = zip(captions, stated, self.poses, strict=True)
        return [build_sample(task, [pose], pose, text=text, stated=codes) for text, codes, pose in rows]

    def _pose_editing(self, task):
        sources = self.poses[self.sources]
        texts, stated = instruct_pairs(sources, self.poses, seed=self.seed, max_clauses=CLAUSES, return_codes=True)
        rows = zip(texts, stated, sources, self.poses, strict=True)
        return [build_sample(task, [a, b], b, prompt_poses=[a], text=text, stated=codes) for text, codes, a, b in rows]

    def _image_to_pose(self, task):
        pictures = self._pictures
        rows = zip(pictures.images, torch.from_numpy(pictures.axis_angle), strict=True)
        return [build_sample(task, [pose], pose, images=[image]) for image, pose in rows]

    def _reasoning(self, _):
        """For each held-out pose, an image with one to three other people, and a hint that only fits its person."""
        rng, generator = np.random.default_rng(self.seed), torch.Generator().manual_seed(self.seed)
        level = random_global_turn(self.poses, generator, full_yaw=True).numpy()
        samples = []
        for row in range(len(level)):
            count = min(int(rng.integers(2, MAX_PEOPLE + 1)), len(level))
            people = rng.permutation(np.r_[row, rng.choice(np.delete(np.arange(len(level)), row), count - 1, False)])
            outfits = [
                dataclasses.replace(Outfit.random(rng), top_pattern="plain", trousers_pattern="plain") for _ in people
            ]
            picture, camera_poses, _ = render_group(level[people], outfits, rng, PICTURE_SIZE)
            chosen = int((people == row).argmax())
            words = " ".join(hints_at(chosen, level[people], outfits, rng))
            pose, others = camera_poses[chosen], np.delete(camera_poses, chosen, 0)
            shown = Image.fromarray(picture)
            samples.append(build_sample("image-to-pose", [pose], pose, images=[shown], text=words, others=others))
        return samples

    def _texts(self, task):
        of_images, of_pairs = task.startswith("image"), task.endswith("diff")
        poses = remove_yaw(torch.from_numpy(self._pictures.axis_angle)) if of_images else self.poses
        groups = [poses[self.sources], poses] if of_pairs else [poses]
        write = instruct_pairs if of_pairs else caption_poses
        columns = [write(*groups, seed=self.seed + k, max_clauses=CLAUSES) for k in range(REFERENCES)]
        samples = []
        for row, texts in enumerate(zip(*columns, strict=True)):
            shown = [group[row] for group in groups]
            rows = [int(self.sources[row]), row] if of_pairs else [row]
            inputs = dict(images=[self._pictures.images[i] for i in rows]) if of_images else dict(prompt_poses=shown)
            samples.append(build_sample(task, shown, texts[0], references=list(texts), **inputs))
        return samples
