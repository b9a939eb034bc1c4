# SPDX-License-Identifier: Apache-2.0
"""Skeleton pictures, OpenPose files, depth and normal maps follow the published conventions."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unipose_hf import Pose, named_pose
from unipose_hf.body import JOINT_NAMES
from unipose_hf.imaging import (
    OPENPOSE_NAMES,
    depth_map,
    draw_skeletons,
    normal_map,
    openpose_dict,
    openpose_keypoints,
    read_openpose_json,
    write_openpose_json,
)
from unipose_hf.imaging.skeletons import COLORS

GOLDEN = Path(__file__).parents[1] / "golden"
T_POSE = Pose(np.zeros((22, 3)))
INDEX = {name: number for number, name in enumerate(OPENPOSE_NAMES)}


def turned(degrees):
    pose = np.zeros((22, 3))
    pose[0, 1] = np.radians(degrees)
    return Pose(pose)


@pytest.mark.parametrize("style", ["openpose", "dwpose"])
def test_pixels_are_those_of_the_published_annotators(style):
    keypoints, size = read_openpose_json(GOLDEN / "skeletons.json")
    published = np.asarray(Image.open(GOLDEN / "skeletons.png"))  # drawn by controlnet_aux with OpenCV
    half = published[:, : size[0]] if style == "openpose" else published[:, size[0] :]
    assert (np.asarray(draw_skeletons(keypoints, size, style=style)) == half).all()
    assert (published[:, : size[0]] != published[:, size[0] :]).any()  # the people overlap


def test_left_and_right_have_their_colours():
    picture = np.asarray(T_POSE.skeleton(size=256))
    [points] = openpose_keypoints(T_POSE, 256)
    assert points[INDEX["left_wrist"], 0] > 128 > points[INDEX["right_wrist"], 0]  # as seen
    for number, (x, y, seen) in enumerate(points):
        assert seen == 1
        if OPENPOSE_NAMES[number] not in ("nose", "left_eye", "right_eye"):  # these overlap at this size
            assert tuple(picture[int(y), int(x)]) == COLORS[number], OPENPOSE_NAMES[number]
    neck, shoulders = points[INDEX["neck"]], points[[INDEX["left_shoulder"], INDEX["right_shoulder"]]]
    np.testing.assert_allclose(neck[:2], shoulders[:, :2].mean(0), atol=0.01)


@pytest.mark.parametrize(
    "degrees, hidden",
    [
        (0, set()),
        (180, {"nose", "left_eye", "right_eye"}),
        (90, {"left_eye", "left_ear"}),  # facing the viewer's right, the left side is away
        (-90, {"right_eye", "right_ear"}),
    ],
)
def test_the_hidden_part_of_the_face_is_left_out(degrees, hidden):
    [points] = openpose_keypoints(turned(degrees), 256)
    face = {"nose", "left_eye", "right_eye", "left_ear", "right_ear"}
    assert {name for name in face if points[INDEX[name], 2] == 0} == hidden
    assert openpose_keypoints(turned(degrees), 256, keep_hidden=True)[0, :, 2].all()


def test_a_wrist_behind_the_back_is_hidden_from_the_front_alone():
    pose = named_pose("captive kneeling with the hands tied behind the back")
    wrists = [INDEX["left_wrist"], INDEX["right_wrist"]]
    assert not openpose_keypoints(pose, 256)[0, wrists, 2].any()
    assert openpose_keypoints(pose, 256, azimuth=180)[0, wrists, 2].all()


def test_a_weak_perspective_camera_projects_as_image_to_pose_says():
    pose = named_pose("warrior two")
    [points] = openpose_keypoints(pose, (300, 400), camera=(100.0, 140, 210), keep_hidden=True)
    for name in ("left_wrist", "right_ankle", "left_hip"):
        x, y, _ = pose.joints[JOINT_NAMES.index(name)]
        np.testing.assert_allclose(points[INDEX[name], :2], (140 + 100 * x, 210 - 100 * y), atol=0.15)
    [cropped] = openpose_keypoints(pose, (140, 400), camera=(100.0, 140, 210))
    assert cropped[INDEX["left_wrist"]].tolist() == [0, 0, 0]  # outside of the picture


def test_people_stand_in_a_row_or_where_their_cameras_put_them():
    row = openpose_keypoints([T_POSE, named_pose("deep squat")], (400, 200))
    assert row[0, :, 0].max() < row[1, row[1, :, 2] > 0, 0].min()
    people = [{"pose": T_POSE, "camera": (60.0, 100, 100)}, {"pose": T_POSE, "camera": (60.0, 300, 100)}]
    both = openpose_keypoints(people, (400, 200))
    np.testing.assert_allclose(both[1, :, 0] - both[0, :, 0], 200, atol=1e-2)
    picture = np.asarray(draw_skeletons(people, (400, 200)))
    alone = [np.asarray(draw_skeletons(person, (400, 200))) for person in people]
    assert (picture == np.maximum(*alone)).all()


def test_openpose_files_keep_the_people(tmp_path):
    size = (320, 240)
    keypoints = openpose_keypoints([T_POSE, turned(180)], size)
    path = write_openpose_json(tmp_path / "people.json", keypoints, size)
    read, read_size = read_openpose_json(path)
    assert (read == keypoints).all() and read_size == size
    assert (np.asarray(draw_skeletons(read, size)) == np.asarray(draw_skeletons(keypoints, size))).all()

    content = json.loads(path.read_text())
    comfy = [openpose_dict(keypoints, size)]
    assert comfy == [content]
    (tmp_path / "list.json").write_text(json.dumps(comfy))
    assert (read_openpose_json(tmp_path / "list.json")[0] == keypoints).all()

    shares = openpose_dict(keypoints / (*size, 1), size)  # some editors write shares of the picture
    np.testing.assert_allclose(read_openpose_json(shares)[0], keypoints, rtol=1e-5)

    more = np.insert(keypoints, 8, 5, axis=1)  # BODY_25: the middle of the hips, and six points of the feet at the end
    more = np.concatenate([more, np.full((2, 6, 3), 7)], axis=1)
    content["people"] = [{"pose_keypoints_2d": person.reshape(-1).tolist()} for person in more]
    assert (read_openpose_json(content)[0] == keypoints).all()
    assert read_openpose_json({"people": []})[0].shape == (0, 18, 3)


def test_depth_is_white_where_near_and_black_where_nobody_is():
    pose = np.zeros((22, 3))
    pose[16, 1], pose[17, 1] = -np.pi / 2, -np.pi / 2  # left arm forwards, right arm backwards
    depth = np.asarray(depth_map(Pose(pose), 128, azimuth=45))
    assert depth.max() >= 250 and (depth[0] == 0).all() and (depth[..., 0] == depth[..., 2]).all()
    points = openpose_keypoints(Pose(pose), 128, azimuth=45, keep_hidden=True)[0].astype(int)
    front, back = (depth[points[INDEX[side], 1], points[INDEX[side], 0], 0] for side in ("left_wrist", "right_wrist"))
    assert front > back > 0
    small = {"pose": T_POSE, "camera": (30.0, 64, 64)}
    large = {"pose": T_POSE, "camera": (40.0, 64, 64)}
    overlapping = np.asarray(depth_map([small, large], 128))
    assert (overlapping == np.asarray(depth_map([large, small], 128))).all()


def test_normals_have_the_colours_of_controlnet():
    normals = np.asarray(normal_map(T_POSE, 256)).astype(int)
    assert tuple(normals[0, 0]) == (128, 128, 255)
    for leg in (normals[200, :128], normals[200, 128:]):
        found = leg[(leg != (128, 128, 255)).any(1)]
        assert found[:2, 0].mean() > 150 > 110 > found[-2:, 0].mean()  # red is towards the viewer's left
    arm = normals[:, 60]
    found = arm[(arm != (128, 128, 255)).any(1)]
    assert found[:2, 1].mean() > 150 > 110 > found[-2:, 1].mean()  # green is up


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: T_POSE.skeleton(style="coco"), "style is 'coco'; use one of openpose, dwpose"),
        (lambda: T_POSE.skeleton(camera=(0, 1, 2)), "pixels per metre above 0"),
        (lambda: T_POSE.skeleton(camera=(9, 1, 2), azimuth=9), "leave them out where a camera is given"),
        (lambda: T_POSE.skeleton(size=4), "between 16 and 8192"),
        (lambda: draw_skeletons([]), "at least one pose"),
        (lambda: draw_skeletons([T_POSE, T_POSE], camera=(9, 1, 2)), "each of them its own"),
        (lambda: draw_skeletons([T_POSE, {"pose": T_POSE, "camera": (9, 1, 2)}]), "1 of 2 people"),
        (lambda: draw_skeletons(np.zeros((2, 18, 3)), azimuth=4), "already in the picture"),
        (lambda: read_openpose_json({"people": [{"pose_keypoints_2d": [1, 2]}]}), "expected 54"),
        (lambda: read_openpose_json({"poses": []}), 'no list "people"'),
        (lambda: openpose_dict(np.zeros((17, 3)), 64), r"expected finite numbers \(people, 18, 3\)"),
    ],
)
def test_mistakes_get_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
