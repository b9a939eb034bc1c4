# SPDX-License-Identifier: Apache-2.0
"""The plain-English benchmark: every prompt can be satisfied, by more than standing still, and sides are symmetric."""

import json
import re

import datasets
import pytest
import roma
import torch
from typer.testing import CliRunner

from hub_metadata import check_dataset_card
from unipose_hf import Pose, named_pose
from unipose_hf.body import mirror_pose
from unipose_hf.cli import evaluating
from unipose_hf.cli.app import app
from unipose_hf.data.language import STANDING, angles_to_axis_angle, set_angles
from unipose_hf.data.language.angles import angle_vector
from unipose_hf.data.language.bank import read_rows
from unipose_hf.evaluation.plain_english import (
    export_prompts,
    judge_pose,
    load_prompts,
    measure_pose,
    mirror_prompt,
    running,
)
from unipose_hf.evaluation.plain_english.judging import KEPT_DEGREES, parse_predicate
from unipose_hf.evaluation.plain_english.prompts import FILES, TASKS

PROMPTS = {task: load_prompts(task) for task in TASKS}
ALL = [prompt for prompts in PROMPTS.values() for prompt in prompts]
STAND = angles_to_axis_angle(STANDING)


def words(text):
    return " ".join(re.findall(r"[\w']+", text.lower()))


def plain_pose(**angles):
    return set_angles(STAND, angle_vector(angles))


def test_there_are_as_many_prompts_as_the_card_says():
    kinds = [prompt["kind"] for prompt in PROMPTS["text-to-pose"]]
    assert {kind: kinds.count(kind) for kind in kinds} == {"action": 40, "command": 40, "description": 40}
    edits = PROMPTS["pose-editing"]
    assert len(edits) == 60 and len({edit["start"] for edit in edits}) == 12
    assert len({words(prompt["text"]) for prompt in ALL}) == len({prompt["id"] for prompt in ALL}) == 180
    assert all(len(prompt["predicates"]) > 0 for prompt in ALL)


def test_no_prompt_stands_in_the_language_bank():
    known = set()
    for file in ("named.jsonl", "parts.jsonl", "edits.jsonl"):
        for row in read_rows(file):
            known |= {words(row["name"])} if "name" in row else set()
            known |= {words(text) for key in ("aliases", "texts", "phrases", "commands") for text in row.get(key, [])}
    assert len(known) > 20000
    assert not [prompt["text"] for prompt in ALL if words(prompt["text"]) in known]


@pytest.mark.parametrize("task", TASKS)
def test_every_witness_is_right(task):
    wrong = [prompt["id"] for prompt in PROMPTS[task] if not judge_pose(prompt, prompt["witness"]).right]
    assert not wrong


@pytest.mark.parametrize("task", TASKS)
def test_standing_or_the_unchanged_pose_is_never_right(task):
    right = [prompt["id"] for prompt in PROMPTS[task] if judge_pose(prompt, prompt.get("pose", STAND)).right]
    assert not right


def test_the_mirror_image_is_judged_alike():
    for before, prompt in zip([ALL[-1], *ALL], ALL, strict=False):
        mirrored = mirror_prompt(prompt)
        assert mirror_prompt(mirrored)["text"] == prompt["text"]
        for pose in (prompt["witness"], before["witness"]):
            found, other = judge_pose(prompt, pose), judge_pose(mirrored, mirror_pose(torch.tensor(pose)))
            assert list(found.held.values()) == list(other.held.values()), prompt["id"]
            assert list(found.turned.values()) == pytest.approx(list(other.turned.values()), abs=0.1)


def test_a_prompt_without_a_side_takes_either():
    prompt = next(prompt for prompt in PROMPTS["text-to-pose"] if prompt["either_side"])
    other = mirror_pose(torch.tensor(prompt["witness"]))
    assert judge_pose(prompt, other).right and not judge_pose(prompt | {"either_side": False}, other).right


def test_facts_of_poses_that_everybody_knows():
    facts = measure_pose(torch.stack([torch.zeros(22, 3), STAND]))
    t_pose, stand = ({name: float(value[row]) for name, value in facts.items()} for row in (0, 1))
    assert t_pose["left_arm_raise"] == pytest.approx(90, abs=6) and t_pose["hands_apart"] > 1.2
    assert stand["pelvis_height"] == pytest.approx(0.9, abs=0.1) and stand["left_hand_rise"] < -0.4
    for name in ("left_elbow_bend", "left_knee_bend", "trunk_lean", "left_foot_height", "right_foot_height"):
        assert abs(t_pose[name]) < 12
    facts = measure_pose(plain_pose(turn_left=50, bend_left=30, twist_left=40, left_raise=180, right_flex=90))
    assert facts["head_turn_left"] > 40 and facts["trunk_left"] > 15 and facts["spine_twist_left"] > 30
    assert facts["left_hand_over_head"] > 0.3 and facts["right_hip_bend"] > 80 and facts["left_hip_bend"] < 10
    assert facts["head_turn_right"] == -facts["head_turn_left"]
    lying = measure_pose(named_pose("lying flat on the back").axis_angle)
    assert lying["chest_up"] > 70 and lying["trunk_lean"] > 75 and lying["trunk_height"] < 0.1


def test_the_heading_does_not_matter():
    poses = torch.tensor([prompt["witness"] for prompt in ALL[::7]])
    about_y = roma.rotvec_to_rotmat(torch.tensor([0.0, 1.9, 0.0]))
    turned = poses.clone()
    turned[:, 0] = roma.rotmat_to_rotvec(about_y @ roma.rotvec_to_rotmat(poses[:, 0]))
    before, after = measure_pose(poses), measure_pose(turned)
    steady = [name for name in before if "trunk" not in name]  # a lying trunk may lean to any side
    for name in steady:
        difference = (before[name] - after[name]).abs() % 360
        assert torch.minimum(difference, 360 - difference).max() < 0.1, name


def test_a_limb_to_keep_that_moves_is_wrong():
    edit = next(edit for edit in PROMPTS["pose-editing"] if "right_leg" in edit["keep"] and edit["start"] == "T-pose")
    moved = set_angles(torch.tensor(edit["witness"]), angle_vector({"right_knee": KEPT_DEGREES + 15}))
    judgement = judge_pose(edit, moved)
    assert all(judgement.held.values()) and not judgement.right
    assert judgement.turned["right_leg"] == pytest.approx(KEPT_DEGREES + 15, abs=3)


def test_predicates_are_read():
    facts = {name: torch.tensor(50.0) for name in ("left_knee_bend", "right_knee_bend")}
    assert parse_predicate("40 < left_knee_bend < 60").holds(facts)
    assert not parse_predicate("left_knee_bend > 60").holds(facts)
    before = facts | {"left_knee_bend": torch.tensor(45.0)}
    assert parse_predicate("change left_knee_bend | right_knee_bend > 3").holds(facts, before)
    assert not parse_predicate("change left_knee_bend < -3").holds(facts, before)
    for text in ("left_knee_bend", "3 < left_knee_bend > 2", "left_knee_bend >= 3", ""):
        with pytest.raises(ValueError, match="no predicate"):
            parse_predicate(text)
    with pytest.raises(ValueError, match="no fact 'left_ear_bend'"):
        parse_predicate("left_ear_bend > 3")
    with pytest.raises(ValueError, match="two poses"):
        parse_predicate("change left_knee_bend > 3").holds(facts)
    with pytest.raises(ValueError, match="choose from text-to-pose"):
        load_prompts("image-to-pose")


def test_the_exported_folder_is_a_data_set_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    result = CliRunner().invoke(app, ["export", "--plain-english", "--output", str(tmp_path / "set")])
    assert result.exit_code == 0 and result.stdout.strip() == str(tmp_path / "set")
    found = sorted(str(path.relative_to(tmp_path / "set")) for path in (tmp_path / "set").rglob("*") if path.is_file())
    assert found == sorted(FILES)
    check_dataset_card((tmp_path / "set/README.md").read_text(encoding="utf-8"))
    for task in TASKS:
        rows = datasets.load_dataset(str(tmp_path / "set"), task, split="test", cache_dir=str(tmp_path / "cache"))
        assert rows.to_list() == PROMPTS[task]
    result = CliRunner().invoke(app, ["export", "--plain-english", "--all", "--output", str(tmp_path / "other")])
    assert result.exit_code == 2 and "leave out --all" in result.stderr and not (tmp_path / "other").exists()
    assert export_prompts(tmp_path / "set") == tmp_path / "set"


def test_the_command_counts_right_answers(tmp_path, monkeypatch):
    """With a model that knows the witnesses of the texts, and leaves poses unchanged."""

    def pipeline(task, model=None, processor=None):
        witnesses = {prompt["text"]: prompt["witness"] for prompt in PROMPTS["text-to-pose"]}
        return lambda asked, batch_size: [
            {"pose": Pose(witnesses[one] if isinstance(one, str) else one["pose"])} for one in asked
        ]

    monkeypatch.setattr(running, "pipeline", pipeline)
    monkeypatch.setattr(evaluating, "load", lambda model, task: (None, None))
    output = tmp_path / "figures.json"
    result = CliRunner().invoke(app, ["evaluate", "--plain-english", "--output", str(output)])
    assert result.exit_code == 0, result.output
    assert "| description | 40 of 40 | 100% |" in result.stdout and "| edit | 0 of 60 |" in result.stdout
    figures = json.loads(output.read_text(encoding="utf-8"))
    assert figures["kept"] == 1 and figures["wrong"] == [prompt["id"] for prompt in PROMPTS["pose-editing"]]
    assert sum(kind["asked"] for kind in figures["edits"].values()) == 60
    assert "edit-01" in result.stderr and "lacks" in result.stderr
    result = CliRunner().invoke(app, ["evaluate", "--plain-english", "--count", "3", "--output", str(output)])
    assert result.exit_code == 2 and "leave out --count" in result.stderr
