# SPDX-License-Identifier: Apache-2.0
"""Muon with AdamW: same steps as the separate optimizers, exact after loading, one schedule."""

import copy

import pytest
import torch
from torch import nn
from transformers import get_cosine_schedule_with_warmup

from unipose_hf.training.experimental.muon import MuonWithAdamW, muon_groups


class Model(nn.Module):
    """An embedding, a linear layer within, a norm, and an output layer that is not Muon's."""

    def __init__(self):
        super().__init__()
        self.embedding, self.linear = nn.Embedding(8, 6), nn.Linear(6, 6)
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 8)
        self.frozen = nn.Linear(6, 6).requires_grad_(False)

    def get_output_embeddings(self):
        return self.head

    def forward(self, ids):
        return self.head(self.norm(self.linear(self.embedding(ids))))


def new_model():
    torch.manual_seed(0)
    return Model()


def train(model, optimizers, steps, schedulers=(), start=0):
    for step in range(start, start + steps):
        ids = torch.randint(8, (16,), generator=torch.Generator().manual_seed(step))
        nn.functional.cross_entropy(model(ids), (ids * 3 + 1) % 8).backward()
        for part in (*optimizers, *schedulers):
            part.step()
        for optimizer in optimizers:
            optimizer.zero_grad()


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_groups_share_out_the_trained_parameters_and_spare_the_output_layer():
    model = new_model()
    muon, matrices, vectors = muon_groups(model, 0.1)
    assert [id(p) for p in muon["params"]] == [id(model.linear.weight)]
    assert {id(p) for p in matrices["params"]} == {id(model.embedding.weight), id(model.head.weight)}
    assert {id(p) for p in vectors["params"]} == {id(p) for p in model.parameters() if p.ndim == 1 and p.requires_grad}
    assert vectors["weight_decay"] == 0 and muon["weight_decay"] == matrices["weight_decay"] == 0.1


def test_a_step_is_that_of_the_two_optimisers():
    one, two = new_model(), new_model()
    muon, *others = muon_groups(two, 0.1)
    parts = [
        torch.optim.Muon(muon["params"], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=1e-2, betas=(0.9, 0.99)),
    ]
    train(one, [MuonWithAdamW(muon_groups(one, 0.1), 1e-2)], 5)
    train(two, parts, 5)
    assert torch.equal(one.norm.weight, two.norm.weight) or torch.allclose(one.norm.weight, two.norm.weight, atol=1e-3)
    moved = (two.linear.weight - new_model().linear.weight).norm()
    assert (one.linear.weight - two.linear.weight).norm() < 0.05 * moved  # torch's iteration is in bfloat16
    for name, weight in one.state_dict().items():
        assert torch.allclose(weight, two.state_dict()[name], atol=2e-3), name
    assert not same(one, new_model())


@pytest.mark.parametrize("way", ["file", "copy"])
def test_a_loaded_optimiser_goes_on_exactly(way, tmp_path):
    def start(model):
        optimizer = MuonWithAdamW(muon_groups(model, 0.1), 1e-2)
        return optimizer, get_cosine_schedule_with_warmup(optimizer, 3, 20)

    model = new_model()
    optimizer, scheduler = start(model)
    train(model, [optimizer], 6, [scheduler])
    if way == "file":
        torch.save([part.state_dict() for part in (model, optimizer, scheduler)], tmp_path / "state.pt")
        other = Model()
        parts = (other, *start(other))
        for part, state in zip(parts, torch.load(tmp_path / "state.pt", weights_only=True), strict=True):
            part.load_state_dict(state)
    else:
        parts = copy.deepcopy((model, optimizer, scheduler))
    train(model, [optimizer], 6, [scheduler], start=6)
    train(parts[0], [parts[1]], 6, [parts[2]], start=6)
    assert same(model, parts[0])


def test_a_schedule_rules_both_parts():
    model = new_model()
    optimizer = MuonWithAdamW(muon_groups(model, 0.0), 1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0 if step else 1.0)
    train(model, [optimizer], 1, [scheduler])
    before = copy.deepcopy(model)
    train(model, [optimizer], 1, start=1)
    assert same(model, before) and not same(model, new_model())


def test_a_model_without_linear_layers_is_adamws():
    model = nn.Conv1d(3, 3, 1)
    optimizer = MuonWithAdamW(muon_groups(model, 0.1), 1e-2)
    model(torch.ones(1, 3, 2)).sum().backward()
    before = model.weight.clone()
    optimizer.step()
    assert not torch.equal(model.weight, before)
