# SPDX-License-Identifier: Apache-2.0
"""BlazePose in PyTorch: matches the published model, and finds a person anywhere in a picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import unipose_hf
from unipose_hf.modeling import blazepose_unipose
from unipose_hf.modeling.blazepose_unipose import (
    BlazePoseBackbone,
    BlazePoseConfig,
    cut_square,
    landmark_features,
    person_square,
)

PACKAGE = Path(unipose_hf.__file__).parent
GOLDEN = Path(__file__).parents[1] / "golden"
# wrists, knees and ankles (left, right), annotated by hand in the bundled 730 x 820 photograph
PHOTO_POINTS = {15: (655, 528), 16: (355, 125), 25: (475, 617), 26: (336, 520), 27: (523, 745), 28: (299, 665)}
PEOPLE = 14  # the first golden pictures show people, the others patterns


@pytest.fixture(scope="module")
def backbone():
    return BlazePoseBackbone.from_pretrained(PACKAGE / "checkpoints" / "blazepose-full").eval()


@pytest.fixture(scope="module")
def photo():
    """The bundled photograph on a grey 512 square, (1, 3, 512, 512)."""
    return _place(side=512, left=0, top=0)


def _place(side: int, left: int, top: int) -> torch.Tensor:
    picture = Image.open(PACKAGE / "assets" / "photo.jpg").convert("RGB")
    square = Image.new("RGB", (max(picture.size),) * 2, (120, 120, 120))
    square.paste(picture, ((square.width - picture.width) // 2, (square.height - picture.height) // 2))
    canvas = Image.new("RGB", (512, 512), (120, 120, 120))
    canvas.paste(square.resize((side, side), Image.Resampling.LANCZOS), (left, top))
    return torch.from_numpy(np.array(canvas)).permute(2, 0, 1)[None] / 255.0


def _tiny(**kwargs) -> BlazePoseConfig:
    return BlazePoseConfig(
        stem_channels=4,
        stage_channels=[4, 4, 4, 4, 4],
        stage_depths=[1, 2, 1, 1, 1],
        stage_kernels=[3, 3, 5, 3, 3],
        stage_strides=[1, 2, 2, 2, 2],
        stage_expansions=[1, 2, 2, 2, 2],
        expansion=2,
        head_channels=8,
        head_depths=[1, 1],
        **kwargs,
    )


@torch.inference_mode()
def test_equals_the_published_network(backbone):
    """20 pictures; the expected values are the published file's in its own runtime (ai-edge-litert 2.3.0)."""
    sheet = np.array(Image.open(GOLDEN / "blazepose_pictures.png").convert("RGB"))
    pictures = torch.from_numpy(sheet.reshape(4, 256, 5, 256, 3).swapaxes(1, 2).reshape(20, 256, 256, 3).copy())
    landmarks, presence, world, _ = backbone.landmarker(pictures.permute(0, 3, 1, 2) / 255.0)
    golden = load_file(GOLDEN / "blazepose_outputs.safetensors")
    assert (presence - golden["presence"]).abs().max() < 1e-4
    people = slice(0, PEOPLE)
    assert (landmarks - golden["landmarks"])[people].abs().max() < 0.02  # pixels of 256
    assert (world - golden["world"])[people].abs().max() < 1e-4  # metres
    # Noise and plain colours give extreme values with larger rounding errors: 1e-3 of the largest.
    for ours, theirs in ((landmarks, golden["landmarks"]), (world, golden["world"])):
        assert ((ours - theirs).abs().amax((1, 2)) < 1e-3 * theirs.abs().amax((1, 2)).clamp(min=1.0)).all()


@torch.inference_mode()
def test_reads_the_photograph(backbone, photo):
    """Landmarks lie where a person looking at the photograph would put them."""
    output = backbone(photo)
    assert output.feature_maps[0].shape == (1, backbone.config.hidden_size, 1, 1)
    assert backbone.channels == [backbone.config.hidden_size]
    assert output.presence.item() > 0.95
    scale = 512 / 820
    for index, (x, y) in PHOTO_POINTS.items():
        expected = torch.tensor([(x + 45) * scale, y * scale])  # 45: the bars left and right
        assert (output.landmarks[0, index, :2] - expected).norm() < 25, index
    world = output.world_landmarks[0]
    # Our frame: he faces the viewer, so his left is at +x, the nose is nearer than the ears, and up is +y.
    assert world[11, 0] > world[12, 0] and world[11, 1] > world[23, 1] > world[25, 1]
    assert world[0, 2] > world[7:9, 2].max()
    assert world[16, 1] > world[12, 1] > world[15, 1]  # right hand raised, left hand low
    assert output.feature_maps[0].abs().max() < 8 and output.feature_maps[0].std() > 0.3


@torch.inference_mode()
def test_finds_a_small_person_off_centre(backbone, photo):
    whole = backbone(photo)
    for side, left, top in ((300, 10, 190), (220, 280, 20)):
        small = backbone(_place(side, left, top))
        assert small.presence.item() > 0.9
        expected = whole.landmarks[0, :33, :2] * side / 512 + torch.tensor([left, top])
        error = (small.landmarks[0, :33, :2] - expected).norm(dim=-1)
        assert error.median() < 0.03 * side


def test_features_do_not_depend_on_place_or_size():
    torch.manual_seed(0)
    landmarks, world, presence = torch.randn(2, 39, 5) * 40, torch.randn(2, 39, 3), torch.rand(2, 1)
    square = torch.tensor([[250.0, 260.0, 300.0, 0.2], [100.0, 90.0, 150.0, -0.4]])
    before = landmark_features(landmarks, world, presence, square, 512)
    shift = torch.tensor([30.0, -50.0])
    moved, moved_square = landmarks.clone(), square.clone()
    moved[..., :3] *= 0.5
    moved[..., :2] += shift
    moved_square[:, :3] *= 0.5
    moved_square[:, :2] += shift
    after = landmark_features(moved, world, presence, moved_square, 512)
    assert before.shape == (2, BlazePoseConfig().hidden_size)
    torch.testing.assert_close(after[:, :-6], before[:, :-6])
    torch.testing.assert_close(after[:, -3:], before[:, -3:])  # turn and presence
    torch.testing.assert_close(after[:, -4], before[:, -4] - 1)  # half as large


@pytest.mark.parametrize("at_once", [2, 4])
@torch.inference_mode()
def test_a_batch_is_its_pictures_one_by_one(backbone, photo, at_once, monkeypatch):
    """Also when only some of them must be searched, and when they do not all go through the network at once."""
    monkeypatch.setattr(blazepose_unipose, "CPU_BATCH_SIZE", at_once)
    pictures = torch.cat((photo, _place(220, 280, 20), torch.zeros_like(photo)))
    together = backbone(pictures)
    for i in range(len(pictures)):
        alone = backbone(pictures[i : i + 1])
        torch.testing.assert_close(together.landmarks[i : i + 1], alone.landmarks, rtol=1e-3, atol=1e-2)
        torch.testing.assert_close(together.square[i : i + 1], alone.square, rtol=1e-3, atol=1e-2)


@torch.inference_mode()
def test_a_turned_square_is_cut_and_read_back():
    """Nearest to the definition: a bright dot in the picture appears where the square's own axes say."""
    picture = torch.zeros(1, 3, 512, 512)
    picture[..., 300:304, 200:204] = 1.0  # centre (202, 302)
    square = torch.tensor([[220.0, 280.0, 200.0, 0.5]])
    cut = cut_square(picture, square)[0, 0]
    y, x = divmod(cut.argmax().item(), 256)
    offset = (torch.tensor([x + 0.5, y + 0.5]) / 256 - 0.5) * 200
    turn = torch.tensor([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]], dtype=torch.float32)
    assert (turn @ offset + square[0, :2] - torch.tensor([202.0, 302.0])).norm() < 3


def test_the_square_stands_upright():
    landmarks = torch.zeros(1, 39, 5)
    landmarks[:, :34, :2] = torch.tensor([100.0, 100.0])
    landmarks[:, 11:13, :2] = torch.tensor([160.0, 100.0])  # lying, head to the right
    landmarks[:, 34, :2] = torch.tensor([100.0, 115.0])  # the network's own guess: a quarter of that
    square = person_square(landmarks)[0]
    torch.testing.assert_close(square, torch.tensor([100.0, 100.0, 75.0, torch.pi / 2]))


@torch.no_grad()
def test_saved_is_loaded(tmp_path):
    torch.manual_seed(0)
    model = BlazePoseBackbone(_tiny(num_passes=1, search_presence=0.0, image_size=256)).eval()
    model.save_pretrained(tmp_path)
    again = BlazePoseBackbone.from_pretrained(tmp_path).eval()
    again.config._name_or_path = model.config._name_or_path
    assert again.config.to_dict() == model.config.to_dict()
    pixels = torch.rand(2, 3, 256, 256)
    torch.testing.assert_close(again(pixels).feature_maps[0], model(pixels).feature_maps[0], rtol=0, atol=0)


def test_half_precision_parents_keep_it_exact():
    """A parent loaded in bfloat16 must not read the landmarks in bfloat16."""
    model = BlazePoseBackbone.from_pretrained(PACKAGE / "checkpoints" / "blazepose-full", dtype=torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (torch.zeros(1, 3, 256, 256), r"\(1, 3, 256, 256\).*512"),
        (torch.zeros(1, 4, 512, 512), r"\(1, 4, 512, 512\).*3"),
        (torch.zeros(3, 512, 512), r"shape \(3, 512, 512\)"),
        (torch.full((1, 3, 512, 512), torch.nan), "nan.*nor NaN"),
        (torch.full((1, 3, 512, 512), 255.0), "divide 8-bit"),
    ],
)
def test_wrong_pictures_are_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        BlazePoseBackbone(_tiny())(pixels)


@pytest.mark.parametrize("wrong", [{"num_passes": 0}, {"image_size": 128}, {"hidden_size": 3}, {"stage_depths": [1]}])
def test_wrong_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        BlazePoseConfig(**wrong)
