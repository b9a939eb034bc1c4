# SPDX-License-Identifier: Apache-2.0
"""Running large models: device maps, quantisation, per-part dtypes."""

import pytest
import torch
from torch import nn
from transformers import AutoModelForMultimodalLM, BitsAndBytesConfig, TorchAoConfig

from tiny import CLIP, CODE_OFFSET, IMAGE, POSE, POSE_END, POSE_START, VITPOSE, random_rotations, tiny_model

PARTS = ("vision_tower", "pose_vision_tower", "multi_modal_projector", "pose_tokenizer", "language_model")
DEVICE_MAP = {**{f"model.{part}": "cpu" for part in (*PARTS, "pose_query_embeddings")}, "lm_head": "cpu"}


@pytest.fixture(scope="module")
def model():
    return tiny_model(
        vision=CLIP, pose_vision=VITPOSE, text={"hidden_size": 64, "head_dim": 16, "intermediate_size": 64}
    )


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    model.save_pretrained(folder)
    return folder


def question(model):
    """A picture, a pose and some words."""
    row = [1, *[IMAGE] * model.config.image_seq_length, POSE_START, *[POSE] * 8, POSE_END, 3, 4, 5]
    generator = torch.Generator().manual_seed(0)
    return {
        "input_ids": torch.tensor([row]),
        "pixel_values": torch.randn(1, 3, 28, 28, generator=generator),
        "pose_pixel_values": torch.randn(1, 3, 32, 24, generator=generator),
        "pose_values": random_rotations(1),
    }


def check_same_answers(model, other):
    inputs = question(model)
    expected, found = model.generate_pose(**inputs), other.generate_pose(**inputs)
    assert torch.equal(found.codes, expected.codes)
    assert torch.allclose(found.rotations, expected.rotations, atol=1e-5)
    texts = [m.generate(**inputs, max_new_tokens=16, do_sample=False) for m in (model, other)]
    assert torch.equal(*texts)


@pytest.mark.parametrize("on_disk", [*DEVICE_MAP, tuple(DEVICE_MAP)[1:]])
def test_any_part_may_be_elsewhere(model, folder, tmp_path, on_disk):
    pytest.importorskip("accelerate", reason="device maps need accelerate")
    on_disk = (on_disk,) if isinstance(on_disk, str) else on_disk
    device_map = DEVICE_MAP | dict.fromkeys(on_disk, "disk")
    mapped = AutoModelForMultimodalLM.from_pretrained(folder, device_map=device_map, offload_folder=tmp_path)
    assert any(parameter.is_meta for parameter in mapped.parameters())
    check_same_answers(model, mapped)


@pytest.mark.parametrize("memory", [None, {"cpu": "150KB"}])
def test_a_device_map_can_be_left_to_the_library(model, folder, tmp_path, memory):
    pytest.importorskip("accelerate", reason="device maps need accelerate")
    mapped = AutoModelForMultimodalLM.from_pretrained(
        folder, device_map="auto", max_memory=memory, offload_folder=tmp_path
    )
    assert any(parameter.is_meta for parameter in mapped.parameters()) == (memory is not None)
    check_same_answers(model, mapped)


def test_the_pose_tokenizer_stays_in_float32_in_a_device_map(folder):
    pytest.importorskip("accelerate", reason="device maps need accelerate")
    half = AutoModelForMultimodalLM.from_pretrained(folder, device_map="auto", dtype=torch.bfloat16)
    types = {name: {tensor.dtype for tensor in getattr(half.model, name).parameters()} for name in PARTS}
    assert types.pop("pose_tokenizer") == {torch.float32}
    assert set.union(*types.values()) == {torch.bfloat16}
    assert half.generate_pose(**question(half)).rotations.dtype == torch.float32


def torchao_8bit():
    quantization = pytest.importorskip("torchao.quantization", reason="pip install torchao")
    return TorchAoConfig(quantization.Int8WeightOnlyConfig())


def bitsandbytes_8bit():
    pytest.importorskip("bitsandbytes", reason="pip install bitsandbytes")
    return BitsAndBytesConfig(load_in_8bit=True)


def bitsandbytes_4bit():
    pytest.importorskip("bitsandbytes", reason="pip install bitsandbytes")
    return BitsAndBytesConfig(load_in_4bit=True)


def bitsandbytes_4bit_by_dict():
    pytest.importorskip("bitsandbytes", reason="pip install bitsandbytes")
    return {"quant_method": "bitsandbytes", "load_in_4bit": True}


@pytest.mark.parametrize("bits", [torchao_8bit, bitsandbytes_8bit, bitsandbytes_4bit, bitsandbytes_4bit_by_dict])
def test_only_the_language_model_is_quantised(model, folder, bits, tmp_path):
    pytest.importorskip("accelerate", reason="quantisation needs accelerate")
    config = bits()
    quantised = AutoModelForMultimodalLM.from_pretrained(folder, quantization_config=config, device_map="cpu")
    if not isinstance(config, dict):
        skipped = [getattr(config, name, None) for name in ("modules_to_not_convert", "llm_int8_skip_modules")]
        assert skipped == [None, None]  # the caller's object is not changed
    for name, module in quantised.named_modules():
        if isinstance(module, nn.Linear):
            changed = type(module) is not nn.Linear or type(module.weight) is not nn.Parameter
            assert changed == ("language_model" in name), name
    inputs = question(model)
    expected, found = model.generate_pose(**inputs), quantised.generate_pose(**inputs)
    assert not torch.equal(found.probabilities, expected.probabilities)
    if "8bit" in bits.__name__:
        assert (found.probabilities - expected.probabilities).abs().mean() < 0.02
    quantised.save_pretrained(tmp_path)
    again = AutoModelForMultimodalLM.from_pretrained(tmp_path, device_map="cpu").generate_pose(**inputs)
    assert (again.probabilities - found.probabilities).abs().mean() < 0.02


def test_a_users_own_choice_of_modules_to_quantise_is_kept(folder):
    quantization = pytest.importorskip("torchao.quantization", reason="pip install torchao")
    config = TorchAoConfig(quantization.Int8WeightOnlyConfig(), modules_to_not_convert=["lm_head", ".*language_model"])
    quantised = AutoModelForMultimodalLM.from_pretrained(folder, quantization_config=config)
    assert type(quantised.model.language_model.layers[0].mlp.up_proj.weight) is nn.Parameter
    assert type(quantised.model.vision_tower.encoder.layers[0].mlp.fc1.weight) is not nn.Parameter


def test_pose_answers_skip_the_text_rows_of_a_plain_head_only(model):
    hidden = torch.randn(2, 8, 64)
    expected = model.lm_head(hidden)[..., CODE_OFFSET : CODE_OFFSET + 16]
    with torch.no_grad():
        assert torch.allclose(model.project_to_codes(hidden), expected, atol=1e-5)

    class Doubled(nn.Linear):
        def forward(self, hidden):
            return 2 * super().forward(hidden)

    plain = model.lm_head
    model.lm_head = Doubled(64, plain.out_features, bias=False)
    model.lm_head.weight = plain.weight
    try:
        assert torch.allclose(model.project_to_codes(hidden), 2 * expected, atol=1e-5)
    finally:
        model.lm_head = plain


def test_each_image_is_encoded_once_and_no_tower_runs_without_images(model):
    seen = []
    towers = (model.model.vision_tower, model.model.pose_vision_tower)
    hooks = [tower.register_forward_pre_hook(lambda _, args: seen.append(len(args[0]))) for tower in towers]
    try:
        inputs = question(model)
        inputs |= {key: torch.cat([value] * 3) for key, value in inputs.items()}
        model.generate_pose(**inputs)
        assert seen == [3, 3]
        model.generate(**inputs, max_new_tokens=16, num_beams=3)
        assert seen == [3, 3, 3, 3]  # three pictures, not one for each of nine beams
        words = torch.tensor([[1, 3, 4, 5]])
        model.generate_pose(words)
        model.generate(words, max_new_tokens=8)
        assert len(seen) == 4
    finally:
        for hook in hooks:
            hook.remove()
