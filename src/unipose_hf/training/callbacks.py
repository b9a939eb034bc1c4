# SPDX-License-Identifier: Apache-2.0
"""What a training does when it is told to stop."""

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
