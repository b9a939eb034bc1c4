# SPDX-License-Identifier: Apache-2.0
"""Measures memory growth in a long CPU training, with and without releasing free memory; prints a table.

    python examples/benchmarks/training_growth.py                          # two trainings of 2,000 steps
    python examples/benchmarks/training_growth.py --bundled --steps 40     # the bundled model, in batches of 16

By default, trains a tiny model on batches of varying length, with texts and poses built once. Each training runs in a
separate process. For every tenth of the steps, the table shows the peak resident memory (the kernel's high-water mark,
reset each time) and, after the last step, the resident memory, the memory allocated (`in use`) and the free memory
held by the allocator (`holes`). Linux with glibc only.
"""

import argparse
import ctypes
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from captions import header  # next to this file
from datasets import Dataset
from transformers import TrainerCallback

from unipose_hf.auto import BUNDLED_CHECKPOINT
from unipose_hf.captions import caption_poses
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.modeling.configuration_unipose import PoseTokenizerConfig, UniPoseConfig
from unipose_hf.modeling.image_processing_unipose import UniPoseImageProcessor
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.modeling.processing_unipose import TASKS, UniPoseProcessor
from unipose_hf.training.arguments import UniPoseSFTConfig
from unipose_hf.training.callbacks import ReturnFreeMemory
from unipose_hf.training.open_samples import open_samples
from unipose_hf.training.text_tokenizer import train_text_tokenizer
from unipose_hf.training.trainer import UniPoseTrainer

MB, MADE = 1 << 20, 384
SHARES = {"text-to-pose": 1, "pose-editing": 1, "pose-to-text": 1, "pose-diff": 1}
COLUMNS = ("steps", "peak MB", "resident", "in use", "holes", "processor seconds")
TINY_POSES = dict(hidden_size=8, code_dim=4, codebook_size=16, encoder_lengths=[8], decoder_lengths=[22])
TINY = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=4)


class Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


class Watch(TrainerCallback):
    """Periodically prints step, peak, resident, in use and holes in MB, and seconds."""

    def __init__(self, every):
        self.every, self.began = every, time.process_time()
        self.mallinfo = ctypes.CDLL(None).mallinfo2
        self.mallinfo.restype = Mallinfo

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % self.every == 0:
            status = Path("/proc/self/status").read_text()
            peak, resident = (int(status.split(f"{name}:")[1].split()[0]) / 1024 for name in ("VmHWM", "VmRSS"))
            info = self.mallinfo()
            figures = (peak, resident, (info.uordblks + info.hblkhd) / MB, info.fordblks / MB)
            seconds = time.process_time() - self.began
            print(state.global_step, *(round(figure) for figure in (*figures, seconds)), flush=True)
            Path("/proc/self/clear_refs").write_text("5")


def tiny_model() -> tuple[UniPoseForConditionalGeneration, UniPoseProcessor]:
    """One layer of 32 channels, 8 codes out of 16, and 400 words."""
    texts = [
        *caption_poses(load_open_poses("test").axis_angle[:200], seed=0),
        *(task.prompt for task in TASKS.values()),
    ]
    tokenizer = train_text_tokenizer(texts, 400, TINY_POSES["codebook_size"])
    processor = UniPoseProcessor(UniPoseImageProcessor(), tokenizer, num_codes=8)
    text = dict(model_type="llama", vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=1, eos_token_id=2, **TINY)
    poses = PoseTokenizerConfig(codes_per_position=2, **TINY_POSES)
    config = UniPoseConfig(
        text_config=text, vision_config=None, pose_vision_config=None, pose_config=poses, **processor.token_ids()
    )
    return UniPoseForConditionalGeneration(config), processor


def train(steps: int, bundled: bool, give_back: bool) -> None:
    """Runs one training and prints its rows."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if bundled:
        model = UniPoseForConditionalGeneration.from_pretrained(BUNDLED_CHECKPOINT)
        processor = UniPoseProcessor.from_pretrained(BUNDLED_CHECKPOINT)
    else:
        model, processor = tiny_model()
    rows, made = (16, 16 * steps) if bundled else (8, MADE)
    samples = open_samples(made, SHARES, model.model.pose_tokenizer, block=rows, poses=1024)
    if not bundled:
        columns = samples[:]

        def again(numbers):
            return {key: [column[n % MADE] for n in numbers["number"]] for key, column in columns.items()}

        samples = Dataset.from_dict({"number": range(steps * rows)}).with_transform(again)
    with tempfile.TemporaryDirectory() as folder:
        args = UniPoseSFTConfig(
            folder,
            stage="alignment",
            max_steps=steps,
            per_device_train_batch_size=rows,
            train_sampling_strategy="sequential",
            use_lora=False,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            disable_tqdm=True,
            logging_steps=50,
            save_strategy="no",
        )
        trainer = UniPoseTrainer(model, args, samples, processor)
        if not give_back:
            trainer.remove_callback(ReturnFreeMemory)
        trainer.add_callback(Watch(steps // 10))
        trainer.train()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument(
        "--bundled", action="store_true", help="use the bundled model, with texts and poses built on the fly"
    )
    parser.add_argument("--only", choices=["kept", "given back"], help="run only this training, without a table")
    options = parser.parse_args()
    if options.only:
        return train(options.steps, options.bundled, options.only == "given back")
    print("<!-- SPDX-License-Identifier: Apache-2.0 -->", "", *header(), sep="\n")
    for ways in ("kept", "given back"):
        command = [sys.executable, __file__, "--steps", str(options.steps), "--only", ways]
        command += ["--bundled"] * options.bundled
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        lines = [line.split() for line in said.splitlines() if line[:1].isdigit()]
        print(
            f"\nFree memory {ways}:\n", "| steps | peak MB | resident | in use | holes | processor seconds |", sep="\n"
        )
        print("|" + " --- |" * 6, *(f"| {' | '.join(line)} |" for line in lines), sep="\n", flush=True)


if __name__ == "__main__":
    main()
