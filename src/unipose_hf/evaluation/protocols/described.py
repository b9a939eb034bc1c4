# SPDX-License-Identifier: Apache-2.0
"""Text-to-pose on captured poses with descriptions that were held out of all training."""

from pathlib import Path
from types import SimpleNamespace

from unipose_hf.body import forward_kinematics, load_body, remove_yaw
from unipose_hf.data.language.composer import load_described
from unipose_hf.evaluation.metrics.pose_errors import mpjpe
from unipose_hf.modeling.processing_unipose import task_messages
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix

from .answers import answer_poses


def evaluate_described_prompts(model, processor, folder: str | Path) -> dict[str, dict[str, float]]:
    """Errors of poses generated from the `short` and the `full` texts of the held-out poses.

    Each style has its number of `rows`, the `mpjpe_mm` of the answers, with both poses facing the viewer, and
    `mpjpe_of_mean_pose_mm`, the error of the mean training pose.

    Args:
        model, processor: a [`UniPoseForConditionalGeneration`] and its processor.
        folder: the folder with the described poses, see `load_described`.

    Raises:
        FileNotFoundError: the folder has no such files.
    """
    setting = SimpleNamespace(model=model.eval(), processor=processor, batch_size=32, generation_seconds=0.0)
    rest = load_body(size="small").rest_joints
    held_out, training = (load_described(folder, "poses", kept_back=kept) for kept in (True, False))
    target, known = (
        forward_kinematics(axis_angle_to_matrix(remove_yaw(described.poses[:, 0])), rest)[0]
        for described in (held_out, training)
    )
    of_mean_pose = 1000 * float(mpjpe(known.mean(0).expand_as(target), target).mean())
    figures = {}
    for voice in ("short", "full"):
        chats = [task_messages("text-to-pose", text=texts[voice]) for texts in held_out.texts]
        joints = forward_kinematics(answer_poses(setting, chats), rest)[0]
        error = 1000 * float(mpjpe(joints, target).mean())
        figures[voice] = {"rows": len(target), "mpjpe_mm": error, "mpjpe_of_mean_pose_mm": of_mean_pose}
    return {voice: {name: round(value, 1) for name, value in row.items()} for voice, row in figures.items()}
