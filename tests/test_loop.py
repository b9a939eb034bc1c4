# SPDX-License-Identifier: Apache-2.0
"""The training loop survives being killed and goes on as if nothing had happened."""

import json
import math

import pytest
import torch
from torch import nn

from unipose_hf.training.loop import LoopArguments, learning_rate_at, train_loop

ARGUMENTS = LoopArguments(steps=6, learning_rate=1e-2, warmup_steps=2, checkpoint_seconds=0, log_every=2, seed=3)


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 4))
        self.bias = nn.Parameter(torch.zeros(4))


def line_losses(model):
    def step_losses(step, generator):
        x = torch.randn(8, 4, generator=generator)
        noise = 0.1 * torch.randn(8, 4)  # of the global generator, which a resumed run must find as it was
        return {"loss": (x @ model.weight + model.bias - x.flip(1) + noise).square().mean()}

    return step_losses


def run(folder, stop_at=None):
    model = Line()
    train_loop("line", model, line_losses(model), ARGUMENTS, folder, stop_at=stop_at)
    return model


def test_a_run_that_is_stopped_and_resumed_ends_as_an_unbroken_one(tmp_path):
    whole = run(tmp_path / "whole")
    for stop_at in (2, 4, None):
        broken = run(tmp_path / "broken", stop_at)
    assert torch.equal(whole.weight, broken.weight) and torch.equal(whole.bias, broken.bias)
    steps = [json.loads(line)["step"] for line in (tmp_path / "broken/line.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6]


def test_a_run_killed_between_checkpoints_repeats_the_lost_steps(tmp_path):
    whole = run(tmp_path / "whole")
    model = Line()
    losses = line_losses(model)

    def killed(step, generator):
        if step == 5:
            raise KeyboardInterrupt
        return losses(step, generator)

    with pytest.raises(KeyboardInterrupt):
        train_loop("line", model, killed, ARGUMENTS, tmp_path / "broken")
    assert torch.load(tmp_path / "broken/line.pt", weights_only=True)["step"] == 4
    assert not list((tmp_path / "broken").glob("*.part"))
    assert torch.equal(run(tmp_path / "broken").weight, whole.weight)


def test_a_finished_run_is_left_as_it_is(tmp_path):
    first = run(tmp_path)
    assert torch.equal(run(tmp_path).weight, first.weight)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    model = Line()
    train_loop("line", model, line_losses(model), ARGUMENTS, tmp_path, stop_at=2)
    with pytest.raises(FloatingPointError, match="step 2 of line"):
        train_loop("line", model, lambda *_: {"loss": model.weight.sum() * math.nan}, ARGUMENTS, tmp_path)
    assert torch.load(tmp_path / "line.pt", weights_only=True)["step"] == 2


def test_learning_rate_warms_up_and_decays():
    arguments = LoopArguments(steps=100, learning_rate=1.0, warmup_steps=10)
    rates = [learning_rate_at(step, arguments) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(rates[9], abs=0.05)
    assert rates[-1] == pytest.approx(0.05, abs=0.01) and rates[10:] == sorted(rates[10:], reverse=True)
