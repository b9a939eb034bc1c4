# SPDX-License-Identifier: Apache-2.0
"""ComfyUI nodes of unipose_hf: poses from words and pictures, edits by words, and what ControlNets want."""

from .making import ChoosePose, EditPose, ImageToPose, TextToPose
from .using import DepthAndNormalPictures, DescribePose, OpenPosePicture, PreviewPose, SavePose

NODE_CLASS_MAPPINGS = {
    "UniPoseTextToPose": TextToPose,
    "UniPoseImageToPose": ImageToPose,
    "UniPoseEditPose": EditPose,
    "UniPoseChoosePose": ChoosePose,
    "UniPoseDescribePose": DescribePose,
    "UniPosePreviewPose": PreviewPose,
    "UniPoseOpenPosePicture": OpenPosePicture,
    "UniPoseDepthAndNormalPictures": DepthAndNormalPictures,
    "UniPoseSavePose": SavePose,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "UniPoseTextToPose": "Text to Pose (UniPose)",
    "UniPoseImageToPose": "Image to Pose (UniPose)",
    "UniPoseEditPose": "Edit Pose by Words (UniPose)",
    "UniPoseChoosePose": "Choose Pose (UniPose)",
    "UniPoseDescribePose": "Describe Pose (UniPose)",
    "UniPosePreviewPose": "Preview Pose (UniPose)",
    "UniPoseOpenPosePicture": "Pose to OpenPose Picture (UniPose)",
    "UniPoseDepthAndNormalPictures": "Pose to Depth and Normal Pictures (UniPose)",
    "UniPoseSavePose": "Save Pose (UniPose)",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
