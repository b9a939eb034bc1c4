# SPDX-License-Identifier: Apache-2.0
"""Two processes give the same result as one on the same batches, replicated or sharded."""

import pytest
import torch
from safetensors.torch import load_file

from distributed_runs import PROCESSES, SETTINGS, train, train_as
from forked import run_distributed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the runs of two processes and of one."""
    folder = tmp_path_factory.mktemp("runs")
    run_distributed(train_as, folder, PROCESSES)
    for name, settings in SETTINGS.items():
        train(folder / f"one {name}", 1, **settings)
    return folder


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("way", ["ddp", "fsdp2"])
def test_two_processes_are_as_good_as_one(folder, way, name):
    one, two = folder / f"one {name}", folder / f"{way} {name}"
    losses = torch.load(one / "losses.pt")
    assert torch.load(two / "losses.pt") == pytest.approx(losses, abs=1e-5) and len(losses) == 4
    expected, found = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert found.keys() == expected.keys()
    start = load_file(one / "start" / "model.safetensors")
    for key, tensor in expected.items():
        assert torch.allclose(found[key], tensor, atol=1e-5), key
    assert any(not torch.equal(expected[key], start[key]) for key in start if "projector" in key)
