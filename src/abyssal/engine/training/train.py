"""The training loop: AdamW on one processor, and experts kept equally busy without an extra loss.

The correction bias of each router moves by a fixed step after every batch, up for experts that had less
than their share of tokens and down for those that had more (DeepSeek-V3 report, section 2.1.2). It rests
while the learning rate falls, so that the last steps train the routing that is kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import DeepseekV3ForCausalLM
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter

from abyssal.engine.training.windows import Batch


@dataclass(frozen=True)
class Plan:
    """How long and how fast. A step sees `rows` windows of `length` tokens."""

    steps: int = 3600
    rows: int = 2
    length: int = 512
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    warm_up: int = 100
    fall_from: float = 0.5  # the learning rate falls to zero over the rest
    bias_step: float = 0.003
    seed: int = 20261121


@dataclass(frozen=True)
class Progress:
    """Where training is; `loss` is the weighted mean of the last steps in nats per token."""

    step: int
    loss: float
    tokens_per_second: float
    busiest_expert: float  # share of the busiest expert over the mean share, worst layer


def train(
    model: DeepseekV3ForCausalLM,
    batches: Iterator[Batch],
    plan: Plan,
    tell: Callable[[Progress], None],
    every: int = 100,
) -> None:
    """Train `model` in place; `tell` is called each `every` steps."""
    model.train()
    # One product over all experts instead of a loop over them; the same sums.
    model.set_experts_implementation("grouped_mm")
    optimizer = torch.optim.AdamW(_groups(model, plan.weight_decay), lr=plan.learning_rate, betas=(0.9, 0.95))
    balance = _Balance(model)
    loss_sum, seen, began = 0.0, 0, time.monotonic()
    for step in range(1, plan.steps + 1):
        batch = next(batches)
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * _rate(step, plan)
        loss = weighted_loss(model, batch, batch.weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        busiest = balance.move(plan.bias_step if step < plan.steps * plan.fall_from else 0.0)
        loss_sum, seen = loss_sum + loss.item(), seen + batch.ids.numel()
        if step % every == 0 or step == plan.steps:
            steps = (step - 1) % every + 1
            tell(Progress(step, loss_sum / steps, seen / (time.monotonic() - began), busiest))
            loss_sum = 0.0
    balance.close()
    model.eval()


def weighted_loss(model: DeepseekV3ForCausalLM, batch: Batch, weights: torch.Tensor) -> torch.Tensor:
    """Cross entropy in nats per token, the mean under `weights`, which are [rows, length]."""
    logits = model(
        batch.ids[:, :-1],
        attention_mask=batch.visible()[:, :, :-1, :-1],
        position_ids=batch.positions[:, :-1],
        use_cache=False,
    ).logits.float()
    losses = functional.cross_entropy(logits.flatten(0, 1), batch.ids[:, 1:].flatten(), reduction="none")
    chosen = weights[:, 1:].flatten()
    return (losses * chosen).sum() / chosen.sum()


def _rate(step: int, plan: Plan) -> float:
    """The learning rate's factor: up in a line, level, then down half a cosine."""
    if step <= plan.warm_up:
        return step / plan.warm_up
    start = plan.steps * plan.fall_from
    if step <= start:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - start) / (plan.steps - start)))


def _groups(model: DeepseekV3ForCausalLM, decay: float) -> list[dict[str, object]]:
    """Matrices decay towards zero; norms and the embedding do not."""
    named = list(model.named_parameters())
    matrices = [weight for name, weight in named if weight.dim() >= 2 and "embed" not in name]
    others = [weight for name, weight in named if weight.dim() < 2 or "embed" in name]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


class _Balance:
    """Counts which experts each router chose, and moves its bias."""

    def __init__(self, model: DeepseekV3ForCausalLM) -> None:
        self._routers = [module for module in model.modules() if isinstance(module, DeepseekV3TopkRouter)]
        self._chosen: dict[DeepseekV3TopkRouter, torch.Tensor] = {}
        self._hooks = [router.register_forward_hook(self._count) for router in self._routers]

    def _count(self, router: DeepseekV3TopkRouter, _inputs: object, output: tuple[torch.Tensor, ...]) -> None:
        self._chosen[router] = torch.bincount(output[2].flatten(), minlength=router.num_experts).float()

    def move(self, amount: float) -> float:
        """Move each bias by `amount`; returns the busiest expert's tokens over the mean, worst layer."""
        worst = 0.0
        for router in self._routers:
            load = self._chosen[router] / self._chosen[router].mean()
            worst = max(worst, load.max().item())
            router.e_score_correction_bias += amount * torch.sign(1 - load)
        return worst

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()
