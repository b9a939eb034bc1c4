# SPDX-License-Identifier: Apache-2.0
"""Compiled, exported and ONNX models match eager execution."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny import (
    BLAZEPOSE,
    BOS,
    CLIP,
    CODEBOOK,
    IMAGE,
    NUM_CODES,
    POSE,
    POSE_END,
    POSE_QUERY,
    POSE_START,
    VITPOSE,
    random_rotations,
    tiny_model,
    tiny_pose_config,
)
from unipose_hf import (
    PosePairTextRetrievalConfig,
    PosePairTextRetrievalModel,
    PoseTextRetrievalConfig,
    PoseTextRetrievalModel,
    PoseTokenizerModel,
)
from unipose_hf.hub.graphs import export_graphs, export_onnx

JOINTWISE = dict(kernel_size=1, encoder_lengths=[], decoder_lengths=[], num_downsamples=0, quantizer="fsq")
JOINTWISE |= dict(fsq_levels=[4, 4], code_dim=2, search_rounds=1)
SIZES = dict(conv_channels=[8, 8], pose_hidden_size=16, vocab_size=30, word_embedding_size=8, embed_dim=12)


def model_of(kind):
    torch.manual_seed(0)
    if kind == "pose tokenizer":
        model = PoseTokenizerModel(tiny_pose_config())
        model.quantizer.codebook.normal_(std=0.3)
    elif kind == "jointwise pose tokenizer":
        model = PoseTokenizerModel(tiny_pose_config(**JOINTWISE))
    elif kind == "retrieval":
        model = PoseTextRetrievalModel(PoseTextRetrievalConfig(pose_config=tiny_pose_config(), **SIZES))
    else:
        model = PosePairTextRetrievalModel(PosePairTextRetrievalConfig(pose_config=tiny_pose_config(), **SIZES))
    return model.eval()


def cases(model, count):
    """For each graph its inputs, of another size than it was made with, and what the model itself makes of them."""
    rotations = random_rotations(count, seed=count)
    if isinstance(model, PoseTokenizerModel):
        codes = model.encode(rotations).codes
        return {"encode": ((rotations,), codes), "decode": ((codes,), model.decode(codes).rotations)}
    if model.config.num_poses > 1:
        rotations = random_rotations(2 * count).unflatten(0, (count, 2))
    ids = torch.randint(1, 30, (count, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, 3:] = 0
    return {
        "pose_features": ((rotations,), model.get_pose_features(rotations).pooler_output),
        "text_features": ((ids, mask), model.get_text_features(ids, mask).pooler_output),
    }


KINDS = ["pose tokenizer", "jointwise pose tokenizer", "retrieval", "pair retrieval"]


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_exported_graphs_equal_the_model(kind):
    model = model_of(kind)
    graphs = export_graphs(model, text_length=6)
    for count in (1, 5):
        for name, (inputs, expected) in cases(model, count).items():
            torch.testing.assert_close(graphs[name].module()(*inputs), expected, atol=1e-4, rtol=0)


def check_onnx(model, folder):
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install unipose-hf[onnx]")
    for count in (1, 5):
        for name, (inputs, expected) in cases(model, count).items():
            session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
            names = [node.name for node in session.get_inputs()]
            [found] = session.run(None, {key: value.numpy() for key, value in zip(names, inputs, strict=True)})
            np.testing.assert_allclose(found, expected.numpy(), atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "jointwise" not in kind])
def test_onnx_equals_the_model(kind, tmp_path):
    pytest.importorskip("onnxscript", reason="pip install unipose-hf[onnx]")
    model = model_of(kind)
    paths = export_onnx(model, tmp_path / "graphs", text_length=6)
    assert sorted(path.name for path in (tmp_path / "graphs").iterdir()) == sorted(path.name for path in paths)
    check_onnx(model, tmp_path / "graphs")


@torch.no_grad()
def test_onnx_of_the_docs_equals_the_bundled_tokenizer(tmp_path, monkeypatch):
    """A jointwise tokenizer, by the snippet, which `tests/project/test_readme.py` leaves to this test."""
    pytest.importorskip("onnxscript", reason="pip install unipose-hf[onnx]")
    page = (Path(__file__).parents[2] / "docs" / "publishing.md").read_text(encoding="utf-8")
    [snippet] = [text for text in re.findall(r"```python\n(.*?)```", page, re.S) if "export_onnx" in text]
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(snippet, "snippet", "exec"), names)
    tokenizer = names["model"].model.pose_tokenizer
    assert tokenizer.config.search_rounds and tokenizer.config.kernel_size == 1
    check_onnx(tokenizer, tmp_path / "graphs")


def test_what_does_not_export_is_said():
    with pytest.raises(ValueError, match="UniPoseForConditionalGeneration does not export; a pose tokenizer"):
        export_graphs(tiny_model())


@torch.no_grad()
@pytest.mark.parametrize(
    "changes", [dict(pose_vision=BLAZEPOSE, pose_place_embeddings=True), dict(vision=CLIP, pose_vision=VITPOSE)]
)
def test_the_forward_pass_compiles_to_one_graph(changes):
    """Picture, pose and queries at once; the picture shows nobody, so that BlazePose searches it."""
    model = tiny_model(**changes)
    image = [IMAGE] * model.config.image_seq_length
    row = [
        BOS,
        *image,
        5,
        POSE_START,
        *[POSE] * NUM_CODES,
        POSE_END,
        6,
        POSE_START,
        *[POSE_QUERY] * NUM_CODES,
        POSE_END,
    ]
    ids = torch.tensor([row, row])
    size = (256, 256) if changes["pose_vision"] is BLAZEPOSE else tuple(VITPOSE["image_size"])
    inputs = dict(pose_pixel_values=torch.rand(2, 3, *size), pose_values=random_rotations(2))
    if "vision" in changes:
        inputs["pixel_values"] = torch.rand(2, 3, CLIP["image_size"], CLIP["image_size"])
    labels = torch.where(ids == POSE_QUERY, model.config.pose_code_offset + CODEBOOK // 2, ids)
    expected = model(ids, labels=labels, **inputs)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    found = compiled(ids, labels=labels, **inputs)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.loss, expected.loss, atol=1e-4, rtol=0)
    assert found.pose_logits is None and expected.pose_logits.shape == (2, NUM_CODES, CODEBOOK)
    torch.compiler.reset()
