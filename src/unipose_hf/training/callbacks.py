# SPDX-License-Identifier: Apache-2.0
"""What a training does when it is told to stop, and how its memory stays within bounds on a processor."""

import ctypes
import signal
import threading

import torch
from transformers import TrainerCallback


class SaveOnInterrupt(TrainerCallback):
    """Ctrl-C ends the training after the step that is running, with a checkpoint; a second one ends it at once."""

    def __init__(self):
        self.interrupted, self._before = False, None

    def on_train_begin(self, args, state, control, **kwargs):
        if threading.current_thread() is threading.main_thread():  # only there may signals be caught
            self._before = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number, frame):
        self.interrupted = True
        signal.signal(signal.SIGINT, self._before)
        print("\nThe training ends after this step, with a checkpoint; Ctrl-C again ends it at once.", flush=True)

    def on_step_end(self, args, state, control, **kwargs):
        if self._anyone(args):
            control.should_save = control.should_training_stop = True
        return control

    def _anyone(self, args):
        """Whether any process was interrupted: one that left while the others go on would keep them waiting."""
        if args.world_size == 1:
            return self.interrupted
        told = torch.tensor(int(self.interrupted), device=args.device)
        torch.distributed.all_reduce(told)
        return bool(told)

    def on_train_end(self, args, state, control, **kwargs):
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


class ReturnFreeMemory(TrainerCallback):
    """
    Gives memory that is free back to the system every few steps of a training on a processor.

    Batches differ in length, and so do their tensors. The allocator of Linux keeps the holes that freed ones leave;
    the next tensors do not fit into all of them, so that its heap grows for hours. Where there is no such allocator
    nothing is done.

    Args:
        every: steps.
    """

    def __init__(self, every: int = 20):
        self.every = every
        try:
            self.trim = ctypes.CDLL(None).malloc_trim
        except (OSError, TypeError, AttributeError):  # glibc's alone
            self.trim = None

    def on_step_end(self, args, state, control, **kwargs):
        if self.trim is not None and args.device.type == "cpu" and state.global_step % self.every == 0:
            self.trim(ctypes.c_size_t(0))
