# SPDX-License-Identifier: Apache-2.0
"""The CLI: every task from files to files; user errors give one sentence and exit code 2."""

import errno
import json
import pickle
import subprocess
import sys

import huggingface_hub
import numpy as np
import pytest
import roma
import torch
from PIL import Image
from transformers import GenerationConfig
from typer.testing import CliRunner

import unipose_hf
from stand_in_hub import StandInHub
from tiny_chat import tiny_model_and_processor
from unipose_hf import Pose, auto, cli, sample
from unipose_hf.captions import instruct_pairs
from unipose_hf.data.formats.pose_files import guess_joint_map, read_pose, read_poses
from unipose_hf.data.language import describe_changes
from unipose_hf.data.open_poses import load_open_poses


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    for part in tiny_model_and_processor(text={"max_position_embeddings": 512}):
        part.save_pretrained(folder)
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def poses():
    return load_open_poses("test").axis_angle[[0, 9, 30]]


def mistake(result, *words):
    """It ended with exit code 2 and one line on stderr that holds the words; nothing else was said."""
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("unipose: ") and result.stderr.count("\n") == 1, result.stderr
    assert all(word in result.stderr for word in words), result.stderr


def amass(path, poses):
    """Write motion `(F, 22, 3)` of our frame as AMASS does, in a z-up world."""
    frames = []
    for pose in poses:
        Pose(pose).save(path.with_name("frame.npz"))
        frames.append(np.load(path.with_name("frame.npz"))["poses"])
    np.savez(path, poses=np.concatenate(frames))
    return path


# -- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.versions
def test_help_names_every_command(run):
    shown = run("--help").stdout
    assert all(name in shown for name in ("demo", "describe", "estimate", "edit", "diff", "evaluate", "doctor"))


def test_the_module_is_the_command_too():
    done = subprocess.run([sys.executable, "-m", "unipose_hf.cli", "fly"], capture_output=True, text=True)
    assert done.returncode == 2 and "fly" in done.stderr and "Traceback" not in done.stderr


def test_command_line_mistakes(run):
    mistake(run("fly"), "fly")
    mistake(run("describe"), "files")
    mistake(run("describe", "x.npz", "--every", "0"), "--every")
    mistake(run("edit", "a.npz", "Sit.", "--bogus"), "--bogus")


# -- describe --------------------------------------------------------------------------------------------------------


def test_describe_reads_every_kind(run, tmp_path, poses):
    Pose(poses[0]).save(tmp_path / "a.json")
    Pose(poses[0]).save(tmp_path / "a.bvh")
    amass(tmp_path / "motion.npz", poses)
    result = run("describe", "a.json", "a.bvh", "motion.npz", "--every", "2")
    assert result.exit_code == 0, result.output
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[:2] for row in rows] == [["a.json", "0"], ["a.bvh", "0"], ["motion.npz", "0"], ["motion.npz", "2"]]
    assert all(row[2].endswith(".") for row in rows) and rows[2][2] != rows[3][2]


def test_describe_mistakes(run, tmp_path, poses):
    mistake(run("describe", "none.npz"), "none.npz")
    (tmp_path / "a.fbx").write_text("x")
    mistake(run("describe", "a.fbx"), ".fbx", ".npz, .bvh, .json")
    for name in ("broken.npz", "broken.bvh", "broken.json"):
        (tmp_path / name).write_bytes(b"\x00\xffnot a pose")
        mistake(run("describe", name), name)
    Pose(poses[0]).save(tmp_path / "cut.bvh")
    text = (tmp_path / "cut.bvh").read_text()
    for end in (20, text.index("CHANNELS") + 10, len(text) - 40):
        (tmp_path / "cut.bvh").write_text(text[:end])
        mistake(run("describe", "cut.bvh"), "cut.bvh")
    bad = np.zeros((2, 66))
    bad[1, 5] = np.nan
    np.savez(tmp_path / "nan.npz", poses=bad)
    mistake(run("describe", "nan.npz"), "nan.npz", "frame 1")


def test_what_a_file_does_not_tell_is_said_by_options(run, tmp_path):
    lying = np.zeros((1, 66))
    lying[0, 2] = np.pi / 2
    np.savez(tmp_path / "parts.npz", root_orient=lying[:, :3], pose_body=lying[:, 3:])
    mistake(run("describe", "parts.npz"), "parts.npz", "which axis points up", "--up")
    told = {up: run("describe", "parts.npz", "--up", up) for up in ("y", "z", "-y")}
    assert all(result.exit_code == 0 for result in told.values()), told
    assert told["z"].stdout != told["y"].stdout
    mistake(run("describe", "parts.npz", "--up", "up"), "'up'", "-y")
    mistake(run("describe", "parts.npz", "--up", "y", "--facing", "y"), "perpendicular")

    body = {"global_orient": np.zeros((1, 3)), "body_pose": np.zeros((1, 63))}
    (tmp_path / "two.pkl").write_bytes(pickle.dumps({1: body, 4: body}))
    mistake(run("describe", "two.pkl"), "2 people", "1, 4", "--person")
    assert run("describe", "two.pkl", "--person", "4").exit_code == 0

    Pose(np.zeros((22, 3))).save(tmp_path / "named.bvh")
    (tmp_path / "named.bvh").write_text((tmp_path / "named.bvh").read_text().replace("left_hip", "Coil"))
    mistake(run("describe", "named.bvh"), "left_hip", "--joint-map")
    (tmp_path / "map.json").write_text('{"left_hip": "Coil"}')
    result = run("describe", "named.bvh", "--joint-map", "map.json")
    assert result.exit_code == 0, result.output
    mistake(run("describe", "named.bvh", "--joint-map", "none.json"), "none.json")


# -- files of poses --------------------------------------------------------------------------------------------------


def test_read_poses_agrees_with_pose(tmp_path, poses):
    motion = read_poses(amass(tmp_path / "motion.npz", poses))
    assert motion.shape == (3, 22, 3) and motion.dtype == torch.float32
    np.testing.assert_allclose(motion, poses, atol=1e-5)
    for frame in range(3):
        np.testing.assert_allclose(read_pose(tmp_path / "motion.npz", frame).axis_angle, motion[frame], atol=1e-5)
    shaped = Pose(poses[0], betas=np.arange(10) / 10)
    for name in ("shaped.json", "shaped.npz"):
        shaped.save(tmp_path / name)
        assert read_pose(tmp_path / name).betas is not None


MIXAMO = {
    "hip": "UpLeg",
    "knee": "Leg",
    "ankle": "Foot",
    "foot": "ToeBase",
    "collar": "Shoulder",
    "shoulder": "Arm",
    "elbow": "ForeArm",
    "wrist": "Hand",
    "pelvis": "Hips",
    "spine1": "Spine",
    "spine2": "Spine1",
    "spine3": "Spine2",
    "neck": "Neck",
    "head": "Head",
}


def test_bvh_with_names_of_other_programs(tmp_path, poses):
    Pose(poses[1]).save(tmp_path / "ours.bvh")
    lines = (tmp_path / "ours.bvh").read_text().splitlines()
    for i, line in enumerate(lines):
        if line.split()[:1] in (["ROOT"], ["JOINT"]):
            side, _, part = line.split()[1].rpartition("_")
            lines[i] = f"{line.split()[0]} mixamorig:{side.capitalize()}{MIXAMO[part]}"
    (tmp_path / "theirs.bvh").write_text("\n".join(lines))
    ours, theirs = guess_joint_map(tmp_path / "ours.bvh"), guess_joint_map(tmp_path / "theirs.bvh")
    assert len(ours) == 22 and all(name == other for name, other in ours.items())
    assert theirs["spine2"] == "mixamorig:Spine1" and theirs["left_collar"] == "mixamorig:LeftShoulder"
    np.testing.assert_allclose(read_poses(tmp_path / "ours.bvh")[0], poses[1], atol=1e-4)
    # retargeted: bone directions are preserved only if the rest poses agree
    found = Pose(read_poses(tmp_path / "theirs.bvh")[0])
    np.testing.assert_allclose(found.joints, Pose(poses[1]).joints, atol=0.06)

    (tmp_path / "snake.bvh").write_text("\n".join(lines).replace("UpLeg", "Coil"))
    with pytest.raises(ValueError, match="snake.bvh has no joints that look like the limbs"):
        read_poses(tmp_path / "snake.bvh")


# -- the tasks -------------------------------------------------------------------------------------------------------


def test_estimate(run, tmp_path, model_folder):
    photo = Image.open(sample("photo.jpg")).convert("RGB")
    two = Image.new("RGB", (900, 600), "gray")
    two.paste(photo.resize((490, 550)), (0, 20))
    two.paste(photo.resize((383, 430)), (510, 20))
    two.save(tmp_path / "person.jpg")
    Image.new("L", (40, 40)).save(tmp_path / "other.png")
    result = run("estimate", "person.jpg", "other.png", "--model", model_folder, "--output", "results/today")
    assert result.exit_code == 0, result.output
    assert "other.png: nobody was found" in result.output
    folder = tmp_path / "results" / "today"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["person-overlay.jpg"]
        + [f"{name}{suffix}" for name in ("person-person2", "person") for suffix in (".glb", ".npz", ".png")]
    )
    assert Image.open(folder / "person-overlay.jpg").size == (900, 600)
    assert Image.open(folder / "person.png").size[0] > 700
    first = Pose.from_npz(folder / "person.npz")
    boxed = run("estimate", "person.jpg", "--box", "0,0,30.5,40", "--model", model_folder)
    assert boxed.exit_code == 0, boxed.output
    assert Pose.from_npz(tmp_path / "poses" / "person.npz") is not None and first.axis_angle.shape == (22, 3)


def test_estimate_of_a_folder_writes_a_sheet(run, tmp_path, model_folder):
    (tmp_path / "album").mkdir()
    photo = Image.open(sample("photo.jpg")).convert("RGB")
    photo.save(tmp_path / "album" / "b.jpg")
    Image.new("RGB", (60, 40)).save(tmp_path / "album" / "a.png")
    (tmp_path / "album" / "notes.txt").write_text("no picture")
    result = run("estimate", "album", "--model", model_folder, "--output", "out")
    assert result.exit_code == 0, result.output
    assert result.output.index("a.png: nobody") < result.output.index("b.npz") < result.output.index("sheet.jpg")
    sheet = np.asarray(Image.open(tmp_path / "out" / "sheet.jpg").convert("RGB"))
    left, right = sheet[8:328, 8:328], sheet[8:328, 336:656]  # cells of a black picture and the photograph
    assert left[160, 160].max() < 20
    shown = right[:, 20:300].astype(float) - np.asarray(photo.resize((285, 320)), dtype=float)[:, 3:283]
    changed = np.abs(shown).max(-1) > 40  # by the body drawn on it
    assert 0.02 < changed.mean() < 0.6
    assert (sheet[332:] < 128).any()  # the names
    (tmp_path / "empty").mkdir()
    mistake(run("estimate", "empty"), "no pictures", "empty")
    mistake(run("estimate", "album", "--box", "0,0,9,9"), "2 pictures")


def test_a_box_far_beyond_the_picture_is_cut_to_it(run, tmp_path, model_folder):
    Image.new("RGB", (80, 60), "gray").save(tmp_path / "person.jpg")
    result = run("estimate", "person.jpg", "--box", "-9e4,0,20000,20000", "--model", model_folder)
    assert result.exit_code == 0, result.output
    assert Image.open(tmp_path / "poses" / "person.png").size[0] > 700


def test_what_the_system_refuses_is_one_sentence(run, tmp_path, model_folder, monkeypatch):
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png")

    def full(self, path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Pose, "save", full)
    mistake(
        run("estimate", "a.png", "--box", "5,5,70,55", "--model", model_folder), "a.npz", "No space left on device"
    )


def test_estimate_mistakes(run, tmp_path, model_folder):
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png")
    (tmp_path / "text.jpg").write_text("no picture")
    model = ("--model", model_folder)
    mistake(run("estimate", "none.png"), "none.png")
    for box in ("1,2,3", "a,b,c,d", "1 2 3 4"):
        mistake(run("estimate", "a.png", "--box", box), "--box", "x0,y0,x1,y1")
    mistake(run("estimate", "a.png", "--box", "10,10,5,5", *model), "box")
    mistake(run("estimate", "a.png", "text.jpg", "--box", "0,0,9,9"), "2 pictures")
    mistake(run("estimate", "text.jpg", *model), "text.jpg")
    mistake(run("estimate", "a.png", "--output", "."), "overwrite", "--output")
    mistake(run("estimate", "a.png", "--output", "text.jpg/x"), "text.jpg")
    (tmp_path / "b").mkdir()
    Image.new("RGB", (80, 60)).save(tmp_path / "b" / "a.jpg")
    mistake(run("estimate", "a.png", "b/a.jpg"), "the same name")


def test_edit_and_diff(run, tmp_path, model_folder, poses):
    amass(tmp_path / "motion.npz", poses)
    arguments = ("Raise the left arm.", "--frame", "2", "--model", model_folder)
    result = run("edit", "motion.npz", *arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "edited.glb").read_bytes()[:4] == b"glTF"
    assert run("edit", "motion.npz", *arguments, "--output", "edited.json").exit_code == 0
    assert Pose.from_json(tmp_path / "edited.json").axis_angle.shape == (22, 3)
    result = run("diff", "motion.npz", "motion.npz", "--frame-b", "1", "--model", model_folder)
    assert result.exit_code == 0, result.output

    mistake(run("edit", "motion.npz", *arguments, "--output", "x.fbx"), "x.fbx", ".glb")
    mistake(run("edit", "motion.npz", *arguments, "--output", "none/x.glb"), "none", "create it first")
    mistake(run("edit", "motion.npz", "Sit.", "--frame", "3", "--model", model_folder), "3 frames")
    mistake(run("edit", "motion.npz", " ", "--model", model_folder), "sentence")
    mistake(run("diff", "motion.npz", "none.bvh", "--model", model_folder), "none.bvh")


def test_text_to_pose(run, tmp_path, model_folder):
    result = run("text-to-pose", "The left knee is bent.", "--model", model_folder, "--output", "a.json", "--render")
    assert result.exit_code == 0 and result.stdout.startswith("a.json, .png (score "), result.output
    assert Pose.from_json(tmp_path / "a.json") and Image.open(tmp_path / "a.png").size[0] > 900
    assert run("text-to-pose", "Sit.", "--model", model_folder).exit_code == 0
    assert (tmp_path / "pose.glb").read_bytes()[:4] == b"glTF"
    mistake(run("text-to-pose", " ", "--model", model_folder), "sentence")
    mistake(run("text-to-pose", "Sit.", "--output", "x.fbx"), "x.fbx", ".glb")


def test_render(run, tmp_path, poses):
    amass(tmp_path / "motion.npz", poses)
    assert run("render", "motion.npz", "--frame", 1, "--size", 64).stdout == "motion.png\n"
    shown = Image.open(tmp_path / "motion.png")
    assert shown.size == (64, 64)
    again = ("render", "motion.npz", "--frame", 1, "--size", 64)
    assert run(*again, "--azimuth", 120, "--output", "b.webp").exit_code == 0
    assert Image.open(tmp_path / "b.webp").format == "WEBP"
    assert np.abs(np.asarray(shown, int) - np.asarray(Image.open(tmp_path / "b.webp"), int)).mean() > 1
    mistake(run("render", "motion.npz", "--output", "b.glb"), "b.glb", ".png")
    mistake(run("render", "motion.npz", "--frame", 7), "3 frames")
    mistake(run("render", "none.npz"), "none.npz")


def test_words_by_the_model_or_by_measuring(run, tmp_path, model_folder, poses):
    amass(tmp_path / "motion.npz", poses)
    model = ("--by", "model", "--model", model_folder)
    by_model = run("describe", "motion.npz", *model, "--every", 2)
    assert by_model.exit_code == 0, by_model.output
    assert [row.split("\t")[1] for row in by_model.stdout.splitlines()] == ["0", "2"]
    assert by_model.stdout != run("describe", "motion.npz", "--every", 2).stdout
    pair = ("diff", "motion.npz", "motion.npz", "--frame-b", 2)
    measured = run(*pair, "--by", "measure").stdout.strip()
    assert measured == run(*pair, "--by", "measure", "--seed", 0).stdout.strip()
    first, last = (read_pose(tmp_path / "motion.npz", frame).axis_angle[None] for frame in (0, 2))
    assert measured == instruct_pairs(first, last)[0]
    in_plain_english = run(*pair, "--by", "measure", "--style", "full").stdout.strip()
    assert in_plain_english == describe_changes(first, last)[0] != measured
    mistake(run(*pair, "--by", "measure", "--style", "full", "--seed", 1), "--seed", "--style measured")
    assert run(*pair, *model).exit_code == 0
    for command in (("describe", "motion.npz"), pair):
        mistake(run(*command, *model, "--seed", 0), "--seed", "--by measure")
        mistake(run(*command, "--by", "measure", "--model", model_folder), "--model", "--by model")
        mistake(run(*command, "--by", "magic"), "magic", "measure")


def test_edit_leaves_a_picture(run, tmp_path, model_folder, poses):
    Pose(poses[0]).save(tmp_path / "a.npz")
    result = run("edit", "a.npz", "Sit.", "--render", "--model", model_folder, "--output", "b.bvh")
    assert result.exit_code == 0 and result.stdout.strip() == "b.bvh, .png", result.output
    assert Image.open(tmp_path / "b.png").size[0] > 1200


def test_a_model_of_the_hub(run, tmp_path, model_folder, poses, monkeypatch):
    Pose(poses[0]).save(tmp_path / "a.npz")
    edit = ("edit", "a.npz", "Sit.", "--model")
    with StandInHub() as stand_in:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", stand_in.endpoint)
        template = stand_in.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        stand_in.files["us/tiny"] = {path.name: path.read_bytes() for path in model_folder.iterdir()}
        stand_in.files["us/tiny"]["other.bin"] = b"weights of another kind"
        stand_in.commits["us/tiny"] = 1
        result = run(*edit, "us/tiny")
        assert result.exit_code == 0, result.output
        cached = {path.suffix for path in (tmp_path / "cache").rglob("*/snapshots/*/*")}
        assert ".safetensors" in cached and ".bin" not in cached
        mistake(run(*edit, "us/none"), "us/none", "USER/NAME")
    (tmp_path / "us" / "tiny").mkdir(parents=True)
    mistake(run(*edit, "us/tiny"), "no config.json in the folder us/tiny")  # a folder comes first


def test_samples_are_reached_by_name(run, tmp_path):
    assert run("sample").stdout.count("\n") == 2
    assert run("sample", "photo.jpg", "walk.bvh").stdout.split() == ["photo.jpg", "walk.bvh"]
    assert Image.open(tmp_path / "photo.jpg").size == (730, 820)
    steps = read_poses(tmp_path / "walk.bvh")
    turned = roma.rotmat_geodesic_distance(*(roma.rotvec_to_rotmat(part) for part in (steps[1:], steps[:-1])))
    assert len(steps) == 120 and 0.001 < turned.mean() < turned.max() < 0.35  # it moves, without jumps
    for again in (("photo.jpg", "--output", "deep/er"), ("walk.bvh",)):
        assert run("sample", *again).exit_code == 0
    mistake(run("sample", "run.bvh"), "run.bvh", "walk.bvh")
    (tmp_path / "photo.jpg").write_text("my own")
    mistake(run("sample", "photo.jpg"), "Another file", "photo.jpg")


def test_version(run):
    assert run("--version").stdout == f"unipose-hf {unipose_hf.__version__}\n"


def test_model_mistakes(run, tmp_path, model_folder, poses, monkeypatch):
    Pose(poses[0]).save(tmp_path / "a.npz")
    edit = ("edit", "a.npz", "Sit.", "--model")
    mistake(run(*edit, "none"), "config.json", "none", "--model")
    other = tmp_path / "other"
    other.mkdir()
    for path in model_folder.iterdir():
        (other / path.name).symlink_to(path)
    (other / "config.json").unlink()
    (other / "config.json").write_text('{"model_type": "llama"}')
    mistake(run(*edit, other), "'llama'", "'unipose'")
    (other / "config.json").write_text("{")
    mistake(run(*edit, other), "config.json", "not the configuration")
    (other / "config.json").write_text((model_folder / "config.json").read_text())
    (other / "model.safetensors").unlink()
    mistake(run(*edit, other), "no *.safetensors")
    (other / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    mistake(run(*edit, other), "damaged")
    (other / "model.safetensors").unlink()
    (other / "model.safetensors").symlink_to(model_folder / "model.safetensors")
    config = json.loads((model_folder / "config.json").read_text())
    config["text_config"]["intermediate_size"] += 8
    (other / "config.json").write_text(json.dumps(config))
    mistake(run(*edit, other), "do not fit its config.json", "--model")
    (other / "config.json").write_text((model_folder / "config.json").read_text())
    (other / "tokenizer.json").unlink()
    for damage in ("{", '{"model": 1}', (model_folder / "tokenizer.json").read_text()[:-200]):
        (other / "tokenizer.json").write_text(damage)
        mistake(run(*edit, other), "tokenizer", "damaged")
    monkeypatch.setattr(auto, "PLAIN_CHECKPOINT", tmp_path / "gone")
    mistake(run(*edit[:-1]), "gone", "reinstall")


def test_genuine_bugs_keep_their_traceback(run, tmp_path, poses, monkeypatch):
    Pose(poses[0]).save(tmp_path / "a.npz")

    def broken(folder, task):
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli.loading, "load", broken)
    result = run("edit", "a.npz", "Sit.")
    assert result.exit_code == 1 and isinstance(result.exception, RuntimeError)


def test_demo_leaves_everything(run, tmp_path, model_folder, monkeypatch):
    from unipose_hf.cli import demo

    short = GenerationConfig(max_new_tokens=8)  # an untrained model generates until the limit
    monkeypatch.setattr("unipose_hf.modeling.pipeline_unipose.UniPosePipeline._default_generation_config", short)
    (tmp_path / "show").mkdir()
    (tmp_path / "show" / "overview.png").write_text("old")
    result = run("demo", "--output", "show", "--model", model_folder)
    assert result.exit_code == 0, result.output
    report = (tmp_path / "show" / "report.txt").read_text()
    for task in demo.TASKS:
        assert f"{task}: " in report and (tmp_path / "show" / f"{task}.png").is_file()
    assert result.stdout.split() == report.split()
    assert Image.open(tmp_path / "show" / "overview.png").size[0] == 1720
    assert len(read_poses(tmp_path / "show" / "person.bvh")) == 1
    assert {path.suffix for path in (tmp_path / "show").iterdir()} == {".png", ".glb", ".bvh", ".npz", ".txt"}


SATISFIED = {"codes_satisfied": 0.7, "codes_of_shuffled_captions_satisfied": 0.2, "mpjpe_mm": 190.0}
FIGURES = {
    "tokenizer": {"mpjpe_mm": 17.0, "pa_mpjpe_mm": 12.0},
    "text-to-pose": {"expected": SATISFIED, "argmax": SATISFIED},
    "pose-editing": {"mpjpe_mm": 100.0, "mpjpe_of_copied_source_mm": 200.0},
    "image-to-pose": {
        "mpjpe_mm": 1.5,
        "pa_mpjpe_mm": 1.0,
        "mpjpe_of_mean_pose_mm": 340.5,
        "pa_mpjpe_of_mean_pose_mm": 135.0,
    },
} | dict.fromkeys(
    ("pose-to-text", "pose-diff", "image-to-pose-text", "image-diff"),
    {
        "bleu4": 20.0,
        "bleu4_of_shuffled_references": 5.0,
        "codes_true": 0.7,
        "codes_true_of_shuffled_texts": 0.3,
        "codes_per_text": 6.0,
    },
)


def test_evaluate(run, tmp_path, model_folder, monkeypatch):
    from unipose_hf.evaluation.protocols import held_out

    def stand_in(model, processor, count=None):
        print("half way")
        return {"poses": count, "clips": ["kick"], "seconds": 3} | FIGURES

    monkeypatch.setattr(held_out, "evaluate_held_out", stand_in)
    result = run("evaluate", "--count", 4, "--model", model_folder, "--output", "f.json")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "f.json").read_text())["poses"] == 4
    assert "half way" not in result.stdout and "half way" in result.stderr
    assert "| image-to-pose | MPJPE, mm, rendered people | 1.5 | 340.5 (mean pose) |" in result.stdout
    mistake(run("evaluate", "--output", "none/f.json", "--model", model_folder), "none")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    mistake(run("evaluate", "--model", model_folder), "pip install unipose-hf[evaluate]")


def test_evaluate_into_a_report(run, tmp_path, model_folder, monkeypatch):
    from unipose_hf.evaluation import run as evaluation

    given = {}

    def stand_in(folder, setting, measurements, key, log, title, other_models):
        given.update(
            setting=setting, tasks=[one.name for one in measurements], key=key, title=title, other_models=other_models
        )
        given["data"] = {one.data for one in measurements}
        log("tokenizer: 1 of 2 done")
        return folder / "report.md"

    monkeypatch.setattr(evaluation, "evaluate_into", stand_in)
    options = ("--model", model_folder, "--output", "deep/er", "--count", 4)
    result = run("evaluate", *options, "--tasks", "tokenizer, pose-diff")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip().endswith("report.md") and "1 of 2 done" in result.stderr
    assert given["tasks"] == ["tokenizer", "pose-diff"] and (tmp_path / "deep/er").is_dir()
    assert given["setting"].retrieval.texts(["Stand."]).shape == (1, 256) and given["key"]["count"] == 4  # the bundled
    assert given["title"] == f"Evaluation of {model_folder.name}" and given["data"] == {"open held-out clips"}
    kept = given["key"]
    assert run("evaluate", *options).exit_code == 0 and given["tasks"] == list(evaluation.MEASUREMENTS)
    assert given["key"] == kept  # same model, so finished tasks are not repeated
    mistake(run("evaluate", *options, "--tasks", "dance"), "'dance'", "pose-to-text")
    mistake(run("evaluate", "--model", model_folder, "--tasks", "tokenizer"), "--output")
    mistake(run("evaluate", *options, "--retrieval", "none"), "none", "retrieval model")
    assert run("evaluate", *options, "--data", "none", "--tasks", "tokenizer").exit_code == 0
    assert given["data"] == {"AMASS test", "MOYO validation"} and given["key"] != kept
    mistake(run("evaluate", *options, "--compare", "other"), "NAME=FOLDER")
    mistake(run("evaluate", *options, "--compare", "other=none"), "none")


# -- doctor ----------------------------------------------------------------------------------------------------------


def test_doctor(run, model_folder, monkeypatch):
    monkeypatch.setattr(auto, "BUNDLED_CHECKPOINT", model_folder)
    result = run("doctor")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert any(line.startswith("ok  torch ") for line in lines) and "The main job works." in result.stdout
    for name in ("trl", "smplx", "sacrebleu", "opengl", "threads", "bundled body", "photograph to pose"):
        assert sum(line[4:].startswith(name) for line in lines) == 1, name


def test_doctor_says_how_to_fix(run, tmp_path, monkeypatch):
    from importlib import metadata

    monkeypatch.setattr(auto, "BUNDLED_CHECKPOINT", tmp_path / "gone")
    version = metadata.version

    def without(name):
        if name == "trl":
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "smplx" else version(name)

    monkeypatch.setattr(metadata, "version", without)
    result = run("doctor")
    assert result.exit_code == 1
    assert "pip install 'unipose-hf[train]'" in result.stdout and "0.1, requires >=" in result.stdout
    assert "!!  photograph to pose" in result.stdout and "reinstall" in result.stdout
