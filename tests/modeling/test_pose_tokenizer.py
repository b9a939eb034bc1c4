# SPDX-License-Identifier: Apache-2.0
"""The pose tokenizer: shapes, round trips, the two quantisers, saving, errors."""

import itertools

import pytest
import roma
import torch

from unipose_hf.modeling import modeling_pose_tokenizer
from unipose_hf.modeling.configuration_unipose import PoseTokenizerConfig
from unipose_hf.modeling.modeling_pose_tokenizer import (
    PoseTokenizerConvolution,
    PoseTokenizerModel,
    resampled,
)
from unipose_hf.modeling.rotation_unipose import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
    matrix_to_rotation_6d,
    rotation_6d_to_matrix,
)

CONVOLUTIONAL = {"hidden_size": 16, "code_dim": 8, "codebook_size": 32}
JOINT_WISE = {
    "hidden_size": 16,
    "kernel_size": 1,
    "encoder_lengths": [],
    "num_downsamples": 0,
    "decoder_lengths": [],
    "codes_per_position": 2,
    "quantizer": "fsq",
    "fsq_levels": [4, 3],
    "code_dim": 2,
    "codebook_size": 12,
}


def make(sizes, seed=0):
    torch.manual_seed(seed)
    return PoseTokenizerModel(PoseTokenizerConfig(**sizes)).eval()


@pytest.fixture
def rotations():
    return roma.random_rotmat((3, 5, 22), generator=torch.Generator().manual_seed(0))


def test_rotations_agree_with_roma_and_survive_the_round_trip_also_at_pi():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(500, 3, generator=generator)
    vectors[:100] *= torch.pi / vectors[:100].norm(dim=-1, keepdim=True)  # half turns
    vectors[100:110] = 0
    matrices = axis_angle_to_matrix(vectors)
    assert torch.allclose(matrices, roma.rotvec_to_rotmat(vectors), atol=2e-6)
    assert torch.allclose(axis_angle_to_matrix(matrix_to_axis_angle(matrices)), matrices, atol=2e-6)
    assert torch.allclose(rotation_6d_to_matrix(matrix_to_rotation_6d(matrices)), matrices, atol=2e-6)
    assert torch.equal(matrix_to_rotation_6d(matrices), matrices[:, :2].flatten(1))  # rows, not columns


def test_rotation_conversions_have_finite_gradients_at_zero():
    vectors = torch.zeros(4, 3, requires_grad=True)
    matrix_to_axis_angle(axis_angle_to_matrix(vectors)).sum().backward()
    assert torch.allclose(vectors.grad, torch.ones(4, 3), atol=1e-5)


def test_published_sizes_are_the_default():
    config = PoseTokenizerConfig()
    assert (config.num_codes, config.codebook_size, config.code_dim, config.hidden_size) == (80, 2048, 256, 512)


@pytest.mark.parametrize("sizes", [CONVOLUTIONAL, JOINT_WISE])
def test_any_leading_dimensions(sizes, rotations):
    model = make(sizes)
    if sizes is CONVOLUTIONAL:
        model.quantizer.codebook.normal_()
    codes = model.encode(rotations).codes
    assert codes.shape == (3, 5, model.config.num_codes)
    assert torch.equal(model.encode(rotations[1, 2]).codes, codes[1, 2])
    decoded = model.decode(codes).rotations
    assert decoded.shape == rotations.shape
    assert torch.allclose(decoded[1, 2], model.decode(codes[1, 2]).rotations, atol=1e-5)
    assert torch.allclose(decoded @ decoded.mT, torch.eye(3).expand_as(decoded), atol=1e-5)


@pytest.mark.parametrize("sizes", [CONVOLUTIONAL, JOINT_WISE])
def test_forward_agrees_with_encode_and_decode(sizes, rotations):
    model = make(sizes)
    if sizes is CONVOLUTIONAL:
        model.quantizer.codebook.normal_()
    output = model(rotations)
    assert torch.equal(output.codes, model.encode(rotations).codes)
    assert torch.allclose(output.rotations, model.decode(output.codes).rotations, atol=1e-5)
    assert torch.allclose(output.reconstruction_loss, (output.rotations - rotations).square().mean(), atol=1e-6)


def test_joint_wise_codes_of_a_joint_depend_on_that_joint_alone(rotations):
    model = make(JOINT_WISE)
    changed = rotations.clone()
    changed[..., 7, :, :] = torch.eye(3)
    before, after = (model.encode(r).codes.unflatten(-1, (22, 2)) for r in (rotations, changed))
    others = [j for j in range(22) if j != 7]
    assert torch.equal(before[..., others, :], after[..., others, :])
    assert not torch.equal(before, after)


@pytest.mark.parametrize("sizes", [CONVOLUTIONAL, JOINT_WISE])
def test_a_certain_distribution_decodes_to_its_code(sizes, rotations):
    model = make(sizes)
    if sizes is CONVOLUTIONAL:
        model.quantizer.codebook.normal_()
    codes = model.encode(rotations).codes
    certain = torch.nn.functional.one_hot(codes, model.config.codebook_size).float()
    assert torch.allclose(model.decode_expected(certain).rotations, model.decode(codes).rotations, atol=1e-5)


def test_scalar_codes_are_the_nearest_levels():
    model = make(JOINT_WISE)
    codebook = model.quantizer.codebook
    assert codebook.shape == (12, 2) and len(torch.unique(codebook, dim=0)) == 12
    assert codebook.abs().max() == 1
    latents = torch.atanh(codebook.clamp(-0.999, 0.999))
    assert torch.equal(model.quantizer.nearest(latents), torch.arange(12))


@pytest.mark.parametrize("sizes", [CONVOLUTIONAL, JOINT_WISE])
def test_a_few_steps_of_training_lower_the_loss(sizes, rotations):
    rotations = rotations[:1, :1].expand(2, 8, 22, 3, 3)  # overfit to one pose
    model = make(sizes).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    torch.manual_seed(0)
    losses = []
    for _ in range(100):
        output = model(rotations)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        losses.append(output.reconstruction_loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert 1 <= output.perplexity <= model.config.codebook_size


def test_averaged_codebook_is_seeded_from_data_and_dead_codes_come_back(rotations):
    model = make(CONVOLUTIONAL).train()
    assert not model.quantizer.initialized
    model(rotations)
    assert model.quantizer.initialized
    quantizer = model.quantizer
    quantizer.codebook[3] = quantizer.running_sum[3] = 1e6  # never the nearest code
    quantizer.running_count[3] = 1.0
    model(rotations)
    assert quantizer.codebook[3].abs().max() < 1e3 and quantizer.running_count[3] == 1


def test_evaluation_leaves_the_codebook_alone(rotations):
    model = make(CONVOLUTIONAL).train()
    model(rotations)
    model.eval()
    before = model.quantizer.codebook.clone()
    model(rotations)
    assert torch.equal(model.quantizer.codebook, before)


@pytest.mark.parametrize("sizes", [CONVOLUTIONAL, JOINT_WISE])
def test_save_and_load_keep_everything_also_the_running_averages(sizes, rotations, tmp_path):
    model = make(sizes).train()
    torch.manual_seed(0)
    model(rotations)
    model.save_pretrained(tmp_path)
    loaded = PoseTokenizerModel.from_pretrained(tmp_path)
    for (name, tensor), (other_name, other) in zip(
        model.state_dict().items(), loaded.state_dict().items(), strict=True
    ):
        assert name == other_name and torch.equal(tensor, other), name
    assert torch.equal(loaded.encode(rotations).codes, model.eval().encode(rotations).codes)


def test_autocast_changes_neither_codes_nor_poses(rotations):
    model = make(JOINT_WISE)
    chances = torch.rand(3, 44, 12, generator=torch.Generator().manual_seed(0)).softmax(-1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        codes = model.encode(rotations).codes
        decoded, expected = model.decode(codes).rotations, model.decode_expected(chances).rotations
    assert torch.equal(codes, model.encode(rotations).codes)
    assert torch.equal(decoded, model.decode(codes).rotations)
    assert expected.dtype == torch.float32 and torch.equal(expected, model.decode_expected(chances).rotations)


@pytest.mark.parametrize(
    ("rotations", "words"),
    [
        (torch.zeros(2, 21, 3, 3), "shape"),
        (torch.zeros(2, 22, 3), "axis_angle_to_matrix"),
        (torch.full((1, 22, 3, 3), float("nan")), "finite"),
    ],
)
def test_bad_rotations_are_named(rotations, words):
    with pytest.raises(ValueError, match=words):
        make(JOINT_WISE).encode(rotations)


def test_bad_codes_are_named():
    model = make(JOINT_WISE)
    with pytest.raises(ValueError, match="44 codes"):
        model.decode(torch.zeros(2, 43, dtype=torch.long))
    with pytest.raises(ValueError, match="0..11"):
        model.decode(torch.full((2, 44), 12))


@pytest.mark.parametrize(
    "change",
    [
        {"fsq_levels": [4, 4]},
        {"fsq_levels": None},
        {"decoder_lengths": [30]},
        {"num_downsamples": 1},
        {"search_rounds": 1, "kernel_size": 3},
    ],
)
def test_impossible_sizes_are_refused(change):
    with pytest.raises(ValueError, match="fsq_levels|decoder_lengths|search_rounds"):
        PoseTokenizerConfig(**(JOINT_WISE | change))


def test_a_search_of_neighbouring_levels_only_ever_brings_joints_nearer(rotations):
    plain = make(JOINT_WISE)
    errors = []
    for rounds in (0, 1, 2, 20, 21):
        model = make(JOINT_WISE | {"search_rounds": rounds})
        model.load_state_dict(plain.state_dict())
        codes = model.encode(rotations).codes
        errors.append((model.decode(codes).rotations - rotations).square().sum((-1, -2)))  # of every joint
    for before, after in itertools.pairwise(errors):
        assert (after <= before + 1e-6).all()
    assert errors[1].mean() < 0.95 * errors[0].mean()
    assert torch.equal(errors[3], errors[4])  # no adjacent level is better
    assert model.encode(rotations[:0]).codes.shape == (0, 5, 44)


@pytest.mark.parametrize("lengths", [[8, 16, 40], [40, 20, 10], [22]])
def test_resampling_computes_only_what_it_keeps_and_keeps_what_interpolation_would(lengths):
    torch.manual_seed(0)
    layer = PoseTokenizerConvolution(3, 5, 3, padding=2, dilation=2)
    plain = torch.nn.Conv1d(3, 5, 3, padding=2, dilation=2)
    plain.load_state_dict(layer.state_dict())
    hidden = torch.randn(2, 22, 3)
    for length in lengths:
        whole = torch.nn.functional.interpolate(plain(hidden.mT).relu(), size=length, mode="nearest").mT
        assert torch.allclose(resampled(layer, hidden, length), whole, atol=1e-6)


def test_a_large_batch_goes_through_in_parts_that_change_nothing(monkeypatch):
    model = make(CONVOLUTIONAL)
    model.quantizer.codebook.normal_()
    rotations = roma.random_rotmat((7, 22), generator=torch.Generator().manual_seed(0))
    whole = model.encode(rotations)
    for name in ("ENCODE_BATCH_SIZE", "DECODE_BATCH_SIZE"):
        monkeypatch.setattr(modeling_pose_tokenizer, name, 3)
    parts = model.encode(rotations)
    assert torch.equal(parts.codes, whole.codes) and torch.allclose(parts.latents, whole.latents, atol=1e-6)
    assert torch.allclose(model.decode(parts.codes).rotations, model.decode(whole.codes).rotations, atol=1e-5)


def test_no_poses_are_no_mistake():
    model = make(CONVOLUTIONAL)
    codes = model.encode(torch.zeros(0, 22, 3, 3)).codes
    assert codes.shape == (0, 80) and model.decode(codes).rotations.shape == (0, 22, 3, 3)


def test_tuples_instead_of_outputs(rotations):
    model = PoseTokenizerModel(PoseTokenizerConfig(hidden_size=8, code_dim=4, codebook_size=16)).eval()
    codes, latents = model.encode(rotations, return_dict=False)
    assert codes.equal(model.encode(rotations).codes) and latents.shape[-1] == 4
    [decoded] = model.decode(codes, return_dict=False)
    assert decoded.equal(model.decode(codes).rotations)
    model.config.return_dict = False
    assert [type(found) for found in (model(rotations), model.encode(rotations), model.decode(codes))] == [tuple] * 3
