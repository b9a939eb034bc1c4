# SPDX-License-Identifier: Apache-2.0
"""The language bank: angles, poses, sides, reaching arms, edits and composed samples."""

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from typer.testing import CliRunner

from unipose_hf import Pose, named_pose, search_poses
from unipose_hf.body import JOINT_NAMES, forward_kinematics, load_body, mirror_pose, remove_yaw
from unipose_hf.cli.app import app
from unipose_hf.data.language import (
    ANGLES,
    STANDING,
    angles_to_axis_angle,
    axis_angle_to_angles,
    edit_by_command,
    find_named,
    find_pose,
    load_language_bank,
    pack,
    set_angles,
)
from unipose_hf.data.language.angles import angle_vector, mirror_angles
from unipose_hf.data.language.bank import read_rows
from unipose_hf.data.language.composer import Composer, left_handed, swap_sides, typing_noise
from unipose_hf.data.language.edits import edited_angles, fits, limb_mask
from unipose_hf.data.language.reach import solve_reach
from unipose_hf.data.language.wording import keep_limbs
from unipose_hf.data.open_poses import load_open_poses


@pytest.fixture(scope="module")
def bank():
    return load_language_bank()


@pytest.fixture(scope="module")
def composer():
    return Composer(load_open_poses("train").axis_angle[:64])


def some_angles(count=50):
    draw = torch.Generator().manual_seed(0)
    angles = STANDING + 40 * (2 * torch.rand(count, len(ANGLES), generator=draw) - 1)
    for side in ("left", "right"):
        angles[:, ANGLES.index(f"{side}_raise")] = 5 + 170 * torch.rand(count, generator=draw)
        angles[:, ANGLES.index(f"{side}_elbow")] = 140 * torch.rand(count, generator=draw)
    return angles


def joints(axis_angle):
    placed, _ = forward_kinematics(roma.rotvec_to_rotmat(axis_angle), load_body(size="small").rest_joints)
    return {name: placed[..., row, :] for row, name in enumerate(JOINT_NAMES)}


def test_angles_come_back_from_the_pose_they_made():
    angles = some_angles()
    torch.testing.assert_close(axis_angle_to_angles(angles_to_axis_angle(angles)), angles, atol=1e-2, rtol=0)


def test_a_mirrored_pose_has_mirrored_angles():
    angles = some_angles()
    mirrored = roma.rotvec_to_rotmat(mirror_pose(angles_to_axis_angle(angles)))
    torch.testing.assert_close(roma.rotvec_to_rotmat(angles_to_axis_angle(mirror_angles(angles))), mirrored)


@pytest.mark.parametrize(
    ("angle", "joint", "axis", "sign"),
    [
        ("left_raise", "left_wrist", 1, 1),
        ("left_flex", "left_knee", 2, 1),
        ("right_out", "right_ankle", 0, -1),
        ("bend_forward", "head", 2, 1),
        ("bend_left", "head", 0, 1),
        ("root_left", "head", 0, 1),
        ("left_knee", "left_ankle", 2, -1),
    ],
)
def test_each_angle_goes_the_way_its_name_says(angle, joint, axis, sign):
    more = STANDING.clone()
    more[ANGLES.index(angle)] += 40
    moved = joints(angles_to_axis_angle(more))[joint] - joints(angles_to_axis_angle(STANDING))[joint]
    assert sign * moved[axis] > 0.1


def test_setting_an_angle_moves_its_joint_alone():
    poses = load_open_poses("test").axis_angle[:20]
    changed = set_angles(poses, angle_vector({"left_knee": 90.0}))
    moved = (changed - poses).abs().amax((0, 2)) > 1e-6
    assert [JOINT_NAMES[row] for row in moved.nonzero()[:, 0]] == ["left_knee"]
    torch.testing.assert_close(set_angles(poses, torch.full((len(ANGLES),), torch.nan)), poses)


def test_an_unknown_angle_is_named():
    with pytest.raises(ValueError, match="Unknown angle left_kne"):
        angle_vector({"left_kne": 3})


def test_hands_that_reach_get_there(monkeypatch):
    monkeypatch.setattr("unipose_hf.data.language.reach._STEPS", 120)
    angles = STANDING.expand(3, -1)
    reaches = [{"left_hand": "right shoulder"}, {"right_hand": ["top of head"]}]
    reaches.append({"left_hand": "the other hand", "right_hand": "chest"})
    solved, distances = solve_reach(angles, reaches, torch.tensor([False, False, True]))
    assert distances.max() < 0.08
    left_leg = [ANGLES.index(f"left_{name}") for name in ("flex", "knee")]
    assert torch.equal(solved[:, left_leg], angles[:, left_leg])
    with pytest.raises(ValueError, match="no place"):
        solve_reach(angles[:1], [{"left_hand": "moon"}], torch.tensor([False]))


def test_the_bank_is_whole(bank):
    assert len(bank.named) == len(bank.named_angles) >= 547 and len(bank.parts) == len(bank.part_low) >= 360
    assert not bank.named_angles.isnan().any() and bool(
        (bank.part_low <= bank.part_high + 1e-4)[~bank.part_low.isnan()].all()
    )
    assert len({pose.name for pose in bank.named}) == len(bank.named)
    for row, part in enumerate(bank.parts):
        assert part.phrases and part.commands and bool((~bank.part_low[row].isnan()).any())


def test_a_pose_is_found_by_its_names(bank):
    hands = joints(torch.tensor(named_pose("T pose").axis_angle))
    assert abs(hands["left_wrist"][1] - hands["left_shoulder"][1]) < 0.1 and hands["left_wrist"][0] > 0.5
    assert (named_pose("warrior two").axis_angle == named_pose("Warrior II").axis_angle).all()
    assert "kneeling upright" in [pose.name for pose in search_poses("kneel")]
    with pytest.raises(ValueError, match="no pose named 'warrior seventeen'"):
        named_pose("warrior seventeen")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tpose", "T-pose"),
        ("A person in a T pose.", "T-pose"),
        ("yoga tree pose", "tree pose"),
        ("a man is doing a handstand", "handstand"),
        ("sit", "sit"),
        ("She is lying on her back", "lying on the back"),
        ("hands on the hips", "hands on hips"),
        ("Cobra pose, yoga", "cobra pose"),
        ("star jump", "star jump"),
    ],
)
def test_a_name_is_found_in_the_words_people_put_around_it(text, name):
    assert find_named(text)[0] == name


def test_a_name_is_found_for_the_other_side_and_never_in_other_texts():
    (left, on_left), (right, on_right) = (find_named(f"arabesque on the {side} leg") for side in ("left", "right"))
    assert (left, right) == ("arabesque on the left leg", "arabesque on the right leg")
    mirrored = mirror_pose(torch.tensor(on_left.axis_angle)[None])[0].numpy()
    assert np.allclose(on_right.axis_angle, mirrored, atol=1e-4)
    star = joints(torch.tensor(find_named("star jump")[1].axis_angle))  # also an alias of the jumping jack
    assert star["left_wrist"][0] > 0.4
    for text in ("", "a", "pose", "a person", "a green cube", "tree pose with a hat on", "not a handstand"):
        assert find_named(text) is None


def test_the_command_lists_and_writes_poses(tmp_path):
    run = CliRunner().invoke(app, ["poses", "--search", "squat"])
    assert run.exit_code == 0 and "sumo squat" in run.output and "T-pose" not in run.output
    run = CliRunner().invoke(app, ["poses", "t-pose", "--output", str(tmp_path / "t.npz")])
    assert run.exit_code == 0 and (tmp_path / "t.npz").exists()
    assert CliRunner().invoke(app, ["poses", "--search", "qwertz"]).exit_code == 2


def test_sides_are_swapped_and_nothing_else():
    assert swap_sides("Left arm up, right-handed, upright, LEFT") == "Right arm up, left-handed, upright, RIGHT"
    for row in read_rows("parts.jsonl"):
        for text in row["phrases"] + row["commands"]:
            assert swap_sides(swap_sides(text)) == text


@pytest.mark.parametrize("kind", ["prompts", "instructions", "descriptions", "differences"])
def test_composed_samples_are_whole_and_repeat(composer, kind):
    first, again = (getattr(composer, kind)(24, 5) for _ in range(2))
    assert first.texts == again.texts and torch.equal(first.poses, again.poses)
    assert first.poses.shape == (24, 2 if kind in ("instructions", "differences") else 1, 22, 3)
    assert bool(first.poses.isfinite().all()) and all(text.strip() for text in first.texts)
    assert set(first.styles) <= {"short", "full"} and first.weights.shape == (24, 22)
    assert getattr(composer, kind)(24, 6).texts != first.texts


def one_sided(bank):
    """Numbers of parts that set angles of the left arm or leg alone and whose words name no other side."""
    right = torch.tensor([not name.startswith("left_") for name in ANGLES])
    texts = [part.commands + part.phrases for part in bank.parts]
    return [
        row
        for row, part in enumerate(bank.parts)
        if part.part in ("left_arm", "left_leg")
        and bool(bank.part_low[row][right].isnan().all())
        and all(re.search(r"\bleft\b", text, re.I) and not re.search(r"\bright\b", text, re.I) for text in texts[row])
    ]


def test_left_and_right_are_never_confused(composer, bank, monkeypatch):
    """Whatever is drawn, a text that speaks of one side alone moves a limb of that side."""
    rows = one_sided(bank)
    assert len(rows) > 20
    monkeypatch.setattr(composer, "by_part", {"left_arm": rows})
    everyday = [drawn for drawn in composer.everyday_parts if drawn[0] in rows]
    monkeypatch.setattr(composer, "everyday_parts", everyday)
    monkeypatch.setattr(composer, "_edit", composer._set_parts)
    composed = composer.instructions(200, 3)
    moved = (composed.poses[:, 1] - composed.poses[:, 0]).abs().amax(-1) > 1e-5
    sides = {
        side: [row for row, name in enumerate(JOINT_NAMES) if name.startswith(side)] for side in ("left", "right")
    }
    seen = set()
    for text, joint_moved in zip(composed.texts, moved, strict=True):
        named = set(re.findall(r"\b(left|right)\b", text.lower()))
        if len(named) == 1:
            side = named.pop()
            other = {"left": "right", "right": "left"}[side]
            assert joint_moved[sides[side]].any() and not joint_moved[sides[other]].any(), text
            seen.add(side)
    assert seen == {"left", "right"}


def test_what_a_description_does_not_speak_of_counts_less(composer):
    composed = composer.prompts(200, 1)
    assert composed.weights.unique().tolist() == pytest.approx([0.3, 1.0])


def test_edits_change_what_they_say():
    sitting = axis_angle_to_angles(torch.tensor(named_pose("sitting upright on a chair").axis_angle))
    more = {"delta": {"left_elbow": [20, 20]}, "commands": []}
    after = edited_angles(more, sitting, 0.5)
    assert after[ANGLES.index("left_elbow")] == pytest.approx(float(sitting[ANGLES.index("left_elbow")]) + 20, abs=0.1)
    assert int((~after.isnan()).sum()) == 1
    assert not fits({"when": {"left_flex": [-20, 20]}}, sitting)
    for row in read_rows("edits.jsonl"):
        assert row["commands"]
        assert set(row) & {"op", "set", "delta", "scale"}
        edited_angles(row, sitting, 0.5)


def test_slips_of_the_fingers_leave_sides_alone():
    rng = random.Random(0)
    for _ in range(300):
        assert re.findall("left|right", typing_noise("Raise the left hand to the right ear", rng).lower()) == [
            "left",
            "right",
        ]


def test_prompts_that_name_no_side_are_right_handed(composer):
    prompts = composer.prompts(200, seed=3)
    sided = torch.tensor([swap_sides(text) != text for text in prompts.texts])
    left = left_handed(prompts.poses[:, 0])
    assert not left[~sided].any()
    assert 0.2 < left[sided].float().mean() < 0.8
    throwing = torch.tensor(named_pose("throwing a dart").axis_angle)
    hands = torch.stack([throwing, mirror_pose(throwing)])
    assert left_handed(hands).tolist() == [False, True]


def test_edits_that_the_source_gives_a_side_are_drawn_for_both(composer, monkeypatch):
    deeper = next(edit for edit in composer.edits if edit["kind"] == "lunge_deeper")
    monkeypatch.setattr(composer, "edits", [deeper])
    monkeypatch.setattr(composer, "everyday_edits", [(0, text) for text in deeper["commands"]])
    monkeypatch.setattr(composer, "_edit", composer._relative)
    composed = composer.instructions(64, seed=0)
    before, after = (axis_angle_to_angles(composed.poses[:, time]) for time in (0, 1))
    left, right = (ANGLES.index(f"{side}_flex") for side in ("left", "right"))
    in_front = before[:, left] > before[:, right]
    assert 0.25 < in_front.float().mean() < 0.75
    deeper_by = torch.where(in_front, (after - before)[:, left], (after - before)[:, right])
    assert deeper_by.min() > 5


def test_everyday_commands_are_drawn_often(composer):
    known = {text.lower() for _, text in composer.everyday_parts}
    assert {"raise both arms", "lift your left arm", "kneel down"} <= known and "play the trumpet" not in known
    drawn = [text.lower() for seed in range(4) for text in composer.instructions(128, seed).texts]
    known |= {text.lower() for _, text in composer.everyday_edits}
    assert sum(text in known or swap_sides(text) in known for text in drawn) > 0.15 * len(drawn)


def test_what_an_edit_keeps_stays(composer, monkeypatch):
    """Texts that end with what stays are about poses in which it does."""
    monkeypatch.setattr("unipose_hf.data.language.composer._KEEPING", 1.0)
    monkeypatch.setattr("unipose_hf.data.language.composer.typing_noise", lambda text, rng: text)
    composed = composer.instructions(300, 8)
    before, after = (axis_angle_to_angles(composed.poses[:, time]) for time in (0, 1))
    turned = (before - after).abs() > 1.0
    seen = set()
    for text, angles in zip(composed.texts, turned, strict=True):
        kept = re.search(
            r"(?:[;,.]|and|but) the (arms|left arm|right arm|legs|left leg|right leg|head) (?:stays?|d)", text
        )
        if kept:
            assert not angles[limb_mask(kept[1])].any(), text
            seen.add(kept[1])
    assert len(seen) >= 5
    assert keep_limbs("Wave.", [], random.Random(0)) == "Wave"


def test_what_an_edit_changes_counts_more(composer, monkeypatch):
    monkeypatch.setattr(composer, "_edit", composer._relative)
    composed = composer.instructions(100, 4)
    poses, weights = remove_yaw(composed.poses), composed.weights
    before, after = (torch.stack([*joints(poses[:, time]).values()], 1) for time in (0, 1))
    moved = (before - after).norm(dim=-1)
    row_weights = weights.amax(1)
    assert torch.equal(weights < row_weights[:, None], (moved <= 0.02) & (moved.amax(1, keepdim=True) > 0.02))
    small = (moved.mean(1) < 0.03) & (moved.amax(1) > 0.03)
    assert small.sum() > 10 and row_weights[small].min() == 4.0 and row_weights[moved.mean(1) > 0.12].max() == 1.0


def test_scenes_are_made_of_parts_of_the_bank(composer, bank):
    assert len(composer.scenes) > 600
    for scene in composer.scenes:
        assert len(scene["texts"]) >= 3 and len(scene["commands"]) >= 2
    two_arms = {"base": None, "parts": [swap_sides(bank.parts[0].phrases[0])], "texts": [], "commands": []}
    values = composer._scene_values(random.Random(0), two_arms)
    low, high = (mirror_angles(bound[0]) for bound in (bank.part_low, bank.part_high))
    set_by_part = ~low.isnan()
    assert torch.equal(~values.isnan(), set_by_part)
    assert (values[set_by_part] >= torch.minimum(low, high)[set_by_part] - 1e-4).all()
    drawn = {text.lower() for seed in range(3) for text in composer.prompts(128, seed).texts}
    written = {text.lower() for scene in composer.scenes for text in scene["texts"]}
    assert len(drawn & written) > 5


def changed(before, after):
    """The angles that differ by more than a degree, with their change."""
    before, after = (axis_angle_to_angles(torch.tensor(pose.axis_angle)) for pose in (before, after))
    return {name: float(b - a) for name, a, b in zip(ANGLES, before, after, strict=True) if abs(b - a) > 1}


def test_a_command_is_done_as_the_bank_defines_it():
    t_pose, turn = named_pose("T-pose"), torch.tensor([0.0, 1.0, 0.0])
    found = changed(t_pose, edit_by_command(t_pose, "Please bend your RIGHT elbow.")[1])
    assert set(found) == {"right_elbow"} and 60 < found["right_elbow"] < 110
    sideways = Pose(np.concatenate([turn[None].numpy(), t_pose.axis_angle[1:]]))  # in another heading
    edited = edit_by_command(sideways, "bend the right elbow")[1]
    assert edited.axis_angle[0] == pytest.approx(turn, abs=1e-5)
    assert edited.axis_angle[1:] == pytest.approx(
        edit_by_command(t_pose, "bend the right elbow")[1].axis_angle[1:], abs=1e-4
    )
    warrior = named_pose("warrior two")
    mirrored = edit_by_command(warrior, "mirror it")[1]
    assert mirrored.axis_angle == pytest.approx(mirror_pose(torch.tensor(warrior.axis_angle)).numpy(), abs=1e-5)
    assert edit_by_command(t_pose, "run")[0] == "run"  # a named pose, but only from standing
    assert edit_by_command(named_pose("sitting upright on a chair"), "run") is None
    assert edit_by_command(t_pose, "paint it green") is None and edit_by_command(t_pose, "raise and paint it") is None


def test_the_clauses_of_a_command_are_done_one_after_the_other():
    t_pose = named_pose("T-pose")
    name, after = edit_by_command(
        t_pose, "raise the left arm and bend the right knee, then look up; the right arm stays"
    )
    assert name == "raise your left arm; bend the right knee; look up"
    found = changed(t_pose, after)
    assert found["left_raise"] > 30 and found["right_knee"] > 50 and found["nod_down"] < -10
    assert not any(angle.startswith("right_") and "knee" not in angle and "flex" not in angle for angle in found)
    kneeling = edit_by_command(t_pose, "keep your arms where they are and kneel down")[1]
    found = changed(t_pose, kneeling)
    assert found["left_knee"] > 60 and not any(angle.endswith(("raise", "plane", "elbow")) for angle in found)


def test_a_command_without_a_side_is_right_handed_unless_the_pose_tells():
    standing = named_pose("standing relaxed")
    wave = changed(standing, edit_by_command(standing, "wave")[1])
    assert any(name.startswith("right_") for name in wave) and not any(name.startswith("left_") for name in wave)
    lunge = edit_by_command(standing, "deep step on the left, right leg back")[1]
    for pose, front in ((lunge, "left"), (edit_by_command(lunge, "mirror it")[1], "right")):
        found = changed(pose, edit_by_command(pose, "straighten the front leg")[1])
        assert found[f"{front}_knee"] < -30


def test_a_pose_is_found_by_name_or_made_of_commands():
    assert find_pose("do a t pose")[0] == "T-pose"
    name, pose = find_pose("Raise your left arm straight up.")
    found = axis_angle_to_angles(torch.tensor(pose.axis_angle))
    assert name == "Raise your left arm straight up." and found[ANGLES.index("left_raise")] > 160
    assert find_pose("a green cube") is None


def test_rows_of_other_files_are_merged_once(tmp_path, monkeypatch):
    part, pose = read_rows("parts.jsonl")[0], read_rows("named.jsonl")[0]
    rows = [
        {"name": pose["name"], "aliases": [pose["aliases"][0].upper()], "texts": ["words that nobody wrote before"]},
        {"name": "a pose of no name", "aliases": [], "texts": ["so be it"], "pose": {}},
        {"part": part["part"], "phrases": [part["phrases"][0], "a phrase of its own"], "commands": []},
        {"kind": "mirror", "commands": ["as in a looking glass"]},
    ]
    more = tmp_path / "more.jsonl"
    more.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    monkeypatch.setattr(pack, "FOLDER", tmp_path)
    pack.merge([str(more)])
    merged = {
        name: [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("named", "parts", "edits")
    }
    assert merged["named"][0] == pose | {"texts": [*pose["texts"], "words that nobody wrote before"]}
    assert merged["named"][-1]["name"] == "a pose of no name"
    assert merged["parts"][0] == part | {"phrases": [*part["phrases"], "a phrase of its own"]}
    assert sum("as in a looking glass" in row["commands"] for row in merged["edits"]) == 1


def test_the_docs_count_the_bank_as_it_is(bank):
    page = (Path(__file__).parents[2] / "docs/poses_and_words.md").read_text(encoding="utf-8")
    assert f"{len(bank.named):,} whole-body poses" in page and f"{len(bank.parts)} states of limbs" in page
    assert f"{len(read_rows('edits.jsonl'))} edits, and {len(read_rows('scenes.jsonl'))}\nscenes" in page
