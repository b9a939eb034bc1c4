# SPDX-License-Identifier: Apache-2.0
"""Computes how much memory a model needs from its configuration alone: `unipose doctor --model`.

The model is built on the meta device, where tensors have shapes and types but no memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FORMATS = ("float32", "bfloat16", "8-bit", "4-bit")
TOKENS = 1000


@dataclass(frozen=True)
class Part:
    """A part of a model: its name, the number of values in its tensors, and their bytes in each of `FORMATS`."""

    name: str
    values: int
    size: dict[str, int]


@dataclass(frozen=True)
class MemoryPlan:
    """
    parts: every part with tensors; the sum of their sizes is that of the weights.
    cache: bytes of keys and values of one token, in float32 and in bfloat16.
    image_tokens: tokens of one image; 0 without an encoder.
    pose_tokens: tokens of one pose, including begin and end.
    """

    parts: list[Part]
    cache: dict[str, int]
    image_tokens: int
    pose_tokens: int

    def weights(self, number_format: str) -> int:
        """Bytes of all weights in one of `FORMATS`."""
        return sum(part.size[number_format] for part in self.parts)

    def total(self, number_format: str, tokens: int = TOKENS) -> int:
        """Bytes of the weights and of the cache for `tokens`, which quantised models keep in bfloat16."""
        return self.weights(number_format) + tokens * self.cache.get(number_format, self.cache["bfloat16"])


def read_config(path: str | Path):
    """The `UniPoseConfig` of a folder or of a `config.json`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it belongs to another kind of model.
    """
    from unipose_hf.modeling.configuration_unipose import UniPoseConfig

    file = Path(path)
    file = file / "config.json" if file.is_dir() else file
    if not file.is_file():
        raise FileNotFoundError(f"There is no {file}; give a config.json or the folder of a model.")
    try:
        settings, _ = UniPoseConfig.get_config_dict(file)
    except OSError as error:
        raise ValueError(f"{file} is not a JSON file; give the config.json of a model.") from error
    found = settings.get("model_type") if isinstance(settings, dict) else None
    if found != UniPoseConfig.model_type:
        raise ValueError(f"{file} has model_type {found!r}; expected {UniPoseConfig.model_type!r}.")
    return UniPoseConfig.from_dict(settings)


def plan_memory(config) -> MemoryPlan:
    """The plan of a `UniPoseConfig`: what the tensors of its checkpoint take once they are loaded.

    The formats are those of `from_pretrained`: `dtype=torch.float32` or `torch.bfloat16`, and bitsandbytes with the
    rest in bfloat16. The pose tokenizer is float32 in all of them. Activations of a forward pass are not included.
    """
    import torch

    from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration

    with torch.device("meta"):
        model = UniPoseForConditionalGeneration(config).eval()
    model.tie_weights()
    sizes, caches = {}, {}
    for name in ("float32", "bfloat16"):
        dtype = getattr(torch, name)
        model = model.to(dtype)
        sizes[name] = {part: sum(t.nbytes for t in tensors) for part, tensors in _tensors(model).items()}
        caches[name] = _cache_bytes(model.model.language_model, dtype)
    language_model = sizes["bfloat16"]["language model"]
    for name, quantised in (("8-bit", _in_8_bits), ("4-bit", _in_4_bits)):
        saved = sum(weight.nbytes - quantised(weight) for weight in _linear_weights(model.model.language_model))
        sizes[name] = sizes["bfloat16"] | {"language model": language_model - saved}
    parts = [
        Part(name, sum(t.numel() for t in tensors), {form: sizes[form][name] for form in FORMATS})
        for name, tensors in _tensors(model).items()
    ]
    return MemoryPlan(parts, caches, config.image_seq_length or 0, config.pose_config.num_codes + 2)


def _tensors(model):
    """The tensors of a checkpoint, by part; a tied weight belongs to the first part that has it."""
    seen, parts = set(), {}
    for part, module in (*model.model.named_children(), ("lm_head", model.lm_head)):
        tensors = [t for t in module.state_dict(keep_vars=True).values() if id(t) not in seen]
        seen |= {id(tensor) for tensor in tensors}
        if tensors:
            parts[part.replace("_", " ")] = tensors
    return parts


def _cache_bytes(language_model, dtype):
    """Bytes of keys and values of one token, measured on the layers themselves."""
    import torch
    from transformers import DynamicCache

    from unipose_hf.modeling.generation_unipose import CACHE_KEY

    cache = DynamicCache()
    embedding = torch.empty(1, 1, language_model.config.hidden_size, dtype=dtype, device="meta")
    with torch.no_grad():
        language_model(inputs_embeds=embedding, use_cache=True, **{CACHE_KEY: cache})
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


def _linear_weights(module):
    from torch import nn

    return [layer.weight for layer in module.modules() if isinstance(layer, nn.Linear)]


def _in_8_bits(weight):
    return weight.numel() + 4 * len(weight)  # and a float32 scale for each row


def _in_4_bits(weight):
    return -(-weight.numel() // 2) + 4 * -(-weight.numel() // 64)  # and a float32 scale for each 64 values


def print_plan(plan: MemoryPlan, available: int | None, log: Callable[[str], None] = print) -> None:
    """Prints the plan as a table, and which formats fit into `available` bytes."""
    log(f"{'part':<24}{'values':>10}" + "".join(f"{name:>11}" for name in FORMATS))
    for part in plan.parts:
        log(f"{part.name:<24}{_count(part.values):>10}" + "".join(f"{_size(part.size[name]):>11}" for name in FORMATS))
    values = _count(sum(part.values for part in plan.parts))
    log(f"{'weights':<24}{values:>10}" + "".join(f"{_size(plan.weights(name)):>11}" for name in FORMATS))
    cache = [TOKENS * plan.cache.get(name, plan.cache["bfloat16"]) for name in FORMATS]
    log(f"{f'cache, {TOKENS:,} tokens':<34}" + "".join(f"{_size(size):>11}" for size in cache))
    log(f"A picture is {plan.image_tokens} tokens, a pose {plan.pose_tokens}. 8-bit and 4-bit use bitsandbytes.")
    if available is not None:
        fitting = [name for name in FORMATS if plan.total(name) < available]
        fits = f"{', '.join(fitting)} fit" if fitting else "none of these fit"
        log(f"With {TOKENS:,} tokens, {fits} in this machine's {_size(available)}.")


def available_memory() -> int | None:
    """Bytes of all GPUs together, or of main memory without a GPU; `None` if unknown."""
    import os

    import torch

    if torch.cuda.is_available():
        return sum(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count()))
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _count(number):
    return f"{number / 1e6:,.1f} M"


def _size(number):
    return f"{number / 1e9:,.2f} GB" if number >= 1e8 else f"{number / 1e6:,.1f} MB"
