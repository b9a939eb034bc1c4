# SPDX-License-Identifier: Apache-2.0
import pickle
import sys
import types

import numpy as np
import pytest
import roma
import torch

from unipose_hf.body import (
    JOINT_NAMES,
    LIMBS,
    MIRROR,
    NUM_JOINTS,
    PARENTS,
    TRUNK,
    forward_kinematics,
    load_body,
    mirror_pose,
    remove_yaw,
)
from unipose_hf.body import bake as baking


def random_pose(*batch, seed=0, scale=1.0, dtype=torch.float64):
    return scale * torch.randn(*batch, 22, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def symmetric_rest():
    rest = torch.randn(22, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    flipped = rest[list(MIRROR)] * torch.tensor([-1.0, 1, 1], dtype=torch.float64)
    return (rest + flipped) / 2


def bone_lengths(joints):
    return (joints[..., 1:, :] - joints[..., list(PARENTS[1:]), :]).norm(dim=-1)


def test_the_skeleton_is_a_tree_whose_mirror_keeps_parents():
    assert len(JOINT_NAMES) == len(PARENTS) == len(MIRROR) == 22
    assert all(PARENTS[j] < j for j in range(22))
    for joint, other in enumerate(MIRROR):
        assert MIRROR[other] == joint
        assert JOINT_NAMES[other] == JOINT_NAMES[joint].replace("left", "*").replace("right", "left").replace(
            "*", "right"
        )
        if joint:
            assert MIRROR[PARENTS[joint]] == PARENTS[other]


def test_limbs_keep_to_their_side_and_share_out_the_joints():
    for name, limb in LIMBS.items():
        side = name.partition("_")[0]
        if side != "head":
            assert all(JOINT_NAMES[joint].startswith(f"{side}_") for joint in limb), name
        assert all(PARENTS[joint] == before for before, joint in zip(limb, limb[1:], strict=False))  # a chain
        other = {"left": "right", "right": "left"}.get(side, side)
        assert [MIRROR[joint] for joint in limb] == list(LIMBS[name.replace(side, other)])
        assert PARENTS[limb[0]] in TRUNK
    joints = [*TRUNK, *(joint for limb in LIMBS.values() for joint in limb)]
    assert sorted(joints) == list(range(NUM_JOINTS))
    assert [JOINT_NAMES[joint] for joint in LIMBS["left_arm"]] == [
        "left_collar",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
    ]


def test_kinematics_keep_bone_lengths_and_the_pelvis():
    rest = symmetric_rest()
    joints, turned = forward_kinematics(roma.rotvec_to_rotmat(random_pose(4, 3)), rest)
    assert joints.shape == (4, 3, 22, 3) and turned.shape == (4, 3, 22, 3, 3)
    torch.testing.assert_close(bone_lengths(joints), bone_lengths(rest).expand(4, 3, 21))
    torch.testing.assert_close(joints[..., 0, :], rest[0].expand(4, 3, 3))


def test_kinematics_match_a_joint_by_joint_walk():
    rest, local = symmetric_rest(), roma.rotvec_to_rotmat(random_pose())
    joints, turned = forward_kinematics(local, rest)
    for joint in range(1, 22):
        parent = PARENTS[joint]
        torch.testing.assert_close(turned[joint], turned[parent] @ local[joint])
        torch.testing.assert_close(joints[joint], joints[parent] + turned[parent] @ (rest[joint] - rest[parent]))


def test_kinematics_batch_dimensions_broadcast():
    local = roma.rotvec_to_rotmat(random_pose(2, 1))
    rest = symmetric_rest() * torch.tensor([1.0, 1.1, 1.2], dtype=torch.float64)[:, None, None]
    joints, _ = forward_kinematics(local, rest)
    assert joints.shape == (2, 3, 22, 3)
    torch.testing.assert_close(joints[1, 2], forward_kinematics(local[1, 0], rest[2])[0])
    assert forward_kinematics(local[:0], rest[0])[0].shape == (0, 1, 22, 3)


def test_kinematics_gradients():
    local = roma.rotvec_to_rotmat(random_pose(1, scale=0.3)).requires_grad_()
    rest = symmetric_rest().requires_grad_()
    assert torch.autograd.gradcheck(lambda *x: forward_kinematics(*x)[0], (local, rest))


def test_the_mirrored_pose_has_mirrored_joints():
    pose, rest = random_pose(5), symmetric_rest()
    joints, _ = forward_kinematics(roma.rotvec_to_rotmat(pose), rest)
    mirrored, _ = forward_kinematics(roma.rotvec_to_rotmat(mirror_pose(pose)), rest)
    torch.testing.assert_close(mirrored, joints[:, list(MIRROR)] * torch.tensor([-1.0, 1, 1], dtype=torch.float64))
    assert torch.equal(mirror_pose(mirror_pose(pose)), pose)


def test_remove_yaw_forgets_the_turn_and_keeps_pitch_and_roll():
    pose = random_pose(6)
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, 2.3, 0.0], dtype=torch.float64))
    turned = pose.clone()
    turned[:, 0] = roma.rotmat_to_rotvec(turn @ roma.rotvec_to_rotmat(pose[:, 0]))
    torch.testing.assert_close(remove_yaw(turned), remove_yaw(pose))
    assert torch.equal(remove_yaw(pose)[:, 1:], pose[:, 1:])
    kept = roma.rotvec_to_rotmat(remove_yaw(pose)[:, 0])
    torch.testing.assert_close(kept[:, 1], roma.rotvec_to_rotmat(pose[:, 0])[:, 1])  # heights do not change
    assert kept[:, 2, 0].abs().max() < 1e-12 and (kept[:, 0, 0] > 0).all()


def test_remove_yaw_agrees_with_the_z_up_decomposition():
    pose = random_pose(6)
    z_up = roma.rotvec_to_rotmat(torch.tensor([torch.pi / 2, 0, 0], dtype=torch.float64))
    m = z_up @ roma.rotvec_to_rotmat(pose[:, 0])
    a, b = torch.atan2(m[:, 2, 1], m[:, 2, 2]), torch.atan2(-m[:, 2, 0], m[:, 2, 1:].norm(dim=-1))
    expected = z_up.T @ roma.euler_to_rotmat("YX", torch.stack([b, a], dim=-1))
    torch.testing.assert_close(roma.rotvec_to_rotmat(remove_yaw(pose)[:, 0]), expected)


def test_remove_yaw_of_an_upright_body_and_of_one_on_its_side():
    pose = torch.zeros(2, 22, 3)
    pose[0, 0, 1] = -2.0
    pose[1, 0, 2] = torch.pi / 2
    upright = remove_yaw(pose)
    torch.testing.assert_close(upright[0], torch.zeros(22, 3))
    torch.testing.assert_close(upright[1], pose[1])


def test_wrong_poses_are_refused():
    with pytest.raises(ValueError, match=r"\(21, 3, 3\)"):
        forward_kinematics(torch.zeros(21, 3, 3), torch.zeros(22, 3))
    with pytest.raises(ValueError, match="rest_joints"):
        forward_kinematics(torch.zeros(22, 3, 3), torch.zeros(24, 3))
    for function in mirror_pose, remove_yaw:
        with pytest.raises(ValueError, match=r"\(66,\)"):
            function(torch.zeros(66))
        with pytest.raises(ValueError, match="NaN"):
            function(torch.full((22, 3), float("nan")))
        with pytest.raises(ValueError, match="floating-point"):
            function(torch.zeros(22, 3, dtype=torch.long))


# The bundled body


@pytest.fixture(scope="module", params=["small", "full"])
def body(request):
    return load_body(size=request.param)


@pytest.fixture(scope="module")
def small():
    return load_body(size="small")


def identity(*batch):
    return torch.eye(3).expand(*batch, 22, 3, 3)


def joint(name):
    return JOINT_NAMES.index(name)


def test_the_body_at_rest_is_a_t_pose_that_faces_the_viewer(body):
    joints, vertices = body(identity())
    torch.testing.assert_close(joints, body.rest_joints)
    torch.testing.assert_close(vertices, body.v_template, atol=1e-6, rtol=0)
    torch.testing.assert_close(joints[0], torch.zeros(3))
    for side, sign in ("left", 1), ("right", -1):
        arm = joints[[joint(f"{side}_{name}") for name in ("shoulder", "elbow", "wrist")]]
        assert (arm.diff(dim=0)[:, 0] * sign > 0.2).all()
        assert arm.diff(dim=0)[:, 1:].abs().max() < 1e-5
        foot = joints[joint(f"{side}_foot")] - joints[joint(f"{side}_ankle")]
        assert foot[2] > 0.1 and joints[joint(f"{side}_ankle"), 1] < -0.8
    head = vertices[vertices[:, 1] > joints[joint("head"), 1]]
    assert head[:, 2].max() - joints[joint("head"), 2] > joints[joint("head"), 2] - head[:, 2].min()  # the nose
    assert 1.65 < vertices[:, 1].max() - vertices[:, 1].min() < 1.75


def test_the_two_meshes_share_their_skeleton_and_shapes(small):
    full = load_body()
    assert (small.num_vertices, full.num_vertices) == (1229, 13718)
    assert len(small.faces) == 2454 and len(full.faces) == 27420
    assert torch.equal(small.rest_joints, full.rest_joints)
    assert torch.equal(small.joint_shapedirs, full.joint_shapedirs)
    nearest = torch.cdist(small.v_template, full.v_template).min(dim=1)
    assert nearest.values.max() < 0.03  # the small mesh has no toes
    difference = small.shapedirs - full.shapedirs[nearest.indices]
    assert difference.abs().max() < 0.02


def test_faces_point_outwards(body):
    assert body.faces.dtype == torch.int64 and body.faces.max() < body.num_vertices
    a, b, c = body.v_template[body.faces].unbind(1)
    volume = (a * torch.linalg.cross(b, c)).sum() / 6
    assert 0.04 < volume < 0.1  # cubic metres; negative if the triangles were turned inside out


def test_weights_sum_to_one(body):
    assert body.lbs_weights.shape == (body.num_vertices, 22)
    assert (body.lbs_weights >= 0).all() and (body.lbs_weights > 0).sum(dim=1).max() <= 4
    torch.testing.assert_close(body.lbs_weights.sum(dim=1), torch.ones(body.num_vertices))


def test_body_bone_lengths_stay(small):
    joints = small.joints(roma.rotvec_to_rotmat(random_pose(7, dtype=torch.float32)))
    torch.testing.assert_close(bone_lengths(joints), bone_lengths(small.rest_joints).expand(7, 21))


def test_the_body_is_its_own_mirror_image(body):
    pose = random_pose(2, scale=0.4, dtype=torch.float32)
    flip = torch.tensor([-1.0, 1, 1])
    _, partner = torch.cdist(body.v_template * flip, body.v_template).min(dim=1)
    joints, vertices = body(roma.rotvec_to_rotmat(pose))
    flipped_joints, flipped_vertices = body(roma.rotvec_to_rotmat(mirror_pose(pose)))
    torch.testing.assert_close(flipped_joints, joints[:, list(MIRROR)] * flip, atol=1e-5, rtol=0)
    torch.testing.assert_close(flipped_vertices[:, partner], vertices * flip, atol=2e-3, rtol=0)


def test_a_turn_of_the_whole_body_is_rigid(small):
    pose = random_pose(scale=0.4, dtype=torch.float32)
    turn = roma.rotvec_to_rotmat(torch.tensor([0.3, 1.0, -2.0]))
    rotations = roma.rotvec_to_rotmat(pose)
    turned = rotations.clone()
    turned[0] = turn @ rotations[0]
    for before, after in zip(small(rotations), small(turned), strict=True):
        torch.testing.assert_close(after, before @ turn.T, atol=1e-5, rtol=0)


def test_the_skin_follows_its_joint(body):
    pose = torch.zeros(22, 3)
    pose[joint("left_elbow"), 1] = -torch.pi / 2  # forearm forward
    joints, vertices = body(roma.rotvec_to_rotmat(pose))
    hand = body.lbs_weights[:, joint("left_wrist")] > 0.99
    rest = body.v_template[hand] - body.rest_joints[joint("left_wrist")]
    bent = vertices[hand] - joints[joint("left_wrist")]
    torch.testing.assert_close(bent, torch.stack([-rest[:, 2], rest[:, 1], rest[:, 0]], dim=1), atol=5e-3, rtol=0)
    still = body.lbs_weights[:, [joint("left_elbow"), joint("left_wrist")]].sum(dim=1) == 0
    torch.testing.assert_close(vertices[still], body.v_template[still], atol=1e-5, rtol=0)


def test_edges_of_the_skin_do_not_tear(body):
    edges = torch.cat([body.faces[:, [0, 1]], body.faces[:, [1, 2]], body.faces[:, [2, 0]]])
    pose = torch.zeros(3, 22, 3)
    pose[0, joint("left_shoulder"), 2], pose[0, joint("right_shoulder"), 2] = -1.3, 1.3  # arms down
    pose[1, joint("left_elbow"), 1], pose[1, joint("left_knee"), 0] = -2.0, 2.0
    pose[2, joint("left_hip"), 0], pose[2, joint("left_wrist"), 2] = -1.5, 1.0
    vertices = torch.cat([body.v_template[None], body(roma.rotvec_to_rotmat(pose)).vertices])
    rest, *posed = (vertices[:, edges[:, 0]] - vertices[:, edges[:, 1]]).norm(dim=-1)
    assert all((lengths < 2 * rest + 0.02).all() for lengths in posed)


def test_betas_change_the_height_and_keep_the_pelvis(body):
    betas = torch.zeros(2, 10)
    betas[:, 0] = torch.tensor([-2.0, 2.0])
    joints, vertices = body(identity(), betas)
    heights = vertices[..., 1].amax(dim=-1) - vertices[..., 1].amin(dim=-1)
    assert heights[0] < 1.55 and heights[1] > 1.85
    torch.testing.assert_close(joints[:, 0], torch.zeros(2, 3))
    assert joints[1, joint("head"), 1] > joints[0, joint("head"), 1] + 0.09
    torch.testing.assert_close(body.joints(identity(), betas), joints)
    torch.testing.assert_close(body.rest(betas).vertices, vertices, atol=1e-5, rtol=0)


def test_body_batch_dimensions(small):
    rotations = roma.rotvec_to_rotmat(random_pose(2, 3, dtype=torch.float32))
    betas = torch.randn(3, 10, generator=torch.Generator().manual_seed(1))
    joints, vertices = small(rotations, betas)
    assert joints.shape == (2, 3, 22, 3) and vertices.shape == (2, 3, 1229, 3)
    one = small(rotations[1, 2], betas[2])
    torch.testing.assert_close(vertices[1, 2], one.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(joints[1, 2], one.joints, atol=1e-5, rtol=0)
    assert small(rotations[:0]).vertices.shape == (0, 3, 1229, 3)


def test_body_gradients():
    body = load_body(size="small").double()
    keep = torch.arange(0, body.num_vertices, 200)
    for name in ("v_template", "lbs_weights", "shapedirs"):
        setattr(body, name, getattr(body, name)[keep])
    rotations = roma.rotvec_to_rotmat(random_pose(1, scale=0.4)).requires_grad_()
    betas = torch.full((1, 10), 0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *x: tuple(body(*x)), (rotations, betas))


def test_body_saves_nothing_in_a_state_dict(small):
    assert not small.state_dict()  # the body is part of the package, not of each checkpoint


def test_wrong_body_inputs_are_refused(small):
    with pytest.raises(ValueError, match=r"\(21, 3, 3\)"):
        small(torch.zeros(21, 3, 3))
    with pytest.raises(ValueError, match="NaN"):
        small(torch.full((22, 3, 3), float("nan")))
    with pytest.raises(ValueError, match="NaN"):
        small.joints(torch.full((22, 3, 3), float("inf")))
    with pytest.raises(ValueError, match=r"\(\.\.\., 10\), found \(4,\)"):
        small(identity(), torch.zeros(4))
    with pytest.raises(ValueError, match="betas must be a floating-point"):
        small(identity(), [0.0] * 10)
    with pytest.raises(ValueError, match='"full" or "small", found \'tiny\''):
        load_body(size="tiny")


# Steps of the bake, on small synthetic bodies


def test_bake_folds_fingers_onto_the_wrist():
    names = ["Hips", "LeftHand", "LeftHandIndex1", "LeftHandIndex2"]
    weights = torch.tensor([[0.5, 0.3, 0.2]])
    dense = baking.fold_weights(weights, torch.tensor([[0, 2, 3]]), names, [-1, 0, 1, 2])
    assert dense.shape == (1, 22)
    torch.testing.assert_close(dense[0, [joint("pelvis"), joint("left_wrist")]], torch.tensor([0.5, 0.5]))


def test_bake_finds_mirror_partners_and_refuses_lopsided_meshes():
    half = torch.rand(5, 3, generator=torch.Generator().manual_seed(0)) + 0.1
    partner = baking.mirror_vertices(torch.cat([half, half * torch.tensor([-1.0, 1, 1])]).double())
    assert partner.tolist() == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="not left-right symmetric"):
        baking.mirror_vertices(half.double())


def test_bake_smoothing_keeps_the_sum_and_spreads():
    weights = torch.zeros(4, 22)
    weights[0, 3] = weights[1, 3] = weights[2, 4] = weights[3, 4] = 1
    smooth = baking.smooth_weights(weights, torch.tensor([[0, 1, 2], [1, 3, 2]]), 2)
    torch.testing.assert_close(smooth.sum(dim=1), torch.ones(4))
    assert 0 < smooth[0, 4] < 1


def test_bake_straightens_hanging_arms_and_skinning_bends_them_back():
    joints = load_body(size="small").rest_joints.double()[None].clone()
    for side, sign in ("left", 1.0), ("right", -1.0):
        shoulder = joints[0, joint(f"{side}_shoulder")]
        joints[0, joint(f"{side}_elbow")] = shoulder + torch.tensor([0.2 * sign, -0.2, 0.0])
        joints[0, joint(f"{side}_wrist")] = shoulder + torch.tensor([0.35 * sign, -0.35, 0.2])
    knuckle = joints[:, joint("left_wrist")] + torch.tensor([0.05, -0.05, 0.08])
    turns = baking.straighten_arms(joints, knuckle)
    weights = torch.rand(9, 22, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights[0] = torch.eye(22, dtype=torch.float64)[joint("left_wrist")]
    weights = weights / weights.sum(dim=1, keepdim=True)
    skin = torch.rand(1, 9, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    skin[0, 0] = knuckle[0]
    t_skin, t_joints = baking.to_t_pose(skin, joints, turns, weights)
    arm = t_joints[0, [joint(f"left_{name}") for name in ("shoulder", "elbow", "wrist")]]
    arm = torch.cat([arm, t_skin[0, :1]])
    assert (arm.diff(dim=0)[:, 0] > 0.05).all() and arm.diff(dim=0)[:, 1:].abs().max() < 1e-9
    torch.testing.assert_close(bone_lengths(t_joints), bone_lengths(joints))
    # undoing the straightening restores the body with hanging arms
    back = turns.mT.clone()
    for child in range(1, 22):
        back[:, child] = turns[:, PARENTS[child]] @ turns[:, child].mT
    placed, turned = forward_kinematics(back, t_joints)
    torch.testing.assert_close(placed, joints)
    moved = torch.einsum("njab,nvjb->nvja", turned, t_skin[:, :, None] - t_joints[:, None]) + placed[:, None]
    torch.testing.assert_close((weights[None, ..., None] * moved).sum(dim=2), skin)


def test_bake_shape_components_are_unit_and_taller_is_positive():
    heights = 1 + 0.1 * torch.randn(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = 0.001 * torch.randn(40, 6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    bodies = torch.rand(6, 3, dtype=torch.float64) * heights[:, None, None] + noise
    scores, explained = baking.shape_scores(bodies)
    assert scores.shape == (40, 10) and 0.99 < explained <= 1
    torch.testing.assert_close(scores.std(dim=0), torch.ones(10, dtype=torch.float64))
    assert torch.corrcoef(torch.stack([scores[:, 0], heights]))[0, 1] > 0.99
    directions = baking.shape_directions(bodies, scores)
    rebuilt = bodies.mean(dim=0) + torch.einsum("nk,vck->nvc", scores, directions)
    assert (rebuilt - bodies).abs().max() < 0.01


def test_bake_without_anny_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "anny", None)
    with pytest.raises(ImportError, match=r"pip install 'unipose-hf\[bake\]'"):
        baking.bake(tmp_path)


# SMPL-family files of the user: tiny files with the real layout and synthetic values


def smpl_arrays(joints=24, vertices=40, betas=12, seed=0):
    random = np.random.default_rng(seed)
    parents = list(PARENTS) + [20 + k % 2 for k in range(joints - 22)]
    parents[0] = 2**32 - 1
    regressor = random.random((joints, vertices))
    weights = random.random((vertices, joints))
    return {
        "v_template": random.normal(size=(vertices, 3)),
        "shapedirs": 0.1 * random.normal(size=(vertices, 3, betas)),
        "posedirs": 0.01 * random.normal(size=(vertices, 3, 9 * (joints - 1))),
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "f": random.integers(0, vertices, size=(50, 3)).astype(np.uint32),
        "kintree_table": np.array([parents, range(joints)], dtype=np.uint32),
    }


def smpl_by_hand(arrays, local, betas):
    """SMPL's definition, joint by joint: shape, correctives, skinning with every joint of the file."""
    count = arrays["weights"].shape[1]
    shaped = arrays["v_template"] + arrays["shapedirs"][..., :10] @ betas
    rest = arrays["J_regressor"] @ shaped
    rotations = np.concatenate([local, np.broadcast_to(np.eye(3), (count - 22, 3, 3))])
    shaped = shaped + arrays["posedirs"] @ (rotations[1:] - np.eye(3)).ravel()
    turned, placed = [rotations[0]], [rest[0]]
    for child in range(1, count):
        parent = int(arrays["kintree_table"][0, child])
        turned.append(turned[parent] @ rotations[child])
        placed.append(placed[parent] + turned[parent] @ (rest[child] - rest[parent]))
    moved = np.stack([(shaped - rest[j]) @ turned[j].T + placed[j] for j in range(count)], axis=1)
    return np.stack(placed[:22]) - rest[0], (arrays["weights"][..., None] * moved).sum(axis=1) - rest[0]


@pytest.mark.parametrize("joints, model_type", [(24, "smpl"), (52, "smplh"), (55, "smplx")])
def test_smpl_family_files_follow_the_definition(tmp_path, joints, model_type):
    arrays = smpl_arrays(joints)
    np.savez(tmp_path / "model.npz", **arrays, hands_meanl=np.ones(45))
    body = load_body(tmp_path / "model.npz")
    assert body.model_type == model_type and body.num_vertices == 40 and body.faces.shape == (50, 3)
    rotations = roma.rotvec_to_rotmat(random_pose(2, 3, scale=0.5))
    betas = torch.randn(3, 10, generator=torch.Generator().manual_seed(3))
    output = body(rotations, betas)
    assert output.joints.shape == (2, 3, 22, 3) and output.vertices.shape == (2, 3, 40, 3)
    for i, j in (0, 1), (1, 2):
        expected = smpl_by_hand(arrays, rotations[i, j].numpy(), betas[j].double().numpy())
        for ours, reference in zip(output, expected, strict=True):
            torch.testing.assert_close(ours[i, j].double(), torch.from_numpy(reference), atol=1e-5, rtol=0)
    torch.testing.assert_close(body.joints(rotations, betas), output.joints, atol=1e-5, rtol=0)
    at_rest = body(identity())
    torch.testing.assert_close(at_rest.joints, body.rest_joints, atol=1e-6, rtol=0)
    torch.testing.assert_close(at_rest.vertices, body.v_template, atol=1e-6, rtol=0)
    torch.testing.assert_close(body.rest(betas[0]).vertices, body(identity(), betas[0]).vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(body.lbs_weights.sum(dim=1), torch.ones(40))


def foreign_object(monkeypatch, module, name, **state):
    """An instance of a class of another package, which need not exist here."""
    cls = type(name, (), {"__module__": module})
    stand_in = types.ModuleType(module)
    setattr(stand_in, name, cls)
    monkeypatch.setitem(sys.modules, module, stand_in)
    package = module.split(".")[0]  # also needed to pickle the class
    monkeypatch.setitem(sys.modules, package, sys.modules.get(package, types.ModuleType(package)))
    instance = cls()
    vars(instance).update(state)
    return instance


def test_smpl_pickles_with_sparse_and_chumpy_fields_are_read_without_those_packages(tmp_path, monkeypatch):
    arrays = smpl_arrays()
    values = np.concatenate([np.zeros(5), arrays["shapedirs"].ravel()])
    variable = foreign_object(monkeypatch, "chumpy.ch", "Ch", x=values, _dirty_vars={"x"}, _itr=None)
    shapedirs = foreign_object(
        monkeypatch,
        "chumpy.reordering",
        "Select",
        a=variable,
        idxs=5 + np.arange(arrays["shapedirs"].size),
        preferred_shape=arrays["shapedirs"].shape,
    )
    stored = dict(arrays, bs_type="lrotmin", shapedirs=shapedirs, J=variable)
    np.savez(tmp_path / "plain.npz", **arrays)
    rotations = roma.rotvec_to_rotmat(random_pose(scale=0.5))
    expected = load_body(tmp_path / "plain.npz")(rotations, torch.ones(10)).vertices
    dense = arrays["J_regressor"]
    rows, columns = dense.shape
    by_column = foreign_object(
        monkeypatch,
        "scipy.sparse.csc",
        "csc_matrix",
        _shape=dense.shape,
        data=dense.T.ravel(),
        indices=np.tile(np.arange(rows), columns),
        indptr=np.arange(0, dense.size + 1, rows),
    )
    by_row = foreign_object(
        monkeypatch,
        "scipy.sparse._csr",
        "csr_matrix",
        _shape=dense.shape,
        data=dense.ravel(),
        indices=np.tile(np.arange(columns), rows),
        indptr=np.arange(0, dense.size + 1, columns),
    )
    for protocol, matrix in (0, by_column), (2, by_column), (4, by_row):
        stored["J_regressor"] = matrix
        (tmp_path / "basicmodel.pkl").write_bytes(pickle.dumps(stored, protocol=protocol))
        body = load_body(tmp_path / "basicmodel.pkl")
        torch.testing.assert_close(body(rotations, torch.ones(10)).vertices, expected)


class Trap:
    def __reduce__(self):
        return print, ("code from the file ran",)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path, capsys):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(dict(smpl_arrays(), trap=Trap())))
    with pytest.raises(ValueError, match=r"cannot be read as plain arrays \(it names builtins.print, .*savez"):
        load_body(path)
    assert capsys.readouterr().out == ""


def test_wrong_smpl_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.npz.*smpl\.is\.tue\.mpg\.de"):
        load_body(tmp_path / "absent.npz")
    with pytest.raises(ValueError, match="is a folder"):
        load_body(tmp_path)
    (tmp_path / "model.fbx").write_bytes(b"")
    with pytest.raises(ValueError, match="neither .npz nor .pkl"):
        load_body(tmp_path / "model.fbx")
    (tmp_path / "broken.npz").write_bytes(b"not a zip")
    with pytest.raises(ValueError, match="cannot be read"):
        load_body(tmp_path / "broken.npz")
    np.savez(tmp_path / "motion.npz", poses=np.zeros((1, 156)))
    with pytest.raises(ValueError, match="lacks v_template"):
        load_body(tmp_path / "motion.npz")
    np.savez(tmp_path / "mano.npz", **smpl_arrays(joints=30))
    with pytest.raises(ValueError, match=r"30 joints; expected 24 \(SMPL\)"):
        load_body(tmp_path / "mano.npz")
    np.savez(tmp_path / "cut.npz", **dict(smpl_arrays(), weights=np.zeros((39, 24))))
    with pytest.raises(ValueError, match=r"weights has shape \(39, 24\), expected \(40, 24\)"):
        load_body(tmp_path / "cut.npz")
    arrays = smpl_arrays()
    arrays["kintree_table"][0, 5] = 1
    np.savez(tmp_path / "order.npz", **arrays)
    with pytest.raises(ValueError, match="not in SMPL's order"):
        load_body(tmp_path / "order.npz")


def test_a_missing_smplx_names_the_extra(tmp_path, monkeypatch):
    np.savez(tmp_path / "model.npz", **smpl_arrays())
    monkeypatch.setitem(sys.modules, "smplx", None)
    monkeypatch.delitem(sys.modules, "smplx.lbs", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'unipose-hf\[smpl\]'"):
        load_body(tmp_path / "model.npz")
