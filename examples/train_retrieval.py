# SPDX-License-Identifier: Apache-2.0
"""Trains the two bundled retrieval models from nothing, on the open poses and the caption engine's texts.

    python examples/train_retrieval.py                              # one model, then the other
    python examples/train_retrieval.py --scale 0.01                 # in miniature
    python examples/train_retrieval.py --only pose-text-retrieval --more human.npz

A step hardly gains by a second core: run it twice at once, `--only` one model each with OMP_NUM_THREADS=1. Kill it at
any moment and start it again: it goes on from its last checkpoint in `--folder` and ends with the same weights as an
unbroken run. The last step writes each model with its tokenizer to a folder of its own and prints its recall on the
held-out clips.

`--more` trains one model further on texts of your own (the second phase of the paper): an .npz with `poses`,
axis-angle (n, 22, 3) or (n, 2, 22, 3) for pairs, y up, and `texts`, n strings.
"""

import argparse
import functools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.evaluation.held_out_retrieval import evaluate_retrieval
from unipose_hf.modeling.configuration_pose_retrieval import PosePairTextRetrievalConfig, PoseTextRetrievalConfig
from unipose_hf.modeling.configuration_unipose import PoseTokenizerConfig
from unipose_hf.modeling.modeling_pose_retrieval import PosePairTextRetrievalModel, PoseTextRetrievalModel
from unipose_hf.training.loop import LoopArguments
from unipose_hf.training.pose_tokenizer import pose_pool
from unipose_hf.training.retrieval import draw_captions, draw_given, draw_instructions, draw_siblings, train_retrieval
from unipose_hf.training.text_tokenizer import train_text_tokenizer

CARD = Path(__file__).parents[1] / "hub_cards/pose-retrieval.md"
SEED, SIBLINGS_SEED, POSES = 11, 5, 65_536

# the encoder of a pose tokenizer that sees every joint by itself; the convolutions behind it bring joints together
POSE_ENCODER = PoseTokenizerConfig(
    hidden_size=64, kernel_size=1, encoder_lengths=[], num_downsamples=0, decoder_lengths=[], code_dim=32
)
SIZES = {"conv_channels": [64], "pose_hidden_size": 512, "word_embedding_size": 128, "embed_dim": 256}
MODELS = {
    "pose-text-retrieval": (PoseTextRetrievalConfig, PoseTextRetrievalModel, draw_captions),
    "pose-pair-text-retrieval": (PosePairTextRetrievalConfig, PosePairTextRetrievalModel, draw_instructions),
}


def text_tokenizer(folder: Path, pool: torch.Tensor) -> PreTrainedTokenizerFast:
    """Trained on captions and instructions, and kept in `folder`, so that a resumed run reads its texts as before."""
    if not folder.exists():
        sentences = caption_poses(pool[:4096], seed=SEED) + instruct_pairs(pool[:2048], pool[2048:4096], seed=SEED)
        tokenizer = train_text_tokenizer(filter(None, sentences), vocab_size=900, codebook_size=1, max_length=256)
        temporary = folder.with_suffix(f".{os.getpid()}.part")
        tokenizer.save_pretrained(temporary)
        try:
            temporary.rename(folder)
        except OSError:  # a run of the other model was first, with the same one
            shutil.rmtree(temporary)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def write_card(folder: Path, figures: dict, what: str) -> None:
    """The model's `figures.json`, and its card with them."""
    (folder / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    recalls = {key: f"{value:.1f}" for key, value in figures.items() if key != "rows"}
    table = f"| {' | '.join(recalls)} |\n|{' --- |' * len(recalls)}\n| {' | '.join(recalls.values())} |"
    card = CARD.read_text(encoding="utf-8")
    for key, value in {"name": folder.name, "what": what, "rows": str(figures["rows"]), "figures": table}.items():
        card = card.replace("{{" + key + "}}", value)
    (folder / "README.md").write_text(card, encoding="utf-8")


def main(folder: Path, scale: float, only: str | None, more: Path | None, stop_at: int | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pool = pose_pool(SEED, max(4096, round(POSES * min(1, scale))))
    tokenizer = text_tokenizer(folder / "text_tokenizer", pool)
    for name in [only] if only else MODELS:
        config_class, model_class, draw = MODELS[name]
        torch.manual_seed(SEED)
        model = model_class(config_class(pose_config=POSE_ENCODER, vocab_size=len(tokenizer), **SIZES))
        arguments = LoopArguments(steps=max(2, round(2000 * scale)), learning_rate=2e-3, seed=SEED)
        train_retrieval(
            name, model, tokenizer, functools.partial(draw, pool), arguments, folder, flip=False, stop_at=stop_at
        )
        if name == "pose-text-retrieval":
            arguments = LoopArguments(
                steps=max(2, round(400 * scale)), learning_rate=1.2e-3, warmup_steps=10, seed=SIBLINGS_SEED
            )
            draw = functools.partial(draw_siblings, pool)
            train_retrieval(name + "-siblings", model, tokenizer, draw, arguments, folder, flip=False, stop_at=stop_at)
        if more is not None:
            given = np.load(more)
            draw = functools.partial(draw_given, torch.from_numpy(given["poses"]).float(), given["texts"].tolist())
            arguments = LoopArguments(steps=max(2, round(500 * scale)), learning_rate=2e-4, seed=SEED + 1)
            train_retrieval(name + "-more", model, tokenizer, draw, arguments, folder, rows=32, stop_at=stop_at)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        figures = evaluate_retrieval(model, tokenizer)
        write_card(folder / name, figures, "pairs of 3D human poses" if "pair" in name else "3D human poses")
        print(f"{name}: {json.dumps(figures)}\nThe model is in {folder / name}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/retrieval"), help="checkpoints, logs and the result")
    parser.add_argument("--scale", type=float, default=1.0, help="of all steps and of the number of poses")
    parser.add_argument("--only", choices=MODELS, help="train this model alone")
    parser.add_argument("--more", type=Path, help="an .npz of texts of your own for a second phase")
    parser.add_argument("--stop-at", type=int, help="stop every phase after so many steps, as if it were killed there")
    options = parser.parse_args()
    main(options.folder, options.scale, options.only, options.more, options.stop_at)
