# SPDX-License-Identifier: Apache-2.0
"""Stages from the command line: each starts from the full model of the previous one."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from tiny import BLAZEPOSE
from tiny_chat import tiny_model_and_processor
from tiny_training import ON_A_PROCESSOR
from unipose_hf.cli import app
from unipose_hf.modeling.blazepose_unipose import NUM_FEATURES
from unipose_hf.training.stages import run_stage

COMMON = [f"--{name}={value}" for name, value in ON_A_PROCESSOR.items()]
COMMON += [
    "--max_steps=2",
    "--per_device_train_batch_size=2",
    "--learning_rate=0.01",
    "--lora_r=2",
    "--warmup_steps=0",
]


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A folder with a new model and some pictures of rendered people; few poses, so that they are soon drawn."""
    encoder = BLAZEPOSE | {"pose_head_depths": [1, 0, 0]}
    model, processor = tiny_model_and_processor(encoder, text={"max_position_embeddings": 512})
    model.save_pretrained(tmp_path / "new")
    processor.save_pretrained(tmp_path / "new")
    (tmp_path / "images").mkdir()
    bank = {
        "landmarks": torch.randn(8, NUM_FEATURES),
        "maps": torch.randn(8, 2, BLAZEPOSE["stage_channels"][3], 16, 16).half(),
    }
    bank |= {"squares": torch.rand(8, 4), "poses": 0.2 * torch.randn(8, 22, 3)}
    save_file(bank, tmp_path / "images" / "00000.safetensors")
    from unipose_hf.training import pose_tokenizer

    poses = pose_tokenizer.pose_pool(0, 64)
    monkeypatch.setattr("unipose_hf.training.open_samples.pose_pool", lambda *_: poses)
    return tmp_path


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def test_each_stage_goes_on_from_the_one_before(begun):
    images = f"--image_bank={begun / 'images'}"
    stages = {"alignment": ["--use_lora=true"], "projector": [images], "instruction": [images, "--use_lora=false"]}
    before, tower = begun / "new", "model.pose_vision_tower.pose_head.pose.weight"
    changed = {}
    for stage, more in stages.items():
        after = begun / stage
        run_stage(stage, [f"--model={before}", f"--output_dir={after}", *COMMON, *more])
        old, new = weights_of(before), weights_of(after)
        assert old.keys() == new.keys() and torch.equal(old[tower], new[tower])
        changed[stage] = {name.split(".")[1] for name in old if not torch.equal(old[name], new[name])}
        before = after
    language = {"language_model", "pose_query_embeddings", "weight"}
    assert changed["alignment"] == language and changed["projector"] == {"multi_modal_projector"}
    assert changed["instruction"] >= language
    assert "use_cache" not in json.loads((after / "config.json").read_text())


def test_pictures_of_another_encoder_are_refused(begun):
    model, processor = tiny_model_and_processor()  # it has a ViTPose
    model.save_pretrained(begun / "other")
    processor.save_pretrained(begun / "other")
    arguments = [f"--model={begun / 'other'}", f"--output_dir={begun / 'no'}", f"--image_bank={begun / 'images'}"]
    with pytest.raises(ValueError, match="encoded by BlazePose.*VitPoseBackbone.*unipose build-data"):
        run_stage("projector", [*arguments, *COMMON])


def test_a_finished_stage_is_not_trained_again(begun):
    arguments = [f"--model={begun / 'new'}", f"--output_dir={begun / 'one'}", *COMMON]
    run_stage("alignment", arguments)
    first = weights_of(begun / "one")
    run_stage("alignment", arguments)
    assert all(torch.equal(tensor, first[name]) for name, tensor in weights_of(begun / "one").items())


def test_what_a_stage_lacks_is_said(begun):
    where = [f"--model={begun / 'new'}", f"--output_dir={begun / 'one'}", *COMMON]
    with pytest.raises(ValueError, match="'projector' needs images.*--data.*--image_bank"):
        run_stage("projector", where)
    with pytest.raises(ValueError, match="'reasoning' needs images.*give --data with a built set[.]"):
        run_stage("reasoning", where)
    with pytest.raises(ValueError, match="are endless; set the number of steps with --max_steps"):
        run_stage("alignment", [*where, "--max_steps=-1"])


def test_the_command_trains_and_knows_its_stages(begun):
    result = CliRunner().invoke(app, ["train", "vision"])
    assert result.exit_code == 2 and "Unknown stage 'vision'; choose one of alignment" in result.output
    arguments = [f"--model={begun / 'new'}", f"--output={begun / 'one'}", *COMMON]
    result = CliRunner().invoke(app, ["train", "alignment", *arguments])
    assert result.exit_code == 0, result.output
    assert (begun / "one" / "model.safetensors").exists()
