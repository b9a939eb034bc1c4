# SPDX-License-Identifier: Apache-2.0
"""The paper's attention ablation (table 7) on the open poses: bidirectional vs. causal attention in pose blocks.

    python examples/benchmarks/attention.py --model runs/tiny/new_model --folder runs/attention

Trains the same untrained model on text-to-pose with each kind of attention, on the same samples in the same order, and
evaluates on the held-out poses. If interrupted, run it again to resume.
"""

import argparse
from pathlib import Path

from unipose_hf.evaluation.protocols.held_out import evaluate_held_out
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import UniPoseProcessor
from unipose_hf.training.arguments import UniPoseSFTConfig
from unipose_hf.training.open_samples import open_samples
from unipose_hf.training.trainer import UniPoseTrainer

ATTENTION = {"mixed": "all", "causal": "none"}
ROWS = 48


def arguments(folder: Path, steps: int, stage: str, learning_rate: float, **changes) -> UniPoseSFTConfig:
    """Arguments of a short CPU training of all weights."""
    return UniPoseSFTConfig(
        str(folder),
        stage=stage,
        max_steps=steps,
        per_device_train_batch_size=ROWS,
        learning_rate=learning_rate,
        warmup_steps=min(100, steps // 4),
        weight_decay=0.01,
        adam_beta2=0.99,
        use_lora=False,
        use_muon=True,
        joint_loss_weight=30.0,
        rotation_loss_weight=10.0,
        train_sampling_strategy="sequential",
        gradient_checkpointing=False,
        use_cpu=True,
        report_to="none",
        save_steps=100,
        logging_steps=50,
        disable_tqdm=True,
        **changes,
    )


def trained(model: str, folder: Path, attention: str, steps: int):
    network = UniPoseForConditionalGeneration.from_pretrained(model, bidirectional_poses=ATTENTION[attention])
    processor = UniPoseProcessor.from_pretrained(model)
    args = arguments(folder / attention, steps, "alignment", 2e-3, stated_loss_weight=2.0)
    samples = open_samples(steps * ROWS, {"text-to-pose": 1}, network.model.pose_tokenizer, block=ROWS, seed=5)
    UniPoseTrainer(network, args, samples, processor).train(resume_from_checkpoint=True)
    return network, processor


def main(model: str, folder: Path, steps: int, count: int | None, attention: list[str]) -> None:
    print("| attention | codes satisfied, expected | of shuffled captions | likeliest | MPJPE, mm |")
    print("| --- | --- | --- | --- | --- |")
    for name in attention:
        figures = evaluate_held_out(*trained(model, folder, name, steps), count, tasks=["text-to-pose"])
        likely, expected = (figures["text-to-pose"][way] for way in ("argmax", "expected"))
        shares = expected["codes_satisfied"], expected["codes_of_shuffled_captions_satisfied"]
        row = *shares, likely["codes_satisfied"], expected["mpjpe_mm"]
        print(f"| {name} | {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="untrained model from examples/train/new_tiny_model.py")
    parser.add_argument("--folder", type=Path, default=Path("runs/attention"))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--count", type=int, help="number of held-out poses; all by default")
    parser.add_argument("--attention", nargs="+", default=list(ATTENTION), choices=list(ATTENTION))
    main(**vars(parser.parse_args()))
