# SPDX-License-Identifier: Apache-2.0
"""Free memory is released in every CPU training."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from test_custom_losses import TRAINERS
from unipose_hf.training.callbacks import ReturnFreeMemory

STATUS = Path("/proc/self/status")


def resident() -> float:
    """MB."""
    return int(STATUS.read_text().split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.skipif(not STATUS.exists() or ReturnFreeMemory().trim is None, reason="this is about Linux's glibc")
def test_holes_are_given_back_every_few_steps_on_a_processor():
    blocks = [torch.zeros(25_000) for _ in range(1600)]  # 100 kB each
    kept = blocks[::2]  # keeps the holes apart
    del blocks
    full = resident()
    callback = ReturnFreeMemory(every=10)

    def step(number, device="cpu"):
        callback.on_step_end(SimpleNamespace(device=torch.device(device)), SimpleNamespace(global_step=number), None)
        return resident()

    assert step(9) > full - 10 and step(10, "cuda") > full - 10
    assert step(10) < full - 60
    assert len(kept) == 800


@pytest.mark.parametrize("name", TRAINERS)
def test_every_trainer_does_so(name, tmp_path):
    callbacks = TRAINERS[name](tmp_path, 4, 1).callback_handler.callbacks
    assert sum(isinstance(callback, ReturnFreeMemory) for callback in callbacks) == 1


def test_other_allocators_are_left_alone(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace())
    callback = ReturnFreeMemory(every=1)
    callback.on_step_end(SimpleNamespace(device=torch.device("cpu")), SimpleNamespace(global_step=1), None)
