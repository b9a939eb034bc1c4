# SPDX-License-Identifier: Apache-2.0
"""Refinement moves visible joints closer to the truth and leaves hidden joints unchanged."""

import pytest
import torch

from unipose_hf.body import PARENTS, load_body
from unipose_hf.modeling import refinement_unipose
from unipose_hf.modeling.refinement_unipose import MARKERS, REST_JOINTS, _kinematics, _Problem, pull_to_landmarks
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix
from unipose_hf.modeling.seen_unipose import score_of

LEFT_ARM = {11, 13, 15}
CAMERA = torch.tensor([[200.0, 310.0, 250.0], [90.0, -20.0, 40.0], [400.0, 500.0, 600.0]])


def turns(seed, size):
    vectors = size * torch.randn(3, 22, 3, generator=torch.Generator().manual_seed(seed))
    return axis_angle_to_matrix(vectors)


@pytest.fixture
def people():
    """Three true poses, answers that are off, and landmarks of the true poses: in the picture and in space."""
    truth = turns(0, 0.3)
    answer = truth @ turns(1, 0.15)
    rest = torch.tensor(REST_JOINTS)
    joints, turned = _kinematics(truth, rest)
    xy, world, seen = torch.zeros(3, 39, 2), torch.zeros(3, 39, 3), torch.ones(3, 39)
    for landmark, (joint, offset) in MARKERS.items():
        world[:, landmark] = joints[:, joint] + turned[:, joint] @ torch.tensor(offset)
    xy[..., 0] = CAMERA[:, 1:2] + CAMERA[:, :1] * world[..., 0]
    xy[..., 1] = CAMERA[:, 2:] - CAMERA[:, :1] * world[..., 1]
    return truth, answer, xy, seen, world


def off(rotations, truth, joints=slice(None)):
    """Metres, on average over joints."""
    rest = torch.tensor(REST_JOINTS)
    found, expected = (_kinematics(pose, rest)[0] for pose in (rotations, truth))
    return float((found - expected).norm(dim=-1)[:, joints].mean())


def test_the_body_is_the_bundled_one():
    assert refinement_unipose.PARENTS == PARENTS
    torch.testing.assert_close(torch.tensor(REST_JOINTS), load_body().rest_joints, atol=1e-4, rtol=0)


def test_seen_landmarks_bring_an_answer_to_the_truth(people):
    truth, answer, xy, seen, world = people
    rotations, camera, misfit = pull_to_landmarks(answer, xy, seen, world)
    assert off(rotations, truth) < 0.7 * off(answer, truth)
    torch.testing.assert_close(camera, CAMERA, rtol=0.1, atol=10.0)
    assert misfit.max() < 0.1
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand(3, 22, 3, 3), atol=1e-4, rtol=0)


def test_each_person_is_pulled_alone(people):
    _, answer, xy, seen, world = people
    together = pull_to_landmarks(answer, xy, seen, world)
    for row in range(3):
        alone = pull_to_landmarks(*(part[row : row + 1] for part in (answer, xy, seen, world)))
        for one, other in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], other[row], rtol=1e-3, atol=1e-3)


def test_what_is_not_seen_keeps_the_answer(people):
    truth, answer, xy, seen, world = people
    for landmark in LEFT_ARM:
        seen[:, landmark] = 0.02
        xy[:, landmark] += 300.0
    rotations = pull_to_landmarks(answer, xy, seen, world)[0]
    torch.testing.assert_close(rotations[:, (16, 18, 20)], answer[:, (16, 18, 20)], atol=1e-3, rtol=0)
    assert off(rotations, truth, [19, 21]) < 0.75 * off(answer, truth, [19, 21])


def test_nothing_seen_changes_nothing(people):
    _, answer, xy, seen, world = people
    rotations, camera, _ = pull_to_landmarks(answer, xy, 0 * seen, world)
    torch.testing.assert_close(rotations, answer, atol=1e-3, rtol=0)
    assert camera.isfinite().all() and (camera[:, 0] > 0).all()


def test_without_steps_only_the_camera_is_fitted(people):
    truth, _, xy, seen, world = people
    rotations, camera, misfit = pull_to_landmarks(truth, xy, seen, world, steps=0)
    assert torch.equal(rotations, truth)
    torch.testing.assert_close(camera, CAMERA, rtol=1e-3, atol=0.1)
    assert misfit.max() < 1e-3


def test_slopes_are_those_of_the_residuals(people):
    """Against differences, at the answer itself, where turns away from it add up as the jacobian assume."""
    _, answer, xy, seen, world = (part.double() for part in people)
    rest = torch.tensor(REST_JOINTS, dtype=torch.float64)
    problem = _Problem(answer, xy, seen, world, rest)
    camera = problem.camera(answer)
    unit = camera[:, 0].clone()
    values, jacobian = problem.residuals(answer, camera, unit)
    step = 1e-5 * torch.randn(3, 69, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    turned = answer @ axis_angle_to_matrix(step[:, :66].unflatten(1, (22, 3)))
    moved = torch.cat((camera[:, :1] * step[:, 66:67].exp(), camera[:, 1:] + step[:, 67:] * unit[:, None]), dim=1)
    changed = problem.residuals(turned, moved, unit)[0] - values
    near = (values[:, : 2 * len(MARKERS)].unflatten(1, (-1, 2)).norm(dim=-1)) < 2.5
    near = torch.cat((near.repeat_interleave(2, dim=1), torch.ones_like(changed[:, 2 * len(MARKERS) :]).bool()), dim=1)
    predicted = (jacobian @ step[..., None])[..., 0]
    torch.testing.assert_close(changed[near], predicted[near], atol=1e-7, rtol=1e-3)


def test_the_score_falls_with_what_is_hidden_and_with_what_does_not_fit():
    seen = torch.ones(39)
    hidden = seen.clone()
    hidden[25:] = 0.0
    assert 0 < score_of(0.9, hidden, 0.02) < score_of(0.9, seen, 0.02) < 1
    assert score_of(0.9, seen, 0.2) < score_of(0.9, seen, 0.02)
