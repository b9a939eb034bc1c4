# SPDX-License-Identifier: Apache-2.0
"""The Pose class: all conversions round-trip, and errors have clear messages."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.modeling.pose_unipose import FORMAT, Pose


@pytest.fixture
def pose():
    return Pose(np.random.default_rng(0).normal(0, 0.5, (22, 3)))


def test_forms_agree(pose):
    assert pose.axis_angle.shape == (22, 3) and pose.axis_angle.dtype == np.float32
    assert pose.matrix.shape == (22, 3, 3) and pose.rotation_6d.shape == (22, 6)
    assert np.array_equal(pose.rotation_6d, pose.matrix[:, :2].reshape(22, 6))  # rows
    assert np.array_equal(pose.global_orient, pose.axis_angle[0]) and pose.body_pose.shape == (21, 3)
    for other in (
        Pose.from_matrix(pose.matrix),
        Pose.from_6d(pose.rotation_6d),
        Pose.from_axis_angle(pose.axis_angle),
    ):
        np.testing.assert_allclose(other.axis_angle, pose.axis_angle, atol=1e-5)
    np.testing.assert_allclose(Pose.from_6d(2 * pose.rotation_6d).axis_angle, pose.axis_angle, atol=1e-5)


def test_a_half_turn_survives_the_matrix():
    axis_angle = np.zeros((22, 3))
    axis_angle[0] = (0, np.pi, 0)
    axis_angle[5] = (np.pi * np.sqrt(0.5), 0, -np.pi * np.sqrt(0.5))
    pose = Pose(axis_angle)
    np.testing.assert_allclose(Pose.from_matrix(pose.matrix).matrix, pose.matrix, atol=1e-6)


def test_is_a_value(pose):
    assert pose == Pose(torch.from_numpy(pose.axis_angle.copy())) == Pose(pose.axis_angle.tolist()) == Pose(pose)
    assert pose != Pose(pose.axis_angle, betas=np.zeros(10)) and pose != Pose(pose.axis_angle + 1) and pose != 3
    assert len({pose, Pose(pose.axis_angle), Pose(pose, betas=np.ones(10))}) == 2
    assert hash(Pose(np.zeros((22, 3)))) == hash(Pose(np.full((22, 3), -0.0)))
    with pytest.raises(ValueError):
        pose.axis_angle[0, 0] = 1
    with pytest.raises(AttributeError):
        pose.anything = 1
    shaped = Pose(pose, betas=np.arange(10))
    assert pickle.loads(pickle.dumps(shaped)) == shaped == copy.deepcopy(shaped) == Pose(shaped)
    assert np.array_equal(np.asarray(pose), pose.axis_angle)
    assert "joints bent" in repr(pose) and "betas" in repr(shaped)
    source = np.zeros((22, 3), dtype=np.float32)
    kept = Pose(source)
    source += 1
    assert not kept.axis_angle.any()


def test_json_and_dict_are_exact(pose, tmp_path):
    for one in (pose, Pose(pose, betas=np.linspace(-1, 1, 10))):
        assert Pose.from_json(one.save(tmp_path / "pose.json")) == one
        assert Pose.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert pose.to_dict()["format"] == FORMAT and pose.to_dict()["version"] == 1


def test_npz_is_z_up(pose, tmp_path):
    upright = Pose(np.zeros((22, 3)), betas=np.ones(10))
    path = upright.save(tmp_path / "pose.npz")
    with np.load(path) as data:
        assert {"poses", "betas", "trans", "gender", "mocap_framerate"} <= set(data.files)
        np.testing.assert_allclose(data["poses"][0, :3], (np.pi / 2, 0, 0), atol=1e-6)  # y turned up to z
    assert np.allclose(Pose.from_npz(path).axis_angle, 0, atol=1e-6)
    assert np.array_equal(Pose.from_npz(path).betas, np.ones(10))
    again = Pose.from_npz(pose.save(tmp_path / "pose.npz"))
    np.testing.assert_allclose(again.matrix, pose.matrix, atol=1e-5)
    assert again.betas is None


def test_npz_of_amass(tmp_path):
    # one standing frame facing -y, and one turned by 90 degrees to the left about the vertical z
    turned = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=np.float32)  # Rz(90) Rx(90)
    poses = np.zeros((2, 156))
    poses[0, 0] = np.pi / 2
    poses[1, :3] = Pose.from_matrix(np.concatenate((turned[None], np.tile(np.eye(3), (21, 1, 1))))).global_orient
    np.savez(tmp_path / "amass.npz", poses=poses, betas=np.zeros(16), trans=np.zeros((2, 3)), gender="male")
    assert np.allclose(Pose.from_npz(tmp_path / "amass.npz").axis_angle, 0, atol=1e-6)
    assert Pose.from_npz(tmp_path / "amass.npz").betas is None
    np.testing.assert_allclose(
        Pose.from_npz(tmp_path / "amass.npz", frame=-1).global_orient, (0, np.pi / 2, 0), atol=1e-6
    )
    with pytest.raises(ValueError, match="2 frames"):
        Pose.from_npz(tmp_path / "amass.npz", frame=2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Pose(np.zeros((21, 3))), r"\(21, 3\); expected \(22, 3\)"),
        (lambda: Pose(np.zeros((1, 22, 3))), "one pose at a time"),
        (lambda: Pose(np.zeros(66)), r"reshape it to \(22, 3\)"),
        (lambda: Pose(np.full((22, 3), np.nan)), "NaN"),
        (lambda: Pose("standing"), "not numbers"),
        (lambda: Pose(np.zeros((22, 3)), betas=np.zeros(16)), r"betas has shape \(16,\)"),
        (lambda: Pose.from_matrix(np.zeros((22, 3, 3))), "not a rotation"),
        (lambda: Pose.from_matrix(np.tile(np.diag([1, 1, -1]), (22, 1, 1))), "determinant -1"),
        (lambda: Pose.from_matrix(1.01 * np.tile(np.eye(3), (22, 1, 1))), "not a rotation"),
        (lambda: Pose.from_6d(np.ones((22, 6))), "parallel"),
        (lambda: Pose.from_dict({"axis_angle": []}), "format None"),
        (lambda: Pose.from_dict([1]), "list"),
        (lambda: Pose.from_dict({"format": FORMAT, "version": 2}), "version 2"),
        (lambda: Pose.from_dict({"format": FORMAT, "version": 1}), "no 'axis_angle'"),
    ],
)
def test_bad_values(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_bad_files(pose, tmp_path):
    for read in (Pose.from_npz, Pose.from_json):
        with pytest.raises(FileNotFoundError, match="no file"):
            read(tmp_path / "missing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="not a JSON file"):
        Pose.from_json(tmp_path / "text")
    with pytest.raises(ValueError, match="cannot be read"):
        Pose.from_npz(tmp_path / "text")
    np.savez(tmp_path / "other.npz", points=np.zeros(3))
    with pytest.raises(ValueError, match="keys points"):
        Pose.from_npz(tmp_path / "other.npz")
    with pytest.raises(ValueError, match=r"'.fbx'.*\.glb, \.bvh, \.obj, \.npz, \.json"):
        pose.save(tmp_path / "pose.fbx")
    with pytest.raises(ValueError, match="no suffix"):
        pose.save(tmp_path / "pose")
    with pytest.raises(FileNotFoundError, match="folder"):
        pose.save(tmp_path / "nowhere" / "pose.json")
    with pytest.raises(ValueError, match="not the name of an image file"):
        pose.render(tmp_path / "pose.gif", size=32)


def test_damaged_archives(pose, tmp_path):
    whole = pose.save(tmp_path / "pose.npz").read_bytes()
    packed = tmp_path / "packed.npz"
    np.savez_compressed(packed, poses=np.random.default_rng(0).normal(size=(3, 156)))
    path = tmp_path / "damaged.npz"
    np.save(tmp_path / "array.npy", np.zeros((1, 156)))
    for content in (
        whole[: len(whole) // 2],
        _with_a_flipped_byte(whole, 200),
        packed.read_bytes()[:-100],
        _with_a_flipped_byte(packed.read_bytes(), 500),
        (tmp_path / "array.npy").read_bytes(),
        b"",
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged.npz cannot be read as an .npz archive") as caught:
            Pose.from_npz(path)
        assert "\n" not in str(caught.value)


def _with_a_flipped_byte(content, place):
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


def test_body_and_picture(pose, tmp_path):
    joints, vertices, faces = pose.joints, pose.vertices, pose.faces
    assert joints.shape == (22, 3) and vertices.shape[1] == 3 and faces.max() == len(vertices) - 1
    assert not np.allclose(Pose(pose, betas=np.ones(10)).joints, joints)
    image = pose.render(tmp_path / "pose.png", size=64)
    assert image.size == (64, 64) == Image.open(tmp_path / "pose.png").size
    assert pose._repr_png_().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pose.png"]  # no partial file is left


def test_degrees_and_positions_are_not_taken_for_rotations():
    pose = load_open_poses("test").axis_angle[9].numpy()
    with pytest.raises(ValueError, match=r"axis_angle\[\d+\] rotates by .* radians, .*numpy\.radians"):
        Pose(np.degrees(pose))
    with pytest.warns(UserWarning, match=r"axis_angle\[0\] rotates by 7 radians"):
        Pose(np.eye(1, 66).reshape(22, 3) * 7)
    joints = Pose(pose, betas=np.full(10, 1.5)).joints
    for scale in (1, 100, 1000):  # metres, centimetres, millimetres
        with pytest.raises(ValueError, match="looks like the positions of 22 joints"):
            Pose(scale * joints + np.array([0.3, 1.0, 2.0]))


def test_no_rotations_are_taken_for_positions():
    for pose in load_open_poses("all").axis_angle:
        Pose(pose)
    rng = np.random.default_rng(0)
    for size in (0.01, 0.3, 1.0):
        for _ in range(200):
            Pose(rng.normal(size=(22, 3)) * size)
