# SPDX-License-Identifier: Apache-2.0
"""Words choose one of several people, by where they are, what they wear and what they do."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from unipose_hf import Pose, named_pose
from unipose_hf.captions import caption_poses
from unipose_hf.data.language.angles import angle_vector, angles_to_axis_angle
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


def row(poses, tops, sizes=None, scores=None, picture_height=300):
    """People from left to right in tops of the given colours; `sizes` in pixels: nearer ones are larger and lower."""
    sizes, scores = sizes or [180] * len(tops), scores or [0.5] * len(tops)
    picture = Image.new("RGB", (100 * len(tops), picture_height), (128, 128, 128))
    draw, people = ImageDraw.Draw(picture), []
    for number, (top, size, score) in enumerate(zip(tops, sizes, scores, strict=True)):
        low, left = 60 + size, 100 * number + 10
        box = (left, low - size, left + 80, low)
        draw.rectangle((left + 15, low - 0.85 * size, left + 65, low - 0.5 * size), fill=top)
        points = np.zeros((17, 3), np.float32)
        for joint, share in ((5, 0.85), (11, 0.5), (13, 0.25)):
            points[joint, :2], points[joint + 1, :2] = (left + 60, low - share * size), (left + 20, low - share * size)
        camera = (size / 1.8, left + 40, low - size / 2)
        people.append({"pose": poses[number], "box": box, "camera": camera, "keypoints": points, "score": score})
    return people, picture


BLUISH, GREY, DARK, PALE = (98, 114, 126), (124, 124, 120), (53, 53, 59), (216, 220, 222)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("text", "tops", "chosen"),
    [
        ("in the grey shirt", (BLUISH, GREY, DARK, PALE), 1),
        ("in the dark grey shirt", (BLUISH, GREY, DARK, PALE), 2),
        ("in the light grey shirt", (BLUISH, GREY, DARK, PALE), 3),
        ("the dark green top", ((30, 140, 40), (8, 45, 12), (13, 13, 13)), 1),
        ("the one in pink", ((158, 50, 40), (198, 142, 140), (120, 70, 130)), 1),
        ("in a purple top", ((198, 142, 140), (99, 66, 103), (225, 130, 190)), 1),
        ("in an olive shirt", ((70, 45, 30), (104, 102, 50), (30, 120, 40)), 1),
        ("wearing a maroon top", ((190, 30, 35), (80, 25, 35), (100, 70, 40)), 1),
        ("whose shirt is green", ((190, 30, 35), (30, 120, 40)), 1),
        ("the one whose hair is red, in a jacket that is blue", ((190, 30, 35), (30, 60, 180)), 1),
    ],
)
def test_names_of_colours_compete(poses, text, tops, chosen):
    assert choose_person(text, *row(poses, tops)) == chosen


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("close to the camera", 1),
        ("near the camera", 1),
        ("the closest person to us", 1),
        ("standing in front of the others", 1),
        ("the one in the front row", 1),
        ("who stands right at the front", 1),
        ("far from the camera", 2),
        ("the person furthest away from the viewer", 2),
        ("the one standing behind", 2),
        ("standing behind the two others", 2),
        ("someone in the back row", 2),
        ("the man in front of the one in the green top", 1),
        ("the woman behind the person in blue", 0),
        ("the person next to the one in the green shirt", 1),
        ("to the left of the person in blue", 0),
    ],
)
def test_near_and_far_as_people_say_it(poses, text, chosen):
    tops = ((200, 30, 30), (40, 60, 190), (30, 140, 40))
    people, picture = row([poses[0]] * 3, tops, sizes=(190, 230, 150))
    if "behind the person in blue" in text:
        people = people[:2]
    assert choose_person(text, people, picture) == chosen


def test_a_pose_that_does_not_fit_tells_no_depth(poses):
    people, picture = row([poses[0]] * 3, (GREY,) * 3, sizes=(160, 180, 220), scores=(0.6, 0.5, 0.02))
    people[2]["camera"] = (1.0, 250, 170)  # upside down, and fitted as if standing
    assert choose_person("closest to the camera", people, picture) == 2
    assert choose_person("in the background", people, picture) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("corkscrewed to the left", "corkscrewed to the left"),
        ("with the left foot in front", "with the left foot in front"),
        ("both hands behind", "both hands behind"),
        ("the hands closer to the body", "the hands closer to the body"),
    ],
)
def test_directions_of_the_body_are_no_places(poses, text, says):
    def read(words, poses):
        asked.append(words)
        return np.array([0.0, 0.0, 4.0])

    asked = []
    assert choose_person(text, *row([poses[0]] * 3, (GREY,) * 3, sizes=(230, 200, 150)), read) == 2
    assert asked == [says]


def test_a_place_beside_the_raised_arm(poses):
    people = row([poses[0]] * 3, (GREY,) * 3)
    assert choose_person("the woman to the left with the raised arm", *people) == 0


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


def angled(**degrees):
    return Pose(angles_to_axis_angle(complete(angle_vector(degrees))).numpy())


def test_degrees_are_read():
    low, level, high = (angled(left_raise=degrees, left_plane=0) for degrees in (45, 90, 150))
    assert how_true("their left arm is raised sideways about forty-five degrees", [low, level, high]).argmax() == 0
    assert how_true("the left arm raised 90 degrees", [low, level, high]).argmax() == 1


def test_one_side_means_only_that_side():
    one, both = angled(left_raise=160), angled(left_raise=160, right_raise=160)
    held = how_true("left hand high above the head", [one, both])
    assert held[0] > 1.4 * held[1]


def test_straight_up_and_down_is_not_raised():
    standing, kicking = angled(), angled(right_flex=70, right_knee=0)
    held = how_true("the right leg is straight up and down", [standing, kicking])
    assert held is None or held[0] > held[1]


def test_captions_are_read_as_their_codes(poses):
    """The codes that a caption states are true of the pose that it was written for."""
    axis_angle = np.stack([pose.axis_angle for pose in poses])
    for number in range(len(poses)):
        [text], [codes] = caption_poses(axis_angle[number][None], seed=3, max_clauses=3, return_codes=True)
        assert len(codes) > 1
        held = how_true(text, poses)
        assert held[number] == held.max() == 1
