# SPDX-License-Identifier: Apache-2.0
"""`unipose convert`, `unipose export` and invalid model folders."""

import json
import shutil

import huggingface_hub
import pytest
from safetensors.torch import save_file
from transformers import AutoModel, AutoProcessor, VitPoseBackbone
from typer.testing import CliRunner

from published import Sizes, llava_tensors, parts, write_llava, write_published
from stand_in_hub import StandInHub
from tiny_chat import tiny_model_and_processor
from unipose_hf import PoseTokenizerModel, UniPoseForConditionalGeneration, cli
from unipose_hf.hub import folder as hub


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def mistake(result, *words):
    """It ended with exit code 2; the last line on stderr holds the words. Returns the lines before it."""
    assert result.exit_code == 2, result.output
    *before, last = result.stderr.splitlines()
    assert last.startswith("unipose: ") and all(word in last for word in words), result.stderr
    return before


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return write_published(tmp_path_factory.mktemp("published") / "all")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    parts = tiny_model_and_processor(text={"max_position_embeddings": 512})
    return hub.export(*parts, tmp_path_factory.mktemp("original") / "tiny")


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "model")


def options(given):
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]


def test_convert_all_parts_to_a_folder_for_the_hub(published, tmp_path):
    result = run(
        "convert", *options(parts(published)), "--output", tmp_path / "new" / "big", "--max-shard-size", "10KB"
    )
    assert result.exit_code == 0 and result.stdout.strip() == str(tmp_path / "new" / "big"), result.output
    names = {path.name for path in (tmp_path / "new" / "big").iterdir()}
    assert {"modeling_unipose.py", "README.md", "LICENSE", "model.safetensors.index.json"} <= names
    assert "`unipose convert`" in (tmp_path / "new" / "big" / "README.md").read_text()
    config = json.loads((tmp_path / "new" / "big" / "config.json").read_text())
    assert "image-to-pose" in config["custom_pipelines"] and "AutoModelForMultimodalLM" in config["auto_map"]
    result = run("export", "--model", tmp_path / "new" / "big", "--output", tmp_path / "again")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "again").iterdir()} == {
        name for name in names if not name.startswith(("model-", "model."))
    } | {"model.safetensors"}


def test_convert_one_part(published, tmp_path):
    for option, value, model_class in (
        ("--pose-vqvae", "vqvae.ckpt", PoseTokenizerModel),
        ("--pose-vit", "vit.ckpt", VitPoseBackbone),
    ):
        out = tmp_path / option
        result = run("convert", option, published / value, "--pose-vit-heads", 3, "--output", out)
        assert result.exit_code == 0, result.output
        model_class.from_pretrained(out)
        assert (out / "modeling_pose_tokenizer.py").exists() == (model_class is PoseTokenizerModel)


def test_convert_mistakes(published, tmp_path):
    out = "--output", tmp_path / "out"
    assert mistake(run("convert", *out), "llava=", "pose_vqvae=") == []
    assert mistake(run("convert", "--pose-vit", tmp_path / "none", *out), "none does not exist") == []
    assert mistake(run("convert", *options(parts(published)), "--output", published), "not an empty folder") == []
    (tmp_path / "llava").mkdir()
    write_llava(tmp_path / "llava", llava_tensors(Sizes(width=20, layers=2)))
    result = run("convert", *options(parts(published, llava=tmp_path / "llava")), *out)
    lines = mistake(result, "mismatches", "2 layers of 20 channels, but 1 of 16", "see above.")
    assert "llava: unknown model.layers.1.mlp.up_proj.weight" in lines
    assert [path.name for path in tmp_path.iterdir()] == ["llava"]


def test_export_of_each_kind(folder, tmp_path, monkeypatch):
    (folder / "README.md").write_text("the model's own card")
    with StandInHub() as stand_in:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", stand_in.endpoint)
        result = run("export", "--model", folder, "--output", tmp_path / "out", "--push-to-hub", "us/tiny")
        assert result.exit_code == 0, result.output
        assert result.stdout.split() == [str(tmp_path / "out"), f"{stand_in.endpoint}/us/tiny/commit/{1:040x}"]
        assert stand_in.files["us/tiny"]["README.md"] == b"the model's own card"
    assert type(AutoModel.from_pretrained(tmp_path / "out")).__name__ == "UniPoseModel"
    tokenizer = UniPoseForConditionalGeneration.from_pretrained(folder).model.pose_tokenizer
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "card.md").write_text("a card")
    arguments = "--model", tmp_path / "tokenizer", "--output", tmp_path / "hub", "--card", tmp_path / "card.md"
    assert run("export", *arguments).exit_code == 0
    assert (tmp_path / "hub" / "README.md").read_text() == "a card"
    assert (tmp_path / "hub" / "modeling_pose_tokenizer.py").exists()


def test_folders_that_something_is_wrong_with(folder, tmp_path):
    export = "export", "--output", tmp_path / "out", "--model"
    mistake(run(*export, tmp_path / "none"), "no config.json in the folder")

    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    mistake(run(*export, folder), "weights", "are damaged", "hf download")
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file({}, folder / "model-00001-of-00002.safetensors")
    mistake(run(*export, folder), "model-00002-of-00002.safetensors")
    for path in folder.glob("model*.safetensors*"):
        path.unlink()
    (folder / "model.safetensors").write_bytes(weights)

    processor = AutoProcessor.from_pretrained(folder)
    processor.num_image_tokens += 1
    processor.save_pretrained(folder)
    mistake(run(*export, folder), "The processor does not fit the model: its image tokens is 13, the model's is 12")
    processor.num_image_tokens -= 1
    processor.save_pretrained(folder)

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"config_format": 9}))
    mistake(run(*export, folder), "format 9", "upgrade unipose-hf")
    (folder / "config.json").write_text(json.dumps(config))

    code = (folder / "pose_unipose.py").read_text()
    (folder / "pose_unipose.py").write_text(code + "\n# mine\n")
    mistake(run(*export, folder), "pose_unipose.py", "edited by hand", "trust_remote_code=True")
    (folder / "pose_unipose.py").write_text(code)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert run(*export, folder).exit_code == 0
