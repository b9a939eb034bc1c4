# SPDX-License-Identifier: Apache-2.0
"""Exported folders: contents, use without the package and from the Hub, and rejected inputs."""

import hashlib
import json
import shutil

import huggingface_hub
import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, pipeline

import unipose_hf
from fresh import WITHOUT_PACKAGE, run_fresh
from stand_in_hub import StandInHub
from tiny import random_rotations, tiny_pose_config
from tiny_chat import tiny_model_and_processor, tiny_processor
from unipose_hf.hub import folder as hub
from unipose_hf.modeling.processing_unipose import TASKS

PICTURE = (np.arange(60 * 40 * 3).reshape(40, 60, 3) % 251).astype(np.uint8)


@pytest.fixture(scope="module")
def parts():
    return tiny_model_and_processor(text={"max_position_embeddings": 512})


@pytest.fixture(scope="module")
def exported(parts, tmp_path_factory):
    return hub.export(*parts, tmp_path_factory.mktemp("exported") / "tiny")


@pytest.fixture
def stand_in(monkeypatch):
    with StandInHub() as running:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", running.endpoint)
        yield running


def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- what is in a folder -------------------------------------------------------------------------------------------


def test_export_is_complete(exported, parts):
    files = {path.name: path for path in exported.iterdir()}
    assert {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json", "README.md"} <= set(files)
    assert {"modeling_unipose.py", "pipeline_unipose.py", "pipeline_base_unipose.py", "pose_unipose.py"} <= set(files)
    assert not any(name.endswith((".bin", ".pt", ".tmp")) for name in files) and "__init__.py" not in files
    assert [path.name for path in exported.parent.iterdir()] == ["tiny"]  # no partial files next to it
    config = json.loads(files["config.json"].read_text())
    assert set(config["custom_pipelines"]) == set(TASKS)
    assert "auto_map" not in parts[0].config.to_dict() and not hasattr(parts[0].config, "custom_pipelines")
    assert files["LICENSE"].read_text().lstrip().startswith("Apache License")
    card = files["README.md"].read_text()
    assert card.startswith("---\nlibrary_name: transformers\n") and "# tiny\n" in card
    assert all(f"* {what}: " in card for what in ("Code", "Weights", "Data", "Body"))
    code = {name for name in files if name.endswith(".py")}
    sums = dict(line.split("  ")[::-1] for line in files["SHA256SUMS"].read_text().splitlines())
    assert sums == {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in code}


def test_export_replaces_what_it_wrote_and_keeps_the_rest(exported, parts, tmp_path):
    folder = tmp_path / "again"
    folder.mkdir()
    for name in ("README.md", "figures.json", "config.json", "model-00001-of-00002.safetensors"):
        (folder / name).write_text("old")
    (folder / "model.safetensors.index.json").write_text("old")
    assert hub.export(*parts, str(folder)) == folder
    kept = {"README.md": b"old", "figures.json": b"old"}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in exported.iterdir()
    } | kept
    (tmp_path / "card.md").write_text("new")
    hub.export(*parts, folder, card=tmp_path / "card.md")
    assert (folder / "README.md").read_text() == "new"


def test_export_refuses_before_it_writes(exported, parts, tmp_path):
    model, processor = parts
    other = tiny_processor()
    other.num_codes = 44
    folder = hub.export(*parts, tmp_path / "hub")
    (folder / "modeling_unipose.py").write_text("# mine")
    assert hub.edited_code(folder) == ["modeling_unipose.py"]
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"")
    (tmp_path / "file").write_text("")
    before = snapshot(tmp_path)
    for given, message in (
        ((torch.nn.Linear(1, 1), None, tmp_path / "no"), "A Linear cannot be exported; the models that can are "),
        ((model, other, tmp_path / "no"), "its num_codes is 44, the model's is 8; load both from the same folder"),
        ((model, tiny_processor(9), tmp_path / "no"), "its image tokens is 9, the model's is 12;"),
        ((model, processor, folder), "modeling_unipose.py in .*hub was edited by hand and would be lost"),
        ((model, processor, pickled), "holds pytorch_model.bin, but a Hub folder has safetensors only"),
        ((model, processor, tmp_path / "file"), "is a file; name a folder"),
    ):
        with pytest.raises(ValueError, match=message):
            hub.export(*given)
    with pytest.raises(FileNotFoundError):
        hub.export(*parts, tmp_path / "no", card=tmp_path / "none.md")
    assert snapshot(tmp_path) == before and {path.name for path in tmp_path.iterdir()} == {"hub", "pickled", "file"}


def test_nothing_is_left_when_writing_fails(parts, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no space left")

    folder = hub.export(*parts, tmp_path / "hub")
    before = snapshot(tmp_path)
    monkeypatch.setattr(hub.shutil, "copyfile", fail)
    for target in (folder, tmp_path / "new"):
        with pytest.raises(OSError, match="no space"):
            hub.export(*parts, target)
    assert snapshot(tmp_path) == before and [path.name for path in tmp_path.iterdir()] == ["hub"]


# -- with the package ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_no_trust_is_asked_for_with_the_package(exported, task, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    pipe = pipeline(task, model=str(exported), device="cpu")
    assert type(pipe).__module__ == "unipose_hf.modeling.pipeline_unipose"


def test_config_with_remote_pipelines_keeps_nothing_of_them_here():
    config = unipose_hf.UniPoseConfig(pose_config=tiny_pose_config())
    content = config.to_dict() | {"custom_pipelines": {"x": {}}}
    assert not hasattr(unipose_hf.UniPoseConfig.from_dict(content), "custom_pipelines")


@pytest.mark.parametrize("part", ["model", "tokenizer"])
def test_a_newer_configuration_is_refused_with_a_sentence(parts, tmp_path, part):
    model = parts[0] if part == "model" else parts[0].model.pose_tokenizer
    folder = hub.export(model, None, tmp_path / "hub")
    config = json.loads((folder / "config.json").read_text())
    this = config["config_format"]
    # a setting unknown to this version
    changed = config | {"config_format": this + 1, "quantizer": "new", "bidirectional_poses": "new"}
    (folder / "config.json").write_text(json.dumps(changed))
    for load in (AutoConfig.from_pretrained, AutoModel.from_pretrained):
        with pytest.raises(
            ValueError, match=f"has format {this + 1}, but .* reads format {this}: .* upgrade unipose-hf"
        ):
            load(folder)
    del config["config_format"]  # like folders of older versions
    (folder / "config.json").write_text(json.dumps(config))
    assert AutoModel.from_pretrained(folder).config.config_format == this


# -- from a Hub, without the package -------------------------------------------------------------------------------

EVERYTHING = """if True:
    import json
    import numpy as np, torch
    from transformers import AutoConfig, AutoModel, AutoModelForMultimodalLM, AutoProcessor, pipeline
    picture, rotations, folder = np.load(sys.argv[1]), torch.from_numpy(np.load(sys.argv[2])), sys.argv[3]
    trust = dict(trust_remote_code=True)

    def is_remote(thing):
        assert type(thing).__module__.startswith("transformers_modules."), type(thing)
        return thing

    def pipe(task, source, *inputs, **options):
        answer = is_remote(pipeline(task, model=source, device="cpu", **trust))(*inputs, **options)
        return answer[0] if isinstance(answer, list) else answer

    def seven(source):
        first = pipe("image-to-pose", source, picture)
        edited = pipe("pose-editing", source, first, text="Kneel.")
        words = dict(max_new_tokens=3)
        told = [
            pipe("pose-to-text", source, edited["pose"], **words),
            pipe("pose-diff", source, {"poses": (first["pose"], edited["pose"])}, **words),
            pipe("image-to-pose-text", source, picture, **words),
            pipe("image-diff", source, {"images": (picture, picture)}, **words),
        ]
        poses = [first, edited, pipe("text-to-pose", source, "Kneel.")]
        return [pose["pose"].matrix.tolist() for pose in poses], [text["text"] for text in told]

    is_remote(AutoConfig.from_pretrained("us/tiny", **trust))
    is_remote(AutoModel.from_pretrained("us/tiny", **trust))
    model = is_remote(AutoModelForMultimodalLM.from_pretrained("us/tiny", **trust))
    processor = is_remote(AutoProcessor.from_pretrained("us/tiny", **trust))
    from_hub = seven("us/tiny")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    assert seven(folder) == from_hub

    # "Tokenizer" in a model's name makes transformers write `auto_map` entries in pairs: saved twice, loaded twice
    source = "us/tokenizer"
    for number in (1, 2):
        tokenizer = is_remote(AutoModel.from_pretrained(source, **trust))
        source = f"{folder}-tokenizer-{number}"
        tokenizer.save_pretrained(source)
    tokenizer = is_remote(AutoModel.from_pretrained(source, **trust))

    pose = pipe("text-to-pose", "us/tiny", "Kneel.")["pose"]
    assert type(pose).from_json(pose.save(f"{folder}-pose.json")) == pose
    try:
        type(pose).from_npz(pose.save(f"{folder}-pose.npz"))
        raise AssertionError("read without the package")
    except ImportError as error:
        assert "need the package: pip install" in str(error)
    print(json.dumps([from_hub[0], tokenizer.encode(rotations).codes.tolist()]))
"""


@pytest.mark.versions
def test_uploaded_and_used_without_the_package(exported, parts, stand_in, tmp_path):
    model, processor = parts
    tokenizer = model.model.pose_tokenizer
    assert hub.push(exported, "us/tiny") == f"{stand_in.endpoint}/us/tiny/commit/{1:040x}"
    hub.push(hub.export(tokenizer, None, tmp_path / "tokenizer"), "us/tokenizer")
    assert stand_in.files["us/tiny"] == {path.name: path.read_bytes() for path in exported.iterdir()}
    rotations = random_rotations(3)
    np.save(tmp_path / "picture.npy", PICTURE)
    np.save(tmp_path / "rotations.npy", rotations.numpy())
    given = tmp_path / "picture.npy", tmp_path / "rotations.npy", tmp_path / "saved"
    online = dict(HF_ENDPOINT=stand_in.endpoint, HF_HUB_OFFLINE="0", HF_HUB_DISABLE_XET="1")
    output, _ = run_fresh(WITHOUT_PACKAGE + EVERYTHING, tmp_path / "cache", *given, **online)
    (estimated, *_), codes = json.loads(output)
    pipe = pipeline("image-to-pose", model=model, processor=processor, device="cpu", detector=None)
    here = pipe(PICTURE, refine=False)[0]  # the folder has no landmark network for refinement
    np.testing.assert_allclose(estimated, here["pose"].matrix, atol=1e-5)
    assert codes == tokenizer.encode(rotations).codes.tolist()
    # a model saved from remote code uses the package's classes if it is installed
    saved = tmp_path / "saved-tokenizer-2"
    assert json.loads((saved / "config.json").read_text())["auto_map"] == hub._AUTO_MAPS["PoseTokenizerModel"]
    assert type(AutoModel.from_pretrained(saved)) is unipose_hf.PoseTokenizerModel


def test_upload_leaves_no_older_weights(exported, stand_in, tmp_path):
    hub.push(exported, "us/tiny")
    stand_in.files["us/tiny"] |= {"model-00001-of-00002.safetensors": b"old", "notes.txt": b"mine"}
    stand_in.files["us/tiny"]["model.safetensors.index.json"] = b"old"
    hub.push(exported, "us/tiny")
    expected = {path.name: path.read_bytes() for path in exported.iterdir()}
    assert stand_in.files["us/tiny"] == expected | {"notes.txt": b"mine"}
    with pytest.raises(ValueError, match="was not written by unipose_hf.hub.export"):
        hub.push(tmp_path, "us/other")
    assert "us/other" not in stand_in.files


def test_edited_code_is_told_and_not_run_where_the_package_is(exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "hub")
    assert hub.edited_code(folder) == []
    (folder / "rotation_unipose.py").write_text("def axis_angle_to_matrix(:\n")
    assert hub.edited_code(folder) == ["rotation_unipose.py"]
    assert type(AutoModel.from_pretrained(folder)) is unipose_hf.UniPoseModel
    with pytest.raises(ValueError, match="rotation_unipose.py in .* was edited by hand"):
        hub.push(folder, "us/tiny")
