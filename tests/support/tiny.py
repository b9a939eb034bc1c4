# SPDX-License-Identifier: Apache-2.0
"""Tiny random models: 2 layers with 32 channels, 8 codes from a codebook of 16."""

import torch

from unipose_hf.modeling.configuration_unipose import PoseTokenizerConfig, UniPoseConfig
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration

NUM_CODES = 8
CODEBOOK = 16
# ids: 0 pad, 1 bos, 2 eos, 3..19 words, then the codes, then the special tokens
PAD, BOS, EOS, FIRST_WORD = 0, 1, 2, 3
CODE_OFFSET = 20
POSE_START, POSE_END, POSE_QUERY, POSE, IMAGE = range(CODE_OFFSET + CODEBOOK, CODE_OFFSET + CODEBOOK + 5)
VOCAB = IMAGE + 1

CLIP = {
    "model_type": "clip_vision_model",
    "image_size": 28,
    "patch_size": 7,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
VITPOSE = {
    "model_type": "vitpose_backbone",
    "image_size": [32, 24],
    "patch_size": [8, 8],
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "mlp_ratio": 1,
}
BLAZEPOSE = {
    "model_type": "unipose_blazepose",
    "image_size": 256,
    "num_passes": 1,
    "stem_channels": 2,
    "stage_channels": [2] * 6,
    "stage_depths": [1] * 6,
    "stage_expansions": [1] * 6,
    "expansion": 1,
    "head_channels": 2,
    "head_depths": [0, 0],
}


def tiny_pose_config(**changes) -> PoseTokenizerConfig:
    """A tokenizer that cuts the 22 joints into 4 positions of 2 codes each."""
    settings = dict(hidden_size=8, code_dim=4, codebook_size=CODEBOOK, encoder_lengths=[8], decoder_lengths=[22])
    return PoseTokenizerConfig(**settings | dict(codes_per_position=2) | changes)


def tiny_config(
    model_type="llama", *, vision=None, pose_vision=None, text=None, pose=None, **changes
) -> UniPoseConfig:
    """A configuration of a few thousand parameters; no vision encoder unless `vision` / `pose_vision` are given."""
    text_config = dict(
        model_type=model_type,
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        initializer_range=0.4,  # large, so that attention visibly affects the logits
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    settings = dict(
        text_config=text_config | (text or {}),
        vision_config=vision,
        pose_vision_config=pose_vision,
        pose_config=tiny_pose_config(**(pose or {})),
        image_token_id=IMAGE,
        pose_token_id=POSE,
        pose_start_token_id=POSE_START,
        pose_end_token_id=POSE_END,
        pose_query_token_id=POSE_QUERY,
        pose_code_offset=CODE_OFFSET,
        vision_feature_layer=-1,
        initializer_range=0.4,
    )
    return UniPoseConfig(**settings | changes)


def tiny_model(*args, seed=0, **kwargs) -> UniPoseForConditionalGeneration:
    """A random model in evaluation mode; the arguments are those of `tiny_config`."""
    torch.manual_seed(seed)
    model = UniPoseForConditionalGeneration(tiny_config(*args, **kwargs)).eval()
    quantizer = model.model.pose_tokenizer.quantizer
    if hasattr(quantizer, "running_sum"):  # an untrained codebook is all zeros
        quantizer.codebook.normal_(std=0.3)
    return model


def random_rotations(count: int, seed=0) -> torch.Tensor:
    """Rotation matrices (count, 22, 3, 3)."""
    from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix

    return axis_angle_to_matrix(torch.randn(count, 22, 3, generator=torch.Generator().manual_seed(seed)))
