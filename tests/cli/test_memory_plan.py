# SPDX-License-Identifier: Apache-2.0
"""The memory planner matches real models to the byte."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMultimodalLM, BitsAndBytesConfig
from typer.testing import CliRunner

from tiny import BLAZEPOSE, CLIP, VITPOSE, tiny_config, tiny_model
from unipose_hf import cli
from unipose_hf.cli.memory_plan import plan_memory, print_plan, read_config
from unipose_hf.modeling.generation_unipose import CACHE_KEY

PUBLISHED = Path(__file__).parents[2] / "hub_cards/unipose-7b/config.json"
MODELS = {
    "two towers": {"vision": CLIP, "pose_vision": VITPOSE},
    "blazepose": {"pose_vision": BLAZEPOSE},
    "no tower, tied head": {"tie_word_embeddings": True},
    "scalar quantiser": {"pose": {"quantizer": "fsq", "fsq_levels": [4, 4], "code_dim": 2}},
}


def bytes_in_memory(model):
    tensors = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}
    return sum(tensor.nbytes for tensor in tensors.values()) - grown_flag(model)


def grown_flag(model):
    """The library loads the one truth value of the codebook as a number of four bytes."""
    flag = getattr(model.model.pose_tokenizer.quantizer, "initialized", None)
    return 0 if flag is None else flag.nbytes - 1


@pytest.mark.parametrize("kind", MODELS)
def test_planned_weights_are_those_of_the_loaded_model(kind, tmp_path):
    tiny_model(**MODELS[kind]).save_pretrained(tmp_path)
    plan = plan_memory(read_config(tmp_path))
    for name in ("float32", "bfloat16"):
        loaded = AutoModelForMultimodalLM.from_pretrained(tmp_path, dtype=getattr(torch, name))
        assert plan.weights(name) == bytes_in_memory(loaded)
    parts = {part.name: part for part in plan.parts}
    assert parts["pose tokenizer"].size["bfloat16"] == parts["pose tokenizer"].size["float32"]
    assert ("lm head" in parts) == (kind != "no tower, tied head")


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gemma3_text"])
def test_planned_cache_is_that_of_a_forward_pass(model_type):
    model = tiny_model(model_type)
    plan = plan_memory(tiny_config(model_type))
    for name in ("float32", "bfloat16"):
        output = model.to(getattr(torch, name))(torch.full((2, 7), 3), use_cache=True)
        cache = getattr(output, CACHE_KEY)
        found = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
        assert found == 2 * 7 * plan.cache[name]
    assert plan.total("4-bit", tokens=10) == plan.weights("4-bit") + 10 * plan.cache["bfloat16"]


@pytest.mark.parametrize("bits", [8, 4])
def test_planned_weights_are_those_of_a_quantised_model(bits, tmp_path):
    pytest.importorskip("bitsandbytes", reason="pip install bitsandbytes")
    text = {"hidden_size": 64, "intermediate_size": 64, "head_dim": 16}
    tiny_model(vision=CLIP, text=text).save_pretrained(tmp_path)
    quantised = AutoModelForMultimodalLM.from_pretrained(
        tmp_path,
        dtype=torch.bfloat16,
        device_map="cpu",
        quantization_config=BitsAndBytesConfig(load_in_8bit=bits == 8, load_in_4bit=bits == 4),
    )
    plan = plan_memory(read_config(tmp_path))
    scales = [value for name, value in quantised.state_dict().items() if name.endswith((".SCB", ".absmax"))]
    found = sum(parameter.nbytes for parameter in quantised.parameters()) + sum(scale.nbytes for scale in scales)
    found += sum(buffer.nbytes for buffer in quantised.model.pose_tokenizer.buffers()) - grown_flag(quantised)
    assert len(scales) == 14 and found == plan.weights(f"{bits}-bit")


def test_the_published_model_on_paper():
    plan = plan_memory(read_config(PUBLISHED))
    values = sum(part.values for part in plan.parts)
    assert 8.0e9 < values < 8.5e9  # a 7B language model, ViT-L, ViT-H and the tokenizer
    assert plan.image_tokens == 576 and plan.pose_tokens == 82
    assert plan.cache["bfloat16"] == 2 * 2 * 32 * 8 * 128  # keys and values, bytes, layers, heads, channels
    sizes = [plan.weights(name) for name in ("float32", "bfloat16", "8-bit", "4-bit")]
    assert sizes == sorted(sizes, reverse=True)


def test_the_table_says_what_fits():
    plan = plan_memory(tiny_config())
    lines = []
    print_plan(plan, available=plan.total("bfloat16") + 1, log=lines.append)
    assert "bfloat16, 8-bit, 4-bit fit" in lines[-1] and "float32" not in lines[-1]
    print_plan(plan, available=1000, log=lines.append)
    assert "none of these fit" in lines[-1]
    assert [line.split("  ")[0] for line in lines[1:5]] == [part.name for part in plan.parts]


def test_doctor_plans_a_folder_and_names_what_is_no_model(tmp_path, monkeypatch):
    monkeypatch.setattr("unipose_hf.cli.doctor.examine", lambda say: True)
    tiny_config().save_pretrained(tmp_path)
    done = CliRunner().invoke(cli.app, ["doctor", "--model", str(tmp_path)])
    assert done.exit_code == 0 and "cache, 1,000 tokens" in done.stdout
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    for path, words in ((tmp_path, "'llama'; expected 'unipose'"), (tmp_path / "gone", "There is no")):
        done = CliRunner().invoke(cli.app, ["doctor", "--model", str(path)])
        assert done.exit_code == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1
    (tmp_path / "config.json").write_text("{")
    done = CliRunner().invoke(cli.app, ["doctor", "--model", str(tmp_path)])
    assert done.exit_code == 2 and "not a JSON file" in done.stderr
