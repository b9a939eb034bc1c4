# SPDX-License-Identifier: Apache-2.0
"""The image bank: reproducible, resumable, and without partial files."""

import copy
import shutil

import pytest
import torch
from torch.utils.data import default_collate

from tiny import BLAZEPOSE
from unipose_hf import body
from unipose_hf.modeling.blazepose_unipose import MIRROR, BlazePoseBackbone, BlazePoseConfig, mirror_image
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix
from unipose_hf.training.experimental import image_bank
from unipose_hf.training.experimental.image_bank import ImageBankRows, build_image_bank, load_image_bank
from unipose_hf.training.experimental.pose_encoder import (
    PoseEncoderTrainer,
    PoseEncoderTrainingArguments,
    blend,
    fold,
    normalise,
    with_pose_head,
)


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    settings = {key: value for key, value in BLAZEPOSE.items() if key != "model_type"}
    return BlazePoseBackbone(BlazePoseConfig(**settings)).eval()


def test_a_bank_is_the_same_when_built_again_and_goes_on_where_it_stopped(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(image_bank, "CHUNK", 4)
    build_image_bank(backbone, tmp_path / "whole", count=8)
    build_image_bank(backbone, tmp_path / "broken", count=3)  # chunks are whole: four pictures
    first = tmp_path / "broken" / "00000.safetensors"
    written = first.stat().st_mtime_ns
    (tmp_path / "broken" / ".00001.safetensors.part").write_bytes(b"what a killed build leaves")
    build_image_bank(backbone, tmp_path / "broken", count=8)
    assert first.stat().st_mtime_ns == written
    whole, broken = (load_image_bank(tmp_path / name, backbone) for name in ("whole", "broken"))
    assert whole["features"].shape == (8, backbone.config.hidden_size) and whole["poses"].shape == (8, 22, 3)
    for name in whole:
        assert whole[name].isfinite().all() and torch.equal(whole[name], broken[name])
    assert not torch.equal(whole["poses"][:4], whole["poses"][4:])
    names = ["00000.safetensors", "00001.safetensors"]
    assert all(sorted(path.name for path in (tmp_path / run).iterdir()) == names for run in ("whole", "broken"))


def test_a_share_of_the_pictures_can_be_like_photographs(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(image_bank, "CHUNK", 4)
    captured = torch.zeros(3, 22, 3)
    for name, share in (("none", 0.0), ("half", 0.5), ("all", 1.0)):
        build_image_bank(backbone, tmp_path / name, count=4, photo_like=share, captured=captured)
    none, half, whole = (load_image_bank(tmp_path / name, backbone) for name in ("none", "half", "all"))
    assert half["poses"].shape == whole["poses"].shape == (4, 22, 3)
    assert half["features"].isfinite().all() and whole["features"].isfinite().all()
    assert torch.equal(half["poses"][:2], none["poses"][:2])  # the others stay as they are
    assert not torch.equal(half["poses"][2:], none["poses"][2:])
    with pytest.raises(ValueError, match="between 0 and 1"):
        build_image_bank(backbone, tmp_path / "no", count=4, photo_like=2)


def test_the_features_are_those_of_the_backbone_with_its_pose_head(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(image_bank, "CHUNK", 4)
    build_image_bank(backbone, tmp_path, count=4)
    torch.manual_seed(1)
    with_head = with_pose_head(backbone).eval()
    bank = load_image_bank(tmp_path, with_head)
    (kept,) = (tmp_path / "pose_heads").iterdir()
    written = kept.stat().st_mtime_ns
    assert torch.equal(load_image_bank(tmp_path, with_head)["features"], bank["features"])
    assert kept.stat().st_mtime_ns == written  # not recomputed
    assert torch.equal(
        bank["features"][:, : backbone.config.hidden_size], load_image_bank(tmp_path, backbone)["features"]
    )
    seen = {}
    monkeypatch.setattr(image_bank, "encode_images", lambda _, images: seen.update(images=images) or {})
    (tmp_path / "again").mkdir()
    image_bank._build_chunk(backbone, tmp_path / "again", 0, image_bank.load_open_poses("train"), 0)
    with torch.no_grad():
        expected = with_head(seen["images"].permute(0, 3, 1, 2).float() / 255).feature_maps[-1].flatten(1)
    assert torch.allclose(bank["features"], expected, atol=1e-2)  # the bank keeps maps in half precision
    with torch.no_grad():
        with_head.pose_head.pose.bias += 1
    assert not torch.equal(load_image_bank(tmp_path, with_head)["features"], bank["features"])  # another head


def test_an_empty_bank_is_named(backbone, tmp_path):
    with pytest.raises(FileNotFoundError, match="has no images; run build_image_bank"):
        load_image_bank(tmp_path, backbone)


def test_a_bank_of_another_encoder_is_named(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(image_bank, "CHUNK", 2)
    build_image_bank(backbone, tmp_path, count=2)
    wider = BlazePoseBackbone(BlazePoseConfig(**backbone.config.to_dict() | {"stage_channels": [2, 2, 2, 3, 2, 2]}))
    with pytest.raises(ValueError, match=r"have shape \[2, 2\].*makes \[2, 3\].*build the images again"):
        load_image_bank(tmp_path, wider)


def test_the_pose_head_alone_is_trained_and_a_resumed_run_ends_as_an_unbroken_one(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(image_bank, "CHUNK", 16)
    build_image_bank(backbone, tmp_path / "images", count=16)

    def trainer(folder):
        torch.manual_seed(2)
        args = PoseEncoderTrainingArguments(
            str(tmp_path / folder),
            per_device_train_batch_size=8,
            max_steps=30,
            learning_rate=1e-2,
            logging_steps=1,
            save_strategy="steps",
            save_steps=15,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
        )
        rows = ImageBankRows(tmp_path / "images")
        return PoseEncoderTrainer(new := with_pose_head(backbone), args, rows, rows), new

    rows = ImageBankRows(tmp_path / "images")
    assert len(rows) == 32  # each picture and its mirror image
    rows = default_collate([rows[number] for number in range(len(rows))])
    new = with_pose_head(backbone).pose_head
    whole, trained = trainer("whole")
    with torch.no_grad():
        begun = [head.eval()(rows["maps"].float(), rows["squares"]) for head in (new, trained.pose_head)]
    for published, normalised in zip(*begun, strict=True):
        torch.testing.assert_close(normalised, published, rtol=1e-3, atol=1e-4)
    before = whole.evaluate()
    whole.train()
    after = whole.evaluate()
    assert after["eval_mpjpe_mm"] < 0.95 * before["eval_mpjpe_mm"] and after["eval_pa_mpjpe_mm"] > 0
    for name, tensor in backbone.landmarker.state_dict().items():
        assert torch.equal(tensor, trained.landmarker.state_dict()[name])
    shutil.rmtree(tmp_path / "whole" / "checkpoint-30")
    again, resumed = trainer("whole")
    again.train(resume_from_checkpoint=True)
    for name, tensor in trained.pose_head.state_dict().items():
        assert torch.equal(tensor, resumed.pose_head.state_dict()[name]), name
    measured = trained.pose_head.eval()(rows["maps"].float(), rows["squares"])
    fold(trained.pose_head)
    assert trained.pose_head.state_dict().keys() == new.state_dict().keys()
    for folded, normalised in zip(trained.pose_head(rows["maps"].float(), rows["squares"]), measured, strict=True):
        torch.testing.assert_close(folded, normalised, rtol=1e-3, atol=1e-4)
    before, told = copy.deepcopy(new), new.pose.bias.detach().clone()
    blend(before, trained.pose_head, 0.25)
    torch.testing.assert_close(before.pose.bias, 0.75 * told + 0.25 * trained.pose_head.pose.bias)
    whole.model.pose.bias.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="not finite"):
        whole.evaluate()


def test_the_head_alone_leaves_the_stages_as_published(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(image_bank, "CHUNK", 8)
    build_image_bank(backbone, tmp_path / "images", count=8)
    settings = dict(max_steps=2, head_only=True, use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no")
    args = PoseEncoderTrainingArguments(str(tmp_path / "head"), **settings)
    new, old = with_pose_head(backbone), with_pose_head(backbone)
    PoseEncoderTrainer(new, args, ImageBankRows(tmp_path / "images")).train()
    fold(new.pose_head)
    changed = {
        name.split(".")[0]
        for name, tensor in new.pose_head.state_dict().items()
        if not torch.equal(tensor, old.pose_head.state_dict()[name])
    }
    assert changed == {"blocks", "pose"}


@torch.no_grad()
def test_channels_without_weights_are_normalised_too(backbone):
    head = with_pose_head(backbone).pose_head.eval()
    head.blocks[0].pointwise.weight[0] = 0.5  # the others keep their initial value, zero
    rows = 0.1 * torch.randn(4, BLAZEPOSE["stage_channels"][3], 16, 16), torch.rand(4, 4)
    before = head(*rows)
    normalise(head, *rows)
    for was, now in zip(before, head.eval()(*rows), strict=True):
        torch.testing.assert_close(now, was, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_mirror_image_is_seen_as_the_mirror_image(backbone):
    torch.manual_seed(3)
    head = with_pose_head(backbone).pose_head.eval()
    for weights in head.parameters():
        torch.nn.init.normal_(weights)
    maps, square = torch.randn(3, 2, BLAZEPOSE["stage_channels"][3], 16, 16), torch.rand(3, 4)
    joints, rows = head(maps[:, 0], square)
    assert MIRROR == body.MIRROR and (joints - mirror_image(joints, rows)[0]).abs().max() > 0.01
    joints, rows = head.features(maps, square).split((66, 132), dim=1)
    mirrored = head.features(maps.flip(1), square * torch.tensor([1.0, 1.0, 1.0, -1.0]))
    expected = mirror_image(joints.view(3, 22, 3), rows.view(3, 22, 2, 3))
    expected = torch.cat([part.flatten(1) for part in expected], dim=1)
    torch.testing.assert_close(mirrored, expected, rtol=1e-4, atol=1e-4)


def test_the_mirror_image_of_rotations_is_that_of_the_pose():
    poses = torch.randn(5, 22, 3)
    rows, mirrored = (axis_angle_to_matrix(pose)[:, :, :2] for pose in (poses, body.mirror_pose(poses)))
    torch.testing.assert_close(mirror_image(poses, rows)[1], mirrored)
