# SPDX-License-Identifier: Apache-2.0
"""Times pose generation, the pose tokenizer and imports on one thread; prints a markdown table.

    python examples/benchmarks/generation.py                        # about five minutes and 3 GB of memory
    python examples/benchmarks/generation.py --only answers tokenizer --batches 1

Reports CPU time, the best of several rounds, to reduce the effect of other processes. Each figure is shown with its
limiting factor: the number of language model passes, the floating-point operations counted by torch and their rate, or
the bytes of weights read. The first rows are the peak rates of the machine for comparison.
"""

import argparse
import functools
import os
import subprocess
import sys

import torch
from captions import header, seconds  # next to this file
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaForCausalLM, LogitsProcessor, LogitsProcessorList, pipeline

import unipose_hf  # noqa: F401  registers the pipelines
from unipose_hf.cli.demo import PHOTO
from unipose_hf.modeling.configuration_unipose import PoseTokenizerConfig, UniPoseConfig
from unipose_hf.modeling.image_processing_unipose import UniPoseImageProcessor, load_picture
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix

GIGA = 1e9
PROMPT = 26
# 63 million parameters on the published vocabulary
LANGUAGE_MODEL = {
    "model_type": "llama",
    "vocab_size": 34132,
    "hidden_size": 512,
    "intermediate_size": 1600,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
}
# Encoders of CLIP ViT-B/32 and ViTPose-S size
GENERAL_ENCODER = {
    "model_type": "clip_vision_model",
    "image_size": 224,
    "patch_size": 32,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}
POSE_ENCODER = {
    "model_type": "vitpose_backbone",
    "image_size": [256, 192],
    "patch_size": [16, 16],
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
}
# The published answer format: a space, 82 pose tokens, a full stop, a space, EOS
SPACE, STOP, END = 28705, 842, 2
ANSWER = 86


class Forced(LogitsProcessor):
    """Forces an answer in the published format, regardless of the untrained model's logits."""

    def __init__(self, start):
        self.tokens = {0: SPACE, 1: start, ANSWER - 3: STOP, ANSWER - 2: SPACE, ANSWER - 1: END}

    def __call__(self, input_ids, scores):
        token = self.tokens.get(input_ids.shape[1] - PROMPT)
        if token is not None:
            scores[:] = -torch.inf
            scores[:, token] = 0
        return scores


def untrained(dtype=torch.float32, vision_config=None, pose_vision_config=None):
    config = UniPoseConfig(
        text_config=LANGUAGE_MODEL, vision_config=vision_config, pose_vision_config=pose_vision_config
    )
    return UniPoseForConditionalGeneration(config).eval().to(dtype)


def counted(work, module=None):
    """GFLOP of a function, and how often it ran a module."""
    runs = []
    hook = module.register_forward_pre_hook(lambda *_: runs.append(1)) if module is not None else None
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    if hook is not None:
        hook.remove()
    return counter.get_total_flops() / GIGA, len(runs)


def machine(batches):
    """Peak rates of the machine, as reached by torch."""
    for dtype in (torch.float32, torch.bfloat16):
        a, b = torch.randn(2, 2048, 2048).to(dtype)
        spent = seconds(functools.partial(torch.mm, a, b), 10)
        yield f"matrix product, {name(dtype)}", f"{2 * 2048**3 / spent / GIGA:.0f} GFLOP/s", ""
    rows, weight = torch.randn(32, 1, 80, 512).permute(0, 3, 1, 2), torch.randn(512, 512, 1, 3)
    spent = seconds(lambda: torch.conv2d(rows, weight, padding=(0, 1)), 10)
    work = 2 * 32 * 80 * 512 * 512 * 3
    yield "convolution, float32, channels last", f"{work / spent / GIGA:.0f} GFLOP/s", ""
    vector, matrix = torch.randn(8192), torch.randn(8192, 8192)
    spent = seconds(functools.partial(torch.mv, matrix, vector), 10)
    yield "matrix times vector, float32", f"{matrix.nbytes / spent / GIGA:.0f} GB/s", ""


def answers(batches):
    """One text-to-pose answer of the 63M language model, with each decoding method."""
    for dtype in (torch.float32, torch.bfloat16):
        model = untrained(dtype)
        plain = LlamaForCausalLM(model.config.text_config).eval().to(dtype)
        weights = {f"model.{name}": value for name, value in model.model.language_model.state_dict().items()}
        plain.load_state_dict(weights | {"lm_head.weight": model.lm_head.weight})
        size = sum(parameter.nbytes for parameter in plain.parameters()) / GIGA
        for batch in batches:
            for way, module, work in ways(model, plain, batch):
                operations, runs = counted(work, module)
                spent = seconds(work, rounds(batch))
                limit = (
                    f"{forwards(runs)}, {operations / batch:.1f} GFLOP a sample at {operations / spent:.0f} GFLOP/s"
                )
                if module is plain.model:
                    limit += f", weights read at {runs * size / spent:.1f} GB/s"
                what = f"text-to-pose, {name(dtype)}, batch {batch}, {way}"
                yield what, f"{1000 * spent / batch:.0f} ms a sample", limit


def ways(model, plain, batch):
    """(name, language model, function) of each decoding method."""
    ids = torch.randint(3, 30_000, (batch, PROMPT), generator=torch.Generator().manual_seed(0))
    whole = {
        "attention_mask": torch.ones_like(ids),
        "max_new_tokens": ANSWER,
        "do_sample": False,
        "pad_token_id": END,
        "logits_processor": LogitsProcessorList([Forced(model.config.pose_start_token_id)]),
    }
    ours = model.model.language_model
    yield "the pose alone, `generate_pose`", ours, lambda: model.generate_pose(ids)
    yield "`generate`, the pose in one step", ours, lambda: model.generate(ids, **whole)
    yield "token by token", plain.model, lambda: plain.generate(ids, min_new_tokens=ANSWER, **whole)


def forwards(runs):
    return f"{runs} forward{'s' * (runs > 1)}"


def rounds(batch):
    return 3 if batch == 1 else 1  # after the one in which operations are counted


def images(batches):
    """Image-to-pose, end to end except for decoding the picture."""
    picture = load_picture(PHOTO)
    estimate = pipeline("image-to-pose")
    model = untrained(vision_config=GENERAL_ENCODER, pose_vision_config=POSE_ENCODER)
    views = UniPoseImageProcessor(general_size=224, pose_size=(256, 192), pose_view="crop")

    def answer(batch):
        rows = torch.full((batch, PROMPT + model.config.image_seq_length), model.config.image_token_id)
        rows[:, :PROMPT] = torch.arange(100, 100 + PROMPT)
        model.generate_pose(rows, **views([picture] * batch, return_tensors="pt"))

    ways = {
        "the bundled pipeline": (estimate.model, lambda batch: estimate([picture] * batch, batch_size=batch)),
        "ViT-B/32, ViTPose-S and 63M, untrained": (model, answer),
    }
    for way, (model_of_way, work) in ways.items():
        for batch in batches:
            job = functools.partial(work, batch)
            operations, runs = counted(job, model_of_way.model.language_model)
            spent = seconds(job, rounds(batch))
            limit = f"{forwards(runs)}, {operations / batch:.1f} GFLOP a picture at {operations / spent:.0f} GFLOP/s"
            yield f"image-to-pose, batch {batch}, {way}", f"{batch / spent:.1f} images/s", limit


@torch.no_grad()
def tokenizer(batches):
    """The pose tokenizer at its published size, 256 poses at once."""
    model = PoseTokenizerModel(PoseTokenizerConfig()).eval()
    generator = torch.Generator().manual_seed(0)
    rotations = axis_angle_to_matrix(torch.randn(256, 22, 3, generator=generator))
    model.quantizer.codebook.normal_(generator=generator)
    codes = torch.randint(2048, (256, 80), generator=generator)
    for what, work in (("encode", lambda: model.encode(rotations)), ("decode", lambda: model.decode(codes))):
        operations, _ = counted(work)
        spent = seconds(work, 5)
        limit = f"{operations / 256:.2f} GFLOP a pose at {operations / spent:.0f} GFLOP/s"
        yield f"pose tokenizer, batch 256, {what}", f"{256 / spent:.0f} poses/s", limit


def imports(batches):
    """In fresh interpreters."""
    works = {
        "import of a model of transformers": "from transformers import LlavaForConditionalGeneration",
        "import unipose_hf": "import unipose_hf",
        "import unipose_hf and its model": "from unipose_hf import UniPoseForConditionalGeneration",
        "import, load the bundled model, first pipeline call": (
            "import unipose_hf; from transformers import pipeline; "
            f"pipeline('image-to-pose')({str(PHOTO)!r}, batch_size=1)"
        ),
    }
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    for what, code in works.items():
        code += "; import sys, time; print(len(sys.modules), time.process_time())"
        runs = []
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
            )
            modules, spent = done.stdout.split()[-2:]
            runs.append(float(spent))
        yield what, f"{min(runs):.1f} s", f"{modules} modules"


def name(dtype):
    return str(dtype).removeprefix("torch.")


def main():
    groups = {group.__name__: group for group in (machine, answers, images, tokenizer, imports)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=groups, default=list(groups), help="these lines")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8, 32], help="samples at once")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(*header(), "", "| what | figure | what limits it |", "| --- | --- | --- |", sep="\n", flush=True)
    for group in options.only:
        for row in groups[group](options.batches):
            print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
