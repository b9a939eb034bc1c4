# SPDX-License-Identifier: Apache-2.0
"""Trains the bundled `unipose-tiny` from nothing: tokenizer, pictures, then the three stages of the paper, shrunk.

    python examples/train_tiny.py                      # hours on two cores; progress is printed and logged
    python examples/train_tiny.py --scale 0.01         # every stage in miniature, minutes

Kill it at any moment and start it again: it goes on from its last checkpoint in `runs/tiny` and ends with the same
weights as an unbroken run. Losses are in `runs/tiny/*.jsonl`. The last step evaluates the model on the held-out clips
and writes it with its card to `runs/tiny/unipose-tiny`.
"""

import argparse
import shutil
from pathlib import Path

import torch
from transformers import LlamaConfig, PreTrainedTokenizerFast

from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.evaluation.card import write_card
from unipose_hf.evaluation.held_out import evaluate_held_out
from unipose_hf.modeling.blazepose_unipose import BlazePoseBackbone
from unipose_hf.modeling.configuration_unipose import PoseTokenizerConfig, UniPoseConfig
from unipose_hf.modeling.image_processing_unipose import UniPoseImageProcessor
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import TASKS, UniPoseProcessor
from unipose_hf.training.image_bank import build_image_bank, load_image_bank
from unipose_hf.training.loop import LoopArguments
from unipose_hf.training.pose_tokenizer import pose_pool, train_pose_tokenizer
from unipose_hf.training.stages import PoseLossWeights, seed_embeddings, train_stage
from unipose_hf.training.text_tokenizer import train_text_tokenizer

ROOT = Path(__file__).parents[1]
BLAZEPOSE = ROOT / "src/unipose_hf/checkpoints/blazepose-full"
CARD = ROOT / "hub_cards/unipose-tiny.md"

POSE_TOKENIZER = PoseTokenizerConfig(
    hidden_size=128,
    kernel_size=1,  # every joint by itself, with the same weights: a code means the same rotation for every joint
    encoder_lengths=[],
    num_downsamples=0,
    decoder_lengths=[],
    codes_per_position=2,
    quantizer="fsq",
    fsq_levels=[16, 16, 16],
    code_dim=3,
    codebook_size=4096,
)


def text_tokenizer(folder: Path, seed: int) -> PreTrainedTokenizerFast:
    """Trained on captions and instructions, and kept in `folder`, so that a resumed run reads its texts as before."""
    if not folder.exists():
        poses = pose_pool(seed, 8192)
        half = len(poses) // 2
        sentences = caption_poses(poses, seed=seed) + instruct_pairs(poses[:half], poses[half:], seed=seed)
        sentences += [task.prompt for task in TASKS.values()] * 20
        tokenizer = train_text_tokenizer(sentences, vocab_size=900, codebook_size=POSE_TOKENIZER.codebook_size)
        temporary = folder.with_suffix(".part")
        tokenizer.save_pretrained(temporary)
        temporary.rename(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def build_model(
    pose_tokenizer: PoseTokenizerModel, tokenizer: PreTrainedTokenizerFast, seed: int
) -> tuple[UniPoseForConditionalGeneration, UniPoseProcessor]:
    """The untrained model with its trained pose tokenizer and its frozen pose encoder, and the processor."""
    torch.manual_seed(seed)
    backbone = BlazePoseBackbone.from_pretrained(BLAZEPOSE)
    backbone.config.name_or_path = ""  # or the saved model would name a folder of this machine
    ids = {name: tokenizer.convert_tokens_to_ids(f"<{name}>") for name in ("image", "pose", "pose_start", "pose_end")}
    config = UniPoseConfig(
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=256,
            intermediate_size=768,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=1024,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        ),
        vision_config=None,
        pose_vision_config=backbone.config,
        pose_config=pose_tokenizer.config,
        image_tokens_per_cell=4,
        pose_place_embeddings=True,
        pose_query_token_id=tokenizer.convert_tokens_to_ids("<pose_query>"),
        pose_code_offset=tokenizer.convert_tokens_to_ids("<pose_0>"),
        pose_decoding="expected",
        **{f"{name}_token_id": value for name, value in ids.items()},
    )
    model = UniPoseForConditionalGeneration(config)
    model.model.pose_vision_tower.load_state_dict(backbone.state_dict())
    model.model.pose_tokenizer.load_state_dict(pose_tokenizer.state_dict())
    seed_embeddings(model)
    processor = UniPoseProcessor(
        UniPoseImageProcessor(pose_size=backbone.config.image_size),
        tokenizer,
        num_codes=pose_tokenizer.config.num_codes,
        num_image_tokens=config.image_seq_length,
    )
    return model, processor


def main(folder: Path, scale: float, images: int, stop_at: int | None) -> None:
    def arguments(steps, learning_rate, seed, **others):
        return LoopArguments(steps=max(2, round(steps * scale)), learning_rate=learning_rate, seed=seed, **others)

    torch.manual_seed(0)
    pose_tokenizer = PoseTokenizerModel(POSE_TOKENIZER)
    train_pose_tokenizer(pose_tokenizer, arguments(12000, 2e-3, seed=1), folder, batch_size=128, stop_at=stop_at)
    model, processor = build_model(pose_tokenizer, text_tokenizer(folder / "text_tokenizer", seed=2), seed=2)

    train_stage("alignment", model, processor, arguments(1000, 2e-3, seed=3, final_share=0.5), folder, stop_at=stop_at)
    count = max(256, round(images * scale))
    build_image_bank(model.model.pose_vision_tower, folder / "images", count, processes=torch.get_num_threads())
    bank = load_image_bank(folder / "images")
    train_stage("vision", model, processor, arguments(60, 1e-3, seed=4), folder, bank, stop_at=stop_at)
    weights = PoseLossWeights(joints=30.0, rotations=10.0, codes=2.0)  # most of the codes' own loss is learnt by now
    train_stage("all-tasks", model, processor, arguments(2700, 2e-3, seed=5), folder, bank, weights, stop_at)
    output = folder / "unipose-tiny"
    model.save_pretrained(output)
    processor.save_pretrained(output)
    (output / "training").mkdir(exist_ok=True)
    for log in folder.glob("*.jsonl"):
        shutil.copy(log, output / "training")
    write_card(CARD, evaluate_held_out(model, processor, count=None if scale == 1 else 32), output)
    print(f"The model is in {output}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/tiny"), help="checkpoints, logs and the result")
    parser.add_argument("--scale", type=float, default=1.0, help="of all steps and of the number of pictures")
    parser.add_argument("--images", type=int, default=24576, help="rendered pictures")
    parser.add_argument("--stop-at", type=int, help="stop every stage after so many steps, as if it were killed there")
    options = parser.parse_args()
    main(options.folder, options.scale, options.images, options.stop_at)
