# SPDX-License-Identifier: Apache-2.0
"""Tiny data sets in the layout of the real ones, for tests of the readers."""

import io
import itertools
import json
import pickle
import tarfile

import numpy as np
import roma
import torch
from PIL import Image

from unipose_hf.body import forward_kinematics, load_body
from unipose_hf.data.builders.posest import build_posest_open

# Rotation of a standing person facing the viewer in the world frame of each family of sets. SMPL's rest pose is y up,
# facing +z: a quarter turn about x for a z-up world, half a turn for an OpenCV camera (y down, z into the picture).
QUARTER_TURN = (np.pi / 2, 0.0, 0.0)
HALF_TURN = (np.pi, 0.0, 0.0)


def standing(frames, numbers, root):
    """Poses `(frames, numbers)` of someone who stands but lifts the left arm more with every frame."""
    poses = np.zeros((frames, numbers))
    poses[:, :3] = root
    poses[:, 16 * 3 + 2] = 0.1 * np.arange(frames)
    return poses


def assert_upright(record, lifted=0.0):
    """The head is up, the left hand at the viewer's right, the face (and the toes) towards the viewer."""
    assert record.pose.shape == (22, 3) and record.pose.dtype == np.float32
    joints = forward_kinematics(
        roma.rotvec_to_rotmat(torch.from_numpy(record.pose)[None]), load_body(size="small").rest_joints
    )[0][0]
    assert joints[15, 1] > 0.4 and abs(joints[15, 0]) < 0.02 and joints[7, 1] < -0.5
    assert joints[18, 0] > 0.2 and joints[10, 2] > joints[7, 2] + 0.05
    np.testing.assert_allclose(record.pose[16], (0, 0, lifted), atol=1e-6)


def write_motion(path, poses, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, poses=poses, trans=np.zeros((len(poses), 3)), betas=np.arange(16.0), **more)


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def write_amass(root):
    """Three motions of SMPL-H and one of SMPL-X, in three sub-datasets, with the other files that lie beside them."""
    smplh = {"gender": np.array("female"), "mocap_framerate": np.array(120.0), "dmpls": np.zeros((6, 8))}
    write_motion(root / "CMU/01/01_01_poses.npz", standing(6, 156, QUARTER_TURN), **smplh)
    write_motion(root / "CMU/01/01_02_poses.npz", standing(4, 156, QUARTER_TURN), **smplh)
    write_motion(root / "SSM_synced/a/walk_poses.npz", standing(3, 156, QUARTER_TURN), **smplh)
    smplx = {"gender": np.array("neutral"), "mocap_frame_rate": np.array(60), "labels": np.array([{"a": 1}, None])}
    write_motion(root / "HumanEva/S1/box_stageii.npz", standing(2, 165, QUARTER_TURN), **smplx)
    write_motion(root / "GRAB/s1/cup_stageii.npz", standing(2, 165, QUARTER_TURN), **smplx)
    np.savez(root / "CMU/01/shape.npz", betas=np.zeros(16), gender="female")
    return root


def write_texts(root):
    """PoseScript's and PoseFix's files in one folder: their names do not clash."""
    a, b, c = "CMU/01/01_01_poses.npz", "CMU/01/01_02_poses.npz", "SSM_synced/a/walk_poses.npz"
    places = {"0": ["AMASS", b, 3], "1": ["AMASS", a, 5], "2": ["AMASS", c, 0], "3": ["AMASS", a, 1]}
    write_json(root / "ids_2_dataset_sequence_and_frame_index_100k.json", places)
    write_json(root / "posescript_human_6293.json", {"0": "One stands.", "1": ["Arm up.", "An arm."], "2": "Waits."})
    write_json(
        root / "posescript_auto_100k.json", {number: [f"{number}a", f"{number}b", f"{number}c"] for number in "0123"}
    )
    for split, ids in (("train", [0, 1, 3]), ("val", []), ("test", [2])):
        write_json(root / f"{split}_ids_100k.json", ids)
    write_json(root / "pair_id_2_pose_ids.json", [[0, 1], [3, 1], [2, 0]])
    write_json(root / "posefix_human_6157.json", {"0": "Lift it.", "1": ["Lift it more.", "Up."], "2": ["Turn."]})
    write_json(root / "posefix_paraphrases_4284.json", {"1": ["Raise it."]})
    write_json(root / "posefix_auto_135305.json", {})
    for split, part, ids in itertools.chain(
        [("train", "in", [1]), ("train", "out", [0]), ("test", "out", [2])],
        [("test", "in", []), ("val", "in", []), ("val", "out", [])],
    ):
        write_json(root / f"{split}_{part}_sequence_pair_ids.json", ids)
    return root


def write_fits(root, file="x_train.npz", **changes):
    """Four people in three pictures, the last without a fit, by ProHMR's and 4D-Humans' names."""
    columns = {
        "imgname": np.array([b"a.jpg", b"a.jpg", b"deep/b.jpg", b"c.jpg"]),
        "center": np.array([[50.0, 60.0], [20, 30], [10, 10], [5, 5]]),
        "scale": np.array([40.0, 60, 80, 20]),
        "body_pose": standing(4, 72, HALF_TURN),
        "has_body_pose": np.array([1.0, 1, 1, 0]),
        "betas": np.ones((4, 10)),
        "has_betas": np.ones(4),
        "body_keypoints_2d": np.zeros((4, 25, 3)),
        "extra_keypoints_2d": np.zeros((4, 19, 3)),
    } | changes
    root.mkdir(exist_ok=True)
    np.savez(root / file, **{name: column for name, column in columns.items() if column is not None})
    for name in ("a.jpg", "deep/b.jpg", "c.jpg"):
        write_picture(root / "images" / name)


def write_sequence(root, split="test", name="walk_00", protocol=2, **changes):
    """Two people, three frames, by a camera that stands on its head: what it sees is upright all the same."""
    frames = 3
    world_to_camera = np.tile(np.eye(4), (frames, 1, 1))
    world_to_camera[:, :3, :3] = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, np.pi])).numpy()
    # rotated back by the camera, this person is upright in the world
    root_turn = world_to_camera[0, :3, :3].T @ np.diag([1.0, -1.0, -1.0])
    root_vector = roma.rotmat_to_rotvec(torch.from_numpy(root_turn)).numpy()
    joints = np.zeros((frames, 3, 18))
    joints[:2, 0, :8], joints[:2, 1, :8], joints[:2, 2, :8] = np.linspace(100, 200, 8), np.linspace(50, 450, 8), 0.9
    content = {
        "sequence": name,
        "betas": [np.arange(10.0), np.zeros(10)],
        "poses": [standing(frames, 72, root_vector)] * 2,
        "trans": [np.zeros((frames, 3))] * 2,
        "poses2d": [joints] * 2,
        "genders": ["m", "f"],
        "img_frame_ids": np.arange(0, 2 * frames, 2, dtype=np.uint16),
        "cam_poses": world_to_camera,
        "campose_valid": [np.array([True, True, True]), np.array([1, 0, 0], dtype=np.uint8)],
        "cam_intrinsics": np.eye(3),
        "texture_maps": [],
    } | changes
    path = root / "sequenceFiles" / {"val": "validation"}.get(split, split) / f"{name}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    for frame in range(frames):
        write_picture(root / "imageFiles" / name / f"image_{frame:05d}.jpg")
    return path


def write_emdb(root, name="07_walk", **changes):
    """One person, four frames, by the camera of `write_sequence`; unseen in the second, without a box in the third."""
    frames = 4
    world_to_camera = np.tile(np.diag([-1.0, -1.0, 1.0, 1.0]), (frames, 1, 1))
    poses = standing(frames, 72, roma.rotmat_to_rotvec(torch.diag(torch.tensor([-1.0, 1.0, -1.0]))).numpy())
    boxes = np.tile([10.0, 20.0, 50.0, 90.0], (frames, 1))
    boxes[2] = 0
    content = {
        "gender": "female",
        "name": f"P3_{name}",
        "emdb1": np.bool_(True),
        "emdb2": False,
        "n_frames": frames,
        "good_frames_mask": np.array([True, False, True, True]),
        "camera": {"intrinsics": np.eye(3), "extrinsics": world_to_camera, "width": 8, "height": 8},
        "smpl": {
            "poses_root": poses[:, :3],
            "poses_body": poses[:, 3:],
            "trans": np.zeros((frames, 3)),
            "betas": np.arange(10.0),
        },
        "kp2d": np.zeros((frames, 24, 2)),
        "bboxes": {"bboxes": boxes, "invalid_idxs": np.array([1, 2])},
    } | changes
    folder = root / "P3" / name
    for frame in range(frames):
        write_picture(folder / f"images/{frame:05d}.jpg")
    (folder / f"P3_{name}_data.pkl").write_bytes(pickle.dumps(content))
    return folder


def write_moyo_pictures(root, **changes):
    """HSMR's list of two pictures of MOYO."""
    poses = standing(2, 72, HALF_TURN)
    smpl = {
        "global_orient": poses[:, None, :3],
        "body_pose": poses[:, 3:].reshape(2, 23, 3),
        "betas": np.ones((2, 10)),
    }
    paths = ["Tree_-a/YOGI_Cam_01/Tree_-a_YOGI_Cam_01_0099.jpg", "Tree_-a/YOGI_Cam_02/Tree_-a_YOGI_Cam_02_0099.jpg"]
    columns = {
        "names": np.array(["Tree_-a"] * 2),
        "img_paths": np.array(paths),
        "centers": np.array([[50.0, 60.0]] * 2),
        "scales": np.array([[20.0, 40.0]] * 2),
        "smpl": np.array(smpl, dtype=object),
    } | changes
    for path in paths:
        write_picture(root / "images" / path)
    np.savez(root / "moyo_v2.npz", **columns)


def write_human36m(root, file="h36m_val_p2.npz", column="extra_keypoints_3d", width=19, **changes):
    """Two pictures with the joints of someone upright, the pelvis a metre beside the origin."""
    joints = np.zeros((2, width, 4))
    joints[..., 3] = 1
    joints[:, [2, 3], 0], joints[:, [9, 8], 0] = [-0.1, 0.1], [0.2, -0.2]  # hips and shoulders, the left at +x
    joints[:, [0, 1, 2, 3, 4, 5, 12, 18], 1] = [0.8, 0.4, 0, 0, 0.4, 0.8, -0.5, -0.7]  # y down; the arms level
    joints[:, [6, 7, 8, 9, 10, 11], 1] = -0.4
    joints[:, [10, 11, 7, 6], 0] = [0.4, 0.6, -0.4, -0.6]
    joints[..., 0] += 1
    columns = {
        "imgname": np.array([b"S9_a.jpg", b"S11_b.jpg"]),
        "center": np.array([[[50.0, 60.0]], [[20.0, 30.0]]]),
        "scale": np.array([[0.2], [0.3]]),
        column: joints,
    } | changes
    for name in ("S9_a.jpg", "S11_b.jpg"):
        write_picture(root / "images" / name)
    np.savez(root / file, **columns)


def write_archive(path, people=None, picture="deep/a.jpg", key="deep/a.data.pyd"):
    """An archive of 4D-Humans: a picture with two people, the second without a fit."""
    entry = {
        "center": np.array([50.0, 60.0]),
        "scale": np.array([0.2, 0.1]),
        "body_pose": standing(1, 72, HALF_TURN)[0].astype(np.float32),
        "betas": np.ones(10, np.float32),
        "has_body_pose": 1.0,
        "keypoints_2d": np.zeros((44, 3)),
        "extra_info": {"fitting_loss": np.array({"reprojection": 0.5}, dtype=object)},
    }
    people = [entry, entry | {"has_body_pose": 0.0}] if people is None else [entry | person for person in people]
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(content, "JPEG")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in ((key, pickle.dumps(people)), (picture, content.getvalue())):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def write_rendered(root, size=5):
    """PoseEst-Open of a few small pictures."""
    build_posest_open(root, size=size, picture_size=64, progress=False)
