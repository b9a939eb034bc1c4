# SPDX-License-Identifier: Apache-2.0
"""The paper's ablation of visual encoders (table 6), without any downloads: BlazePose's published landmarks, the
trained pose head, or both.

    python examples/benchmarks/encoders.py --model runs/tiny/stage1 --image_bank runs/tiny/images

Trains the same model with a new projector on the single-picture tasks for each set of features, and evaluates on the
held-out poses. Unused features and their projector weights are zero. If interrupted, run it again to resume.
"""

import argparse
from pathlib import Path

import torch
from attention import ROWS, arguments  # next to this file

from unipose_hf.evaluation.protocols.held_out import evaluate_held_out
from unipose_hf.modeling.blazepose_unipose import NUM_FEATURES
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import UniPoseProcessor
from unipose_hf.training.experimental.image_bank import load_image_bank
from unipose_hf.training.open_samples import open_samples
from unipose_hf.training.trainer import UniPoseTrainer

LEFT_OUT = {"landmarks": slice(NUM_FEATURES, None), "pose head": slice(NUM_FEATURES), "both": slice(0)}
TASKS = {"image-to-pose": 2, "image-to-pose-text": 1}


def trained(model: str, image_bank: str, folder: Path, features: str, steps: int):
    network = UniPoseForConditionalGeneration.from_pretrained(model)
    processor = UniPoseProcessor.from_pretrained(model)
    images = load_image_bank(image_bank, network.model.pose_vision_tower)
    images["features"][:, LEFT_OUT[features]] = 0
    torch.manual_seed(0)
    for layer in (network.model.multi_modal_projector.linear_1, network.model.multi_modal_projector.linear_2):
        layer.reset_parameters()
    network.model.multi_modal_projector.linear_1.weight.data[:, LEFT_OUT[features]] = 0
    name = features.replace(" ", "_")
    args = arguments(folder / name, steps, "instruction", 6e-4, reading_loss_weight=2.0, bf16=True)
    samples = open_samples(steps * ROWS, TASKS, network.model.pose_tokenizer, images=images, block=ROWS, seed=6)
    UniPoseTrainer(network, args, samples, processor).train(resume_from_checkpoint=True)
    return network, processor


def main(model: str, image_bank: str, folder: Path, steps: int, count: int | None) -> None:
    print("| features | MPJPE, mm | PA-MPJPE, mm | codes true of captions | BLEU-4 |")
    print("| --- | --- | --- | --- | --- |")
    for name in LEFT_OUT:
        network, processor = trained(model, image_bank, folder, name, steps)
        figures = evaluate_held_out(network, processor, count, tasks=TASKS)
        pose, text = (figures[task] for task in TASKS)
        row = pose["mpjpe_mm"], pose["pa_mpjpe_mm"], text["codes_true"], text["bleu4"]
        print(f"| {name} | {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="model with a pose head, not yet trained on pictures")
    parser.add_argument("--image_bank", required=True, help="output folder of examples/data/build_image_bank.py")
    parser.add_argument("--folder", type=Path, default=Path("runs/encoders"))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--count", type=int, help="number of held-out poses; all by default")
    main(**vars(parser.parse_args()))
