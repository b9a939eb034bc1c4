# SPDX-License-Identifier: Apache-2.0
"""Limbs that are locked, that changed, and that are tinted; limits of joints."""

import numpy as np
import pytest
import roma
import torch

import unipose_hf
from unipose_hf import Pose
from unipose_hf.app import edit
from unipose_hf.app.joint_limits import for_browser, pose_limits
from unipose_hf.app.limbs import PARTS, changed_parts, in_words, keep_locked
from unipose_hf.app.tinting import write_tinted
from unipose_hf.body import JOINT_NAMES
from unipose_hf.data.language import angles_to_axis_angle, load_language_bank
from unipose_hf.data.synthesis.joint_limits import mirror_coordinates, swing_twist

ELBOW, KNEE = JOINT_NAMES.index("left_elbow"), JOINT_NAMES.index("left_knee")


def random_pose(seed):
    return Pose(np.random.default_rng(seed).normal(0, 0.5, (22, 3)))


def test_every_joint_is_in_one_part():
    assert sorted(joint for joints in PARTS.values() for joint in joints) == list(range(22))


@pytest.mark.parametrize("free", [["left arm"], ["head", "right leg"], list(PARTS)])
def test_locked_limbs_keep_their_rotations_and_the_others_change(free):
    before, after = random_pose(1), random_pose(2)
    kept = keep_locked(before, after, free)
    moving = [joint for part in free for joint in PARTS[part]]
    locked = [joint for joint in range(22) if joint not in moving]
    np.testing.assert_array_equal(kept.axis_angle[locked], before.axis_angle[locked])
    np.testing.assert_array_equal(kept.axis_angle[moving], after.axis_angle[moving])
    assert set(changed_parts(before, kept)) == set(free)


def test_small_turns_are_no_change_and_turns_by_a_whole_circle_neither():
    vectors = np.zeros((22, 3))
    vectors[ELBOW, 1] = np.radians(7)
    assert changed_parts(Pose(np.zeros((22, 3))), Pose(vectors)) == []
    vectors[ELBOW, 1] = np.radians(9)
    assert changed_parts(Pose(np.zeros((22, 3))), Pose(vectors)) == ["left arm"]
    vectors[ELBOW, 1] = np.radians(-359)
    assert changed_parts(Pose(np.zeros((22, 3))), Pose(vectors)) == []
    assert in_words(["head"]) == "head" and in_words(["head", "torso", "hips"]) == "head, torso and hips"


def test_an_edit_by_words_leaves_locked_limbs_alone():
    pose = unipose_hf.named_pose("warrior two")
    changed = edit(pose.to_dict(), "Lower both arms.", free=["left arm"])
    after = Pose.from_dict(changed["pose"])
    locked = [joint for joint in range(22) if joint not in PARTS["left arm"]]
    np.testing.assert_array_equal(after.axis_angle[locked], pose.axis_angle[locked])
    assert changed["changed"] == ["left arm"] and after.joints[20, 1] < pose.joints[20, 1] - 0.2
    with pytest.raises(ValueError, match=r"locked \(right arm"):
        edit(pose.to_dict(), "Lower the right arm.", free=["left arm"])
    with pytest.raises(ValueError, match="no limb 'tail'; the limbs are left arm"):
        edit(pose.to_dict(), "Lower the right arm.", free=["tail"])
    with pytest.raises(ValueError, match="Every limb is locked"):
        edit(pose.to_dict(), "Lower the right arm.", free=[])


def test_limits_are_anatomical_and_mirrored():
    low, high = pose_limits().rad2deg()
    assert low[ELBOW, 1] < -140 and high[ELBOW, 1] < 10  # the forearm bends forwards alone
    assert high[KNEE, 0] > 130 and low[KNEE, 0] > -10
    assert torch.isinf(low[0]).all()
    mirrored = mirror_coordinates(pose_limits()[:, 1:].new_zeros(2, 22, 3) + pose_limits().nan_to_num()).sort(0).values
    torch.testing.assert_close(mirrored[:, 1:], pose_limits()[:, 1:], atol=1e-4, rtol=0)


def test_nearly_every_joint_of_the_named_poses_is_within_the_limits():
    named = swing_twist(roma.rotvec_to_rotmat(angles_to_axis_angle(load_language_bank().named_angles)))
    low, high = pose_limits()
    outside = ((named < low - 0.02) | (named > high + 0.02)).any(-1).float().mean(0)
    assert outside.max() < 0.07 and outside.mean() < 0.015
    sent = for_browser()
    assert sent["low"][0] is None and sent["high"][KNEE] == pytest.approx(high[KNEE].rad2deg().tolist(), abs=0.06)


def test_only_the_limb_is_tinted_and_the_file_stays_a_pose(tmp_path):
    from pygltflib import GLTF2

    pose = unipose_hf.named_pose("warrior two")
    plain = pose.save(tmp_path / "plain.glb")
    tinted = write_tinted(plain, ["left arm"], tmp_path / "tinted.glb")
    np.testing.assert_allclose(Pose.from_glb(tinted).joints, pose.joints, atol=1e-4)

    def columns(path):
        file = GLTF2().load_binary(str(path))
        attributes = file.meshes[0].primitives[0].attributes
        for name, kind in (("COLOR_0", np.uint16), ("JOINTS_0", np.uint8), ("WEIGHTS_0", np.float32)):
            accessor = file.accessors[getattr(attributes, name)]
            start = file.bufferViews[accessor.bufferView].byteOffset
            yield np.frombuffer(file.binary_blob(), kind, 4 * accessor.count, start).reshape(-1, 4)

    before, joints, weights = columns(plain)
    after, *_ = columns(tinted)
    share = (np.isin(joints, PARTS["left arm"]) * weights).sum(1)
    assert (after[share == 0] == before[share == 0]).all()
    assert (after[share > 0.9, 0] > after[share > 0.9, 2] + 20000).all()  # orange
