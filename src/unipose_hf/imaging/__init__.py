# SPDX-License-Identifier: Apache-2.0
"""Poses to the conditioning pictures of ControlNets, to OpenPose files, and, with diffusers, to pictures."""

from typing import Any

from .keypoints import OPENPOSE_NAMES, openpose_keypoints
from .maps import depth_map, normal_map
from .openpose_json import openpose_dict, read_openpose_json, write_openpose_json
from .skeletons import draw_skeletons

__all__ = [  # and PoseToImagePipeline, below
    "OPENPOSE_NAMES",
    "depth_map",
    "draw_skeletons",
    "normal_map",
    "openpose_dict",
    "openpose_keypoints",
    "read_openpose_json",
    "write_openpose_json",
]


def __getattr__(name: str) -> Any:
    if name == "PoseToImagePipeline":  # needs diffusers, which takes seconds to import
        from .pose_to_image import PoseToImagePipeline

        return PoseToImagePipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
