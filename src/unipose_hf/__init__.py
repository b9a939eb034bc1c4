# SPDX-License-Identifier: Apache-2.0
"""One model that reads, describes, compares, estimates, generates and edits 3D human poses."""

from . import auto as _auto  # noqa: F401  the Auto classes and `pipeline("image-to-pose")` know UniPose from here on
from .assets import sample
from .data.language import named_pose, search_poses
from .modeling.blazepose_unipose import BlazePoseBackbone, BlazePoseConfig
from .modeling.configuration_pose_retrieval import PosePairTextRetrievalConfig, PoseTextRetrievalConfig
from .modeling.configuration_unipose import PoseTokenizerConfig, UniPoseConfig
from .modeling.image_processing_unipose import UniPoseImageProcessor
from .modeling.modeling_pose_retrieval import PosePairTextRetrievalModel, PoseTextRetrievalModel
from .modeling.modeling_pose_tokenizer import PoseTokenizerModel
from .modeling.modeling_unipose import UniPoseForConditionalGeneration, UniPoseModel
from .modeling.pipeline_pose_retrieval import PoseRetrievalPipeline
from .modeling.pipeline_unipose import (
    ImageDiffPipeline,
    ImageToPosePipeline,
    ImageToPoseTextPipeline,
    PoseDiffPipeline,
    PoseEditingPipeline,
    PoseToTextPipeline,
    TextToPosePipeline,
)
from .modeling.pose_unipose import Pose
from .modeling.processing_unipose import TASKS, UniPoseProcessor, add_pose_tokens, task_messages
from .motion import Motion
from .motion.pipeline_video import VideoToPosePipeline

__version__ = "0.1.0"

__all__ = [
    "TASKS",
    "BlazePoseBackbone",
    "BlazePoseConfig",
    "ImageDiffPipeline",
    "ImageToPosePipeline",
    "ImageToPoseTextPipeline",
    "Motion",
    "Pose",
    "PoseDiffPipeline",
    "PoseEditingPipeline",
    "PosePairTextRetrievalConfig",
    "PosePairTextRetrievalModel",
    "PoseRetrievalPipeline",
    "PoseTextRetrievalConfig",
    "PoseTextRetrievalModel",
    "PoseToTextPipeline",
    "PoseTokenizerConfig",
    "PoseTokenizerModel",
    "TextToPosePipeline",
    "UniPoseConfig",
    "UniPoseForConditionalGeneration",
    "UniPoseImageProcessor",
    "UniPoseModel",
    "UniPoseProcessor",
    "VideoToPosePipeline",
    "__version__",
    "add_pose_tokens",
    "named_pose",
    "sample",
    "search_poses",
    "task_messages",
]
