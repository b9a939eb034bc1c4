# SPDX-License-Identifier: Apache-2.0
"""Estimates the GPU memory of training, without a GPU; prints a markdown table.

    python examples/benchmarks/training_memory.py

Counted: the weights of each part, from the configuration; trained weights with gradients and AdamW states.
Measured on this CPU: the activations per token that one full-size decoder layer keeps for the backward pass.
Derived: the rest. All weights are float32 except QLoRA's 4-bit weights; the model computes in bfloat16.
"""

import re
from pathlib import Path

import torch
from captions import header
from torch import nn
from transformers import AutoModel, CLIPVisionConfig, LlamaConfig, VitPoseBackboneConfig

from unipose_hf.cli.memory_plan import plan_memory, read_config
from unipose_hf.modeling.configuration_unipose import UniPoseConfig
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.training.trainer import LINEAR_LAYERS

PUBLISHED_SIZE = Path(__file__).parents[2] / "hub_cards" / "unipose-7b"
NEW_ROWS = 2048 + 5  # codes and marks
WEIGHT, STATES, STATES_8_BIT = 4, 8, 2  # bytes per trained value (and gradient), and of both its AdamW states
ROW_COLUMNS = 1400  # tokens of a row with two pictures of 576 tokens, the longest case
LABELLED = 100


def middle() -> UniPoseConfig:
    """SmolLM2-135M, CLIP ViT-L/14-336 and ViTPose-B, as created by examples/train/new_model.py."""
    sizes = dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9)
    clip = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16)
    return UniPoseConfig(
        text_config=LlamaConfig(vocab_size=49152 + NEW_ROWS, num_key_value_heads=3, **sizes),
        vision_config=CLIPVisionConfig(image_size=336, patch_size=14, **clip),
        pose_vision_config=VitPoseBackboneConfig(image_size=[256, 192], patch_size=[16, 16]),
    )


def kept_by_a_layer(config, columns=64) -> float:
    """Bytes per token that a bfloat16 decoder layer keeps for the backward pass."""
    one = type(config).from_dict(config.to_dict() | {"num_hidden_layers": 1, "vocab_size": 8, "pad_token_id": 0})
    model = AutoModel.from_config(one, dtype=torch.bfloat16)
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    kept = {}

    def note(tensor):
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    embedded = torch.randn(1, columns, config.hidden_size, dtype=torch.bfloat16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = model(inputs_embeds=embedded, use_cache=False).last_hidden_state  # its graph keeps all of it
    size = sum(kept.values()) / columns
    del output
    return size


def adapter_values(model, r) -> int:
    """Number of LoRA parameters of the language model."""
    found = [m for name, m in model.named_modules() if re.fullmatch(LINEAR_LAYERS, name) and isinstance(m, nn.Linear)]
    return sum(r * (m.in_features + m.out_features) for m in found)


def gigabytes(config, rows, *, lora_r=64, four_bits=False, processes=1, kept=0.0) -> list[float]:
    """Per GPU: weights; gradients, AdamW states and PEFT's copies; activations; total."""
    text, plan = config.text_config, plan_memory(config)
    parts = {part.name: part for part in plan.parts}
    with torch.device("meta"):
        model = UniPoseForConditionalGeneration(config)
    split = parts["language model"].size["4-bit" if four_bits else "float32"] + parts["lm head"].size["float32"]
    whole = sum(p.size["float32"] for p in plan.parts if p.name not in ("language model", "lm head"))
    trained = sum(parts[name].values for name in ("lm head", "multi modal projector", "pose query embeddings"))
    if lora_r:
        trained += adapter_values(model, lora_r) + NEW_ROWS * text.hidden_size
        copies = 4 * trained  # the adapters, and copies of fully trained modules in addition to the originals
    else:
        trained, copies = trained + parts["language model"].values, 0
    states = trained * (4 + (STATES_8_BIT if four_bits else STATES)) + copies
    columns = rows * ROW_COLUMNS
    checkpoints = text.num_hidden_layers * columns * text.hidden_size * 2
    logits = 3 * rows * LABELLED * text.vocab_size * 4  # logits, softmax, gradient
    layers_in_bfloat16 = 2 * parts["language model"].size["bfloat16"] / text.num_hidden_layers  # current and next
    activations = checkpoints + 2 * kept * columns + logits + layers_in_bfloat16  # one layer's, and gradients
    sizes = [whole + split / processes, states / processes, activations]
    return [size / 1e9 for size in (*sizes, sum(sizes))]


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("<!-- SPDX-License-Identifier: Apache-2.0 -->", "", *header(), sep="\n")
    small, large = middle(), read_config(PUBLISHED_SIZE)
    kept = {}
    for name, config in (("SmolLM2-135M", small), ("Mistral-7B", large)):
        kept[name] = kept_by_a_layer(config.text_config)
        print(f"\nA decoder layer of {name} keeps {kept[name] / 1e3:.1f} kB of each token (measured).")
    print(f"\nGB on each GPU, for rows of {ROW_COLUMNS} tokens (two pictures), with gradient checkpointing:\n")
    print("| model | method | rows on a GPU | weights | gradients and states | activations | total |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, config, how, rows, settings in (
        ("SmolLM2-135M", small, "all weights", 8, dict(lora_r=0)),
        ("SmolLM2-135M", small, "LoRA", 8, {}),
        ("Mistral-7B", large, "LoRA, one GPU", 8, {}),
        ("Mistral-7B", large, "QLoRA, one GPU", 1, dict(four_bits=True)),
        ("Mistral-7B", large, "LoRA, FSDP2 on eight", 1, dict(processes=8)),
        ("Mistral-7B", large, "all weights, FSDP2 on eight", 1, dict(processes=8, lora_r=0)),
    ):
        sizes = gigabytes(config, rows, kept=kept[name], **settings)
        print(f"| {name} | {how} | {rows} | " + " | ".join(f"{size:.1f}" for size in sizes) + " |", flush=True)


if __name__ == "__main__":
    main()
