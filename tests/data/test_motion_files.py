# SPDX-License-Identifier: Apache-2.0
"""Rotations in files of other programs: npz layouts, pose estimator results, and files without rotations."""

import json
import pickle
import warnings

import numpy as np
import pytest
import torch

from miniatures import HALF_TURN, QUARTER_TURN, standing
from unipose_hf.body import JOINT_NAMES
from unipose_hf.data.formats.pose_files import read_pose, read_poses
from unipose_hf.data.formats.smpl_rows import WIDTHS
from unipose_hf.data.sources.amass import load_motion
from unipose_hf.modeling.pose_unipose import Pose

UPRIGHT = (0.0, 0.0, 0.0)


def upright(path, **reading):
    """Whether the first frame of a file stands and faces the viewer."""
    pose = Pose(read_poses(path, **reading)[0])
    places = dict(zip(JOINT_NAMES, pose.joints, strict=True))
    assert places["head"][1] > 0.5 and places["left_ankle"][1] < -0.5 and pose.matrix[0, 2, 2] > 0.99
    return True


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


# --- which way is up ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("root", [UPRIGHT, QUARTER_TURN])
def test_amass_style_files_of_either_world_stand(tmp_path, width, root):
    assert upright(save(tmp_path / "a.npz", poses=standing(3, width, root), gender="male", mocap_framerate=120.0))


def test_files_of_beat_are_y_up_even_if_nobody_stands(tmp_path):
    lying = standing(2, 165, (0, 0, np.pi / 2))
    path = save(tmp_path / "a.npz", poses=lying, model="smplx2020", expressions=np.zeros((2, 100)), gender="neutral")
    np.testing.assert_allclose(read_poses(path)[0, 0], lying[0, :3], atol=1e-6)


@pytest.mark.parametrize("place", [(3.0, 0.3, 0.15), (0.2, 2.0, 0.2)])
def test_who_lies_in_amass_lies(tmp_path, place):
    """Lying with the head to the world's y looks like standing in a y-up world, but for the height."""
    lying = standing(2, 156, UPRIGHT)
    path = save(tmp_path / "a.npz", poses=lying, trans=np.tile(place, (2, 1)), gender="male", mocap_framerate=60.0)
    with pytest.warns(UserWarning, match="reading it as z up, as in AMASS. Set up"):
        assert abs(Pose(read_poses(path)[0]).joints[15, 1]) < 0.1
    assert upright(path, up="y")
    lying[:, :3] = (-0.3, 1.1, 2.2)  # along no axis
    path = save(tmp_path / "b.npz", poses=lying, trans=np.tile(place, (2, 1)), gender="male", mocap_framerate=60.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(read_poses(path), read_poses(path, up="z"))


def test_what_names_and_motion_do_not_tell_is_said(tmp_path):
    lying = np.array([[0, 0, np.pi / 2]])
    parts = save(tmp_path / "parts.npz", global_orient=lying, body_pose=np.zeros((1, 63)))
    with pytest.raises(ValueError, match=r"parts\.npz does not tell which axis points up.* up \(--up\)"):
        read_poses(parts)
    np.testing.assert_allclose(read_poses(parts, up="y")[0, 0], lying[0], atol=1e-6)
    rows = save(tmp_path / "rows.npz", poses=np.concatenate([lying, np.zeros((1, 69))], axis=1))
    with pytest.warns(UserWarning, match=r"rows\.npz does not tell .* reading it as z up"):
        found = read_poses(rows)
    np.testing.assert_allclose(found, read_poses(rows, up="z"), atol=1e-6)
    with pytest.raises(ValueError, match="up is 'up'"):
        read_poses(rows, up="up")


@pytest.mark.parametrize(("root", "up"), [(UPRIGHT, "y"), (QUARTER_TURN, "z"), (HALF_TURN, "-y")])
@pytest.mark.parametrize("names", [("global_orient", "body_pose"), ("root_orient", "pose_body")])
@pytest.mark.parametrize("joints", [21, 23])
def test_parts_of_a_pose(tmp_path, names, root, up, joints):
    roots, bodies = np.tile(root, (4, 1)), np.zeros((4, 3 * joints))
    path = save(tmp_path / "a.npz", **dict(zip(names, (roots, bodies), strict=True)), betas=np.array(None))
    assert upright(path) and upright(path, up=up)
    same = save(tmp_path / "b.npz", **dict(zip(names, (roots[:, None], bodies.reshape(4, joints, 3)), strict=True)))
    assert torch.equal(read_poses(path), read_poses(same))
    one = save(tmp_path / "c.npz", **dict(zip(names, (roots[0], bodies[0].reshape(joints, 3)), strict=True)))
    assert torch.equal(read_poses(one), read_poses(path)[:1])
    matrices = (np.tile(Pose(np.zeros((22, 3))).matrix[:1], (4, count, 1, 1)) for count in (1, joints))
    assert upright(save(tmp_path / "d.npz", **dict(zip(names, matrices, strict=True))))


# --- widths, and what is not needed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("joints", [22, 24, 52, 55])
@pytest.mark.parametrize(("size", "word"), [(4, "quaternions"), (6, "6D rotations"), (9, "flattened matrices")])
def test_other_kinds_of_rotations_are_refused_by_width(tmp_path, joints, size, word):
    path = save(tmp_path / "a.npz", poses=np.zeros((2, joints * size)))
    for read in (read_poses, Pose.from_npz, load_motion):
        with pytest.raises(ValueError, match=rf"a\.npz has poses of shape \(2, {joints * size}\).*{joints} {word}"):
            read(path)


@pytest.mark.parametrize(
    ("shape", "words"),
    [((2, 63), "lacks the root"), ((2, 69), "lacks the root"), ((2, 322), "expected"), ((66,), "(66,)")],
)
def test_rows_of_other_widths_are_refused(tmp_path, shape, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(").replace(")", r"\)")):
        read_poses(save(tmp_path / "a.npz", poses=np.zeros(shape)))


def test_degrees_and_codes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="which look like degrees; expected radians"):
        read_poses(save(tmp_path / "a.npz", poses=np.full((1, 72), 45.0)))
    with pytest.raises(ValueError, match="VPoser"):
        read_poses(save(tmp_path / "b.npz", global_orient=np.zeros((1, 3)), body_pose=np.zeros((1, 32))))
    with pytest.raises(ValueError, match="2 global_orient but 3 body_pose"):
        read_poses(save(tmp_path / "c.npz", global_orient=np.zeros((2, 3)), body_pose=np.zeros((3, 63))))
    with pytest.raises(ValueError, match="not rotations"):
        read_poses(save(tmp_path / "d.npz", poses=np.zeros((1, 24, 3, 3))))


def test_places_of_joints_under_the_name_of_rotations_are_refused(tmp_path):
    places = np.tile(Pose(np.zeros((22, 3))).joints, (2, 1, 1))
    for poses in (places, places.reshape(2, 66)):
        with pytest.raises(ValueError, match=r"a\.npz cannot be read: .*positions of 22 joints"):
            read_poses(save(tmp_path / "a.npz", poses=poses))


def test_arrays_that_are_not_needed_do_not_lose_the_file(tmp_path):
    path = save(
        tmp_path / "a.npz",
        poses=standing(2, 156, QUARTER_TURN),
        gender=np.array("male", dtype=object),
        betas=np.array(None),
        trans=np.array(None),
        labels=np.array([{"a": 1}]),
        mocap_framerate=np.array(None),
    )
    assert upright(path) and Pose.from_npz(path).betas is None
    motion = load_motion(path)
    assert len(motion.poses) == 2 and motion.betas is None and motion.gender is None and motion.frame_rate is None


# --- results of programs --------------------------------------------------------------------------------------------


def phalp(frames):
    """As 4D-Humans' tracker writes them: matrices before the camera, a list of bodies a frame."""
    half, rest = np.diag([1.0, -1, -1])[None], np.tile(np.eye(3), (23, 1, 1))
    body = {"global_orient": half, "body_pose": rest, "betas": np.zeros(10)}
    return {
        f"outputs/{k}.jpg": {"time": k, "tid": numbers, "smpl": [body] * len(numbers), "mask": [{"counts": b"x"}]}
        for k, numbers in enumerate(frames)
    }


def wham(*people):
    camera, world = standing(5, 72, HALF_TURN), standing(5, 72, UPRIGHT)
    return {
        who: {"pose": camera, "pose_world": world, "trans_world": np.zeros((5, 3)), "betas": np.zeros((5, 10))}
        for who in people
    }


GVHMR = {
    "smpl_params_global": {
        "body_pose": torch.zeros(4, 63),
        "global_orient": torch.zeros(4, 3),
        "transl": torch.ones(4, 3),
    },
    "smpl_params_incam": {"body_pose": torch.zeros(4, 63), "global_orient": torch.tensor([HALF_TURN] * 4)},
    "K_fullimg": torch.eye(3).repeat(4, 1, 1),
}
RESULTS = {
    "phalp": (phalp([[1], [1], []]), 2),
    "wham": (wham(0), 5),
    "vibe": ({1: {"pose": standing(3, 72, HALF_TURN), "pred_cam": np.zeros((3, 3))}}, 3),
    "hmr2": (
        {
            "pred_smpl_params": {
                "global_orient": np.diag([1.0, -1, -1])[None, None],
                "body_pose": np.tile(np.eye(3), (1, 23, 1, 1)),
            }
        },
        1,
    ),
    "aist": ({"smpl_poses": standing(6, 72, UPRIGHT), "smpl_trans": np.zeros((6, 3)), "smpl_scaling": np.ones(1)}, 6),
    "smplify-x": (
        {"global_orient": np.array([HALF_TURN]), "body_pose": np.zeros((1, 63)), "betas": np.zeros((1, 10))},
        1,
    ),
}


@pytest.mark.parametrize("program", RESULTS)
def test_results_of_programs_stand(tmp_path, program):
    content, frames = RESULTS[program]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    assert upright(tmp_path / "a.pkl") and len(read_poses(tmp_path / "a.pkl")) == frames
    torch.save(to_tensors(content), tmp_path / "a.pt")
    assert torch.allclose(read_poses(tmp_path / "a.pt"), read_poses(tmp_path / "a.pkl"), atol=1e-5)


def to_tensors(content):
    if isinstance(content, dict):
        return {key: to_tensors(value) for key, value in content.items()}
    if isinstance(content, list):
        return [to_tensors(value) for value in content]
    return torch.from_numpy(content) if isinstance(content, np.ndarray) else content


def test_files_of_joblib(tmp_path):
    joblib = pytest.importorskip("joblib")
    for compress in (0, 3):
        joblib.dump(phalp([[2], [2, 7]]), tmp_path / "a.pkl", compress=compress)
        assert upright(tmp_path / "a.pkl", person="7") and len(read_poses(tmp_path / "a.pkl", person="2")) == 2


def test_gvhmr(tmp_path):
    torch.save(GVHMR, tmp_path / "hmr4d_results.pt")
    assert upright(tmp_path / "hmr4d_results.pt")
    torch.save({"smpl_params_incam": GVHMR["smpl_params_incam"]}, tmp_path / "camera.pt")
    assert upright(tmp_path / "camera.pt")


def test_of_several_people_one_is_chosen(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(wham(0, 3)))
    with pytest.raises(ValueError, match=r"a\.pkl shows 2 people \(0, 3\); choose one with --person"):
        read_poses(tmp_path / "a.pkl")
    assert upright(tmp_path / "a.pkl", person="3") and len(read_poses(tmp_path / "a.pkl", person=0)) == 5
    with pytest.raises(ValueError, match="no person 1; it shows 0, 3"):
        read_poses(tmp_path / "a.pkl", person="1")
    people = {"smpl_thetas": standing(2, 72, HALF_TURN), "cam": np.zeros((2, 3))}
    assert upright(save(tmp_path / "romp.npz", results=np.array(people)), person="1")


def test_json_of_numbers(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"global_orient": [list(HALF_TURN)], "body_pose": [[0] * 63]}))
    assert upright(tmp_path / "a.json")


@pytest.mark.parametrize(
    "content",
    [
        {"version": 1.3, "people": [{"pose_keypoints_2d": [1, 2, 0.5]}]},
        [[{"x": 0.1, "y": 0.2, "z": 0.0, "visibility": 1.0}]],
        {"pose_world_landmarks": [{"x": 0.1, "y": 0.2, "z": 0.0}]},
        [{"image_id": 1, "category_id": 1, "keypoints": [1, 2, 0.5]}],
        {"annotations": [{"keypoints": [1, 2, 2]}]},
    ],
)
def test_key_points_are_refused_and_why(tmp_path, content):
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"a\.json has key points .*determine rotations.*unipose estimate") as caught:
        read_poses(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [{"a": 1}, [], 3, {"poses": "standing"}, {"body_pose": None, "global_orient": None}]
)
def test_what_holds_no_rotations_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_text(json.dumps(content))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    for name in ("a.json", "a.pkl"):
        with pytest.raises(ValueError, match="expected") as caught:
            read_poses(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_pickle_of_code_is_not_run(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"cos\nsystem\n(Vtouch " + str(tmp_path / "evidence").encode() + b"\ntR.")
    with pytest.raises(ValueError, match="not plain data"):
        read_poses(tmp_path / "a.pkl")
    assert not (tmp_path / "evidence").exists()


# --- our own files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("betas", [None, np.arange(10) / 10, np.zeros(10)])
def test_saved_npz_has_what_other_programs_demand(tmp_path, betas):
    """Blender's SMPL-X add-on wants these five and 55 joints; aitviewer the rate by its other name."""
    pose = Pose(np.random.default_rng(0).normal(0, 0.3, (22, 3)), betas=betas)
    with np.load(pose.save(tmp_path / "a.npz")) as data:
        assert data["poses"].shape == (1, 165) and data["trans"].shape == (1, 3) and data["betas"].shape == (10,)
        assert str(data["gender"]) == "neutral"
        assert int(data["mocap_frame_rate"]) == int(data["mocap_framerate"]) == 30
    again = Pose.from_npz(tmp_path / "a.npz")
    np.testing.assert_allclose(again.axis_angle, pose.axis_angle, atol=1e-6)
    assert (again.betas is None) == (betas is None) and (betas is None or np.allclose(again.betas, betas))


def test_every_kind_of_our_files_comes_back(tmp_path):
    pose = Pose(np.random.default_rng(1).normal(0, 0.5, (22, 3)))
    for suffix, one in (
        (".glb", Pose.from_glb),
        (".bvh", Pose.from_bvh),
        (".npz", Pose.from_npz),
        (".json", Pose.from_json),
    ):
        path = pose.save(tmp_path / f"pose{suffix}")
        for again in (one(path), read_pose(path)):
            np.testing.assert_allclose(again.matrix, pose.matrix, atol=1e-5)


def test_other_glb_files_are_refused(tmp_path):
    from pygltflib import GLTF2, Asset, Node, Scene

    GLTF2(asset=Asset(generator="Blender"), nodes=[Node(name="pelvis")], scenes=[Scene()]).save_binary(
        str(tmp_path / "a.glb")
    )
    with pytest.raises(ValueError, match=r"a\.glb was not written by Pose\.save"):
        Pose.from_glb(tmp_path / "a.glb")
    for content in (b"", b"glTF", b"hello there, this is nothing"):
        (tmp_path / "b.glb").write_bytes(content)
        with pytest.raises(ValueError, match=r"b\.glb"):
            Pose.from_glb(tmp_path / "b.glb")
    with pytest.raises(FileNotFoundError, match="none.glb"):
        Pose.from_glb(tmp_path / "none.glb")
