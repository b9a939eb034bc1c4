# SPDX-License-Identifier: Apache-2.0
"""All tasks on the held-out clips of the open poses, on the bundled body.

Every value comes with a baseline that ignores the input: shuffled captions, the copied source pose, the mean training
pose, shuffled references. The body is not SMPL's, so no value is comparable with published ones.
"""

import time
from collections.abc import Iterable

import torch

from unipose_hf.body import forward_kinematics, load_body, remove_yaw
from unipose_hf.captions import caption_poses, codes_satisfied, instruct_pairs, pose_geometry
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.synthesis.rendering import render_training_images
from unipose_hf.data.synthesis.sampling import random_global_turn
from unipose_hf.evaluation.metrics.pose_errors import mpjpe, pa_mpjpe
from unipose_hf.evaluation.metrics.text_truth import caption_truth, instruction_truth
from unipose_hf.modeling.processing_unipose import task_messages
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix, matrix_to_axis_angle

from .answers import answer_poses, answer_texts

CLAUSES = 9  # statements per caption or instruction: stating everything takes up to 180 words
MAX_NEW_TOKENS = 160  # enough for a text with this many statements
REFERENCES = 3  # reference captions per pose, as in the paper's sets


def evaluate_held_out(
    model, processor, count: int | None = None, batch_size: int = 32, seed: int = 0, tasks: Iterable[str] | None = None
) -> dict:
    """Evaluates the seven tasks on the test clips and returns their figures, by task.

    Args:
        model, processor: a [`UniPoseForConditionalGeneration`] and its processor.
        count: number of poses, spread over all clips; all of them by default. A pose that would be the only one of its
            clip is skipped, since edits and differences need another pose of the same clip.
        batch_size: number of prompts per batch.
        seed: random seed of captions, pairs and images.
        tasks: some of the seven, or `"tokenizer"`; all eight by default.

    Raises:
        ImportError: sacrebleu is missing.
        ValueError: too few poses, none of which share a clip.
    """
    model.eval()
    poses = load_open_poses("test")
    chosen = choose_poses(poses.clip_id, count)
    run = _HeldOut(model, processor, poses.axis_angle[chosen], poses.clip_id[chosen], batch_size, seed)
    began = time.monotonic()
    figures = {"poses": len(chosen), "clips": [poses.clip_names[i] for i in poses.clip_id[chosen].unique().tolist()]}
    measured = run.tasks()
    for name in measured if tasks is None else tasks:
        figures[name] = measured[name]()
        print(f"{name}: {figures[name]}", flush=True)
    return figures | {"seconds": round(time.monotonic() - began)}


def choose_poses(clip_id: torch.Tensor, count: int | None) -> torch.Tensor:
    """Clip numbers of all poses `(n,)` -> the rows to use, at most `count`, at least two of each clip that has any."""
    chosen = torch.arange(len(clip_id))
    if count is not None:
        chosen = torch.linspace(0, len(chosen) - 1, min(count, len(chosen))).round().long()
    clips = clip_id[chosen]
    chosen = chosen[(clips[:, None] == clips).sum(1) > 1]
    if not len(chosen):
        raise ValueError(
            f"With {count} poses spread over {len(clip_id.unique())} clips no two share a clip, as edits need; give "
            "a larger count, or none for all poses."
        )
    return chosen


def other_of_clip(clips: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Clip numbers `(n,)`, each there twice or more -> for each row another row of the same clip, `(n,)`."""
    others = torch.empty_like(clips)
    for clip in clips.unique():
        members = (clips == clip).nonzero()[:, 0]
        others[members] = members.roll(1 + int(torch.randint(len(members) - 1, (1,), generator=generator)))
    return others


class _HeldOut:
    def __init__(self, model, processor, poses, clips, batch_size, seed):
        self.model, self.processor, self.batch_size, self.seed = model, processor, batch_size, seed
        self.generation_seconds = 0.0  # updated by `answers`
        self.poses = poses  # (n, 22, 3)
        self.body = load_body(size="small")
        generator = torch.Generator().manual_seed(seed)
        self.order = torch.randperm(len(poses), generator=generator)  # for everything shuffled
        self.sources = other_of_clip(clips, generator)  # of pairs
        turned = random_global_turn(poses, generator, full_yaw=True)
        self.pictures = render_training_images(turned, seed=seed, size=512)

    def tasks(self):
        return {
            "tokenizer": self.tokenizer,
            "text-to-pose": self.text_to_pose,
            "pose-editing": self.pose_editing,
            "image-to-pose": self.image_to_pose,
            "pose-to-text": lambda: self._text("pose-to-text", poses=self._each(self.poses)),
            "pose-diff": lambda: self._text("pose-diff", poses=self._pairs(self.poses)),
            "image-to-pose-text": lambda: self._text("image-to-pose-text", images=self._each(self.pictures.images)),
            "image-diff": lambda: self._text("image-diff", images=self._pairs(self.pictures.images)),
        }

    def tokenizer(self):
        rotations = axis_angle_to_matrix(self.poses)
        with torch.no_grad():
            decoded = self.model.model.pose_tokenizer.decode(self.model.get_pose_codes(rotations)).rotations
        joints, target = self._joints(decoded), self._joints(rotations)
        return {"mpjpe_mm": _mm(mpjpe(joints, target)), "pa_mpjpe_mm": _mm(pa_mpjpe(joints, target))}

    def text_to_pose(self):
        captions, stated = caption_poses(self.poses, seed=self.seed, max_clauses=CLAUSES, return_codes=True)
        messages = [task_messages("text-to-pose", text=caption) for caption in captions]
        target = self._joints(axis_angle_to_matrix(self.poses))
        shuffled = [stated[i] for i in self.order]
        figures = {}
        for decoding in ("expected", "argmax"):
            rotations = answer_poses(self, messages, decoding=decoding)
            joints = pose_geometry(matrix_to_axis_angle(rotations))
            figures[decoding] = {
                "codes_satisfied": _share(codes_satisfied(stated, *joints)),
                "codes_of_shuffled_captions_satisfied": _share(codes_satisfied(shuffled, *joints)),
                "mpjpe_mm": _mm(mpjpe(self._joints(rotations), target)),
            }
        return figures

    def pose_editing(self):
        sources = self.poses[self.sources]
        texts = instruct_pairs(sources, self.poses, seed=self.seed, max_clauses=CLAUSES)
        messages = [
            task_messages("pose-editing", text=text, poses=[pose]) for text, pose in zip(texts, sources, strict=True)
        ]
        joints = self._joints(answer_poses(self, messages))
        target, copied = (self._joints(axis_angle_to_matrix(poses)) for poses in (self.poses, sources))
        edited, unedited = mpjpe(joints, target).mean(), mpjpe(copied, target).mean()
        return {
            "mpjpe_mm": _mm(edited),
            "mpjpe_of_copied_source_mm": _mm(unedited),
            "ratio": round(float(edited / unedited), 3),
        }

    def image_to_pose(self):
        messages = [task_messages("image-to-pose", images=[image]) for image in self.pictures.images]
        joints = self._joints(answer_poses(self, messages))
        target = self._joints(axis_angle_to_matrix(torch.from_numpy(self.pictures.axis_angle)))
        train = load_open_poses("train").axis_angle
        generator = torch.Generator().manual_seed(self.seed)
        train = random_global_turn(train, generator, full_yaw=True)
        mean = self._joints(axis_angle_to_matrix(train)).mean(0).expand_as(target)
        return {
            "mpjpe_mm": _mm(mpjpe(joints, target)),
            "pa_mpjpe_mm": _mm(pa_mpjpe(joints, target)),
            "median_mpjpe_mm": _mm(mpjpe(joints, target).median()),
            "mpjpe_of_mean_pose_mm": _mm(mpjpe(mean, target)),
            "pa_mpjpe_of_mean_pose_mm": _mm(pa_mpjpe(mean, target)),
        }

    def _text(self, task, images=None, poses=None):
        try:
            from sacrebleu import corpus_bleu
        except ImportError as error:
            raise ImportError("BLEU needs sacrebleu: pip install unipose-hf[evaluate]") from error
        rows = range(len(self.poses))
        messages = [
            task_messages(task, images=images[i] if images else (), poses=poses[i] if poses else ()) for i in rows
        ]
        answers = answer_texts(self, messages, MAX_NEW_TOKENS)
        targets = self.poses if poses else remove_yaw(torch.from_numpy(self.pictures.axis_angle))
        references = []
        for k in range(REFERENCES):
            if task in ("pose-diff", "image-diff"):
                sources = targets[self.sources]
                references.append(instruct_pairs(sources, targets, seed=self.seed + k, max_clauses=CLAUSES))
            else:
                references.append(caption_poses(targets, seed=self.seed + k, max_clauses=CLAUSES))
        shuffled = [[texts[i] for i in self.order] for texts in references]
        if task in ("pose-diff", "image-diff"):
            truth = instruction_truth(answers, targets[self.sources], targets, seed=self.seed)
        else:
            truth = caption_truth(answers, targets, seed=self.seed)
        return {name: round(value, 3) for name, value in truth.items()} | {
            "bleu4": round(corpus_bleu(answers, references).score, 2),
            "bleu4_of_shuffled_references": round(corpus_bleu(answers, shuffled).score, 2),
            "distinct_answers": len(set(answers)),
        }

    def _each(self, values):
        return [[value] for value in values]

    def _pairs(self, values):
        return [[values[i], values[j]] for j, i in enumerate(self.sources.tolist())]

    def _joints(self, rotations):
        return forward_kinematics(rotations, self.body.rest_joints)[0]


def _mm(metres) -> float:
    return round(1000 * float(torch.as_tensor(metres).mean()), 1)


def _share(values) -> float:
    values = torch.as_tensor(values, dtype=torch.float32)
    return round(float(values[~values.isnan()].mean()), 3)
