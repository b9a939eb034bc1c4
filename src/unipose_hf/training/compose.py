# SPDX-License-Identifier: Apache-2.0
"""Builds an untrained UniPose from trained parts: a language model, vision encoders and a pose tokenizer."""

from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from unipose_hf.modeling.configuration_unipose import UniPoseConfig
from unipose_hf.modeling.encoders_unipose import image_grid
from unipose_hf.modeling.image_processing_unipose import UniPoseImageProcessor
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import CHAT_TEMPLATE, UniPoseProcessor, add_pose_tokens


@torch.no_grad()
def compose(
    language_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    pose_tokenizer: PoseTokenizerModel,
    *,
    vision: PreTrainedModel | None = None,
    pose_vision: PreTrainedModel | None = None,
    image_processor: UniPoseImageProcessor,
    **settings: Any,
) -> tuple[UniPoseForConditionalGeneration, UniPoseProcessor]:
    """The parts keep their weights; the projector, the vocabulary rows of the pose tokens and the queries are new.

    Args:
        language_model: any causal language model of transformers (`AutoModelForCausalLM`).
        tokenizer: its fast tokenizer; pose tokens are added if it has none.
        pose_tokenizer: a trained pose tokenizer, such as the output of `examples/train/train_pose_tokenizer.py`.
        vision, pose_vision: the general and the pose encoder; one, both or neither.
        image_processor: produces the inputs of these encoders.
        settings: other fields of [`UniPoseConfig`].

    Raises:
        ValueError: the tokenizer is slow.
    """
    if "<pose_0>" not in tokenizer.get_vocab():
        add_pose_tokens(tokenizer, pose_tokenizer.config.codebook_size)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if language_model.get_input_embeddings().num_embeddings < len(tokenizer):
        language_model.resize_token_embeddings(len(tokenizer))
    text_config = language_model.config
    text_config.tie_word_embeddings = False  # codes have separate rows in the embedding and in the head
    text_config.pad_token_id = tokenizer.pad_token_id
    processor = UniPoseProcessor(
        image_processor, tokenizer, chat_template=CHAT_TEMPLATE, num_codes=pose_tokenizer.config.num_codes
    )
    config = UniPoseConfig(
        text_config=text_config,
        vision_config=getattr(vision, "config", None),
        pose_vision_config=getattr(pose_vision, "config", None),
        pose_config=pose_tokenizer.config,
        **processor.token_ids(),
        **settings,
    )
    rows, columns = image_grid(config)
    processor.num_image_tokens = rows * columns * config.image_tokens_per_cell
    model = UniPoseForConditionalGeneration(config)
    model.model.language_model.load_state_dict(language_model.base_model.state_dict())
    model.lm_head.weight.copy_(language_model.get_output_embeddings().weight)
    parts = {"pose_tokenizer": pose_tokenizer, "vision_tower": vision, "pose_vision_tower": pose_vision}
    for part, trained in parts.items():
        if trained is not None:
            getattr(model.model, part).load_state_dict(trained.state_dict())
    seed_new_rows(model)
    for part in (config.text_config, config.vision_config, config.pose_vision_config, config.pose_config):
        if part is not None:
            part.name_or_path = ""  # otherwise the saved model would contain local paths
    return model, processor


@torch.no_grad()
def seed_new_rows(model: UniPoseForConditionalGeneration) -> None:
    """Initialises the rows of codes and the pose queries, at the scale of the text rows.

    Codes with similar vectors start with similar rows, in the embedding and in the head: random projections of smooth
    functions of the vector (random Fourier features, Rahimi and Recht 2007). With rows of another scale, the nearly
    constant output of the untrained layers would drown out their differences.
    """
    codebook = model.model.pose_tokenizer.quantizer.codebook  # (codebook_size, code_dim)
    features = 256
    waves = torch.cos(codebook @ (2 * torch.randn(codebook.shape[1], features)) + 6.2832 * torch.rand(features))
    first = model.config.pose_code_offset
    for table in (model.get_input_embeddings(), model.lm_head):
        size = table.weight[:first].std()
        rows = waves @ torch.randn(features, table.weight.shape[1]) / (features / 2) ** 0.5
        table.weight[first : first + len(codebook)] = rows * size
    model.model.pose_query_embeddings.weight.normal_(std=float(model.get_input_embeddings().weight[:first].std()))
