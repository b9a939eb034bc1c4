# SPDX-License-Identifier: Apache-2.0
"""Creates an untrained `unipose-tiny`: a small language model with its own vocabulary, and a BlazePose.

    python examples/train/new_tiny_model.py --pose_tokenizer runs/tiny/pose_tokenizer \\
        --pose_encoder runs/tiny/pose_encoder --output_dir runs/tiny/new_model
"""

import argparse
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.modeling.blazepose_unipose import BlazePoseBackbone
from unipose_hf.modeling.image_processing_unipose import UniPoseImageProcessor
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.modeling.processing_unipose import TASKS
from unipose_hf.training.compose import compose
from unipose_hf.training.pose_tokenizer import pose_pool
from unipose_hf.training.text_tokenizer import train_text_tokenizer

BLAZEPOSE = Path(__file__).parents[2] / "src/unipose_hf/checkpoints/blazepose-full"


def main(pose_tokenizer: str, pose_encoder: str, output_dir: str, poses: int) -> None:
    torch.manual_seed(2)
    pose_tokenizer = PoseTokenizerModel.from_pretrained(pose_tokenizer)
    pool = pose_pool(2, poses)
    half = len(pool) // 2
    sentences = caption_poses(pool, seed=2) + instruct_pairs(pool[:half], pool[half:], seed=2)
    sentences += [task.prompt for task in TASKS.values()] * 20
    tokenizer = train_text_tokenizer(sentences, vocab_size=900, codebook_size=pose_tokenizer.config.codebook_size)
    language_model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=256,
            intermediate_size=768,
            num_hidden_layers=5,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=1024,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    torch.nn.init.normal_(language_model.get_input_embeddings().weight)  # of size 1, see `seed_new_rows`
    backbone = BlazePoseBackbone.from_pretrained(pose_encoder)
    model, processor = compose(
        language_model,
        tokenizer,
        pose_tokenizer,
        pose_vision=backbone,
        image_processor=UniPoseImageProcessor(pose_size=backbone.config.image_size),
        image_tokens_per_cell=4,
        pose_place_embeddings=True,
    )
    model.generation_config.pose_decoding = "expected"
    model.save_pretrained(output_dir)
    processor.save_pretrained(output_dir)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters in {output_dir}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pose_tokenizer", required=True, help="output folder of train_pose_tokenizer.py")
    parser.add_argument("--pose_encoder", default=BLAZEPOSE, help="output folder of train_pose_encoder.py")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--poses", type=int, default=8192, help="poses whose captions build the vocabulary")
    main(**vars(parser.parse_args()))
