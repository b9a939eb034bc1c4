# SPDX-License-Identifier: Apache-2.0
"""Samples of every task that need no download: the test clips of the open poses, captions that were measured, and
rendered pictures."""

import functools

import torch

from unipose_hf.body import remove_yaw
from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.rendering import render_training_images
from unipose_hf.data.sampling import random_global_turn
from unipose_hf.modeling.processing_unipose import task_messages

from .held_out import CLAUSES, REFERENCES, choose_poses, other_of_clip

OPEN_DATA = "open held-out clips"
PICTURE_SIZE = 512


class OpenSet:
    """The held-out poses as samples, drawn as `evaluate_held_out` draws them.

    Args:
        count: poses to use, spread over all clips; all of them by default.
        seed: of captions, pairs and pictures.

    Raises:
        ValueError: no two of so few poses are of one clip.
    """

    def __init__(self, count: int | None = None, seed: int = 0):
        poses = load_open_poses("test")
        chosen = choose_poses(poses.clip_id, count)
        self.seed = seed
        self.poses = poses.axis_angle[chosen]  # (n, 22, 3)
        self._generator = torch.Generator().manual_seed(seed)
        torch.randperm(len(chosen), generator=self._generator)  # as there, so that pairs and pictures are the same
        self.sources = other_of_clip(poses.clip_id[chosen], self._generator)  # the pose that each one is changed from

    def samples(self, task: str) -> list[dict]:
        """The samples of one task, see `samples.py`.

        Raises:
            ValueError: there is no such task.
        """
        make = {
            "text-to-pose": self._text_to_pose,
            "pose-editing": self._pose_editing,
            "image-to-pose": self._image_to_pose,
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
        return [_sample(task, [pose], answer=pose, text=text, stated=codes) for text, codes, pose in rows]

    def _pose_editing(self, task):
        sources = self.poses[self.sources]
        texts, stated = instruct_pairs(sources, self.poses, seed=self.seed, max_clauses=CLAUSES, return_codes=True)
        rows = zip(texts, stated, sources, self.poses, strict=True)
        return [_sample(task, [a, b], given=[a], answer=b, text=text, stated=codes) for text, codes, a, b in rows]

    def _image_to_pose(self, task):
        pictures = self._pictures
        rows = zip(pictures.images, torch.from_numpy(pictures.axis_angle), strict=True)
        return [_sample(task, [pose], images=[image], answer=pose) for image, pose in rows]

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
            seen = dict(images=[self._pictures.images[i] for i in rows]) if of_images else dict(given=shown)
            samples.append(_sample(task, shown, answer=texts[0], references=list(texts), **seen))
        return samples


def _sample(task, poses, *, given=(), images=(), answer, text=None, **more):
    messages = task_messages(task, text=text, poses=list(given), images=list(images), answer=answer)
    more |= {} if text is None else {"text": text}
    return {"task": task, "messages": messages, "poses": list(poses), "images": list(images), **more}
