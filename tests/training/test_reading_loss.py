# SPDX-License-Identifier: Apache-2.0
"""The reading loss: zero if the joint positions can be read off exactly, and learnable."""

import pytest
import torch

from tiny_chat import tiny_model_and_processor
from tiny_training import arguments, some_samples
from unipose_hf.body import JOINT_NAMES, forward_kinematics, load_body
from unipose_hf.captions.posecodes.joint_sets import POSECODES
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix
from unipose_hf.training.experimental.reading_loss import (
    _JOINTS,
    ONE_METRE,
    ONE_METRE_OF_RELATIONS,
    layout,
    read_out,
    reading_errors,
    relations,
)
from unipose_hf.training.trainer import UniPoseTrainer

JOINT_WISE = dict(kernel_size=1, encoder_lengths=[], decoder_lengths=[], num_downsamples=0)
REST = load_body(size="small").rest_joints
HIDDEN = 512


@pytest.fixture
def rotations():
    return axis_angle_to_matrix(load_open_poses("test").axis_angle[[0, 40, 90]])


def hidden_states(joints, displacements, stated, positions):
    """(poses, 22, 3) twice and (poses, 271), in metres -> states of 4 layers that encode these at `positions` each."""
    groups = min(positions, 22)
    directions = read_out(HIDDEN, groups)
    place, first, at = layout(groups)
    vectors = torch.zeros(len(joints), groups, len(directions))
    for joint in range(22):
        vectors[:, place[joint], first[joint] : first[joint] + 3] = ONE_METRE * joints[:, joint]
        vectors[:, place[joint], first[joint] + 3 : first[joint] + 6] = ONE_METRE * displacements[:, joint]
    vectors[:, [place[joint] for joint in _JOINTS], at] = ONE_METRE_OF_RELATIONS * stated
    beside = torch.linalg.qr(directions.T, mode="complete").Q[:, -1]  # at right angles to all of them
    said = vectors.flatten(0, 1) @ directions  # (poses * groups, HIDDEN)
    rest = (HIDDEN - said.square().sum(-1, keepdim=True)).sqrt()  # entries have size 1, or a multiple of it
    states = 0.2 * (said + rest * beside).repeat_interleave(positions // groups, dim=0)
    return tuple(torch.cat([torch.ones(7, HIDDEN), states])[None] for _ in range(5))  # text before


@pytest.mark.parametrize("positions", [44, 22, 5, 4])  # codes of a pose, or rows of a picture
def test_nothing_is_off_where_all_is_written_down(rotations, positions):
    joints = forward_kinematics(rotations, REST)[0]
    joints = joints - joints[:, :1]
    displacements = torch.stack([torch.zeros(22, 3), joints[1] - joints[0], torch.zeros(22, 3)])
    stated = relations(joints, rotations)
    tells = torch.arange(7 + 3 * positions)[None] >= 7
    follows = torch.tensor([False, True, False])

    def off(*said):
        return reading_errors(hidden_states(*said, positions), tells, rotations, follows, REST)

    assert all(errors.abs().max() < 1e-4 for errors in off(joints, displacements, stated))
    errors = off(joints + torch.tensor([0.03, 0.0, 0.04]), displacements, stated)
    assert torch.allclose(errors.joints, torch.full((3,), 0.05), atol=1e-4)
    assert errors.displacements.max() < 1e-4 and errors.relations.max() < 1e-4
    errors = off(joints, 0 * displacements, stated)
    assert errors.displacements[1] == pytest.approx(float((joints[1] - joints[0]).norm(dim=-1).mean()), abs=1e-4)
    assert errors.displacements[0] == errors.displacements[2] == 0 and errors.joints.max() < 1e-4
    errors = off(joints, displacements, stated + torch.where(torch.arange(271) == 100, 0.2, 0.0))
    assert torch.allclose(errors.relations, torch.full((3,), 0.2 / 271), atol=1e-4)


def test_relations_are_what_posecodes_measure():
    joints = torch.zeros(1, 22, 3)
    joints[0, JOINT_NAMES.index("left_foot"), 0] = 0.25  # to the left of all others
    values = relations(joints, torch.eye(3).expand(1, 22, 3, 3))[0]
    stated = {code.name: value for code, value in zip(POSECODES, values, strict=True)}
    assert stated["rel_x/left_foot|right_hip"] == pytest.approx(0.25)
    assert stated["body_pitch/body"] == 0


def test_columns_that_belong_to_no_pose_are_named(rotations):
    with pytest.raises(ValueError, match="25 positions do not fit 3 poses"):
        reading_errors((torch.zeros(1, 25, 8),) * 3, torch.ones(1, 25).bool(), rotations, torch.zeros(3), REST)


def test_the_trainer_teaches_it(tmp_path):
    model, processor = tiny_model_and_processor(pose=JOINT_WISE)
    processor.num_codes = model.config.pose_config.num_codes
    samples = some_samples(model, 160, block=4, shares={"pose-diff": 3, "text-to-pose": 1})
    args = arguments(
        tmp_path,
        max_steps=40,
        per_device_train_batch_size=4,
        use_muon=True,
        reading_loss_weight=10.0,
        save_steps=100,
        train_sampling_strategy="sequential",  # so that each step has one task, and logs under its name
    )
    trainer = UniPoseTrainer(model.train(), args, samples, processor)
    trainer.train()
    for name in ("pose-diff/read_joints_mm", "pose-diff/read_displacements_mm", "pose-diff/read_relations_mm"):
        errors = [float(step[name]) for step in trainer.state.log_history if name in step]
        assert len(errors) > 20 and sum(errors[-5:]) < 0.9 * sum(errors[:5]), errors
    assert not any(name.startswith("text-to-pose/read") for step in trainer.state.log_history for name in step)
