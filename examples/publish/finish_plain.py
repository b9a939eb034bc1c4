# SPDX-License-Identifier: Apache-2.0
"""Evaluates a plain-English model and exports it in float16 with a model card, like `finish_tiny.py`.

    python examples/publish/finish_plain.py runs/plain/mean --logs runs/plain/learn runs/plain/first \\
        --output_dir runs/plain/unipose-plain --prompts ../shared/plain_english

`--prompts` is a folder with `run.py`, which checks answers to
its prompts against measured facts; `--language` is a folder of captured poses with human descriptions, one in
ten of which is held out.
"""

import argparse
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from finish_tiny import publish
from transformers import pipeline

import unipose_hf  # noqa: F401  registers the pipelines
from unipose_hf.evaluation.protocols.described import evaluate_described_prompts
from unipose_hf.evaluation.protocols.held_out import evaluate_held_out
from unipose_hf.evaluation.protocols.plain_texts import evaluate_plain_texts
from unipose_hf.evaluation.reporting.card import write_card
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import UniPoseProcessor
from unipose_hf.training.vocabulary import training_texts, words_of

CARD = Path(__file__).parents[2] / "hub_cards/unipose-plain.md"
CURVES = ("text-to-pose/cross_entropy", "text-to-pose/mpjpe_mm", "pose-editing/cross_entropy", "pose-editing/mpjpe_mm")


def judged(model: Path, prompts: Path) -> dict:
    """Correct answers of each kind, for prompts in the language bank and others, and how well limbs are preserved.

    The answers are the model's own; for `right_by_name`, names and commands of the language bank were looked up.
    """
    sys.path.insert(0, str(prompts))
    import run as judge

    texts, edits = judge.PROMPTS["text_to_pose"], judge.PROMPTS["pose_editing"]
    starts = {name: np.array(pose) for name, pose in judge.PROMPTS["start_poses"].items()}
    make, edit = (pipeline(task, model=str(model)) for task in ("text-to-pose", "pose-editing"))
    asked = [{"pose": starts[item["start"]], "text": item["text"]} for item in edits]
    counts, turns = defaultdict(Counter), []
    for named in (False, True):
        answers = make([item["text"] for item in texts], named=named) + edit(asked, named=named)
        for item, answer in zip(texts + edits, answers, strict=True):
            judgement = judge.judged(item, np.array(answer["pose"].axis_angle), starts.get(item.get("start")))
            right, kind = not judgement["lacks"], counts[item.get("kind", "edit")]
            if named:
                kind["right_by_name"] += right
                continue
            kind.update(right=right, asked=1)
            kind.update(right_not_in_bank=right and not item["in_bank"], asked_not_in_bank=not item["in_bank"])
            turns += judgement["turns"].values()
    turned = round(sum(turns) / len(turns), 1)
    return {kind: dict(found) for kind, found in counts.items()} | {"kept_limbs_turned_degrees": turned}


def main(run: Path, logs: list[Path], output_dir: Path, prompts: Path, language: Path, count: int | None) -> None:
    processor = UniPoseProcessor.from_pretrained(run)
    processor.known_words = words_of(training_texts(language if language.is_dir() else None))
    processor.save_pretrained(run)
    publish(run, logs, output_dir, CURVES)
    model = UniPoseForConditionalGeneration.from_pretrained(output_dir)
    processor = UniPoseProcessor.from_pretrained(output_dir)
    tasks = ("text-to-pose", "pose-editing", "pose-to-text", "pose-diff")
    figures = evaluate_held_out(model, processor, count=count, tasks=tasks)
    figures["plain-english"] = judged(output_dir, prompts)
    figures["texts"] = evaluate_plain_texts(model, processor, count)
    figures["described"] = evaluate_described_prompts(model, processor, language)
    write_card(CARD, figures, output_dir)
    print(f"The model is in {output_dir}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="output folder of train_stage3.py or mean_of_runs.py")
    parser.add_argument("--logs", type=Path, nargs="*", default=[], help="folders of all stages, for the loss curves")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, default=Path("../shared/plain_english"))
    parser.add_argument("--language", type=Path, default=Path("../shared/language"), help="with described poses")
    parser.add_argument("--count", type=int, help="number of held-out poses; all by default")
    main(**vars(parser.parse_args()))
