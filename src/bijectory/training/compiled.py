"""The second implementation of a training step: loss, gradient, clipping, AdamW and average as one compiled graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from ..data.batches import Batch
from ..errors import InputError
from .update import Loss, Update


class CompiledStep:
    """``apply`` for one update, compiled; equal to it up to rounding, by test.

    Building takes tens of seconds, a step then a fraction of the eager one: worth it where the budget is long. It works on the
    optimiser's own moments, so that a checkpoint is the same for both and one may continue what the other began.
    Raises InputError for an optimiser other than Adam or AdamW, and for accumulation.
    """

    def __init__(self, update: Update, **options: Any) -> None:
        self.update = update
        group, *others = update.optimizer.param_groups
        decoupled = isinstance(update.optimizer, torch.optim.AdamW) or group.get("weight_decay", 0.0) == 0.0
        if (
            not isinstance(update.optimizer, torch.optim.Adam | torch.optim.AdamW)
            or group["amsgrad"]
            or others
            or not decoupled
        ):
            kind = type(update.optimizer).__name__
            raise InputError(
                f"compiled: expected AdamW (or Adam without decay) with one parameter group, got {kind}; train without compiling"
            )
        if update.accumulate != 1:
            raise InputError(
                f"accumulate: expected 1 in a compiled step, got {update.accumulate}; train without compiling"
            )
        self.names = [name for name, _ in update.loss.named_parameters()]
        self.betas, self.epsilon, self.decay = group["betas"], group["eps"], group["weight_decay"]
        self._prepare()
        self._step = torch.compile(self._whole, fullgraph=True, dynamic=False, **options)

    def _prepare(self) -> None:
        """Make the moments that AdamW would make at its first step."""
        state = self.update.optimizer.state
        for parameter in self.update.parameters:
            if not state[parameter]:
                state[parameter]["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
                state[parameter]["exp_avg"] = torch.zeros_like(parameter)
                state[parameter]["exp_avg_sq"] = torch.zeros_like(parameter)

    def __call__(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """One step; the same terms as ``apply`` returns."""
        update = self.update
        (group,) = update.optimizer.param_groups
        group["lr"] = group["initial_lr"] * update.schedule(step)
        state = update.optimizer.state
        slots = [state[p] for p in update.parameters]
        average = update.ema
        count = 0 if average is None else average.count
        keep = 0.0 if average is None else min(average.decay, (1 + count) / (10 + count))
        terms = self._step(
            [p.detach() for p in update.parameters],
            [s["exp_avg"] for s in slots],
            [s["exp_avg_sq"] for s in slots],
            [s["step"] for s in slots],
            [] if average is None else average.shadow,
            # Tensors, not numbers: a number that changes every step would be compiled in anew every step.
            torch.tensor([group["lr"], keep], dtype=torch.float32, device=slots[0]["exp_avg"].device),
            update.skipped,
            batch,
        )
        if average is not None:
            average.count += 1
        return dict(terms)

    def _whole(
        self,
        weights: list[Tensor],
        first: list[Tensor],
        second: list[Tensor],
        steps: list[Tensor],
        shadow: list[Tensor],
        settings: Tensor,
        skipped: Tensor,
        batch: Batch,
    ) -> dict[str, Tensor]:
        # Nothing that changes from step to step may be read here from Python: each new value would be compiled in anew.
        update, (beta1, beta2), epsilon, decay = self.update, self.betas, self.epsilon, self.decay
        rate, keep = settings[0], settings[1]

        def total(weights: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            loss: Loss = functional_call(update.loss, dict(zip(self.names, weights, strict=True)), (batch, 0))
            return loss.total, loss.terms

        gradients, (_, terms) = torch.func.grad_and_value(total, has_aux=True)(weights)
        norm = torch.sqrt(sum(((g * g).sum() for g in gradients), start=torch.zeros((), device=settings.device)))
        good = torch.isfinite(norm)
        factor = torch.ones_like(norm)
        if update.clip is not None:
            factor = torch.clamp(
                update.clip / (norm + 1e-6), max=1.0
            )  # 1e-6 as in torch's clipping, which this must equal
        for w, g, m, v, t in zip(weights, gradients, first, second, steps, strict=True):
            g = torch.where(good, g * factor, torch.zeros_like(g))
            time = t + good
            mean = torch.where(good, torch.lerp(m, g, 1 - beta1), m)
            square = torch.where(good, beta2 * v + (1 - beta2) * g * g, v)
            size = torch.sqrt(square) / torch.sqrt(1 - beta2**time) + epsilon
            moved = w * (1 - rate * decay) - rate / (1 - beta1**time) * mean / size
            w.copy_(torch.where(good, moved, w))
            m.copy_(mean)
            v.copy_(square)
            t.copy_(time)
        for s, w in zip(shadow, weights, strict=bool(shadow)):
            s.copy_(torch.lerp(w, s, keep))
        skipped.add_(~good)
        return {**terms, "gradient_norm": norm}
