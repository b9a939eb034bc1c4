# SPDX-License-Identifier: Apache-2.0
"""Trains retrieval models: the two bundled ones from scratch, or one on your own texts and poses.

    python examples/train/train_retrieval.py --open_data ../shared        # both bundled models in sequence
    python examples/train/train_retrieval.py --scale 0.01                 # a tiny run
    python examples/train/train_retrieval.py --only pose-text-retrieval
    python examples/train/train_retrieval.py --data my-rows --vocab_size 2000
    python examples/train/train_retrieval.py --data my-rows --model runs/retrieval/pose-text-retrieval \\
        --learning_rate 2e-4

`--data` is a folder or Hub name of a data set with the columns `text` and `pose`, or `text`, `pose_a` and `pose_b`:
local axis-angle rotations (22, 3) in radians, y up. To create one from arrays of texts and poses:

    datasets.Dataset.from_dict({"text": texts, "pose": poses}).to_parquet("my-rows/train.parquet")

With `--model`, training continues from that model, as in the second phase of the paper; otherwise a new model is
trained with a vocabulary from your texts. All arguments of `RetrievalTrainingArguments` are also accepted.

Without `--data`, models are trained on the caption engine's texts for the open poses, then on plain English from the
language bank, plus the described poses of `--open_data` if given. With `--only` and `--model`, a bundled model is
trained further on plain English only, and new words are added to its vocabulary. A second core hardly speeds up a
step: run two processes with OMP_NUM_THREADS=1 and `--only` one model each. If interrupted, run it again to resume from
the last checkpoint. Each model is saved with its tokenizer to its own folder, along with its recall on the held-out
clips and on held-out described poses.
"""

import functools
import json
import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from datasets import load_dataset
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from trl import TrlParser

from unipose_hf.auto import PLAIN_CHECKPOINT
from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.data.captured_poses import load_captured_poses
from unipose_hf.data.language.composer import Composer
from unipose_hf.evaluation.protocols.held_out_retrieval import evaluate_described, evaluate_retrieval
from unipose_hf.evaluation.reporting.model_index import retrieval_results, with_model_index
from unipose_hf.training.generated_rows import (
    GeneratedRows,
    PlainTable,
    draw_captions,
    draw_instructions,
    draw_plain,
    draw_siblings,
)
from unipose_hf.training.pose_tokenizer import pose_pool
from unipose_hf.training.retrieval import (
    RetrievalTrainer,
    RetrievalTrainingArguments,
    new_retrieval_model,
    plain_word_vectors,
    replace_text_vocabulary,
    retrieval_tokenizer,
)
from unipose_hf.training.stages import plain_composer

CARD = Path(__file__).parents[2] / "hub_cards/pose-retrieval.md"
SEED, SIBLINGS_SEED, PLAIN_SEED, POSES = 11, 5, 17, 65_536
PIECES, WORD_WEIGHT = 7000, 12  # words of the plain-English model are repeated in addition to the texts
MEAN = " The weights are the mean of those before the plain English, which count {:.2f}, and those after it."
SOURCES = (
    "; captured poses of the CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu, created with funding from "
    "NSF EIA-0196217), KayKit, MakeHuman and mesh2motion (CC0), DeepMimic and AnimatedDrawings (MIT)"
)
PLAIN_TEXTS, PLAIN_STEPS = 60_000, {"pose-text-retrieval": 2000, "pose-pair-text-retrieval": 1500}
BUNDLED = {"pose-text-retrieval": draw_captions, "pose-pair-text-retrieval": draw_instructions}


@dataclass
class ScriptArguments:
    data: str | None = field(default=None, metadata={"help": "Your own data: a folder or Hub name."})
    train_split: str = field(default="train", metadata={"help": "Training split of --data."})
    eval_split: str | None = field(default=None, metadata={"help": "Evaluation split of --data."})
    model: str | None = field(default=None, metadata={"help": "Model to start from; a new one by default."})
    keep: float = field(default=0.0, metadata={"help": "Weight of --model in the average with the trained weights."})
    vocab_size: int = field(default=900, metadata={"help": "Vocabulary size of the tokenizer trained on your texts."})
    open_data: str | None = field(default=None, metadata={"help": "Folder with described and captured poses."})
    only: str | None = field(default=None, metadata={"help": "Bundled model to train.", "choices": list(BUNDLED)})
    scale: float = field(default=1.0, metadata={"help": "Scale of the bundled models' steps and poses."})


def train_on_rows(script: ScriptArguments, args: RetrievalTrainingArguments) -> None:
    """Trains a new or existing model on the user's data, and saves it to the output folder."""
    rows = load_dataset(script.data, split=script.train_split)
    held_out = load_dataset(script.data, split=script.eval_split) if script.eval_split else None
    if script.model is None:
        tokenizer = retrieval_tokenizer(rows["text"], script.vocab_size)
        torch.manual_seed(args.seed)
        model = new_retrieval_model(tokenizer, pairs="pose_a" in rows.column_names)
    else:
        tokenizer, model = AutoTokenizer.from_pretrained(script.model), AutoModel.from_pretrained(script.model)
    trainer = RetrievalTrainer(model, args, rows, held_out, processing_class=tokenizer)
    trainer.train(resume_from_checkpoint=True)
    trainer.save_model()
    if held_out is not None:
        trainer.save_metrics("eval", trainer.evaluate())


def train_bundled(script: ScriptArguments, args: RetrievalTrainingArguments) -> None:
    """Trains the bundled models: automatic texts, then similar poses (single poses only), then plain English."""
    if script.model and not script.only:
        raise ValueError("--model without --data continues a bundled model; set --only to its name.")
    folder = Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    captured = load_captured_poses(Path(script.open_data) / "mocap") if script.open_data else None
    composer = plain_composer(script.open_data, captured)
    pool = pose_pool(SEED, max(4096, round(POSES * min(1, script.scale))))
    tokenizer = bundled_tokenizer(folder / "text_tokenizer", composer)
    for name in [script.only] if script.only else BUNDLED:
        torch.manual_seed(SEED)
        pairs = "pair" in name
        phases = {name + "-captions": (BUNDLED[name], dict(max_steps=2000, learning_rate=2e-3, seed=SEED))}
        if not pairs:
            siblings = dict(max_steps=400, learning_rate=1.2e-3, warmup_steps=10, seed=SIBLINGS_SEED)
            phases[name + "-siblings"] = draw_siblings, siblings
        if script.model:
            phases, model = {}, AutoModel.from_pretrained(script.model)
            vectors = plain_word_vectors(tokenizer, model.config.word_embedding_size, PLAIN_CHECKPOINT)
            replace_text_vocabulary(model, AutoTokenizer.from_pretrained(script.model), tokenizer, vectors)
            before = {name: weight.clone() for name, weight in model.state_dict().items()}
        else:
            model = new_retrieval_model(tokenizer, pairs=pairs)
            vectors = plain_word_vectors(tokenizer, model.config.word_embedding_size, PLAIN_CHECKPOINT)
            model.get_input_embeddings().weight.data.copy_(vectors)
        table = PlainTable(composer, max(300, round(PLAIN_TEXTS * min(1, script.scale))), pairs, PLAIN_SEED)
        plain = functools.partial(draw_plain, table=table, engine=draw_instructions if pairs else draw_siblings)
        settings = dict(max_steps=PLAIN_STEPS[name], learning_rate=1.2e-3, warmup_steps=10, seed=PLAIN_SEED)
        phases[name + "-plain"] = plain, settings
        for phase, (draw, settings) in phases.items():
            settings["max_steps"] = max(2, round(settings["max_steps"] * script.scale))
            own = replace(args, output_dir=str(folder / phase), flip=False, **settings)
            batch = own.train_batch_size
            rows = GeneratedRows(draw, pool, own.max_steps * batch * own.world_size, batch, own.seed)
            trainer = RetrievalTrainer(model, own, rows, processing_class=tokenizer)
            trainer.train(resume_from_checkpoint=True)
        if script.model and script.keep:  # averaging the weights reduces forgetting more than it hurts on the new data
            model.load_state_dict({n: weight.lerp(before[n], script.keep) for n, weight in model.state_dict().items()})
        save_in_float16(model, tokenizer, folder / name)
        model = AutoModel.from_pretrained(folder / name)
        figures = evaluate_retrieval(model, tokenizer)
        if script.open_data:
            figures["described"] = evaluate_described(model, tokenizer, Path(script.open_data) / "language")
        facts = {"what": "pairs of 3D human poses" if pairs else "3D human poses", "pieces": f"{len(tokenizer):,}"}
        facts["plain_steps"] = f"{trainer.state.global_step:,}"
        facts["described"] = "captured poses with descriptions" if script.open_data else "no captured poses"
        facts["sources"] = SOURCES if script.open_data else ""
        facts["mean"] = MEAN.format(script.keep) if script.keep else ""
        write_card(folder / name, figures, facts)
        print(f"{name}: {json.dumps(figures)}\nThe model is in {folder / name}.")


def bundled_tokenizer(folder: Path, composer: Composer) -> PreTrainedTokenizerFast:
    """Tokenizer trained on the texts of the bank, descriptions, and the engine's captions and instructions. Cached in
    `folder`, so that a resumed run tokenizes its texts the same way.
    """
    if not folder.exists():
        pool = pose_pool(SEED, 4096)
        sentences = caption_poses(pool, seed=SEED) + instruct_pairs(pool[:2048], pool[2048:], seed=SEED)
        sentences += composer.all_texts()
        words = AutoTokenizer.from_pretrained(PLAIN_CHECKPOINT).get_vocab()
        sentences += [word[1:] for word in sorted(words) if word[0] == "▁" and word[1:].isalpha()] * WORD_WEIGHT
        temporary = folder.with_suffix(f".{os.getpid()}.part")
        retrieval_tokenizer(sentences, PIECES).save_pretrained(temporary)
        try:
            temporary.rename(folder)
        except OSError:  # the run of the other model was first, with the same tokenizer
            shutil.rmtree(temporary)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def save_in_float16(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Saves a model that takes half of the space on disk and is loaded in float32, with its tokenizer."""
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text()) | {"dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    pieces = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))  # half as large without indentation
    text = json.dumps(pieces, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")


def write_card(folder: Path, figures: dict, facts: dict[str, str]) -> None:
    """Writes the model's `figures.json` and its model card."""
    (folder / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    described = figures.get("described", {})
    rows = {"held-out clips, the caption engine's texts": figures}
    rows |= {f"captured and held out, {voice} texts": own for voice, own in described.items()}
    keys = [key for key in figures if key not in ("rows", "described")]
    table = f"| texts | rows | {' | '.join(keys)} |\n|{' --- |' * (len(keys) + 2)}"
    for name, own in rows.items():
        table += f"\n| {name} | {own['rows']} | {' | '.join(f'{own[key]:.1f}' for key in keys)} |"
    top = ", ".join(f"{own['top1']:.1f} ({voice})" for voice, own in described.items()) or "not measured"
    card = CARD.read_text(encoding="utf-8")
    for key, value in ({"name": folder.name, "figures": table, "top1": top} | facts).items():
        card = card.replace("{{" + key + "}}", value)
    card = with_model_index(card, folder.name, retrieval_results(figures))
    (folder / "README.md").write_text(card, encoding="utf-8")


def main(script: ScriptArguments, args: RetrievalTrainingArguments) -> None:
    (train_on_rows if script.data else train_bundled)(script, args)


if __name__ == "__main__":
    parser = TrlParser((ScriptArguments, RetrievalTrainingArguments))
    parser.set_defaults(output_dir="runs/retrieval")
    main(*parser.parse_args_and_config())
