# SPDX-License-Identifier: Apache-2.0
"""The functions behind the page, without Gradio, with the bundled checkpoints."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers import pipeline

import unipose_hf
from unipose_hf import Pose
from unipose_hf.app import actions

SENTENCE = "a person kneeling, arms raised"


@pytest.fixture(scope="module")
def said():
    return actions.generate(SENTENCE, choices=3, seed=1)


def test_the_first_choice_is_the_pipelines_answer_and_the_others_vary(said):
    own = pipeline("text-to-pose")(SENTENCE)["pose"]
    poses = [actions.read(choice["pose"]) for choice in said]
    np.testing.assert_allclose(poses[0].axis_angle, own.axis_angle, atol=1e-5)
    assert len({pose for pose in poses}) == 3
    assert json.loads(json.dumps(said)) == said
    assert all(choice["description"].endswith(".") for choice in said)


def test_a_seed_repeats_its_choices(said):
    again, other = (actions.generate(SENTENCE, choices=3, seed=seed) for seed in (1, 2))
    assert [one["pose"] for one in again] == [one["pose"] for one in said]
    assert again[0]["pose"] == other[0]["pose"] and again[1:] != other[1:]


def test_an_edit_moves_the_limb_it_names():
    standing = unipose_hf.named_pose("standing relaxed")
    changed = actions.edit(standing.to_dict(), "Raise the left arm above the head.")
    before, after = standing.joints, actions.read(changed["pose"]).joints
    assert after[20, 1] > before[20, 1] + 0.5  # the left wrist, in metres
    assert abs(after[21, 1] - before[21, 1]) < 0.2
    assert "arm" in changed["description"]


def test_people_of_a_picture():
    [person] = actions.estimate(str(unipose_hf.sample("photo.jpg")))
    assert set(person) == {"pose", "score", "box", "description"}
    assert 0 < person["score"] <= 1 and json.dumps(person)
    with pytest.warns(UserWarning, match="Nobody was found"):
        assert actions.estimate(Image.new("RGB", (64, 64), "white")) == []


@pytest.mark.parametrize("format", actions.FORMATS)
def test_files_read_back(format, tmp_path):
    pose = unipose_hf.named_pose("warrior two")
    path = Path(actions.export(pose.to_dict(), format, str(tmp_path)))
    assert path.parent == tmp_path and path.suffix == f".{format}"
    if format == "png":
        assert Image.open(path).size == (768, 768)
    elif format == "obj":
        rows = [line for line in path.read_text().splitlines() if line.startswith("v ")]
        np.testing.assert_allclose([[float(x) for x in row.split()[1:4]] for row in rows], pose.vertices, atol=1e-5)
    else:
        back = getattr(Pose, f"from_{format}")(path)
        np.testing.assert_allclose(back.joints, pose.joints, atol=1e-3)


def test_temporary_files_are_removed_after_a_while(monkeypatch):
    pose = unipose_hf.named_pose("warrior two").to_dict()
    old = Path(actions.export(pose, "json"))
    assert old == Path(actions.export(pose, "json"))
    monkeypatch.setattr(actions, "KEPT_SECONDS", -10)
    actions.export(pose, "npz")
    assert not old.exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda pose: actions.generate("  "), "text is empty"),
        (lambda pose: actions.generate("arm " * 61), "has 61 words"),
        (lambda pose: actions.generate("sit", choices=9), "1 to 8"),
        (lambda pose: actions.edit(pose, ""), "text is empty"),
        (lambda pose: actions.edit({"axis_angle": []}, "Sit."), "expected a dictionary with format"),
        (lambda pose: actions.describe(pose, "long"), "short or full"),
        (lambda pose: actions.export(pose, "fbx"), "glb, bvh, npz, json, obj, png"),
        (lambda pose: actions.export("{", "glb"), "not JSON"),
    ],
)
def test_mistakes_are_sentences(call, message):
    with pytest.raises(ValueError, match=message):
        call(unipose_hf.named_pose("warrior two").to_dict())
