# SPDX-License-Identifier: Apache-2.0
"""Random checkpoints of any size with the layout of the published one."""

import io
import json
from dataclasses import dataclass

import sentencepiece
import torch
from safetensors.torch import save_file

CODES = 80
CLIP_PREFIX = "model.vision_tower.vision_tower.vision_model."


@dataclass(frozen=True)
class Sizes:
    """Of the pose tokenizer, the language model with its adapter, CLIP and the pose encoder."""

    codebook: int = 8
    code_dim: int = 4
    hidden: int = 6
    width: int = 16
    inner: int = 24
    heads: int = 4
    kv_width: int = 8
    layers: int = 1
    rank: int = 2
    alpha: float = 3.0
    clip: int = 8
    vit: int = 12
    vit_layers: int = 2

    @property
    def linears(self):
        """The linear layers of one layer of the language model, which the adapter changes."""
        return {
            "self_attn.q_proj": (self.width, self.width),
            "self_attn.k_proj": (self.kv_width, self.width),
            "self_attn.v_proj": (self.kv_width, self.width),
            "self_attn.o_proj": (self.width, self.width),
            "mlp.gate_proj": (self.inner, self.width),
            "mlp.up_proj": (self.inner, self.width),
            "mlp.down_proj": (self.width, self.inner),
        }


TINY = Sizes()


def random_tensors(shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}


def linear(name, rows, columns):
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def llava_tensors(sizes=TINY):
    width, clip, shapes = sizes.width, sizes.clip, {}
    for i in range(sizes.layers):
        layer = f"model.layers.{i}."
        shapes |= {f"{layer}{name}.weight": shape for name, shape in sizes.linears.items()}
        shapes |= {f"{layer}{name}_layernorm.weight": (width,) for name in ("input", "post_attention")}
    shapes |= {"model.norm.weight": (width,), "model.embed_tokens.weight": (9, width), "lm_head.weight": (9, width)}
    shapes |= {"model.image_newline": (width,), **linear("model.mm_projector.0", width, clip)}
    shapes |= linear("model.mm_projector.2", width, width)
    tower = {"embeddings.class_embedding": (clip,), "embeddings.patch_embedding.weight": (clip, 3, 14, 14)}
    tower |= {"embeddings.position_embedding.weight": (5, clip)}  # 2 x 2 patches
    tower |= norm("pre_layrnorm", clip) | norm("post_layernorm", clip)
    for i in range(2):
        name = f"encoder.layers.{i}."
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            tower |= linear(f"{name}self_attn.{projection}", clip, clip)
        tower |= linear(f"{name}mlp.fc1", 10, clip) | linear(f"{name}mlp.fc2", clip, 10)
        tower |= norm(f"{name}layer_norm1", clip) | norm(f"{name}layer_norm2", clip)
    shapes |= {CLIP_PREFIX + name: shape for name, shape in tower.items()}
    return random_tensors(shapes, 0)


def lora_tensors(sizes=TINY):
    shapes = {}
    for i in range(sizes.layers):
        for name, (rows, columns) in sizes.linears.items():
            module = f"base_model.model.model.layers.{i}.{name}"
            shapes[f"{module}.lora_A.weight"] = (sizes.rank, columns)
            shapes[f"{module}.lora_B.weight"] = (rows, sizes.rank)
    return random_tensors(shapes, 1)


def trained_tensors(vocab_size, sizes=TINY):
    width = sizes.width
    shapes = {"model.embed_tokens.weight": (vocab_size, width), "lm_head.weight": (vocab_size, width)}
    shapes |= linear("model.mm_projector.0", width, sizes.clip + sizes.vit)
    shapes |= linear("model.mm_projector.2", width, width)
    return {f"base_model.model.{name}": tensor for name, tensor in random_tensors(shapes, 2).items()}


def vqvae_tensors(sizes=TINY):
    def convolution(name, rows, columns, width=3):
        return {f"{name}.weight": (rows, columns, width), f"{name}.bias": (rows,)}

    hidden, code_dim = sizes.hidden, sizes.code_dim
    shapes = {"quantizer.codebook": (sizes.codebook, code_dim), "loss.count": ()}
    shapes |= convolution("encoder.encoder.0", hidden, 6) | convolution("encoder.encoder.11", hidden, hidden, 4)
    shapes |= convolution("encoder.encoder.13", code_dim, hidden) | convolution("decoder.decoder.0", hidden, code_dim)
    shapes |= convolution("decoder.decoder.15", hidden, hidden) | convolution("decoder.decoder.16", 6, hidden)
    middle = [f"encoder.encoder.{i}" for i in (3, 6, 9)] + [f"decoder.decoder.{i}" for i in (3, 6, 9, 12)]
    for name in middle:
        shapes |= convolution(name, hidden, hidden)
    for name in ("encoder.encoder.12.model", "decoder.decoder.14.model"):
        for i in range(2):
            shapes |= convolution(f"{name}.{i}.conv1", hidden, hidden)
            shapes |= convolution(f"{name}.{i}.conv2", hidden, hidden, 1)
    return random_tensors(shapes, 3)


def vit_tensors(sizes=TINY):
    vit = sizes.vit
    shapes = {"pos_embed": (1, 193, vit), "patch_embed.proj.weight": (vit, 3, 16, 16), "patch_embed.proj.bias": (vit,)}
    for i in range(sizes.vit_layers):
        block = f"blocks.{i}."
        shapes |= norm(f"{block}norm1", vit) | norm(f"{block}norm2", vit)
        shapes |= linear(f"{block}attn.qkv", 3 * vit, vit) | linear(f"{block}attn.proj", vit, vit)
        shapes |= linear(f"{block}mlp.fc1", 4 * vit, vit) | linear(f"{block}mlp.fc2", vit, 4 * vit)
    shapes |= norm("last_norm", vit)
    tensors = {f"backbone.{name}": tensor for name, tensor in random_tensors(shapes, 4).items()}
    return tensors | {"smpl_head.decpose.weight": torch.ones(3, 3)}


def train_sentencepiece(file):
    """A byte-pair model in the manner of Mistral's, with a piece of two spaces, which pairs are easily merged to."""
    sentences = ["[INST] Raise  the left arm of   the person in the image. [/INST] The right knee is  bent."] * 4
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="bpe",
        vocab_size=330,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    file.write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def added_tokens(first, codebook):
    """`added_tokens.json` of a tokenizer whose own pieces end before `first`."""
    names = [f"<pose_id_{i}>" for i in range(codebook + 2)] + ["<im_start>", "<im_end>"]
    names += [f"<pose_query_{i}>" for i in range(CODES)]
    return {name: first + i for i, name in enumerate(names)}


def write_llava(folder, tensors, shards=1):
    """The base in one `.safetensors` file, or in several with an index, as it is published."""
    names = list(tensors)
    cuts = [names[i * len(names) // shards : (i + 1) * len(names) // shards] for i in range(shards)]
    files = [f"model-{i + 1}-of-{shards}.safetensors" for i in range(shards)] if shards > 1 else ["model.safetensors"]
    for file, held in zip(files, cuts, strict=True):
        save_file({name: tensors[name] for name in held}, folder / file)
    if shards > 1:
        index = {"weight_map": {name: file for file, held in zip(files, cuts, strict=True) for name in held}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def write_published(root, sizes=TINY, dtype=torch.float32, shards=1):
    """All four parts: `unipose/`, `llava/`, `vqvae.ckpt` and `vit.ckpt`; `dtype` is that of the language model."""
    for name in ("unipose", "llava"):
        (root / name).mkdir(parents=True)
    added = added_tokens(len(train_sentencepiece(root / "unipose" / "tokenizer.model")), sizes.codebook)
    vocab_size = max(added.values()) + 1
    config = dict(model_type="llava_mistral", mm_projector_type="mlp2x_gelu", mm_vision_select_layer=-2)
    config |= dict(hidden_size=sizes.width, intermediate_size=sizes.inner, num_hidden_layers=sizes.layers)
    config |= dict(num_attention_heads=sizes.heads, num_key_value_heads=sizes.heads * sizes.kv_width // sizes.width)
    config |= dict(rms_norm_eps=1e-5, rope_theta=1e6, vocab_size=vocab_size)
    adapter = dict(peft_type="LORA", r=sizes.rank, lora_alpha=sizes.alpha, bias="none", modules_to_save=None)
    adapter["target_modules"] = [f"model.layers.{i}.{name}" for i in range(sizes.layers) for name in sizes.linears]
    for name, content in {
        "config": config,
        "adapter_config": adapter,
        "added_tokens": added,
        "tokenizer_config": {"legacy": True, "model_max_length": 2048},
    }.items():
        (root / "unipose" / f"{name}.json").write_text(json.dumps(content))
    llava = {name: tensor.to(dtype) for name, tensor in llava_tensors(sizes).items()}
    write_llava(root / "llava", llava, shards)
    save_file(lora_tensors(sizes), root / "unipose" / "adapter_model.safetensors")
    trained = {name: tensor.to(dtype) for name, tensor in trained_tensors(vocab_size, sizes).items()}
    torch.save(trained, root / "unipose" / "non_lora_trainables.bin")
    torch.save({"epoch": 3, "state_dict": vqvae_tensors(sizes)}, root / "vqvae.ckpt")
    torch.save({"state_dict": vit_tensors(sizes)}, root / "vit.ckpt")
    return root


def parts(root, **changes):
    """The arguments of `convert` for what `write_published` wrote."""
    given = dict(unipose=root / "unipose", llava=root / "llava", pose_vqvae=root / "vqvae.ckpt")
    return given | dict(pose_vit=root / "vit.ckpt", clip_heads=2, pose_vit_heads=3) | changes
