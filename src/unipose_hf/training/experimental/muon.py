# SPDX-License-Identifier: Apache-2.0
"""Muon for the linear layers within a model, AdamW for the rest, as one optimiser (kellerjordan.github.io/posts/muon).

With the scaling of Liu et al. 2025 (https://arxiv.org/abs/2502.16982), one learning rate fits both. Models learnt to
read prompts several times faster than with AdamW alone: after 14,000 rows of text-to-pose, 66 % of the stated codes
instead of 41 %. [`MuonByArgument`] adds it to a transformers trainer.
"""

import torch
from torch import nn


def muon_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """All trainable parameters in groups for [`MuonWithAdamW`]; vectors have no weight decay.

    Muon gets the matrices of the linear layers except the output layer; AdamW gets embeddings, convolutions, norms and
    biases.
    """
    head = getattr(model, "get_output_embeddings", lambda: None)()
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear) and m is not head}
    trained = [p for p in model.parameters() if p.requires_grad]
    others = [p for p in trained if id(p) not in linear]
    groups = [
        {"params": [p for p in trained if id(p) in linear], "muon": True, "weight_decay": weight_decay},
        {"params": [p for p in others if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


class Muon(torch.optim.Muon):
    """torch's Muon, but on a CPU in float32: its bfloat16 takes several times as long where that is emulated."""

    @torch.no_grad()
    def step(self, closure=None):
        if any(p.device.type != "cpu" for group in self.param_groups for p in group["params"]):
            return super().step(closure)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                momentum = self.state[param].setdefault("momentum_buffer", torch.zeros_like(param.grad))
                momentum.lerp_(param.grad, 1 - group["momentum"])
                update = param.grad.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
                update = orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
                param.mul_(1 - group["lr"] * group["weight_decay"])
                param.add_(update, alpha=-0.2 * group["lr"] * max(param.shape) ** 0.5)  # "match_rms_adamw"
        return loss


def orthogonalized(matrix: torch.Tensor, coefficients: tuple[float, float, float], steps: int, eps: float):
    """The matrix with singular values near 1, by Newton-Schulz iteration in float32."""
    a, b, c = coefficients
    update = matrix.float().T if len(matrix) > matrix.shape[1] else matrix.float()
    update = update / update.norm().clamp(min=eps)
    for _ in range(steps):
        gram = update @ update.T
        update = torch.addmm(update, torch.addmm(gram, gram, gram, beta=b, alpha=c), update, beta=a)
    return update.T if len(matrix) > matrix.shape[1] else update


class MuonWithAdamW(torch.optim.Optimizer):
    """
    Muon on the groups with `"muon": True`, AdamW on the others; schedulers and checkpoints see one optimiser.

    Args:
        params: parameters or parameter groups, as for every optimiser. Muon's must be whole matrices, not sharded over
            processes.
        lr: peak learning rate of both.
        betas: betas of AdamW.
        weight_decay: for groups without their own.
    """

    def __init__(self, params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.01):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "muon": False})

    def add_param_group(self, param_group: dict) -> None:
        super().add_param_group(param_group)
        self._split()

    def __setstate__(self, state: dict) -> None:  # also called by load_state_dict, with new groups and states
        super().__setstate__(state)
        self._split()

    def _split(self):
        """Both optimisers share the groups and states of this one."""
        muon = [group for group in self.param_groups if group["muon"]]
        adamw = [group for group in self.param_groups if not group["muon"]]
        self._parts = [Muon(muon, adjust_lr_fn="match_rms_adamw")] if muon else []
        self._parts += [torch.optim.AdamW(adamw)] if adamw else []
        for part in self._parts:
            part.state = self.state
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss


class MuonByArgument:
    """Mixin; put it before a `transformers.Trainer` in the bases of a class whose arguments have `use_muon`."""

    def create_optimizer(self, model=None):
        if self.optimizer is None and self.args.use_muon:
            if self.is_fsdp_enabled or self.is_deepspeed_enabled:
                raise ValueError(
                    "Muon needs whole matrices, but FSDP and DeepSpeed shard them; leave out use_muon, or train with "
                    "the whole model on every GPU (DDP)."
                )
            groups = muon_groups(self.model if model is None else model, self.args.weight_decay)
            if rate := getattr(self.args, "table_learning_rate", None):
                groups = [group if group.get("muon") else group | {"lr": rate} for group in groups]
            betas = (self.args.adam_beta1, self.args.adam_beta2)
            self.optimizer = MuonWithAdamW(groups, self.args.learning_rate, betas)
        return super().create_optimizer(model)
