# SPDX-License-Identifier: Apache-2.0
"""Converts published UniPose checkpoints to a folder in our format.

The published system comes in four parts: the folder `unipose/` (LoRA adapter, embeddings, head, projector, tokenizer),
the LLaVA base (language model and its own fine-tuned CLIP), the pose VQ-VAE, and the pose encoder of TokenHMR.
Every part is compared with what the model needs, name by name and shape by shape, before anything is written; tensors
are then read, merged and written one file at a time.
"""

import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, GenerationConfig, MistralConfig, VitPoseBackbone, VitPoseBackboneConfig

from unipose_hf.files.foreign_tensors import ForeignTensors, open_file, open_folder
from unipose_hf.files.plain import read_json
from unipose_hf.files.write import open_to_umask, temporary_folder_next_to
from unipose_hf.modeling.configuration_unipose import PoseTokenizerConfig, UniPoseConfig
from unipose_hf.modeling.image_processing_unipose import UniPoseImageProcessor
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import UniPoseProcessor

from .card import card_text
from .folder import add_code
from .published_tokenizer import convert_text_tokenizer

# Tensor name prefixes that identify the parts.
_SIGNS = {
    "unipose": "base_model.model.",
    "llava": "model.layers.",
    "pose_vqvae": "encoder.encoder.",
    "pose_vit": "backbone.blocks.",
}
_PARTS = {
    "unipose": "the published folder unipose/",
    "llava": "the LLaVA base liuhaotian/llava-v1.6-mistral-7b",
    "pose_vqvae": "the published pose_vqvae/best_MPJPE.ckpt",
    "pose_vit": "the published tokenhmr_model.ckpt",
}

# Our names -> published ones. The published pose tokenizer numbers the layers of a sequence that also counts
# activations and up-samplings.
_TOKENIZER_NAMES = {
    "encoder.input_layer": "encoder.encoder.0",
    "encoder.upsample_layers.0": "encoder.encoder.3",
    "encoder.upsample_layers.1": "encoder.encoder.6",
    "encoder.upsample_layers.2": "encoder.encoder.9",
    "encoder.downsample_layers.0": "encoder.encoder.11",
    "encoder.residual_blocks": "encoder.encoder.12.model",
    "encoder.output_layer": "encoder.encoder.13",
    "decoder.input_layer": "decoder.decoder.0",
    "decoder.resample_layers.0": "decoder.decoder.3",
    "decoder.resample_layers.1": "decoder.decoder.6",
    "decoder.resample_layers.2": "decoder.decoder.9",
    "decoder.resample_layers.3": "decoder.decoder.12",
    "decoder.residual_blocks": "decoder.decoder.14.model",
    "decoder.middle_layer": "decoder.decoder.15",
    "decoder.output_layer": "decoder.decoder.16",
}
_VIT_NAMES = {
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "encoder.layer": "blocks",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.output.dense": "attn.proj",
    "attention.attention.query": "attn.qkv",
    "attention.attention.key": "attn.qkv",
    "attention.attention.value": "attn.qkv",
    "layernorm": "last_norm",
}
_QKV = ("query", "key", "value")
_LANGUAGE_MODEL_SETTINGS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "rms_norm_eps",
    "vocab_size",
)


@dataclass
class _Part:
    """One part of the checkpoint: its content, and how to get our tensors from it.

    `sources` has a reader for each of our names, `shapes` the expected shape of each published name. Our names begin
    with `prefix`.
    """

    role: str
    tensors: ForeignTensors
    prefix: str = ""
    sources: dict[str, Callable[[], torch.Tensor]] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    ignored: Callable[[str], bool] = lambda name: False

    def take(self, target: str, name: str, shape, change: Callable[[torch.Tensor], torch.Tensor] | None = None):
        """Our tensor `target` is the published `name` with this shape, optionally transformed by `change`."""
        self.shapes[name] = tuple(shape)
        read = self.tensors.read
        self.sources[self.prefix + target] = lambda: change(read(name)) if change else read(name)

    def problems(self) -> list[str]:
        """Missing, unknown and misshaped tensors, one line each."""
        found = self.tensors.shapes
        lines = [f"missing {name} {list(shape)}" for name, shape in self.shapes.items() if name not in found]
        lines += [f"unknown {name}" for name in found if name not in self.shapes and not self.ignored(name)]
        lines += [
            f"wrong shape {name} {list(found[name])}, expected {list(shape)}"
            for name, shape in self.shapes.items()
            if name in found and found[name] != shape
        ]
        return [f"{self.role}: {line}" for line in lines]


def convert(
    *,
    unipose: str | Path | None = None,
    llava: str | Path | None = None,
    pose_vqvae: str | Path | None = None,
    pose_vit: str | Path | None = None,
    out: str | Path,
    clip_heads: int | None = None,
    pose_vit_heads: int | None = None,
    dtype: torch.dtype | None = None,
    max_shard_size: int | str = "5GB",
) -> Path:
    """Converts the published checkpoint into a folder for `UniPoseForConditionalGeneration.from_pretrained` and
    `UniPoseProcessor.from_pretrained`.

    With `pose_vqvae` alone the folder contains a `PoseTokenizerModel`, with `pose_vit` alone a `VitPoseBackbone`. The
    folder can be uploaded to the Hub unchanged: it includes the code that it needs there.

    Args:
        unipose: folder with `config.json`, `adapter_config.json`, `adapter_model.*`, `non_lora_trainables.bin` and the
            tokenizer.
        llava: folder of the LLaVA base; its language model gets the adapter, its CLIP is used unchanged.
        pose_vqvae: file of the pose VQ-VAE.
        pose_vit: file of the pose encoder; only its `backbone` is used.
        out: the new folder, which must not exist or be empty.
        clip_heads, pose_vit_heads: attention heads, which are not in the files. They are known for the published
            widths (1024 and 1280 channels: 16 heads) and must be given for others.
        dtype: dtype of the weights, by default that of the LLaVA base. The pose tokenizer stays in float32.
        max_shard_size: maximum size of a weight file. At most one such file and its sources are in memory at a time.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: a part or one of its files does not exist.
        ValueError: a part is something else, or does not fit (the message lists every missing, unknown and misshaped
            tensor), or `out` is not empty. Nothing is written in that case.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} already exists and is not an empty folder; name a new one.")
    paths = {"unipose": unipose, "llava": llava, "pose_vqvae": pose_vqvae, "pose_vit": pose_vit}
    missing = [role for role, path in paths.items() if path is None]
    if pose_vqvae is not None and missing == ["unipose", "llava", "pose_vit"]:
        write, name = convert_pose_tokenizer(pose_vqvae).save_pretrained, "PoseTokenizerModel"
    elif pose_vit is not None and missing == ["unipose", "llava", "pose_vqvae"]:
        write, name = convert_pose_vit(pose_vit, pose_vit_heads).save_pretrained, None  # transformers has its code
    elif missing:
        wanted = "; ".join(f"{role}= is {_PARTS[role]}" for role in missing)
        raise ValueError(f"Parts of the checkpoint were not given: {wanted}.")
    else:
        write = _plan(paths, clip_heads, pose_vit_heads, dtype, max_shard_size)
        name = "UniPoseForConditionalGeneration"
    # Written to a temporary folder and renamed at the end, so that no incomplete checkpoint is left.
    with temporary_folder_next_to(out) as temporary:
        write(temporary)
        if name:
            add_code(temporary, card_text(out.name, name, published=True))
        open_to_umask(temporary)
        os.replace(temporary, out)
    return out


def convert_pose_tokenizer(path: str | Path) -> PoseTokenizerModel:
    """Reads the published pose VQ-VAE (a Lightning `.ckpt`) into a [`PoseTokenizerModel`] in evaluation mode.

    Sizes are determined from the tensors. The published file lacks the running averages of the codebook; they start
    from the codebook with counts of one, so that training can continue.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no such checkpoint; the message lists missing, unknown and misshaped tensors.
    """
    tensors = _open("pose_vqvae", path)
    model = PoseTokenizerModel(_pose_tokenizer_config(tensors))
    return _load(model, _pose_tokenizer_part(tensors, model))


def convert_pose_vit(path: str | Path, heads: int | None = None) -> VitPoseBackbone:
    """Reads the published pose encoder into a `VitPoseBackbone` in evaluation mode.

    Args:
        path: the checkpoint of TokenHMR (or HMR2), of which only the `backbone` is read.
        heads: attention heads, 16 for the published 1280 channels; must be given for others.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no such checkpoint; the message lists missing, unknown and misshaped tensors.
    """
    tensors = _open("pose_vit", path)
    model = VitPoseBackbone(_pose_vit_config(tensors, heads))
    return _load(model, _pose_vit_part(tensors, model))


def _load(model, part):
    _refuse(part.problems())
    model.load_state_dict({name: source() for name, source in part.sources.items()})
    return model.eval()


def _refuse(problems, reason=None):
    if problems:
        reason = reason or "check that every part is the published one"
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise ValueError(f"The checkpoint has {len(problems)} mismatches; {reason}:{lines}")


# -- parts -----------------------------------------------------------------------------------------------------------


def _open(role, path):
    """Opens a part and refuses one that is obviously something else."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{role}={path} does not exist; expected {_PARTS[role]}.")
    if path.is_dir() != (role in ("unipose", "llava")):
        kind = "folder" if path.is_dir() else "file"
        raise ValueError(f"{role}={path} is a {kind}; expected {_PARTS[role]}.")
    try:
        if role == "unipose":
            tensors = open_folder(path, "non_lora_trainables")
        else:
            tensors = open_file(path) if path.is_file() else open_folder(path, "model", "pytorch_model")
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"{role}= should be {_PARTS[role]}, but {error}") from error
    if not any(name.startswith(_SIGNS[role]) for name in tensors.shapes):
        others = [other for other, sign in _SIGNS.items() if any(name.startswith(sign) for name in tensors.shapes)]
        what = f"looks like {_PARTS[others[0]]}" if others else f"has no tensor whose name begins with {_SIGNS[role]}"
        raise ValueError(f"{role}={path} {what}; expected {_PARTS[role]}.")
    return tensors


def _size(tensors, default, *axes):
    """The length of an axis of the first of these tensors that exists; `axes` are pairs (name, axis)."""
    for name, axis in axes:
        if len(tensors.shapes.get(name, ())) > axis:
            return tensors.shapes[name][axis]
    return default


def _depth(tensors, pattern):
    """How many layers there are, by the largest number in a tensor name of this pattern."""
    return 1 + max((int(match[1]) for match in map(re.compile(pattern).match, tensors.shapes) if match), default=-1)


def _heads(argument, given, width, published_width, encoder):
    if given is None and width == published_width:
        return 16
    if given is None:
        raise ValueError(
            f"The files do not show how many attention heads a {encoder} of {width} channels has (the published one "
            f"has {published_width} channels and 16 heads); pass the number as {argument}=."
        )
    if given < 1 or width % given:
        raise ValueError(f"{argument} is {given}, which does not divide the {width} channels of the {encoder}.")
    return given


def _pose_tokenizer_config(tensors):
    return PoseTokenizerConfig(
        hidden_size=_size(tensors, 512, ("encoder.encoder.0.weight", 0), ("encoder.encoder.3.weight", 0)),
        codebook_size=_size(tensors, 2048, ("quantizer.codebook", 0)),
        code_dim=_size(tensors, 256, ("quantizer.codebook", 1), ("encoder.encoder.13.weight", 0)),
    )


def _pose_tokenizer_part(tensors, model, prefix=""):
    part = _Part("pose_vqvae", tensors, prefix, ignored=lambda name: name.startswith("loss."))
    for target, tensor in model.state_dict().items():
        layer = next((ours for ours in _TOKENIZER_NAMES if target.startswith(f"{ours}.")), None)
        if layer:
            part.take(target, _TOKENIZER_NAMES[layer] + target[len(layer) :], tensor.shape)
    codebook = model.quantizer.codebook.shape
    part.take("quantizer.codebook", "quantizer.codebook", codebook)
    # a copy, as safetensors refuses two tensors that share their memory
    part.take("quantizer.running_sum", "quantizer.codebook", codebook, torch.clone)
    part.sources[f"{prefix}quantizer.running_count"] = lambda: torch.ones(codebook[0])
    part.sources[f"{prefix}quantizer.initialized"] = lambda: torch.tensor(True)
    return part


def _pose_vit_config(tensors, heads):
    width = _size(tensors, 1280, ("backbone.last_norm.weight", 0), ("backbone.pos_embed", 2))
    patch = _size(tensors, 16, ("backbone.patch_embed.proj.weight", 3))
    return VitPoseBackboneConfig(
        image_size=[256, 192],
        patch_size=[patch, patch],
        hidden_size=width,
        num_hidden_layers=_depth(tensors, r"backbone\.blocks\.(\d+)\."),
        num_attention_heads=_heads("pose_vit_heads", heads, width, 1280, "pose encoder"),
        mlp_ratio=_size(tensors, 4 * width, ("backbone.blocks.0.mlp.fc1.weight", 0)) // width,
        layer_norm_eps=1e-6,
    )


def _pose_vit_part(tensors, model, prefix=""):
    # the same file holds the head that regresses a body, and its discriminator
    part = _Part("pose_vit", tensors, prefix, ignored=lambda name: not name.startswith("backbone."))
    for target, tensor in model.state_dict().items():
        name = target
        for ours, published in _VIT_NAMES.items():
            name = re.sub(rf"(^|(?<=\.)){re.escape(ours)}(?=\.|$)", published, name)
        if ".attn.qkv." in name:
            third = _QKV.index(target.split(".")[-2])
            shape = (3 * tensor.shape[0], *tensor.shape[1:])
            part.take(target, f"backbone.{name}", shape, lambda fused, third=third: fused.chunk(3)[third].clone())
        else:
            part.take(target, f"backbone.{name}", tensor.shape)
    return part


def _clip_config(tensors, heads):
    prefix = "model.vision_tower.vision_tower.vision_model."
    width = _size(tensors, 1024, (f"{prefix}pre_layrnorm.weight", 0), (f"{prefix}embeddings.class_embedding", 0))
    patch = _size(tensors, 14, (f"{prefix}embeddings.patch_embedding.weight", 3))
    num_positions = _size(tensors, 577, (f"{prefix}embeddings.position_embedding.weight", 0))
    return CLIPVisionConfig(
        image_size=math.isqrt(num_positions - 1) * patch,
        patch_size=patch,
        hidden_size=width,
        intermediate_size=_size(tensors, 4 * width, (f"{prefix}encoder.layers.0.mlp.fc1.weight", 0)),
        num_hidden_layers=_depth(tensors, re.escape(prefix) + r"encoder\.layers\.(\d+)\."),
        num_attention_heads=_heads("clip_heads", heads, width, 1024, "CLIP encoder"),
    )


def _ignored_in_base(name):
    """Tensors of the base that this model takes from elsewhere or computes."""
    replaced = ("model.embed_tokens.", "lm_head.", "model.mm_projector.", "model.image_newline")
    return name.startswith(replaced) or name.endswith((".rotary_emb.inv_freq", ".position_ids"))


def _other_base(tensors, config):
    """Reports a base that is a language model of another size, such as LLaVA 13B."""
    found = _depth(tensors, r"model\.layers\.(\d+)\."), _size(tensors, 0, ("model.norm.weight", 0))
    expected = config.num_hidden_layers, config.hidden_size
    if found == expected:
        return None
    return (
        f"llava={tensors.path} has {found[0]} layers of {found[1]} channels, but {expected[0]} of {expected[1]} are "
        f"expected, as in {_PARTS['llava']}"
    )


# -- the whole -------------------------------------------------------------------------------------------------------


def _plan(paths, clip_heads, pose_vit_heads, dtype, max_shard_size):
    """Checks all four parts against each other; returns the function that writes the folder."""
    files = {role: _open(role, path) for role, path in paths.items()}
    folder = Path(paths["unipose"])
    settings = read_json(folder / "config.json")
    _check_settings(settings, folder)
    adapter = _open_lora(folder)
    pose_config = _pose_tokenizer_config(files["pose_vqvae"])
    tokenizer = convert_text_tokenizer(folder, pose_config.codebook_size, pose_config.num_codes)
    config = _config(settings, tokenizer, pose_config, files, clip_heads, pose_vit_heads)
    if dtype is None:
        norm = "model.norm.weight"
        dtype = files["llava"].read(norm).dtype if norm in files["llava"] else torch.float32
    with torch.device("meta"):
        model = UniPoseForConditionalGeneration(config).to(dtype)
    parts = _match(model, files, adapter)
    problems = [problem for part in parts for problem in part.problems()]
    _refuse(problems, _other_base(files["llava"], config.text_config))
    processor = UniPoseProcessor(
        UniPoseImageProcessor(
            general_size=config.vision_config.image_size,
            pose_size=tuple(config.pose_vision_config.image_size),
            pose_view="crop",
        ),
        tokenizer,
        chat_template=tokenizer.chat_template,
        num_codes=pose_config.num_codes,
        num_image_tokens=config.image_seq_length,
    )
    generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=512,
    )

    def write(temporary):
        _write_weights(temporary, model, parts, max_shard_size)
        model.config.architectures = [type(model).__name__]
        model.config.dtype = dtype
        model.config.save_pretrained(temporary)
        generation_config.save_pretrained(temporary)
        processor.save_pretrained(temporary)

    return write


def _check_settings(settings, folder):
    file = folder / "config.json"
    found = {name: settings.get(name) for name in ("model_type", "mm_projector_type")}
    if found != {"model_type": "llava_mistral", "mm_projector_type": "mlp2x_gelu"}:
        raise ValueError(
            f"{file} has model_type {found['model_type']!r} and mm_projector_type {found['mm_projector_type']!r}; "
            "expected 'llava_mistral' and 'mlp2x_gelu', as in the published folder unipose/."
        )
    missing = [name for name in _LANGUAGE_MODEL_SETTINGS if name not in settings]
    if missing:
        raise ValueError(f"{file} lacks {', '.join(missing)}; download it again.")


@dataclass
class _Lora:
    """The published adapter: its tensors, and what its configuration says about them."""

    tensors: ForeignTensors
    rank: int
    scale: float
    targets: list[str]

    def adapts(self, module: str) -> bool:
        """Whether the weight of a module such as `model.layers.0.mlp.up_proj` has an update."""
        named = any(module == target or module.endswith(f".{target}") for target in self.targets)
        return named or f"base_model.model.{module}.lora_A.weight" in self.tensors

    def merge(self, weight: torch.Tensor, module: str) -> torch.Tensor:
        """A weight with its update, computed in float32."""
        up = self.tensors.read(f"base_model.model.{module}.lora_B.weight").float()
        down = self.tensors.read(f"base_model.model.{module}.lora_A.weight").float()
        return torch.addmm(weight.float(), up, down, alpha=self.scale)


def _open_lora(folder):
    file = folder / "adapter_config.json"
    settings = read_json(file)
    refused = ("use_dora", "fan_in_fan_out", "modules_to_save", "rank_pattern", "alpha_pattern", "layer_replication")
    odd = [name for name in refused if settings.get(name)]
    if settings.get("peft_type") != "LORA" or settings.get("bias", "none") != "none" or odd:
        raise ValueError(
            f"{file} is not a plain LoRA adapter ({', '.join(odd) or 'peft_type or bias'}); expected one."
        )
    try:
        rank, alpha = int(settings["r"]), float(settings["lora_alpha"])
        scale = alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{file} has no valid r and lora_alpha; download it again.") from error
    targets = settings.get("target_modules")
    # a pattern instead of a list adds nothing to the tensors
    return _Lora(open_folder(folder, "adapter_model"), rank, scale, targets if isinstance(targets, list) else [])


def _config(settings, tokenizer, pose_config, files, clip_heads, pose_vit_heads):
    names = ("image", "pose", "pose_start", "pose_end", "pose_query")
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<{name}>") for name in names}
    # the published queries are the last rows of the vocabulary; our three placeholders replace the first of them
    vocab_size = ids["pose_query_token_id"] + pose_config.num_codes
    if settings["vocab_size"] != vocab_size:
        raise ValueError(
            f"config.json has vocab_size {settings['vocab_size']}, but the tokenizer and the pose tokenizer make "
            f"{vocab_size}; take all parts from one release."
        )
    optional = ("hidden_act", "max_position_embeddings", "initializer_range", "attention_dropout", "head_dim")
    chosen = {name: settings[name] for name in _LANGUAGE_MODEL_SETTINGS}
    chosen |= {name: settings[name] for name in optional if settings.get(name) is not None}
    text_config = MistralConfig(
        **chosen,
        rope_parameters={"rope_type": "default", "rope_theta": float(settings.get("rope_theta", 1e6))},
        sliding_window=None,  # the published system ignores it
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    # a pose answer was always written after a space
    asked, answered = (tokenizer.encode(text, add_special_tokens=False) for text in (" [/INST]", " [/INST] "))
    return UniPoseConfig(
        text_config=text_config,
        vision_config=_clip_config(files["llava"], clip_heads),
        pose_vision_config=_pose_vit_config(files["pose_vit"], pose_vit_heads),
        pose_config=pose_config,
        **ids,
        pose_code_offset=tokenizer.convert_tokens_to_ids("<pose_0>"),
        vision_feature_layer=settings.get("mm_vision_select_layer", -2),
        bidirectional_poses="answer",
        pose_answer_prefix_ids=answered[len(asked) :],
    )


def _match(model, files, adapter):
    """Matches the parts with the model; together they have a reader for each of its tensors."""
    base = _Part("llava", files["llava"], ignored=_ignored_in_base)
    lora = _Part("unipose (adapter_model)", adapter.tensors)
    trained = _Part("unipose (non_lora_trainables)", files["unipose"])
    embeddings = "base_model.model.model.embed_tokens.weight"
    vocab_size, num_codes = model.config.text_config.vocab_size, model.config.pose_config.num_codes
    for target, tensor in model.state_dict().items():
        name = target.removeprefix("model.")
        part, _, rest = name.partition(".")
        if part == "vision_tower":
            base.take(target, f"model.vision_tower.vision_tower.vision_model.{rest}", tensor.shape)
        elif name == "language_model.embed_tokens.weight":
            trained.take(target, embeddings, tensor.shape)
        elif name == "pose_query_embeddings.weight":
            # the published code takes the last rows, whatever their names
            trained.take(target, embeddings, (vocab_size, tensor.shape[1]), partial(_last_rows, count=num_codes))
        elif name == "lm_head.weight":
            trained.take(target, "base_model.model.lm_head.weight", tensor.shape)
        elif part == "multi_modal_projector":
            place = {"linear_1": 0, "linear_2": 2}[rest.split(".")[0]]
            trained.take(target, f"base_model.model.model.mm_projector.{place}.{rest.split('.')[1]}", tensor.shape)
        elif part == "language_model":
            module = f"model.{rest.removesuffix('.weight')}"
            merge = None
            if adapter.adapts(module):
                lora.shapes[f"base_model.model.{module}.lora_A.weight"] = (adapter.rank, tensor.shape[-1])
                lora.shapes[f"base_model.model.{module}.lora_B.weight"] = (tensor.shape[0], adapter.rank)
                merge = partial(adapter.merge, module=module)
            base.take(target, f"model.{rest}", tensor.shape, merge)
    inner = model.model
    return [
        base,
        lora,
        trained,
        _pose_tokenizer_part(files["pose_vqvae"], inner.pose_tokenizer, "model.pose_tokenizer."),
        _pose_vit_part(files["pose_vit"], inner.pose_vision_tower, "model.pose_vision_tower."),
    ]


def _last_rows(rows, count):
    return rows[-count:].clone()


def _write_weights(folder, model, parts, max_shard_size):
    """Reads and writes one safetensors file after the other; no more than one of them is in memory at a time."""
    wanted = model.state_dict()  # on the meta device: names, shapes and types
    split = split_torch_state_dict_into_shards(wanted, max_shard_size=max_shard_size)
    for file, names in split.filename_to_tensors.items():
        tensors = {}
        for part in parts:
            for name in filter(part.sources.__contains__, names):
                tensors[name] = part.sources[name]().to(wanted[name].dtype).contiguous()
            part.tensors.release()
        save_file(tensors, folder / file, metadata={"format": "pt"})
        del tensors  # before those of the next file are read
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
