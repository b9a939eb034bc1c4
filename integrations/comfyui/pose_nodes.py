# SPDX-License-Identifier: Apache-2.0
"""Nodes that create or edit poses."""

import functools
import warnings

from .frames import CATEGORY, POSES, Frame, package, people_of, to_image, to_pictures, with_ordinary_tensors


class TextToPose:
    CATEGORY = CATEGORY
    FUNCTION = "make"
    RETURN_TYPES = (POSES,)
    RETURN_NAMES = ("poses",)
    DESCRIPTION = "Turns a sentence into 3D poses. The first is the best answer, the others are variations."

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "text": ("STRING", {"multiline": True, "default": "a person kneeling, arms raised"}),
                "count": ("INT", {"default": 1, "min": 1, "max": 8, "tooltip": "number of poses, a batch"}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**32 - 1, "tooltip": "of the variations"}),
            }
        }

    @with_ordinary_tensors
    def make(self, text, count, seed):
        pose = package("").Pose
        answers = package("app").generate(text, count, seed)
        return ([Frame(({"pose": pose.from_dict(answer["pose"])},)) for answer in answers],)


class ImageToPose:
    CATEGORY = CATEGORY
    FUNCTION = "make"
    RETURN_TYPES = (POSES, "IMAGE")
    RETURN_NAMES = ("poses", "overlay")
    DESCRIPTION = "Finds the people in pictures and estimates their 3D poses; the overlay shows them on the picture."

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "image": ("IMAGE",),
                "max_people": ("INT", {"default": 0, "min": 0, "max": 64, "tooltip": "the largest ones; 0 for all"}),
                "threshold": (
                    "FLOAT",
                    {"default": 0.2, "min": 0.01, "max": 0.99, "step": 0.01, "tooltip": "minimum score of a person"},
                ),
            },
            "optional": {
                "which": (
                    "STRING",
                    {"default": "", "tooltip": 'only the person described: "on the left", "who kneels"'},
                )
            },
        }

    @with_ordinary_tensors
    def make(self, image, max_people, threshold, which=""):
        run, options = _estimator(), {"threshold": threshold} | ({"max_people": max_people} if max_people else {})
        frames, overlays = [], []
        for picture in to_pictures(image):
            item = {"image": picture} | ({"text": which} if which.strip() else {})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # nobody found: the nodes that need somebody report it
                people = run(item, **options)
            frames.append(Frame(tuple(people), picture.size))
            overlays.append(people.overlay().resize(picture.size) if people else picture)
        return frames, to_image(overlays)


class EditPose:
    CATEGORY = CATEGORY
    FUNCTION = "edit"
    RETURN_TYPES = (POSES,)
    RETURN_NAMES = ("poses",)
    DESCRIPTION = "Edits poses with a sentence."

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "poses": (POSES,),
                "text": ("STRING", {"multiline": True, "default": "Raise the left arm above the head."}),
                "person": ("INT", {"default": 0, "min": 0, "max": 64, "tooltip": "1 is the first; 0 for everybody"}),
            }
        }

    @with_ordinary_tensors
    def edit(self, poses, text, person):
        pose, actions = package("").Pose, package("app")
        people = [list(frame.people) for frame in poses]
        for frame, k in people_of(poses, person):
            changed = actions.edit(people[frame][k]["pose"].to_dict(), text)
            people[frame][k] = people[frame][k] | {"pose": pose.from_dict(changed["pose"])}
        return ([frame.with_people(some) for frame, some in zip(poses, people, strict=True)],)


class ChoosePose:
    CATEGORY = CATEGORY
    FUNCTION = "choose"
    RETURN_TYPES = (POSES,)
    RETURN_NAMES = ("poses",)
    DESCRIPTION = "Selects one frame of a batch, and one person or everybody in it."

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "poses": (POSES,),
                "frame": ("INT", {"default": 1, "min": 1, "max": 100_000, "tooltip": "1 is the first"}),
                "person": ("INT", {"default": 0, "min": 0, "max": 64, "tooltip": "1 is the first; 0 for everybody"}),
            }
        }

    @with_ordinary_tensors
    def choose(self, poses, frame, person):
        if not 1 <= frame <= len(poses):
            raise ValueError(f"frame is {frame}, but there are {len(poses)}; choose 1 to {len(poses)}.")
        chosen = poses[frame - 1]
        return ([chosen.with_people(chosen.people[k] for _, k in people_of([chosen], person))],)


@functools.cache
def _estimator():
    from transformers import pipeline

    package("")  # registers the task
    return pipeline("image-to-pose")
