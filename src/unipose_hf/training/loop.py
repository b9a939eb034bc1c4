# SPDX-License-Identifier: Apache-2.0
"""A training loop that can be killed at any moment and goes on with the same result as an unbroken run.

Everything random in a step is seeded by the run's seed and the step's number, the checkpoint holds weights, optimiser
and step, and it is replaced in one move; so a resumed run repeats the steps after its last checkpoint bit for bit.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from unipose_hf.files.write import replacing
from unipose_hf.modeling.pose_unipose import write_file
from unipose_hf.training.muon import MuonWithAdamW, muon_groups


@dataclass
class LoopArguments:
    """
    Arguments of [`train_loop`].

    steps: optimiser steps of this stage.
    learning_rate: peak of the schedule of AdamW and of Muon: linear warm-up, then cosine decay.
    final_share: what is left of the peak at the end.
    warmup_steps: steps of the warm-up.
    weight_decay: on matrices only.
    max_grad_norm: gradients are clipped to this norm.
    checkpoint_seconds: time between checkpoints.
    log_every: steps between lines of the log, which hold means over those steps.
    seed: of everything random in the stage.
    """

    steps: int
    learning_rate: float
    final_share: float = 0.05
    warmup_steps: int = 100
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    checkpoint_seconds: float = 120.0
    log_every: int = 50
    seed: int = 0


def learning_rate_at(step: int, arguments: LoopArguments) -> float:
    warmup = min(1.0, (step + 1) / max(1, arguments.warmup_steps))
    progress = min(1.0, step / max(1, arguments.steps))
    left = arguments.final_share
    return arguments.learning_rate * warmup * (left + (1 - left) * 0.5 * (1 + math.cos(math.pi * progress)))


def atomic_save(state, path: Path) -> None:
    """`torch.save` that leaves either the old file or the whole new one."""
    with replacing(path) as part:
        torch.save(state, part)


def train_loop(
    name: str,
    model: nn.Module,
    step_losses: Callable[[int, torch.Generator], dict[str, torch.Tensor]],
    arguments: LoopArguments,
    folder: str | Path,
    stop_at: int | None = None,
) -> None:
    """Trains every parameter of `model` that requires a gradient; resumes from `folder/{name}.pt` if it is there.

    `step_losses(step, generator)` returns named scalars; the one called "loss" is minimised, and it may already have
    been back-propagated in parts (then it needs no gradient itself). Lines of JSON go to `folder/{name}.jsonl`.
    `stop_at` ends early after that many steps, with a checkpoint.

    Raises:
        FloatingPointError: the loss is not finite; the last checkpoint is untouched.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, log_file = folder / f"{name}.pt", folder / f"{name}.jsonl"
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = MuonWithAdamW(muon_groups(model, arguments.weight_decay), arguments.learning_rate)
    start, seconds = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start, seconds = state["step"], state["seconds"]
    log = [line for line in _read_lines(log_file) if line["step"] <= start]
    began = saved = time.monotonic()
    sums: dict[str, list[float]] = {}

    def save(step):
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
        atomic_save(state | {"seconds": seconds + time.monotonic() - began}, checkpoint)
        write_file(log_file, "".join(json.dumps(line) + "\n" for line in log).encode())

    end = min(arguments.steps, stop_at or arguments.steps)
    for step in range(start, end):
        seed = arguments.seed * 1_000_003 + step
        torch.manual_seed(seed)
        optimizer.zero_grad(set_to_none=True)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, arguments)
        losses = step_losses(step, torch.Generator().manual_seed(seed))
        if not torch.isfinite(losses["loss"]):
            raise FloatingPointError(f"The loss of step {step} of {name} is not finite; resume with a lower rate.")
        if losses["loss"].requires_grad:
            losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(parameters, arguments.max_grad_norm)
        optimizer.step()
        for key, value in (losses | {"grad_norm": norm}).items():
            sums.setdefault(key, []).append(float(value.detach()))
        if (step + 1) % arguments.log_every == 0 or step + 1 == end:
            line = {"step": step + 1, "seconds": round(seconds + time.monotonic() - began, 1)}
            line |= {key: round(sum(values) / len(values), 5) for key, values in sums.items()}
            log.append(line)
            sums.clear()
            print(f"{name} {step + 1}/{arguments.steps} " + json.dumps(line), flush=True)
        if time.monotonic() - saved > arguments.checkpoint_seconds and step + 1 < end and not sums:
            save(step + 1)  # only where the log's means end, so that a resumed run logs the same lines
            saved = time.monotonic()
    if end > start:
        save(end)


def _read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
