"""The second implementation of a training step: loss, gradient, clipping, AdamW and average as one compiled graph."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from ..data.batches import Batch
from ..errors import InputError
from ..numerics import products
from ..numerics.tracing import inside_self, with_own_code
from .update import Loss, Update


class CompiledStep:
    """``apply`` for one update, compiled; equal to it up to rounding, by test.

    Building takes from seconds to a minute, a step then a fraction of the eager one: worth it where the budget is long. It works on
    the optimiser's own weights and moments, so that a checkpoint is the same for both and one may continue what the other began.
    ``options`` go to ``torch.compile``. The graph is entered again without looking whether the model's code or settings have changed
    meanwhile, which took as long as a third of a small flow's step; only shapes and dtypes are watched. The compiler takes x · 0 for 0, so
    that a gradient that is NaN in ``apply``, of 0 · ∞ with a 0 written in the code, may be finite here.

    Raises InputError for an update whose parameters are not joined, for an optimiser other than Adam or AdamW, and for accumulation.
    """

    def __init__(self, update: Update, **options: Any) -> None:
        group, *others = update.optimizer.param_groups
        kind = type(update.optimizer).__name__
        decoupled = isinstance(update.optimizer, torch.optim.AdamW) or group.get("weight_decay", 0.0) == 0.0
        adam = isinstance(update.optimizer, torch.optim.Adam | torch.optim.AdamW)
        if not adam or not decoupled or others or group["amsgrad"] or group["maximize"]:
            raise InputError(
                f"compiled: expected AdamW (or Adam without decay) with one parameter group, got {kind}; train without compiling"
            )
        if update.joined is None:
            raise InputError(
                "compiled: expected an update with ``joined`` parameters, got none; train without compiling"
            )
        if update.accumulate != 1:
            raise InputError(
                f"accumulate: expected 1 in a compiled step, got {update.accumulate}; train without compiling"
            )
        self.update, self.joined = update, update.joined
        self.betas, self.epsilon, self.decay = group["betas"], group["eps"], group["weight_decay"]
        names = {id(parameter): name for name, parameter in update.loss.named_parameters()}
        self.names = [names[id(part)] for part in self.joined.parts]
        # Settings beside the weights, in at least float32 and as exact as the weights are.
        self.wide = torch.promote_types(self.joined.whole.dtype, torch.float32)
        logs = [math.log(beta) for beta in self.betas]
        self._logs = torch.tensor(logs, dtype=self.wide, device=self.joined.whole.device)
        self.own = self.joined.whole.device.type == "cpu"
        if self.own:
            # Here, because it loads torch's compiler: half a second that nothing but a compiled step should wait for.
            from ..numerics.graphs import graph_options

            options = {**graph_options(), **options}
        options = {"guard_filter_fn": _watch_arguments, **options}
        own = with_own_code(self._whole)
        self._step = torch.compile(own, fullgraph=True, dynamic=False, options=options)

    def _slots(self) -> dict[str, Tensor]:
        """AdamW's moments, made as it makes them itself at its first step."""
        whole = self.joined.whole
        slots: dict[str, Tensor] = self.update.optimizer.state[whole]
        if not slots:
            slots["step"] = torch.zeros((), dtype=torch.float32, device=whole.device)
            slots["exp_avg"], slots["exp_avg_sq"] = torch.zeros_like(whole), torch.zeros_like(whole)
        return slots

    def __call__(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """One step; the same terms as ``apply`` returns."""
        update, slots = self.update, self._slots()
        self.joined.tie()
        (group,) = update.optimizer.param_groups
        group["lr"] = group["initial_lr"] * update.schedule(step)
        average = update.ema
        keep = 0.0 if average is None else min(average.decay, (1 + average.count) / (10 + average.count))
        weights = self.joined.whole.detach()
        # β^t − 1 of the step this will be, through expm1: in float32 1 − 0.999 has lost four digits. Out here, because in the graph they
        # were computed anew for every sixteen weights, a tenth of MAF's step.
        powers = torch.expm1((slots["step"] + 1).to(self.wide) * self._logs)
        with products.own_graph(self.own):
            terms = dict(
                self._step(
                    weights,
                    slots["exp_avg"],
                    slots["exp_avg_sq"],
                    slots["step"],
                    powers,
                    weights if average is None else average.shadow[0],
                    # A tensor, not numbers: a number that changes every step would be compiled in anew every step.
                    torch.tensor([group["lr"], keep], dtype=self.wide, device=weights.device),
                    batch,
                )
            )
        update.note(step, terms.pop("lost"))
        if average is not None:
            average.count += 1
        return terms

    def _whole(
        self,
        weights: Tensor,
        first: Tensor,
        second: Tensor,
        count: Tensor,
        powers: Tensor,
        shadow: Tensor,
        settings: Tensor,
        batch: Batch,
    ) -> dict[str, Tensor]:
        # Nothing that changes from step to step may be read here from Python: its first value would be compiled in.
        update, (beta1, beta2) = self.update, self.betas
        rate, keep = settings[0], settings[1]

        def total(whole: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            parts = zip(self.names, whole.split(self.joined.sizes), self.joined.shapes, strict=True)
            loss: Loss = functional_call(update.loss, {n: p.view(shape) for n, p, shape in parts}, (batch, 0))
            return loss.total, loss.terms

        gradient, (value, terms) = torch.func.grad_and_value(total, has_aux=True)(weights)
        norm = torch.linalg.vector_norm(gradient)
        good = torch.isfinite(norm + value)
        if update.clip is not None:
            # 1e-6 as in torch's clipping, which this must equal
            gradient = gradient * torch.clamp(update.clip / (norm + 1e-6), max=1.0)
        count.add_(good)
        rise, per_root = -powers[0], torch.rsqrt(-powers[1])
        mean = torch.lerp(first, gradient, 1 - beta1)
        square = beta2 * second + (1 - beta2) * gradient * gradient
        moved = weights * (1 - rate * self.decay) - (rate / rise) * mean / (
            torch.sqrt(square) * per_root + self.epsilon
        )
        weights.copy_(torch.where(good, moved, weights))
        first.copy_(torch.where(good, mean, first))
        second.copy_(torch.where(good, square, second))
        if update.ema is not None:
            shadow.copy_(torch.lerp(weights, shadow, keep.to(shadow.dtype)))
        return {**terms, "gradient_norm": norm, "lost": (~good).to(torch.float32)}


def _watch_arguments(guards: Any) -> list[bool]:
    """Which conditions are tested again at every step: shapes and dtypes of the arguments, nothing inside the model."""
    return [guard.guard_type == "TENSOR_MATCH" and not inside_self(guard) for guard in guards]
