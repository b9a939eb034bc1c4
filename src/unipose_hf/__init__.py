# SPDX-License-Identifier: Apache-2.0
"""One model that reads, describes, compares, estimates, generates and edits 3D human poses."""

import importlib

from .assets import sample

__version__ = "0.1.0"

# Public names and the modules they come from; a name is imported when it is first used.
_PUBLIC = {
    "pose_unipose": ["Pose"],
    "configuration_unipose": ["PoseTokenizerConfig", "UniPoseConfig"],
    "configuration_pose_retrieval": ["PosePairTextRetrievalConfig", "PoseTextRetrievalConfig"],
    "blazepose_unipose": ["BlazePoseBackbone", "BlazePoseConfig"],
    "modeling_pose_tokenizer": ["PoseTokenizerModel"],
    "modeling_pose_retrieval": ["PosePairTextRetrievalModel", "PoseTextRetrievalModel"],
    "modeling_unipose": ["UniPoseForConditionalGeneration", "UniPoseModel"],
    "image_processing_unipose": ["UniPoseImageProcessor"],
    "processing_unipose": ["TASKS", "UniPoseProcessor", "add_pose_tokens", "task_messages"],
    "pipeline_pose_retrieval": ["PoseRetrievalPipeline"],
    "pipeline_unipose": [
        "ImageDiffPipeline",
        "ImageToPosePipeline",
        "ImageToPoseTextPipeline",
        "PoseDiffPipeline",
        "PoseEditingPipeline",
        "PoseToTextPipeline",
        "TextToPosePipeline",
    ],
}
_PUBLIC = {f"modeling.{module}": names for module, names in _PUBLIC.items()}
_PUBLIC["data.language"] = ["named_pose", "search_poses"]
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = ["__version__", "sample", *sorted(_MODULE_OF)]


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_MODULE_OF})


importlib.import_module(".auto", __name__)  # so that `pipeline("image-to-pose")` and the Auto classes know UniPose
