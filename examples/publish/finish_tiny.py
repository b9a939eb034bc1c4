# SPDX-License-Identifier: Apache-2.0
"""Evaluates runs of the last stage on the held-out clips and exports the first one with a model card.

    python examples/publish/finish_tiny.py runs/tiny/last_1 runs/tiny/last_2 \\
        --logs runs/tiny/stage3 runs/tiny/last_1 --output_dir runs/tiny/unipose-tiny

The model is published and evaluated in float16, and loads in float32. The card has the figures of the first run, mean
and variance over all runs, and the loss curves of `--logs`, the folders of all stages in order. Figures are cached
next to each run.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from safetensors.torch import load_file, save_file

from unipose_hf.evaluation.protocols.held_out import evaluate_held_out
from unipose_hf.evaluation.reporting.card import figures_table, write_card
from unipose_hf.files.write import replacing
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.pose_unipose import write_file
from unipose_hf.modeling.processing_unipose import UniPoseProcessor

CARD = Path(__file__).parents[2] / "hub_cards/unipose-tiny.md"
NOT_PUBLISHED = ("README.md", "training_args.bin", "trainer_state.json", "figures.json")
CURVES = ("pose-to-text/cross_entropy", "pose-diff/cross_entropy", "text-to-pose/stated", "image-to-pose/mpjpe_mm")


def figures_of(folder: Path, count: int | None) -> dict:
    file = folder / "figures.json"
    if not file.exists():
        model = UniPoseForConditionalGeneration.from_pretrained(folder)
        model.load_state_dict({name: halved(name, tensor).float() for name, tensor in model.state_dict().items()})
        figures = evaluate_held_out(model, UniPoseProcessor.from_pretrained(folder), count=count)
        write_file(file, (json.dumps(figures, indent=1) + "\n").encode())
    return json.loads(file.read_text(encoding="utf-8"))


def log_of(folder: Path) -> list[dict]:
    """The trainer's log of a stage."""
    return json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]


def results(figures: dict, stages: dict[str, list[dict]]) -> str:
    """A dated section of `examples/RESULTS.md`."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    times = [f"{name} {line['train_runtime'] / 60:.0f}" for name, log in stages.items() for line in log[-1:]]
    return (
        f"\n## {datetime.date.today()}: unipose-tiny\n\n"
        f"Commit `{commit}`, {os.cpu_count()} cores of {processor()}; minutes of each stage, since its last start: "
        f"{', '.join(times)}.\n`python {' '.join(sys.argv)}`\n\n{figures_table(figures)}\n"
    )


def processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.processor())


def draw_curves(stages: dict[str, list[dict]], file: Path, curves: tuple[str, ...] = CURVES) -> None:
    """One panel for each of the four `curves`, with the stages in sequence."""
    figure, panels = plt.subplots(2, 2, figsize=(9, 5.4), layout="constrained")
    for panel, key in zip(panels.flat, curves, strict=True):
        start = 0
        for name, lines in stages.items():
            logged = [line for line in lines if key in line]
            panel.plot([start + line["step"] for line in logged], [float(line[key]) for line in logged], label=name)
            start += lines[-1]["step"]
        panel.set(title=key, xlabel="step")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=8)
    figure.savefig(file, dpi=80)


def halved(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as published: float16, except for the pose tokenizer, whose codes would change."""
    return tensor if ".pose_tokenizer." in name else tensor.half()


def halve(file: Path) -> None:
    tensors = {name: halved(name, tensor) for name, tensor in load_file(file).items()}
    with replacing(file) as part:
        save_file(tensors, part, metadata={"format": "pt"})


def publish(run: Path, logs: list[Path], output_dir: Path, curves: tuple[str, ...] = CURVES) -> dict[str, list[dict]]:
    """Exports a run in float16, with the logs of all stages and the loss curves; returns the logs."""
    output_dir.mkdir(parents=True, exist_ok=True)
    for file in run.iterdir():
        if file.is_file() and file.name not in NOT_PUBLISHED:
            shutil.copy(file, output_dir / file.name)
    halve(output_dir / "model.safetensors")
    tokenizer = output_dir / "tokenizer.json"  # half the size without line breaks
    content = json.dumps(json.loads(tokenizer.read_text(encoding="utf-8")), ensure_ascii=False, separators=(",", ":"))
    write_file(tokenizer, content.encode())
    stages = {folder.name: log_of(folder) for folder in logs}
    (output_dir / "training").mkdir(exist_ok=True)
    for name, lines in stages.items():
        text = "".join(json.dumps(line) + "\n" for line in lines if "loss" in line)
        write_file(output_dir / "training" / f"{name}.jsonl", text.encode())
    if stages:
        draw_curves(stages, output_dir / "training" / "losses.png", curves)
    return stages


def main(runs: list[Path], logs: list[Path], output_dir: Path, results_file: Path | None, count: int | None) -> None:
    figures = [figures_of(run, count) for run in runs]
    stages = publish(runs[0], logs, output_dir)
    measured = figures[0] | ({"runs": figures} if len(figures) > 1 else {})
    write_card(CARD, measured, output_dir)
    if results_file is not None:
        with results_file.open("a", encoding="utf-8") as file:
            file.write(results(measured, stages))
    print(f"The model is in {output_dir}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="output folders of train_stage3.py; the first is published")
    parser.add_argument("--logs", type=Path, nargs="*", default=[], help="folders of all stages, for the loss curves")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--results_file", type=Path, help="file to append the figures to, such as examples/RESULTS.md")
    parser.add_argument("--count", type=int, help="number of held-out poses; all by default")
    main(**vars(parser.parse_args()))
