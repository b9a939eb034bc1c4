# SPDX-License-Identifier: Apache-2.0
"""Measures the training speed of the stages and the effect of each optimisation; prints markdown tables.

    python examples/benchmarks/training.py

Runs on one thread in float32, on pictures and texts from the PoseEst-Open slice in the package, with the bundled model
and a random model with SmolLM2-135M's architecture. Reports CPU time, which is less affected by other processes. Takes
about five minutes of CPU time and 5 GB of memory.
"""

import argparse
import contextlib
import re
import sys
import tempfile
import time
from pathlib import Path

import torch
from captions import header, seconds
from datasets import concatenate_datasets, load_dataset
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from unipose_hf.auto import BUNDLED_CHECKPOINT
from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.data import load_posest_open_slice
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import UniPoseProcessor
from unipose_hf.training.arguments import UniPoseSFTConfig
from unipose_hf.training.collator import UniPoseCollator, add_pose_codes
from unipose_hf.training.compose import compose
from unipose_hf.training.experimental.muon import MuonWithAdamW, muon_groups
from unipose_hf.training.row_samples import row_samples
from unipose_hf.training.sampler import LengthGroupedSampler, add_lengths
from unipose_hf.training.stages import stage_tasks
from unipose_hf.training.trainer import UniPoseTrainer, set_trainable

SETS = {}  # folders, by name
WORDS = 49152
STAGES = ("alignment", "projector", "instruction")


def bundled():
    model = UniPoseForConditionalGeneration.from_pretrained(BUNDLED_CHECKPOINT)
    return model, UniPoseProcessor.from_pretrained(BUNDLED_CHECKPOINT)


def middle():
    """Random language model with SmolLM2-135M's sizes; the encoder and pose tokenizer are the bundled ones."""
    tiny, processor = bundled()
    sizes = dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9)
    return compose(
        LlamaForCausalLM(LlamaConfig(vocab_size=WORDS, num_key_value_heads=3, tie_word_embeddings=False, **sizes)),
        whole_words(),
        tiny.model.pose_tokenizer,
        pose_vision=tiny.model.pose_vision_tower,
        image_processor=processor.image_processor,
        image_tokens_per_cell=tiny.config.image_tokens_per_cell,
    )


def whole_words():
    """Tokenizer with SmolLM2's vocabulary size: one token per word of the texts, the rest unused."""
    texts = " ".join(text for row in load_dataset(SETS["script"], split="train")["texts"] for text in row)
    known = ["<unk>", "<s>", "</s>", *sorted(set(re.findall(r"\w+|[^\w\s]+", texts)))]
    vocabulary = {word: n for n, word in enumerate(known + [f"<{n}>" for n in range(WORDS - len(known))])}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def write_sets(folder):
    """Pictures of the slice with captions, and pairs with instructions, in the format of `unipose build-data`."""
    rows = load_posest_open_slice("train").select_columns(["image", "box", "pose"])
    poses = torch.tensor(rows["pose"])
    captions = zip(*(caption_poses(poses, seed=seed) for seed in range(3)), strict=True)
    script = rows.add_column("texts", list(captions))
    instructions = zip(*(instruct_pairs(poses, poses.roll(-1, 0), seed=seed) for seed in range(3)), strict=True)
    next_rows = rows.select([*range(1, len(rows)), 0])
    sides = [
        half.rename_columns({key: f"{key}_{x}" for key in half.features})
        for half, x in ((rows, "a"), (next_rows, "b"))
    ]
    diff = concatenate_datasets(sides, axis=1).add_column("texts", list(instructions))
    for name, table in (("script", script), ("diff", diff)):
        SETS[name] = str(Path(folder) / name)
        table.to_parquet(Path(folder) / name / "train.parquet")


def samples_of(stage, model, processor, rows):
    samples = row_samples(list(SETS.values()), stage_tasks(stage), pretraining=stage != "instruction")
    samples = samples.select(torch.randperm(len(samples), generator=torch.Generator().manual_seed(0))[:rows].tolist())
    return add_lengths(add_pose_codes(samples, model.model.pose_tokenizer), processor)


def trainer_of(stage, model, processor, samples, folder, batch, **settings):
    quiet = dict(report_to="none", disable_tqdm=True, save_strategy="no", logging_strategy="no")
    plain = dict(use_cpu=True, bf16=False, gradient_checkpointing=False)
    args = UniPoseSFTConfig(folder, stage=stage, per_device_train_batch_size=batch, **plain, **quiet, **settings)
    return UniPoseTrainer(model, args, samples, processor)


def stage_row(name, make, stage, batch, steps):
    """Runs trainer steps, with separate times for building and training on batches."""
    model, processor = make()
    samples = samples_of(stage, model, processor, batch * (steps + 1))
    making, learning, masks = 0.0, 0.0, []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        trainer = trainer_of(stage, model, processor, samples, folder, batch)
    optimizer = trainer.create_optimizer()
    for number, rows in enumerate(_batched(list(trainer._get_train_sampler()), batch)):
        start = time.process_time()
        collated = trainer.data_collator([samples[row] for row in rows])
        made = time.process_time()
        masks.append(collated["attention_mask"])
        trainer.compute_loss(trainer.model, collated).backward()
        optimizer.step()
        optimizer.zero_grad()
        if number:  # warm-up
            making, learning = making + made - start, learning + time.process_time() - made
    tokens, columns = sum(int(m.sum()) for m in masks[1:]), sum(m.numel() for m in masks[1:])
    spent = making + learning
    speed = f"{batch * steps / spent:.2f} | {tokens / spent:,.0f}"
    return f"| {name} | {stage} | {batch} | {speed} | {1 - tokens / columns:.0%} | {making / spent:.0%} |"


def padding_rows(rows, batch):
    """Share of padding, in random order and with the length-grouped sampler."""
    model, processor = bundled()
    for image_tokens in (processor.num_image_tokens, 576):
        processor.num_image_tokens = image_tokens
        lengths = torch.tensor(samples_of("instruction", model, processor, rows)["length"])
        orders = (torch.randperm(len(lengths)).tolist(), list(LengthGroupedSampler(lengths, batch)))
        columns = [sum(len(part) * int(lengths[part].max()) for part in _batched(order, batch)) for order in orders]
        shares = " | ".join(f"{1 - int(lengths.sum()) / count:.0%}" for count in columns)
        yield f"| {image_tokens} tokens a picture | {shares} | {columns[0] / columns[1]:.2f} |"


def _batched(order, size):
    return [order[n : n + size] for n in range(0, len(order), size)]


def learn(model, batch, labelled_only=True):
    """One forward and backward pass."""
    inputs = {k: v for k, v in batch.items() if k not in ("labels", "shift_labels", "sample_ids", "tasks")}
    labels = batch["shift_labels"]
    kept = labels != -100
    logits = model(**inputs, use_cache=False, logits_to_keep=kept if labelled_only else 0).logits
    expected = labels[kept] if labelled_only else labels
    torch.nn.functional.cross_entropy(logits.flatten(0, -2).float(), expected.flatten()).backward()
    model.zero_grad()


def choice_rows(make, batch):
    """(choice, seconds with it, seconds without it)"""
    model, processor = make()
    set_trainable(model, "alignment")
    coded = [dict(row) for row in samples_of("alignment", model, processor, batch)]
    uncoded = [{key: value for key, value in row.items() if key != "pose_codes"} for row in coded]
    collate = UniPoseCollator(processor, model.model.pose_tokenizer)
    yield (
        "poses tokenized once, not by the collator (a batch made)",
        seconds(lambda: collate(coded), 3),
        seconds(lambda: collate(uncoded), 3),
    )
    texts = collate(coded)
    step = seconds(lambda: learn(model, texts), 2)
    yield (
        "absent pictures not encoded, against two dummies a sample",
        step,
        step + seconds(encode(model, processor, 2 * batch), 1),
    )
    yield "logits of labelled columns alone", step, seconds(lambda: learn(model, texts, labelled_only=False), 2)

    def in_bfloat16():
        with torch.autocast("cpu", torch.bfloat16):
            learn(model, texts)

    yield "bfloat16 by autocast, against float32", seconds(in_bfloat16, 2), step
    layer = model.model.language_model.layers[0]
    yield "Muon, against AdamW (update of one decoder layer)", update(layer, muon=True), update(layer, muon=False)
    whole = update(model, muon=False)
    few = samples_of("alignment", model, processor, 1)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        adapted = trainer_of("alignment", model, processor, few, folder, 1).model
    yield "LoRA, against all weights", seconds(lambda: learn(adapted, texts), 2), step
    yield "LoRA, against all weights (AdamW's update)", update(adapted, muon=False), whole


def encode(model, processor, count):
    """A function that encodes the given number of pictures."""
    pictures = processor.image_processor([Image.new("RGB", (512, 512))] * count, return_tensors="pt")
    needed = {"pose_pixel_values": pictures["pose_pixel_values"]}
    return torch.no_grad()(lambda: model.get_image_features(**needed))


def update(model, muon):
    """Seconds per update of all trained weights, with Muon and AdamW or AdamW alone."""
    groups = muon_groups(model, 0.0)
    parameters = [parameter for group in groups for parameter in group["params"]]
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 1e-3)
    optimizer = MuonWithAdamW(groups, lr=1e-6) if muon else torch.optim.AdamW(parameters, lr=1e-6)
    optimizer.step()  # creates the optimizer states
    spent = seconds(optimizer.step, 2)
    model.zero_grad()
    return spent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8, help="steps of the bundled model; the other model runs two")
    parser.add_argument("--rows", type=int, default=400, help="number of samples to count padding on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("<!-- SPDX-License-Identifier: Apache-2.0 -->", "", *header(), sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        write_sets(folder)
        tables(options)


def tables(options):
    models = {"bundled, 5 M": (bundled, 8, options.steps), "135 M": (middle, 2, 2)}
    print("\n| model | stage | batch | samples/s | tokens/s | padding | time outside the model |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, (make, batch, steps) in models.items():
        for stage in STAGES:
            print(stage_row(name, make, stage, batch, steps), flush=True)
    print("\n| samples of stage 3 in batches of 8 | padding, random order | like lengths together | columns saved |")
    print("| --- | --- | --- | --- |")
    for row in padding_rows(options.rows, 8):
        print(row, flush=True)
    print("\n| choice | " + " | ".join(f"{name}: with | without | ratio" for name in models) + " |")
    print("| --- |" + " --- | --- | --- |" * len(models))
    columns = [choice_rows(make, batch) for make, batch, _ in models.values()]
    for measured in zip(*columns, strict=True):
        cells = [f"{taken:.3f} s | {without:.3f} s | {without / taken:.2f}" for _, taken, without in measured]
        print(f"| {measured[0][0]} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
