# SPDX-License-Identifier: Apache-2.0
"""`unipose export --all`: folders of tiny models that the Hub would accept as they are, and their use."""

import importlib
import json
import re
from pathlib import Path

import huggingface_hub
import pytest
import torch
from typer.testing import CliRunner

from fresh import WITHOUT_PACKAGE, run_fresh
from hub_metadata import check_model_card
from stand_in_hub import StandInHub
from tiny import BLAZEPOSE, tiny_pose_config
from tiny_chat import tiny_model_and_processor, tiny_tokenizer
from unipose_hf import PosePairTextRetrievalConfig, PosePairTextRetrievalModel, cli
from unipose_hf.auto import BUNDLED_CHECKPOINT
from unipose_hf.evaluation.reporting.card import eval_results, write_card
from unipose_hf.hub import folder as hub
from unipose_hf.modeling.blazepose_unipose import BlazePoseBackbone, BlazePoseConfig
from unipose_hf.modeling.movenet_unipose import MoveNetConfig, MoveNetMultiPose

ROOT = Path(__file__).parents[2]
UNIPOSE = ("unipose-plain", "unipose-tiny")
NAMES = ["blazepose-full", "movenet-multipose", "pose-pair-text-retrieval", *UNIPOSE]
LOCAL_PATH = re.compile(r"(?<![\w.:/<-])/(home|root|tmp|work|mnt|usr|Users)/|[A-Z]:\\\\")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Tiny models under the names of the bundled ones, with the cards that those have or will get."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    blazepose = BlazePoseConfig(**{key: value for key, value in BLAZEPOSE.items() if key != "model_type"})
    movenet = MoveNetConfig(
        stem_channels=4,
        expansion=2,
        last_channels=8,
        head_channels=4,
        pyramid_channels=[4] * 4,
        stage_channels=[4] * 7,
        stage_depths=[1] * 7,
    )
    retrieval = PosePairTextRetrievalConfig(
        vocab_size=len(tiny_tokenizer()),
        pose_config=tiny_pose_config(),
        conv_channels=[16, 16],
        pose_hidden_size=16,
        word_embedding_size=8,
        embed_dim=12,
    )
    for name, model in {
        "blazepose-full": BlazePoseBackbone(blazepose),
        "movenet-multipose": MoveNetMultiPose(movenet),
        "pose-pair-text-retrieval": PosePairTextRetrievalModel(retrieval),
    }.items():
        model.save_pretrained(folder / name)
        (folder / name / "README.md").write_bytes(
            BUNDLED_CHECKPOINT.with_name(name).joinpath("README.md").read_bytes()
        )
    tiny_tokenizer().save_pretrained(folder / "pose-pair-text-retrieval")
    model, processor = tiny_model_and_processor()
    for name in UNIPOSE:
        model.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
        write_card(ROOT / "hub_cards" / f"{name}.md", figures_of(name), folder / name)
        (folder / name / "training").mkdir()
        (folder / name / "training" / "losses.png").write_bytes(b"curves")
    return folder


@pytest.fixture(scope="module")
def exported(checkpoints, tmp_path_factory):
    return hub.export_bundled(tmp_path_factory.mktemp("exported") / "new" / "out", checkpoints)


def figures_of(name):
    return json.loads(BUNDLED_CHECKPOINT.with_name(name).joinpath("figures.json").read_text())


def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_model_has_a_folder_that_is_ready_for_the_hub(exported, checkpoints):
    assert [folder.name for folder in exported] == NAMES
    for folder in exported:
        files = snapshot(folder)
        assert {Path(name) for name in ("config.json", "README.md", "LICENSE", "SHA256SUMS")} <= set(files)
        source = (checkpoints / folder.name / "model.safetensors").read_bytes()
        assert files[Path("model.safetensors")] == source
        assert not hub.edited_code(folder)
        text = (folder / "README.md").read_text()
        assert check_model_card(text).data.license == "apache-2.0"
        assert "trust_remote_code=True" in text and text.count("## Without the package\n") == 1
        for link in re.findall(r"\]\((?!http|#)([^)]+)\)", text):
            assert (folder / link).is_file(), f"{folder.name}: {link}"
        for name, content in files.items():
            if name.suffix in (".json", ".jinja", ".md", ".py", ""):
                found = LOCAL_PATH.search(content.decode())
                assert not found and str(checkpoints) not in content.decode(), f"{name}: {found}"


def test_cards_tell_the_measured_figures_and_keep_their_text(exported, checkpoints):
    for folder in exported:
        card = check_model_card((folder / "README.md").read_text())
        if folder.name in UNIPOSE:
            expected = eval_results(figures_of(folder.name))
            assert card.data.model_name == folder.name
            assert sorted(map(repr, card.data.eval_results)) == sorted(map(repr, expected))
            assert json.loads((folder / "figures.json").read_text()) == figures_of(folder.name)
        own = (checkpoints / folder.name / "README.md").read_text()
        before, _, after = (folder / "README.md").read_text().partition("\n## Without the package\n")
        assert own.startswith(before.rstrip("\n"))
        assert own.endswith(after[after.find("\n## ") :] if "\n## " in after else "")


def test_configurations_name_classes_that_the_folder_has(exported):
    for folder in exported:
        config = json.loads((folder / "config.json").read_text())
        named = [*config["auto_map"].values(), *(pipe["impl"] for pipe in config.get("custom_pipelines", {}).values())]
        assert {"AutoConfig", "AutoModel"} <= set(config["auto_map"])
        assert bool(config.get("custom_pipelines")) == (folder.name not in ("blazepose-full", "movenet-multipose"))
        for module, _, name in (entry.partition(".") for entry in named):
            assert (folder / f"{module}.py").is_file()
            assert hasattr(importlib.import_module(f"unipose_hf.modeling.{module}"), name)


def test_exported_again_over_older_files(exported, checkpoints):
    before = {folder: snapshot(folder) for folder in exported}
    plain = exported[NAMES.index("unipose-plain")]
    (plain / "training" / "older.jsonl").write_text("old")
    (plain / "model-00001-of-00002.safetensors").write_text("old")
    assert hub.export_bundled(exported[0].parent, checkpoints) == exported
    assert {folder: snapshot(folder) for folder in exported} == before
    assert sorted(path.name for path in exported[0].parent.iterdir()) == NAMES


def test_mistakes_are_told_before_anything_is_written(checkpoints, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder of a model in .*nothing; reinstall"):
        hub.export_bundled(tmp_path / "out", tmp_path / "nothing")
    (tmp_path / "out" / "unipose-tiny").mkdir(parents=True)
    (tmp_path / "out" / "unipose-tiny" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds pytorch_model\.bin"):
        hub.export_bundled(tmp_path / "out", checkpoints)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["unipose-tiny"]


def test_command_exports_and_uploads_all(checkpoints, tmp_path, monkeypatch):
    export = hub.export_bundled
    monkeypatch.setattr(hub, "export_bundled", lambda output: export(output, checkpoints))

    def run(*words):
        return CliRunner().invoke(cli.app, ["export", "--all", "--output", str(tmp_path / "out"), *words])

    for words, mistake in (
        (("--model", "x"), "leave out --model and --card"),
        (("--push-to-hub", "us/tiny"), "give only USER"),
    ):
        result = run(*words)
        assert result.exit_code == 2 and mistake in result.stderr and not (tmp_path / "out").exists()
    with StandInHub() as stand_in:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", stand_in.endpoint)
        result = run("--push-to-hub", "us")
        assert result.exit_code == 0, result.output
        assert result.stdout.split()[::2] == [str(tmp_path / "out" / name) for name in NAMES]
        assert set(stand_in.files) == {f"us/{name}" for name in NAMES}
        assert stand_in.files["us/unipose-tiny"]["training/losses.png"] == b"curves"


def test_picture_networks_load_without_the_package(exported, tmp_path):
    code = """if True:
        from transformers import AutoModel
        for folder in sys.argv[1:]:
            model = AutoModel.from_pretrained(folder, trust_remote_code=True)
            assert type(model).__module__.startswith("transformers_modules."), type(model)
            print(type(model).__name__)
    """
    output, _ = run_fresh(WITHOUT_PACKAGE + code, tmp_path / "cache", *exported[:2])
    assert output.split() == ["BlazePoseBackbone", "MoveNetMultiPose"]
