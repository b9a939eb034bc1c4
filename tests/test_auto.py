# SPDX-License-Identifier: Apache-2.0
"""The package as a part of transformers, and its exported folders without the package."""

import json
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny import random_rotations, tiny_pose_config
from tiny_chat import tiny_model_and_processor
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    pipeline,
)
from transformers.pipelines import PIPELINE_REGISTRY

import unipose_hf
from unipose_hf import auto, hub
from unipose_hf.modeling.processing_unipose import TASKS

PICTURE = (np.arange(60 * 40 * 3).reshape(40, 60, 3) % 251).astype(np.uint8)

# What every fresh interpreter starts with: the package cannot be imported there.
WITHOUT_PACKAGE = "import sys; sys.modules['unipose_hf'] = None\n"


def run_fresh(code, cache, *arguments):
    """Run code in a fresh interpreter, offline; returns what it printed, warnings included."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(cache), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    model, processor = tiny_model_and_processor()
    hub.export(model, processor, folder / "unipose")
    hub.export(model.model.pose_tokenizer, None, folder / "tokenizer")
    answer = pipeline("image-to-pose", model=model, processor=processor, device="cpu")(PICTURE)[0]
    return folder, model, processor, answer


# -- with the package ----------------------------------------------------------------------------------------------


def test_public_names():
    for name in unipose_hf.__all__:
        assert getattr(unipose_hf, name) is not None and name in dir(unipose_hf)
    with pytest.raises(AttributeError, match="no attribute 'NoSuchName'"):
        _ = unipose_hf.NoSuchName


def test_import_is_light(tmp_path):
    code = """if True:
        import sys, unipose_hf
        heavy = {"trl", "peft", "datasets", "diffusers", "evaluate", "smplx", "moderngl", "trimesh", "torchvision"}
        print(sorted(heavy & set(sys.modules)))
    """
    output, _ = run_fresh(code, tmp_path)
    assert output.strip() == "[]"


def test_registering_twice_changes_nothing(caplog):
    before = dict(PIPELINE_REGISTRY.supported_tasks)
    with caplog.at_level(logging.WARNING):
        auto.register()
    assert not caplog.records
    assert all(PIPELINE_REGISTRY.supported_tasks[task] is before[task] for task in TASKS)


def test_auto_classes_know_the_package(folders):
    folder, model, processor, _ = folders
    path = folder / "unipose"
    assert type(AutoConfig.from_pretrained(path)) is unipose_hf.UniPoseConfig
    assert type(AutoModel.from_pretrained(path)) is unipose_hf.UniPoseModel
    for auto_class in (AutoModelForMultimodalLM, AutoModelForImageTextToText):
        again = auto_class.from_pretrained(path)
        assert type(again) is unipose_hf.UniPoseForConditionalGeneration
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, again.state_dict()[name]), name
    assert type(AutoProcessor.from_pretrained(path)) is unipose_hf.UniPoseProcessor
    assert type(AutoImageProcessor.from_pretrained(path)) is unipose_hf.UniPoseImageProcessor
    assert type(AutoModel.from_pretrained(folder / "tokenizer")) is unipose_hf.PoseTokenizerModel


@pytest.mark.parametrize("task", TASKS)
def test_exported_folder_needs_no_trust_with_the_package(folders, task):
    pipe = pipeline(task, model=str(folders[0] / "unipose"), device="cpu")
    assert type(pipe).__module__ == "unipose_hf.modeling.pipeline_unipose"


def test_default_model_is_the_bundled_one(folders, monkeypatch, caplog):
    monkeypatch.setattr(auto, "BUNDLED_CHECKPOINT", folders[0] / "gone")
    with pytest.raises(FileNotFoundError, match="bundled checkpoint is missing"):
        pipeline("image-to-pose")
    monkeypatch.setattr(auto, "BUNDLED_CHECKPOINT", folders[0] / "unipose")
    with caplog.at_level(logging.WARNING):
        pipe = pipeline("image-to-pose", device="cpu")
    assert not caplog.records
    np.testing.assert_allclose(pipe(PICTURE)[0]["pose"].matrix, folders[3]["pose"].matrix, atol=1e-5)
    # for other tasks the library goes on warning
    record = logging.LogRecord("x", logging.WARNING, "", 0, "No model was supplied, defaulted to gpt2", (), None)
    assert logging.getLogger("transformers.pipelines").filter(record)


# -- exported folders ----------------------------------------------------------------------------------------------


def test_export_is_complete_and_replaces(folders, tmp_path):
    folder, model, processor, _ = folders
    files = {path.name for path in (folder / "unipose").iterdir()}
    assert {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json"} <= files
    assert {"modeling_unipose.py", "pipeline_unipose.py", "pose_unipose.py"} <= files
    assert not any(name.endswith((".bin", ".pt", ".tmp")) for name in files) and "__init__.py" not in files
    assert {path.name for path in folder.iterdir()} == {"unipose", "tokenizer"}  # nothing half made beside them
    config = json.loads((folder / "unipose" / "config.json").read_text())
    assert set(config["custom_pipelines"]) == set(TASKS)
    assert "auto_map" not in model.config.to_dict() and not hasattr(model.config, "custom_pipelines")
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "README.md").write_text("mine")
    (tmp_path / "again" / "config.json").write_text("old")
    assert hub.export(model, processor, str(tmp_path / "again")) == tmp_path / "again"
    again = json.loads((tmp_path / "again" / "config.json").read_text())
    assert again["auto_map"] == config["auto_map"] and again["custom_pipelines"] == config["custom_pipelines"]
    assert (tmp_path / "again" / "README.md").read_text() == "mine"
    with pytest.raises(ValueError, match="A Linear cannot be exported"):
        hub.export(torch.nn.Linear(1, 1), None, tmp_path / "no")


def test_pose_tokenizer_as_remote_code(folders, tmp_path):
    """`PoseTokenizerModel` has "Tokenizer" in its name, for which transformers writes `auto_map` entries in pairs."""
    folder, model, _, _ = folders
    rotations = random_rotations(3)
    np.save(tmp_path / "rotations.npy", rotations.numpy())
    code = (
        WITHOUT_PACKAGE
        + """if True:
        import numpy as np, torch
        from transformers import AutoConfig, AutoModel
        source, first, second, rotations = sys.argv[1:]
        rotations = torch.from_numpy(np.load(rotations))
        for target in (first, second):  # a user loads it, saves it, loads that and saves it again
            AutoConfig.from_pretrained(source, trust_remote_code=True)
            model = AutoModel.from_pretrained(source, trust_remote_code=True)
            assert type(model).__module__.startswith("transformers_modules"), type(model)
            model.save_pretrained(target)
            source = target
        model = AutoModel.from_pretrained(source, trust_remote_code=True)
        print(model.encode(rotations).codes.tolist())
    """
    )
    first, second = tmp_path / "first", tmp_path / "second"
    output, _ = run_fresh(code, tmp_path / "cache", folder / "tokenizer", first, second, tmp_path / "rotations.npy")
    assert json.loads(output) == model.model.pose_tokenizer.encode(rotations).codes.tolist()
    auto_map = json.loads((second / "config.json").read_text())["auto_map"]
    assert auto_map == hub._AUTO_MAPS["PoseTokenizerModel"]
    assert type(AutoModel.from_pretrained(second)) is unipose_hf.PoseTokenizerModel


def test_everything_as_remote_code(folders, tmp_path):
    folder, _, _, answer = folders
    np.save(tmp_path / "picture.npy", PICTURE)
    code = (
        WITHOUT_PACKAGE
        + """if True:
        import json
        import numpy as np
        from transformers import AutoModel, AutoModelForMultimodalLM, AutoProcessor, pipeline
        source, target, picture = sys.argv[1:]
        picture = np.load(picture)
        options = dict(trust_remote_code=True)
        pipe = pipeline("image-to-pose", model=source, device="cpu", **options)
        first = pipe(picture)[0]
        # a user's own chat, saved anew with model and processor
        model = AutoModelForMultimodalLM.from_pretrained(source, **options)
        processor = AutoProcessor.from_pretrained(source, **options)
        chat = [{"role": "user", "content": [
            {"type": "pose", "pose": first["pose"]}, {"type": "text", "text": "Edit this pose: <pose_1>"}]}]
        inputs = processor.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt")
        model.generate(**inputs, max_new_tokens=3)
        model.save_pretrained(target)
        processor.save_pretrained(target)
        second = pipeline("image-to-pose", model=target, device="cpu", **options)(picture)[0]
        edited = pipeline("pose-editing", model=target, device="cpu", **options)(second, text="Kneel.")
        text = pipeline("pose-to-text", model=target, device="cpu", **options)(edited["pose"], max_new_tokens=3)
        print(json.dumps([first["pose"].matrix.tolist(), second["pose"].matrix.tolist(), text["text"]]))
    """
    )
    output, _ = run_fresh(code, tmp_path / "cache", folder / "unipose", tmp_path / "saved", tmp_path / "picture.npy")
    first, second, text = json.loads(output)
    np.testing.assert_allclose(first, answer["pose"].matrix, atol=1e-5)
    np.testing.assert_allclose(second, first, atol=1e-5)
    assert isinstance(text, str)


def test_config_with_remote_pipelines_keeps_nothing_of_them_here(tmp_path):
    config = unipose_hf.UniPoseConfig(pose_config=tiny_pose_config())
    content = config.to_dict() | {"custom_pipelines": {"x": {}}}
    assert not hasattr(unipose_hf.UniPoseConfig.from_dict(content), "custom_pipelines")
