# SPDX-License-Identifier: Apache-2.0
"""Poses to pictures by tiny random models of diffusers: each family gets the conditioning picture it expects."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from unipose_hf import Pose, named_pose

diffusers = pytest.importorskip("diffusers")

from diffusers import (  # noqa: E402
    AutoencoderKL,
    ControlNetModel,
    ControlNetUnionModel,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxTransformer2DModel,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLControlNetUnionPipeline,
    UNet2DConditionModel,
)

from unipose_hf.imaging import PoseToImagePipeline, draw_skeletons  # noqa: E402

POSE = named_pose("warrior two")
BLOCKS = {
    "block_out_channels": (4, 8),
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "in_channels": 4,
    "cross_attention_dim": 16,
    "attention_head_dim": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
}
SDXL = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "transformer_layers_per_block": (1, 1),
    "projection_class_embeddings_input_dim": 6 * 8 + 12,
}
UP = {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "sample_size": 32, "out_channels": 4}
CONDITIONING = {"conditioning_embedding_out_channels": (2, 4)}


def vae(channels=4):
    return AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=channels,
        norm_num_groups=2,
        sample_size=64,
        shift_factor=0.0 if channels == 1 else None,
        use_quant_conv=channels != 1,
        use_post_quant_conv=channels != 1,
    )


def stable_diffusion():
    parts = {"text_encoder": None, "tokenizer": None, "safety_checker": None, "feature_extractor": None}
    painter = StableDiffusionControlNetPipeline(
        unet=UNet2DConditionModel(**BLOCKS, **UP),
        controlnet=ControlNetModel(**BLOCKS, **CONDITIONING),
        scheduler=DDIMScheduler(),
        vae=vae(),
        requires_safety_checker=False,
        **parts,
    )
    return painter, {"prompt_embeds": torch.randn(1, 5, 16)}


def sdxl(union=False):
    network = ControlNetUnionModel if union else ControlNetModel
    pipeline = StableDiffusionXLControlNetUnionPipeline if union else StableDiffusionXLControlNetPipeline
    settings = (
        {"num_control_type": 6, "num_trans_channel": 4, "num_trans_head": 2, "num_proj_channel": 4} if union else {}
    )
    painter = pipeline(
        unet=UNet2DConditionModel(**BLOCKS, **UP, **SDXL),
        controlnet=network(**BLOCKS, **SDXL, **CONDITIONING, **settings),
        scheduler=DDIMScheduler(),
        vae=vae(),
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
        add_watermarker=False,
    )
    return painter, {"prompt_embeds": torch.randn(1, 5, 16), "pooled_prompt_embeds": torch.randn(1, 12)}


def flux(modes=None):
    sizes = {
        "patch_size": 1,
        "in_channels": 4,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 16,
        "pooled_projection_dim": 12,
        "axes_dims_rope": (4, 4, 8),
    }
    painter = FluxControlNetPipeline(
        transformer=FluxTransformer2DModel(**sizes),
        controlnet=FluxControlNetModel(**sizes, num_mode=modes),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(1),
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
    )
    return painter, {"prompt_embeds": torch.randn(1, 5, 16), "pooled_prompt_embeds": torch.randn(1, 12)}


def paint(painter, embeddings, pose=POSE, **arguments):
    painter.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    arguments = {"guidance_scale": 1.0, "num_inference_steps": 2, "width": 64, "height": 64} | arguments
    output = PoseToImagePipeline(painter)(pose=pose, generator=generator, **embeddings, **arguments)
    return np.asarray(output.images[0]).astype(int)


@pytest.mark.parametrize("family", [stable_diffusion, sdxl, lambda: sdxl(True), flux, lambda: flux(7)])
def test_the_picture_depends_on_the_pose_alone(family):
    torch.manual_seed(0)
    painter, embeddings = family()
    for parameter in painter.controlnet.parameters():  # the zero convolutions let nothing through before training
        parameter.data += 0.3 * torch.randn_like(parameter)
    first, again = paint(painter, embeddings), paint(painter, embeddings)
    other = paint(painter, embeddings, named_pose("deep squat"))
    assert first.shape == (64, 64, 3) and (first == again).all() and (first != other).any()


@pytest.mark.parametrize(
    "family, condition, mode",
    [(lambda: sdxl(True), "skeleton", 0), (lambda: sdxl(True), "normal", 4), (lambda: flux(7), "skeleton", 4)],
)
def test_union_models_are_told_what_the_picture_is(family, condition, mode, monkeypatch):
    painter, embeddings = family()
    seen = {}
    monkeypatch.setattr(type(painter), "__call__", lambda self, control_image=None, **given: seen.update(given))
    PoseToImagePipeline(painter)("a dancer", POSE, condition=condition, width=64, height=64)
    assert seen["control_mode"] == mode and seen["prompt"] == "a dancer" and seen["width"] == 64


def test_cameras_of_a_photograph_are_moved_to_the_new_picture():
    pipe = PoseToImagePipeline(stable_diffusion()[0])
    people = [{"pose": POSE, "camera": (100.0, 200, 150)}]
    moved = [{"pose": POSE, "camera": (50.0, 100, 125)}]  # 400 x 300 is halved, with 50 pixels above and below
    picture = pipe.conditioning_picture(people, (200, 250), picture_size=(400, 300))
    assert (np.asarray(picture) == np.asarray(draw_skeletons(moved, (200, 250)))).all()


def test_a_saved_painter_is_read_back(tmp_path):
    torch.manual_seed(0)
    painter, embeddings = stable_diffusion()
    PoseToImagePipeline(painter).save_pretrained(tmp_path)
    absent = {"text_encoder": None, "tokenizer": None}
    read = PoseToImagePipeline.from_pretrained(tmp_path, local_files_only=True, **absent).painter
    assert type(read) is type(painter)
    assert (paint(painter, embeddings) == paint(read, embeddings)).all()


def test_mistakes_get_a_sentence():
    painter, _ = stable_diffusion()
    pipe = PoseToImagePipeline(painter)
    with pytest.raises(ValueError, match="There is no pose"):
        pipe("a dancer")
    with pytest.raises(ValueError, match="use one of skeleton, depth, normal"):
        pipe("a dancer", POSE, condition="edges", width=64, height=64)
    with pytest.raises(ValueError, match="cameras of people, and one has none"):
        pipe.conditioning_picture(Pose(POSE), 64, picture_size=(10, 10))
    with pytest.raises(ValueError, match="has no ControlNet"):
        PoseToImagePipeline(diffusers.DDIMPipeline(UNet2DConditionModel(**BLOCKS, **UP), DDIMScheduler()))


def test_without_diffusers_the_extra_is_named():
    code = "import sys; sys.modules['diffusers'] = None; from unipose_hf.imaging import PoseToImagePipeline"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1 and "pip install 'unipose-hf[diffusers]'" in result.stderr
