# SPDX-License-Identifier: Apache-2.0
"""Where joints are, as the language model has read them: nothing off where it is written down, and learnt."""

import pytest
import torch
from tiny_chat import tiny_model_and_processor
from tiny_training import arguments, some_samples

from unipose_hf.body import forward_kinematics, load_body
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix
from unipose_hf.training.reading_loss import _directions, reading_errors
from unipose_hf.training.trainer import UniPoseTrainer

JOINT_WISE = dict(kernel_size=1, encoder_lengths=[], decoder_lengths=[], num_downsamples=0)
REST = load_body(size="small").rest_joints
HIDDEN = 64


@pytest.fixture
def rotations():
    return axis_angle_to_matrix(load_open_poses("test").axis_angle[[0, 40, 90]])


def hidden_states(vectors):
    """Vectors (poses, 22, 6) in metres -> the states of 4 layers that say just that, two columns for each joint."""
    directions = 3 * _directions(HIDDEN)
    beside = torch.linalg.svd(directions).Vh[6]  # at right angles to all of them
    said = 3 * vectors.flatten(0, 1) @ directions  # (poses * 22, HIDDEN)
    rest = (HIDDEN - said.square().sum(-1, keepdim=True)).sqrt()  # entries have size 1
    states = 5 * (said + rest * beside).repeat_interleave(2, dim=0)
    return tuple(torch.cat([torch.ones(7, HIDDEN), states])[None] for _ in range(5))  # text before


def test_nothing_is_off_where_the_places_are_written_down(rotations):
    joints = forward_kinematics(rotations, REST)[0]
    joints = joints - joints[:, :1]
    ways = torch.stack([torch.zeros(22, 3), joints[1] - joints[0], torch.zeros(22, 3)])
    is_code = torch.arange(7 + 3 * 44)[None] >= 7
    follows = torch.tensor([False, True, False])
    states = hidden_states(torch.cat([joints, ways], -1))
    for errors in reading_errors(states, is_code, rotations, follows, REST):
        assert errors.abs().max() < 1e-5
    moved = torch.cat([joints + torch.tensor([0.03, 0.0, 0.04]), ways], -1)
    places, way = reading_errors(hidden_states(moved), is_code, rotations, follows, REST)
    assert torch.allclose(places, torch.full((3,), 0.05), atol=1e-5) and way.max() < 1e-5
    states = hidden_states(torch.cat([joints, 0 * ways], -1))
    places, way = reading_errors(states, is_code, rotations, follows, REST)
    assert way[1] == pytest.approx(float((joints[1] - joints[0]).norm(dim=-1).mean()), abs=1e-5)
    assert way[0] == way[2] == 0 and places.max() < 1e-5


def test_codes_of_no_joint_are_named(rotations):
    with pytest.raises(ValueError, match="3 poses of the prompts have 8 codes each.*reading_loss_weight 0"):
        reading_errors((torch.zeros(1, 24, 8),) * 3, torch.ones(1, 24).bool(), rotations, torch.zeros(3), REST)


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
        train_sampling_strategy="sequential",  # so that a step has one task, and its figures the name of that
    )
    trainer = UniPoseTrainer(model.train(), args, samples, processor)
    trainer.train()
    for name in ("pose-diff/read_mm", "pose-diff/read_way_mm"):
        errors = [float(step[name]) for step in trainer.state.log_history if name in step]
        assert len(errors) > 20 and sum(errors[-5:]) < 0.8 * sum(errors[:5]), errors
    assert not any(name.startswith("text-to-pose/read") for step in trainer.state.log_history for name in step)
