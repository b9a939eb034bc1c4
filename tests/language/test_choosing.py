# SPDX-License-Identifier: Apache-2.0
"""Words choose one of several people, by where they are, what they wear and what they do."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from unipose_hf import Pose, named_pose
from unipose_hf.data.language.angles import angles_to_axis_angle
from unipose_hf.data.language.bank import complete, load_language_bank
from unipose_hf.data.language.choosing import choose_person
from unipose_hf.data.language.facts import how_true

STATES = (
    "standing up straight",
    "kneeling upright on both knees",
    "left arm straight up",
    "sitting on a chair with the feet flat",
    "both arms crossed in front of the chest",
)
SHIRTS = ((200, 30, 30), (40, 60, 190), (240, 240, 240), (30, 140, 40), (25, 25, 25))
TROUSERS = ((25, 25, 25), (120, 80, 45), (40, 60, 190), (150, 150, 150), (240, 220, 40))


@pytest.fixture(scope="module")
def poses():
    bank = load_language_bank()
    firsts = [part.phrases[0] for part in bank.parts]
    rows = [firsts.index(state) for state in STATES]
    angles = complete((bank.part_low[rows] + bank.part_high[rows]) / 2)
    return [Pose(pose.numpy()) for pose in angles_to_axis_angle(angles)]


@pytest.fixture(scope="module")
def scene(poses):
    """Five people from left to right, the middle one the nearest; the second has the highest score."""
    picture = Image.new("RGB", (500, 300), (128, 128, 128))
    draw, people = ImageDraw.Draw(picture), []
    for number, pose in enumerate(poses):
        left, top, size = 100 * number + 10, 60, 180 if number != 2 else 220
        draw.rectangle((left + 15, top + 30, left + 65, top + 90), fill=SHIRTS[number])
        draw.rectangle((left + 15, top + 91, left + 65, top + 180), fill=TROUSERS[number])
        points = np.zeros((17, 3), np.float32)
        for joint, y in ((5, 30), (11, 92), (13, 140)):
            points[joint, :2], points[joint + 1, :2] = (left + 60, top + y), (left + 20, top + y)
        people.append(
            {
                "pose": pose,
                "box": (left, top, left + 80, top + size),
                "camera": (size / 1.8, left + 40, top + 90),
                "keypoints": points,
                "score": 0.9 if number == 1 else 0.5,
            }
        )
    return people, picture


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("the person on the left", 0),
        ("Estimate the pose of the person on the right.", 4),
        ("the second one from the left", 1),
        ("second from the right", 3),
        ("the one in the middle", 2),
        ("closest to the camera", 2),
        ("the tallest one", 2),
        ("in the red shirt", 0),
        ("the man wearing yellow", 4),
        ("the one with the black top", 4),
        ("with blue trousers", 2),
        ("in a blue sweater", 1),
        ("brown pants", 1),
        ("the one who kneels", 1),
        ("raising the left arm", 2),
        ("the woman sitting", 3),
        ("with crossed arms", 4),
        ("the person on the left who is sitting or has crossed arms, in the red shirt", 0),
        ("wearing blue and kneeling", 1),
        ("the person", 2),
    ],
)
def test_the_meant_person_is_chosen(scene, text, chosen):
    assert choose_person(text, *scene) == chosen


@pytest.mark.parametrize("text", ["my friend", "with the umbrella", "looking up at the moon"])
def test_words_that_decide_nothing_are_told_once(scene, text):
    with pytest.warns(UserWarning, match="does not tell the 5 people apart") as told:
        assert choose_person(text, *scene) == 1
    assert len(told) == 1


def test_a_model_reads_what_is_not_measured(scene):
    def read(text, poses):
        asked.append(text)
        return np.array([0.0, 0.0, 0.0, 5.0, 0.0])

    asked = []
    assert choose_person("like a teapot", *scene, read) == 3
    assert choose_person("on the left", *scene, read) == 0 and len(asked) == 1


def test_one_person_needs_no_words(scene):
    people, picture = scene
    assert choose_person("on the right, in the green shirt", people[:1], picture) == 0


def test_sides_of_limbs_are_the_bodys_own(poses):
    left, right = how_true("the left arm raised", poses), how_true("the right arm raised", poses)
    assert left.argmax() == 2 and left[2] > 10 * right[2]
    assert how_true("the left arm is not raised", poses).argmin() == 2
    assert how_true("a friendly face", poses) is None


@pytest.mark.parametrize(
    ("name", "text", "other"),
    [
        ("t-pose", "with the arms spread out", "hands on hips"),
        ("hands on hips", "the hands on the hips", "t-pose"),
        ("deep squat", "squatting", "kneeling upright"),
        ("handstand", "upside down", "plank"),
        ("plank", "on hands and knees or planking", "t-pose"),
    ],
)
def test_named_poses_are_what_they_are_called(name, text, other):
    held = how_true(text, [named_pose(name), named_pose(other)])
    assert held[0] > 3 * held[1]
