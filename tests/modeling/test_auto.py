# SPDX-License-Identifier: Apache-2.0
"""Integration with transformers' Auto classes."""

import logging
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
)
from transformers.pipelines import PIPELINE_REGISTRY

import unipose_hf
from fresh import run_fresh
from tiny_chat import tiny_model_and_processor
from unipose_hf import auto
from unipose_hf.hub import folder as hub
from unipose_hf.modeling.processing_unipose import TASKS


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    model, processor = tiny_model_and_processor()
    hub.export(model, processor, folder / "unipose")
    hub.export(model.model.pose_tokenizer, None, folder / "tokenizer")
    return folder, model, processor


def test_public_names():
    for name in unipose_hf.__all__:
        assert getattr(unipose_hf, name) is not None and name in dir(unipose_hf)


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
    folder, model, processor = folders
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


def test_default_model_is_the_bundled_one():
    for task in TASKS:
        folder, _ = PIPELINE_REGISTRY.supported_tasks[task]["default"]["model"]
        assert Path(folder) == auto.bundled_checkpoint(task)
        assert (Path(folder) / "config.json").is_file()
