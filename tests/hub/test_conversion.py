# SPDX-License-Identifier: Apache-2.0
"""Conversion of a tiny random checkpoint with the layout of the published one."""

import io
import json
import os
import shutil
from pathlib import Path

import pytest
import sentencepiece
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import unipose_hf.hub.conversion
from published import (
    CLIP_PREFIX,
    CODES,
    TINY,
    Sizes,
    added_tokens,
    llava_tensors,
    lora_tensors,
    parts,
    trained_tensors,
    vit_tensors,
    vqvae_tensors,
    write_llava,
    write_published,
)
from unipose_hf.hub.conversion import convert, convert_pose_tokenizer, convert_pose_vit
from unipose_hf.hub.published_tokenizer import convert_text_tokenizer
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import UniPoseProcessor

CODEBOOK, VIT, CLIP, WIDTH, INNER = TINY.codebook, TINY.vit, TINY.clip, TINY.width, TINY.inner
RANK, ALPHA, LINEARS = TINY.rank, TINY.alpha, TINY.linears
LORA_PREFIX = "base_model.model.model.layers.0."


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """The published layout. Tests that change files work on a copy."""
    return write_published(tmp_path_factory.mktemp("published") / "all")


@pytest.fixture
def published(original, tmp_path):
    return shutil.copytree(original, tmp_path / "published")


@pytest.fixture(scope="module")
def converted(original, tmp_path_factory):
    return convert(**parts(original), out=tmp_path_factory.mktemp("ours") / "new" / "converted")


def change(file, key=None, **changes):
    """Rewrites a file of tensors; a change to `None` takes a tensor out."""
    pickled = file.suffix != ".safetensors"
    content = torch.load(file, weights_only=True) if pickled else load_file(file)
    tensors = content[key] if key else content
    for name, tensor in changes.items():
        tensors.pop(name, None)
        if tensor is not None:
            tensors[name] = tensor
    (torch.save if pickled else save_file)(content, file)


def edit_json(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# -- what comes out ------------------------------------------------------------------------------------------------


def test_every_tensor_lands(original, converted):
    assert [path.name for path in converted.parent.iterdir()] == ["converted"]
    model, info = UniPoseForConditionalGeneration.from_pretrained(converted, output_loading_info=True)
    assert not any(info.values())
    ours = model.state_dict()
    base, lora = llava_tensors(), lora_tensors()
    for name in LINEARS:
        up, down = (lora[f"{LORA_PREFIX}{name}.lora_{side}.weight"] for side in "BA")
        merged = base[f"model.layers.0.{name}.weight"] + ALPHA / RANK * up @ down
        torch.testing.assert_close(ours[f"model.language_model.layers.0.{name}.weight"], merged)
    assert torch.equal(ours["model.language_model.norm.weight"], base["model.norm.weight"])
    for name, tensor in base.items():
        if name.startswith(CLIP_PREFIX):
            assert torch.equal(ours["model.vision_tower." + name.removeprefix(CLIP_PREFIX)], tensor)
    trained = trained_tensors(model.config.text_config.vocab_size)
    embeddings = trained["base_model.model.model.embed_tokens.weight"]
    assert torch.equal(ours["model.language_model.embed_tokens.weight"], embeddings)
    assert torch.equal(ours["model.pose_query_embeddings.weight"], embeddings[-CODES:])
    assert torch.equal(ours["lm_head.weight"], trained["base_model.model.lm_head.weight"])
    for place, layer in ((0, "linear_1"), (2, "linear_2")):
        for kind in ("weight", "bias"):
            expected = trained[f"base_model.model.model.mm_projector.{place}.{kind}"]
            assert torch.equal(ours[f"model.multi_modal_projector.{layer}.{kind}"], expected)
    tokenizer = convert_pose_tokenizer(original / "vqvae.ckpt").state_dict()
    assert all(torch.equal(ours[f"model.pose_tokenizer.{name}"], tensor) for name, tensor in tokenizer.items())
    tower = convert_pose_vit(original / "vit.ckpt", 3).state_dict()
    assert all(torch.equal(ours[f"model.pose_vision_tower.{name}"], tensor) for name, tensor in tower.items())


def test_configurations(converted):
    model = UniPoseForConditionalGeneration.from_pretrained(converted)
    config, processor = model.config, UniPoseProcessor.from_pretrained(converted)
    added = json.loads((converted / "tokenizer.json").read_text())["added_tokens"]
    ids = {token["content"]: token["id"] for token in added}
    offset = config.text_config.vocab_size - CODES - 4 - CODEBOOK
    assert [ids[f"<pose_{i}>"] for i in range(CODEBOOK)] == list(range(offset, offset + CODEBOOK))
    assert processor.token_ids() == {name: getattr(config, name) for name in processor.token_ids()}
    assert (config.pose_code_offset, config.pose_start_token_id, config.pose_end_token_id) == (
        offset,
        offset + CODEBOOK,
        offset + CODEBOOK + 1,
    )
    assert (config.bidirectional_poses, config.vision_feature_layer, config.image_seq_length) == ("answer", -2, 4)
    assert config.text_config.rope_parameters["rope_theta"] == 1e6 and config.text_config.sliding_window is None
    assert config.pose_vision_config.layer_norm_eps == 1e-6
    generation = model.generation_config
    assert (generation.bos_token_id, generation.eos_token_id, generation.pad_token_id) == (1, 2, 0)
    assert generation.max_new_tokens == 512 and not generation.do_sample
    images = processor.image_processor
    assert (images.general_size, tuple(images.pose_size), images.pose_view) == (28, (256, 192), "crop")
    assert not any(token.special for token in processor.tokenizer.added_tokens_decoder.values() if "_0>" in str(token))


def test_base_in_bfloat16_and_in_shards(published):
    base = {name: tensor.bfloat16() for name, tensor in llava_tensors().items()}
    (published / "llava" / "model.safetensors").unlink()
    names = sorted(base)
    shards = {"pytorch_model-1.bin": names[: len(names) // 2], "pytorch_model-2.bin": names[len(names) // 2 :]}
    for file, held in shards.items():
        torch.save({name: base[name] for name in held}, published / "llava" / file)
    index = {"weight_map": {name: file for file, held in shards.items() for name in held}}
    (published / "llava" / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    folder = convert(**parts(published), out=published / "out")
    model = UniPoseForConditionalGeneration.from_pretrained(folder)
    assert model.model.pose_tokenizer.quantizer.codebook.dtype == torch.float32
    weight = model.state_dict()["model.language_model.layers.0.mlp.up_proj.weight"]
    lora = lora_tensors()
    up, down = (lora[f"{LORA_PREFIX}mlp.up_proj.lora_{side}.weight"] for side in "BA")
    merged = base["model.layers.0.mlp.up_proj.weight"].float() + ALPHA / RANK * up @ down
    assert weight.dtype == torch.bfloat16 and torch.equal(weight, merged.bfloat16())


def test_output_in_shards(published):
    whole = convert(**parts(published), out=published / "whole")
    folder = convert(**parts(published), out=published / "shards", max_shard_size="10KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    states = [UniPoseForConditionalGeneration.from_pretrained(f).state_dict() for f in (whole, folder)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells how much memory was held")
def test_memory_stays_that_of_one_file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples" / "benchmarks")
    from conversion import measure_apart

    sizes = Sizes(width=512, inner=1536, kv_width=128, layers=10, vit=256, vit_layers=8)
    for attempt in range(3):  # the allocator sometimes keeps freed memory, which counts; a real need shows every time
        found = measure_apart(write_published(tmp_path / f"published-{attempt}", sizes, torch.bfloat16, shards=8))
        if found["peak"] < found["limit"]:
            break
    assert found["files"] > 4 and found["peak"] < found["limit"] < 0.6 * found["read"]


@torch.no_grad()
def test_pose_encoder_computes_what_the_published_one_does(original):
    weights = {name.removeprefix("backbone."): tensor for name, tensor in vit_tensors().items()}
    picture = torch.randn(2, 3, 256, 192, generator=torch.Generator().manual_seed(5))

    def layer_norm(x, name):
        return F.layer_norm(x, (VIT,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)

    def apply(x, name):
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    patches = F.conv2d(picture, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], 16, padding=2)
    x = patches.flatten(2).transpose(1, 2) + weights["pos_embed"][:, 1:] + weights["pos_embed"][:, :1]
    for block in ("blocks.0", "blocks.1"):
        qkv = apply(layer_norm(x, f"{block}.norm1"), f"{block}.attn.qkv").view(2, 192, 3, 3, VIT // 3)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (2, heads, 192, channels)
        attention = (query @ key.transpose(-1, -2) * (VIT // 3) ** -0.5).softmax(-1)
        x = x + apply((attention @ value).transpose(1, 2).flatten(2), f"{block}.attn.proj")
        x = x + apply(F.gelu(apply(layer_norm(x, f"{block}.norm2"), f"{block}.mlp.fc1")), f"{block}.mlp.fc2")
    expected = layer_norm(x, "last_norm")  # (2, 192, channels)
    model = convert_pose_vit(original / "vit.ckpt", 3)
    torch.testing.assert_close(model(picture).feature_maps[-1], expected, rtol=1e-4, atol=1e-5)


def test_one_part_alone(original, tmp_path):
    folder = convert(pose_vqvae=original / "vqvae.ckpt", out=tmp_path / "tokenizer")
    assert PoseTokenizerModel.from_pretrained(folder).config.num_codes == CODES
    folder = convert(pose_vit=original / "vit.ckpt", out=tmp_path / "vit", pose_vit_heads=3)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "vitpose_backbone"
    with pytest.raises(ValueError, match="llava= is .* pose_vqvae= is "):
        convert(unipose=original / "unipose", pose_vit=original / "vit.ckpt", out=tmp_path / "two")


# -- text ----------------------------------------------------------------------------------------------------------


def test_chats_are_cut_stretch_by_stretch(original, converted):
    """Every stretch of text between added tokens is cut by sentencepiece as if it stood alone."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(original / "unipose" / "tokenizer.model"))
    processor = UniPoseProcessor.from_pretrained(converted)
    ids = dict(processor.tokenizer.get_vocab())
    codes = list(range(CODEBOOK)) * (CODES // CODEBOOK)
    pose = [ids["<pose_start>"], *(ids[f"<pose_{code}>"] for code in codes), ids["<pose_end>"]]
    image = [ids["<im_start>"], *[ids["<image>"]] * 4, ids["<im_end>"]]
    picture = torch.zeros(40, 40, 3, dtype=torch.uint8).numpy()
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Is  the person in "},
                {"type": "image", "image": picture},
                {"type": "pose", "pose": codes},
                {"type": "text", "text": ", or not? \u00e9\n"},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "pose", "pose": codes}, {"type": "text", "text": "."}],
        },
    ]
    expected = [pieces.bos_id(), *pieces.encode("[INST] Is  the person in "), *image, *pose]
    expected += [*pieces.encode(", or not? \u00e9\n [/INST] "), *pose, *pieces.encode(". "), pieces.eos_id()]
    outputs = processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    assert outputs["input_ids"][0] == expected
    answer = [pieces.piece_to_id("▁"), *pose, *pieces.encode(". "), pieces.eos_id()]
    labelled = [i for i, mask in zip(expected, outputs["assistant_masks"][0], strict=True) if mask]
    assert labelled == answer
    assert processor.tokenizer("left")["input_ids"] == [pieces.bos_id(), *pieces.encode("left")]
    assert processor.decode(pieces.encode("the left arm")) == "the left arm"


def test_prompts_for_poses_end_with_a_space(original, converted):
    """The published model writes a space before a pose; `generate_pose` must not leave it out."""
    processor = UniPoseProcessor.from_pretrained(converted)
    model = UniPoseForConditionalGeneration.from_pretrained(converted).eval()
    config = model.config
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(original / "unipose" / "tokenizer.model"))
    assert config.pose_answer_prefix_ids == [pieces.piece_to_id("▁")]
    prompt = processor(text=["[INST] Raise the arm. [/INST]"], return_tensors="pt")["input_ids"]
    block = [*config.pose_answer_prefix_ids, config.pose_start_token_id, *[config.pose_query_token_id] * CODES]
    with torch.no_grad():
        logits = model.forward_poses(torch.cat([prompt, torch.tensor([block])], 1))
    probabilities = model.generate_pose(prompt).probabilities
    torch.testing.assert_close(probabilities, logits.softmax(-1))


def test_text_tokenizer_without_legacy(original, published):
    edit_json(published / "unipose" / "tokenizer_config.json", legacy=False)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(original / "unipose" / "tokenizer.model"))
    tokenizer = convert_text_tokenizer(published / "unipose", CODEBOOK, CODES)
    chat = [{"role": "user", "content": "Raise it"}, {"role": "assistant", "content": "<pose_0>."}]
    ids = tokenizer.apply_chat_template(chat, return_dict=False)
    code, stop = tokenizer.convert_tokens_to_ids(["<pose_0>", "."])
    space = pieces.piece_to_id("▁")
    expected = [pieces.bos_id(), *pieces.encode("[INST] Raise it [/INST] "), code, stop, space, pieces.eos_id()]
    assert ids == expected


def test_text_tokenizer_with_other_tokens(published):
    added = json.loads((published / "unipose" / "added_tokens.json").read_text())
    added["<pose_id_3>"], added["<more>"] = added["<pose_id_4>"], 1000
    del added["<im_end>"]
    (published / "unipose" / "added_tokens.json").write_text(json.dumps(added))
    with pytest.raises(ValueError, match=r"missing \['<im_end>'\], unknown \['<more>'\], elsewhere \['<pose_id_3>'\]"):
        convert(**parts(published), out=published / "out")


def test_text_tokenizer_that_normalizes(published):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["Raise the left arm."] * 4),
        model_writer=model,
        model_type="bpe",
        vocab_size=290,
        byte_fallback=True,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    (published / "unipose" / "tokenizer.model").write_bytes(model.getvalue())
    first = len(sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()))
    (published / "unipose" / "added_tokens.json").write_text(json.dumps(added_tokens(first, CODEBOOK)))
    with pytest.raises(ValueError, match="without normalization"):
        convert_text_tokenizer(published / "unipose", CODEBOOK, CODES)


# -- what is refused -----------------------------------------------------------------------------------------------


def refused(published, *needles, error=ValueError, **changes):
    """The conversion fails, its message holds all of these, and nothing is left of it."""
    before = sorted(published.rglob("*"))
    with pytest.raises(error) as caught:
        convert(**parts(published, **changes), out=published / "out")
    for needle in needles:
        assert needle in str(caught.value)
    assert sorted(published.rglob("*")) == before


def test_all_that_does_not_fit_is_named_at_once(published):
    base = {"model.layers.0.mlp.up_proj.weight": torch.ones(3, WIDTH), "model.odd": torch.ones(1)}
    base[f"{CLIP_PREFIX}post_layernorm.bias"] = None
    change(published / "llava" / "model.safetensors", **base)
    lora = {f"{LORA_PREFIX}mlp.up_proj.lora_A.weight": None, f"{LORA_PREFIX}mlp.up_proj.lora_B.weight": None}
    lora[f"{LORA_PREFIX}mlp.down_proj.lora_A.weight"] = torch.ones(RANK + 1, INNER)
    change(published / "unipose" / "adapter_model.safetensors", **lora)
    trained = {"base_model.model.lm_head.weight": None, "base_model.model.model.mm_projector.0.weight": torch.ones(2)}
    change(published / "unipose" / "non_lora_trainables.bin", **trained)
    codebook = {"quantizer.codebook": None, "decoder.decoder.99.weight": torch.ones(1)}
    change(published / "vqvae.ckpt", "state_dict", **codebook)
    vit = {"backbone.pos_embed": torch.ones(1, 10, VIT), "backbone.blocks.1.attn.qkv.bias": None}
    change(published / "vit.ckpt", "state_dict", **vit | {"backbone.cls_token": torch.ones(1)})
    # without a codebook, the pose tokenizer is assumed to have the published number of codes
    added = json.loads((published / "unipose" / "added_tokens.json").read_text())
    tokens = added_tokens(min(added.values()), 2048)
    (published / "unipose" / "added_tokens.json").write_text(json.dumps(tokens))
    edit_json(published / "unipose" / "config.json", vocab_size=max(tokens.values()) + 1)
    refused(
        published,
        f"llava: wrong shape model.layers.0.mlp.up_proj.weight [3, {WIDTH}], expected [{INNER}, {WIDTH}]",
        "llava: unknown model.odd",
        f"llava: missing {CLIP_PREFIX}post_layernorm.bias",
        f"unipose (adapter_model): missing {LORA_PREFIX}mlp.up_proj.lora_A.weight [{RANK}, {WIDTH}]",
        f"unipose (adapter_model): missing {LORA_PREFIX}mlp.up_proj.lora_B.weight",
        f"unipose (adapter_model): wrong shape {LORA_PREFIX}mlp.down_proj.lora_A.weight",
        "unipose (non_lora_trainables): missing base_model.model.lm_head.weight",
        "unipose (non_lora_trainables): wrong shape base_model.model.model.mm_projector.0.weight",
        "unipose (non_lora_trainables): wrong shape base_model.model.model.embed_tokens.weight",
        "pose_vqvae: missing quantizer.codebook",
        "pose_vqvae: unknown decoder.decoder.99.weight",
        f"pose_vit: wrong shape backbone.pos_embed [1, 10, {VIT}], expected [1, 193, {VIT}]",
        f"pose_vit: missing backbone.blocks.1.attn.qkv.bias [{3 * VIT}]",
        "pose_vit: unknown backbone.cls_token",
    )


def test_a_base_of_another_size_is_named(published):
    write_llava(published / "llava", llava_tensors(Sizes(width=20, layers=2)))
    refused(
        published,
        f"llava={published / 'llava'} has 2 layers of 20 channels, but 1 of {WIDTH} are expected, as in the LLaVA",
        "llava: unknown model.layers.1.mlp.up_proj.weight",
        f"llava: wrong shape model.norm.weight [20], expected [{WIDTH}]",
    )


def test_a_codebook_of_another_size_is_named(published):
    torch.save({"state_dict": vqvae_tensors(Sizes(codebook=6))}, published / "vqvae.ckpt")
    refused(published, "has tokens for 8 pose codes, but the pose tokenizer has 6 codes; take both from one release")


def test_adapter_for_a_layer_that_is_not_there(published):
    extra = {
        f"base_model.model.model.layers.7.mlp.up_proj.lora_{side}.weight": torch.ones(RANK, RANK) for side in "AB"
    }
    change(published / "unipose" / "adapter_model.safetensors", **extra)
    refused(published, "2 mismatches", *(f"unknown {name}" for name in extra))


@pytest.mark.parametrize(
    ("role", "given", "what"),
    [
        ("pose_vqvae", "vit.ckpt", "tokenhmr_model.ckpt"),
        ("pose_vit", "vqvae.ckpt", "best_MPJPE.ckpt"),
        ("pose_vit", "unipose/non_lora_trainables.bin", "unipose/"),
        ("llava", "unipose", "has no weights"),
        ("unipose", "llava", "has no weights"),
        ("llava", "vit.ckpt", "is a file"),
        ("pose_vqvae", "unipose", "is a folder"),
    ],
)
def test_wrong_file_for_a_part(published, role, given, what):
    error = FileNotFoundError if what == "has no weights" else ValueError
    refused(published, f"{role}=", given, what, error=error, **{role: published / given})


@pytest.mark.parametrize(
    "file",
    [
        "vit.ckpt",
        "unipose/non_lora_trainables.bin",
        "unipose/adapter_config.json",
        "unipose/adapter_model.safetensors",
        "unipose/config.json",
        "unipose/tokenizer.model",
        "llava/model.safetensors",
    ],
)
def test_missing_and_damaged_files(published, file):
    path = published / file
    whole = path.read_bytes()
    for size in (len(whole) // 2, 50):
        path.write_bytes(whole[:size])
        refused(published, path.name if path.suffix != ".ckpt" else file, *(["again"] if size > 50 else []))
    path.unlink()
    refused(published, error=FileNotFoundError)


def test_heads_must_be_told_for_other_widths(published):
    refused(published, "clip_heads=", f"{CLIP} channels", clip_heads=None)
    refused(published, "pose_vit_heads is 5, which does not divide", pose_vit_heads=5)


def test_settings_that_are_not_the_published_ones(published):
    edit_json(published / "unipose" / "adapter_config.json", use_dora=True)
    refused(published, "use_dora")
    edit_json(published / "unipose" / "adapter_config.json", use_dora=False, r=0)
    refused(published, "no valid r")
    edit_json(published / "unipose" / "config.json", vocab_size=77)
    edit_json(published / "unipose" / "adapter_config.json", r=RANK)
    refused(published, "vocab_size 77")
    edit_json(published / "unipose" / "config.json", model_type="llama")
    refused(published, "model_type 'llama'")


def test_out_in_use(published):
    (published / "out").mkdir()
    (published / "out" / "mine.txt").write_text("mine")
    refused(published, "already exists")
    (published / "out" / "mine.txt").unlink()
    assert (convert(**parts(published), out=published / "out") / "config.json").is_file()


def test_nothing_is_left_when_writing_fails(published, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(unipose_hf.hub.conversion, "save_file", fail)
    refused(published, "no space left", error=OSError)


class Settings(dict):
    """What a training checkpoint keeps beside its weights."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.frozen = True


class Trap:
    def __reduce__(self):
        return os.system, ("touch trapped",)


def ring(*args):
    raise AssertionError("code of a checkpoint was run")


class Alarm:
    def __reduce__(self):
        return ring, (1,)


def test_objects_in_a_checkpoint_never_come_to_life(published, monkeypatch):
    monkeypatch.chdir(published)
    settings = {"hyper_parameters": Settings(width=3, more=Settings()), "alarm": Alarm()}
    torch.save(settings | {"state_dict": vit_tensors()}, published / "vit.ckpt")
    convert_pose_vit(published / "vit.ckpt", 3)
    torch.save({"trap": Trap(), "state_dict": vit_tensors()}, published / "vit.ckpt")
    with pytest.raises(ValueError, match=r"cannot be read as tensors only \(.*posix.* is blocked\.\)"):
        convert_pose_vit(published / "vit.ckpt", 3)
    assert not (published / "trapped").exists()
