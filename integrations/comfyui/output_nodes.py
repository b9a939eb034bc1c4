# SPDX-License-Identifier: Apache-2.0
"""Nodes that turn poses into texts, pictures for ControlNets, and files."""

import re
from pathlib import Path

from PIL import Image

from .frames import CATEGORY, DEFAULT_SIZE, POSES, package, people_of, to_image, with_ordinary_tensors

_SIDE = {"default": 0, "min": 0, "max": 8192, "step": 8}
_SIZE = {
    "width": ("INT", _SIDE | {"tooltip": f"pixels; 0 for the width of the picture, {DEFAULT_SIZE} for text"}),
    "height": ("INT", _SIDE | {"tooltip": f"pixels; 0 for the height of the picture, {DEFAULT_SIZE} for text"}),
}
_FOR_TEXT = "degrees; only for poses from text, since those from a picture keep its camera"
_VIEW = {
    "azimuth": ("FLOAT", {"default": 0.0, "min": -180.0, "max": 180.0, "step": 1.0, "tooltip": _FOR_TEXT}),
    "elevation": ("FLOAT", {"default": 0.0, "min": -90.0, "max": 90.0, "step": 1.0, "tooltip": _FOR_TEXT}),
}


class DescribePose:
    CATEGORY = CATEGORY
    FUNCTION = "describe"
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("text",)
    OUTPUT_NODE = True
    DESCRIPTION = "Describes poses in plain English by measuring them, one line each."

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"poses": (POSES,), "style": (["full", "short"],)}}

    @with_ordinary_tensors
    def describe(self, poses, style):
        actions = package("app")
        lines = [actions.describe(poses[frame].people[k]["pose"].to_dict(), style) for frame, k in people_of(poses, 0)]
        text = "\n".join(lines)
        return {"ui": {"text": [text]}, "result": (text,)}


class PreviewPose:
    CATEGORY = CATEGORY
    FUNCTION = "draw"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    DESCRIPTION = "Draws each person in a separate picture."

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "poses": (POSES,),
                "size": ("INT", {"default": DEFAULT_SIZE, "min": 64, "max": 4096, "step": 8}),
                "azimuth": ("FLOAT", {"default": 25.0, "min": -180.0, "max": 180.0, "step": 1.0}),
                "elevation": ("FLOAT", {"default": 10.0, "min": -90.0, "max": 90.0, "step": 1.0}),
            }
        }

    @with_ordinary_tensors
    def draw(self, poses, size, azimuth, elevation):
        drawn = [
            poses[frame].people[k]["pose"].render(size=size, azimuth=azimuth, elevation=elevation)
            for frame, k in people_of(poses, 0)
        ]
        return (to_image(drawn),)


class OpenPosePicture:
    CATEGORY = CATEGORY
    FUNCTION = "draw"
    RETURN_TYPES = ("IMAGE", "POSE_KEYPOINT")
    RETURN_NAMES = ("image", "keypoints")
    DESCRIPTION = (
        "Draws the OpenPose skeletons that ControlNets are conditioned on. The keypoints are those of "
        "comfyui_controlnet_aux."
    )

    @classmethod
    def INPUT_TYPES(cls):
        more = {
            "style": (
                ["openpose", "dwpose"],
                {"tooltip": "the annotator to follow; they differ where people overlap"},
            ),
            "stick_width": ("INT", {"default": 4, "min": 1, "max": 64, "tooltip": "half a limb's width; xinsir: 12"}),
            "keep_hidden": ("BOOLEAN", {"default": False, "tooltip": "keep the points that the body itself hides"}),
        }
        return {"required": {"poses": (POSES,)} | _SIZE | more, "optional": _VIEW}

    @with_ordinary_tensors
    def draw(self, poses, width, height, style, stick_width, keep_hidden, azimuth=0.0, elevation=0.0):
        imaging = package("imaging")
        drawn, keypoints = [], []
        for frame in _fitted(poses, width, height):
            points = _nobody(imaging)
            if frame.people:
                view = _view(frame, azimuth, elevation)
                points = imaging.openpose_keypoints(frame.people, frame.size, keep_hidden=keep_hidden, **view)
            drawn.append(imaging.draw_skeletons(points, frame.size, style=style, stick_width=stick_width))
            keypoints.append(imaging.openpose_dict(points, frame.size))
        return to_image(drawn), keypoints


class DepthAndNormalPictures:
    CATEGORY = CATEGORY
    FUNCTION = "draw"
    RETURN_TYPES = ("IMAGE", "IMAGE")
    RETURN_NAMES = ("depth", "normals")
    DESCRIPTION = "Draws depth and normals of the bodies in the colours that ControlNets were trained on."

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"poses": (POSES,)} | _SIZE, "optional": _VIEW}

    @with_ordinary_tensors
    def draw(self, poses, width, height, azimuth=0.0, elevation=0.0):
        imaging = package("imaging")
        depth, normals = [], []
        for frame in _fitted(poses, width, height):
            view = _view(frame, azimuth, elevation)
            people = frame.people
            depth.append(imaging.depth_map(people, frame.size, **view) if people else Image.new("RGB", frame.size, 0))
            normals.append(
                imaging.normal_map(people, frame.size, **view)
                if people
                else Image.new("RGB", frame.size, (128, 128, 255))
            )
        return to_image(depth), to_image(normals)


class SavePose:
    CATEGORY = CATEGORY
    FUNCTION = "save"
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("paths",)
    OUTPUT_NODE = True
    DESCRIPTION = "Saves everybody as a 3D file in ComfyUI's output folder, and returns the paths, one per line."

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "poses": (POSES,),
                "filename_prefix": ("STRING", {"default": "UniPose"}),
                "format": (["glb", "bvh", "npz", "json", "obj"],),
            }
        }

    @with_ordinary_tensors
    def save(self, poses, filename_prefix, format):
        stem = _output_path(filename_prefix)
        stem.parent.mkdir(parents=True, exist_ok=True)
        number, paths = _next_number(stem), []
        for frame, k in people_of(poses, 0):
            path = stem.with_name(f"{stem.name}_{number:05}_.{format}")
            paths.append(str(poses[frame].people[k]["pose"].save(path)))
            number += 1
        text = "\n".join(paths)
        return {"ui": {"text": [text]}, "result": (text,)}


def _fitted(poses, width, height):
    """The frames in one size, as a batch of pictures requires."""
    first = poses[0].fitted(width, height).size
    return [frame.fitted(*first) for frame in poses]


def _view(frame, azimuth, elevation):
    has_camera = any("camera" in person for person in frame.people)
    return {} if has_camera else {"azimuth": azimuth, "elevation": elevation}


def _nobody(imaging):
    return imaging.read_openpose_json({"people": []})[0]


def _output_path(prefix):
    """The path of the prefix in ComfyUI's output folder, or in `output` here without ComfyUI.

    Raises:
        ValueError: the prefix leads out of that folder.
    """
    try:
        from folder_paths import get_output_directory

        folder = Path(get_output_directory()).resolve()
    except ModuleNotFoundError:
        folder = Path("output").resolve()
    path = (folder / (prefix.strip() or "UniPose")).resolve()
    if folder not in path.parents:
        raise ValueError(
            f"filename_prefix is {prefix!r}, which leads out of the output folder; use a name, or sub/name."
        )
    return path


def _next_number(stem):
    """One more than the largest number of the files that have this prefix."""
    taken = (re.fullmatch(rf"{re.escape(stem.name)}_(\d+)_\.\w+", file.name) for file in stem.parent.iterdir())
    return 1 + max((int(match[1]) for match in taken if match), default=0)
