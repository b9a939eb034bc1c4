# SPDX-License-Identifier: Apache-2.0
"""Trains the bundled text-pose retrieval model with each objective for the same number of steps and prints the recall
on the held-out clips as a markdown table.

    python examples/benchmarks/retrieval.py                       # 15 minutes of CPU time
    python examples/benchmarks/retrieval.py --steps 4 --poses 512

All variants use the same seed and batches. If interrupted, run it again to resume.
"""

import argparse
import contextlib
import sys
from pathlib import Path

import torch
from captions import header  # next to this file

from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.evaluation.protocols.held_out_retrieval import evaluate_retrieval
from unipose_hf.training.generated_rows import GeneratedRows, draw_captions
from unipose_hf.training.pose_tokenizer import pose_pool
from unipose_hf.training.retrieval import (
    RetrievalTrainer,
    RetrievalTrainingArguments,
    new_retrieval_model,
    retrieval_tokenizer,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
from train_retrieval import SEED  # noqa: E402

VARIANTS = {
    "one-way BBC (the papers)": {"loss": "one-way"},
    "symmetric BBC (the default)": {},
    "symmetric BBC, gated head": {"gated_head": True},
    "SigLIP": {"loss": "siglip"},
    "SigLIP, gated head": {"loss": "siglip", "gated_head": True},
}
FIGURES = ("t2p_r@1", "t2p_r@5", "t2p_r@10", "p2t_r@1", "p2t_r@5", "p2t_r@10", "mrecall")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rows", type=int, default=128, help="batch size")
    parser.add_argument("--poses", type=int, default=16_384, help="number of poses to draw batches from")
    parser.add_argument("--folder", type=Path, default=Path("runs/retrieval-options"), help="checkpoints and logs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    pool = pose_pool(SEED, options.poses)
    sentences = caption_poses(pool[:4096], seed=SEED) + instruct_pairs(pool[:2048], pool[2048:4096], seed=SEED)
    tokenizer = retrieval_tokenizer(sentences)
    print(*header(), "", f"| objective | {' | '.join(FIGURES)} |", f"|{' --- |' * (len(FIGURES) + 1)}", sep="\n")
    for name, changes in VARIANTS.items():
        torch.manual_seed(SEED)
        model = new_retrieval_model(tokenizer, **changes)
        args = RetrievalTrainingArguments(
            str(options.folder / "-".join([model.config.loss, *["gated"] * model.config.gated_head])),
            max_steps=options.steps,
            per_device_train_batch_size=options.rows,
            seed=SEED,
            flip=False,
            report_to="none",
            disable_tqdm=True,
        )
        rows = GeneratedRows(draw_captions, pool, options.steps * options.rows, options.rows, SEED)
        with contextlib.redirect_stdout(sys.stderr):  # the trainer prints its progress
            RetrievalTrainer(model, args, rows, processing_class=tokenizer).train(resume_from_checkpoint=True)
        figures = evaluate_retrieval(model, tokenizer)
        print(f"| {name} | {' | '.join(f'{figures[figure]:.1f}' for figure in FIGURES)} |", flush=True)


if __name__ == "__main__":
    main()
