# SPDX-License-Identifier: Apache-2.0
"""Callbacks that save a checkpoint on Ctrl-C and keep memory bounded on a CPU."""

import ctypes
import signal
import threading
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class SaveOnInterrupt(TrainerCallback):
    """On Ctrl-C, stops after the current step and saves a checkpoint; a second Ctrl-C stops immediately."""

    def __init__(self):
        self.interrupted, self._before = False, None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if threading.current_thread() is threading.main_thread():  # signals can only be caught there
            self._before = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number, frame):
        self.interrupted = True
        signal.signal(signal.SIGINT, self._before)
        print(
            "\nTraining will stop after this step and save a checkpoint; press Ctrl-C again to stop immediately.",
            flush=True,
        )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if self._anyone(args):
            control.should_save = control.should_training_stop = True
        return control

    def _anyone(self, args):
        """Whether any process was interrupted: all must stop together, or the others would wait forever."""
        if args.world_size == 1:
            return self.interrupted
        interrupted = torch.tensor(int(self.interrupted), device=args.device)
        torch.distributed.all_reduce(interrupted)
        return bool(interrupted)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


class ReturnFreeMemory(TrainerCallback):
    """
    Returns free memory to the system every few steps of training on a CPU.

    Batches and their tensors vary in length. glibc's allocator keeps the gaps left by freed tensors, into which later
    tensors may not fit, so the heap grows for hours. Does nothing with other allocators.

    Args:
        every: number of steps between two releases.
    """

    def __init__(self, every: int = 20):
        self.every = every
        try:
            self.trim = ctypes.CDLL(None).malloc_trim
        except (OSError, TypeError, AttributeError):  # only glibc has it
            self.trim = None

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.trim is not None and args.device.type == "cpu" and state.global_step % self.every == 0:
            self.trim(ctypes.c_size_t(0))
