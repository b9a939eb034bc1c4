# SPDX-License-Identifier: Apache-2.0
"""ComfyUI nodes of unipose_hf: poses from text and pictures, editing with text, pictures for ControlNets."""

from .output_nodes import DepthAndNormalPictures, DescribePose, OpenPosePicture, PreviewPose, SavePose
from .pose_nodes import ChoosePose, EditPose, ImageToPose, TextToPose

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
    "UniPoseEditPose": "Edit Pose with Text (UniPose)",
    "UniPoseChoosePose": "Choose Pose (UniPose)",
    "UniPoseDescribePose": "Describe Pose (UniPose)",
    "UniPosePreviewPose": "Preview Pose (UniPose)",
    "UniPoseOpenPosePicture": "Pose to OpenPose Picture (UniPose)",
    "UniPoseDepthAndNormalPictures": "Pose to Depth and Normal Pictures (UniPose)",
    "UniPoseSavePose": "Save Pose (UniPose)",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
