# SPDX-License-Identifier: Apache-2.0
"""Poses found by words and by likeness, in the bundled poses and in a folder."""

import numpy as np
import pytest

import unipose_hf
from unipose_hf import Pose
from unipose_hf.app import nearest, search, use_folder
from unipose_hf.app.finding import MIN_DISTANCE

POSE = unipose_hf.named_pose("warrior two")


@pytest.fixture
def folder(tmp_path):
    """A folder with a pose, a motion, and a file that is neither; it is searched during the test."""
    (tmp_path / "mine").mkdir()
    unipose_hf.named_pose("standing relaxed").save(tmp_path / "mine" / "upright.npz")
    unipose_hf.sample("walk.bvh", tmp_path)
    (tmp_path / "notes.json").write_text("{}")
    use_folder(tmp_path)
    yield tmp_path
    use_folder(None)


def test_search_finds_names_first():
    found = search("warrior", limit=5)
    assert 1 < len(found) <= 5 and "warrior" in found[0]["name"].lower() and found[0]["source"] == "named"
    np.testing.assert_allclose(
        Pose.from_dict(found[0]["pose"]).joints, unipose_hf.named_pose(found[0]["name"]).joints, atol=1e-4
    )


def test_words_that_no_name_has_find_fitting_poses():
    found = search("somebody who is crawling along on hands and knees", limit=6)
    assert len(found) == 6 and len({one["name"] for one in found}) == 6
    joints = [Pose.from_dict(one["pose"]).joints for one in found]
    assert sum(pose[20:22, 1].max() < pose[0, 1] < pose[15, 1] + 0.3 for pose in joints) >= 4  # bent over, hands down


def test_a_pose_finds_itself_whatever_way_it_faces():
    vectors = np.array(POSE.axis_angle)
    vectors[0] = [0, 1.2, 0]
    first, *others = nearest(Pose(vectors).to_dict(), limit=6)
    assert first["name"] == "warrior II" and first["distance"] < 1e-3
    distances = [one["distance"] for one in others]
    assert distances == sorted(distances) and distances[0] >= MIN_DISTANCE


def test_distances_are_the_mean_over_the_joints():
    [found] = nearest(POSE.to_dict(), limit=1, where=["open"])
    there = Pose.from_dict(found["pose"]).joints
    assert found["source"] == "open"
    assert found["distance"] == pytest.approx(np.linalg.norm(there - POSE.joints, axis=-1).mean(), abs=1e-3)


def test_a_folder_is_searched_by_likeness_and_by_names(folder):
    with pytest.warns(UserWarning, match=r"hold no poses: notes\.json"):
        [first, *_] = nearest(unipose_hf.named_pose("standing relaxed").to_dict(), where=["folder"])
    assert first["name"].endswith("upright.npz") and first["distance"] < 1e-3
    walks = search("walk", limit=3, where=["folder"])
    assert [one["name"].partition(",")[0] for one in walks] == ["walk.bvh"] * 3
    (folder / "notes.json").unlink()
    POSE.save(folder / "warrior.json")
    assert nearest(POSE.to_dict(), limit=1, where=["folder"])[0]["name"] == "warrior.json"


def test_words_find_open_poses_that_have_no_descriptions():
    found = search("both arms straight up above the head", limit=3, where=["open"])
    wrists = [Pose.from_dict(one["pose"]).joints[20:22, 1].mean() for one in found]
    assert len(found) == 3 and max(wrists) > 0.5  # metres above the hips


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nearest(POSE.to_dict(), limit=0), "at least one"),
        (lambda: nearest(POSE.to_dict(), where=["folder"]), "--folder DIR"),
        (lambda: search("sit", where=["web"]), "no source 'web'; choose one of named, open"),
        (lambda: search("sit", where=[]), "No source is given"),
    ],
)
def test_mistakes_are_sentences(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        use_folder(tmp_path / "none")
