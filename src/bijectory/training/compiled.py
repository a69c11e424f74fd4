"""The second implementation of a training step: loss, gradient, clipping, AdamW and average as one compiled graph."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from ..data.batches import Batch
from ..errors import InputError
from .update import Loss, Update


class CompiledStep:
    """``apply`` for one update, compiled; equal to it up to rounding, by test.

    Building takes seconds to a minute, a step then a fraction of the eager one: worth it where the budget is long. Weights, moments and
    averages are laid out in one tensor each, of which the update's own tensors become parts: a graph of four arguments is entered
    faster than one of two hundred, and AdamW is one kernel. A checkpoint is the same for both, and one may continue what the other
    began; build this after loading one. ``options`` go to ``torch.compile``.

    Raises InputError for an optimiser other than Adam or AdamW with one group, for accumulation, for weights of several dtypes or on
    several devices, and for an average of other weights than those that are trained.
    """

    def __init__(self, update: Update, **options: Any) -> None:
        _refuse_what_does_not_compile(update)
        self.update = update
        (group,) = update.optimizer.param_groups
        self.betas, self.epsilon, self.decay = group["betas"], group["eps"], group["weight_decay"]
        names = {id(parameter): name for name, parameter in update.loss.named_parameters()}
        self.names = [names[id(parameter)] for parameter in update.parameters]
        self.shapes = [parameter.shape for parameter in update.parameters]
        self.sizes = [parameter.numel() for parameter in update.parameters]
        self._lay_out()
        self._step = torch.compile(self._whole, fullgraph=True, dynamic=False, **options)

    def _lay_out(self) -> None:
        """Move weights, AdamW's moments and counts, and averages into one tensor each; the old tensors become views of it."""
        update, state = self.update, self.update.optimizer.state
        for parameter in update.parameters:
            if not state[parameter]:  # what AdamW itself makes at its first step
                state[parameter]["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
                state[parameter]["exp_avg"] = torch.zeros_like(parameter)
                state[parameter]["exp_avg_sq"] = torch.zeros_like(parameter)
        slots = [state[parameter] for parameter in update.parameters]
        self.weights, parts = self._join([parameter.detach() for parameter in update.parameters])
        for parameter, part in zip(update.parameters, parts, strict=True):
            parameter.data, parameter.grad = part, None
        self.first, parts = self._join([slot["exp_avg"] for slot in slots])
        for slot, part in zip(slots, parts, strict=True):
            slot["exp_avg"] = part
        self.second, parts = self._join([slot["exp_avg_sq"] for slot in slots])
        for slot, part in zip(slots, parts, strict=True):
            slot["exp_avg_sq"] = part
        self.steps = torch.stack([slot["step"].to(self.weights.device) for slot in slots])
        for index, slot in enumerate(slots):
            slot["step"] = self.steps[index]
        self.shadow = self.weights.new_zeros(0)
        if update.ema is not None:
            self.shadow, update.ema.shadow = self._join(update.ema.shadow)
        self._seen = slots[0]["exp_avg"]

    def _join(self, tensors: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One tensor that holds all, and its parts in the shapes they had."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        parts = zip(flat.split(self.sizes), self.shapes, strict=True)
        return flat, [part.view(shape) for part, shape in parts]

    def __call__(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """One step; the same terms as ``apply`` returns."""
        update = self.update
        (group,) = update.optimizer.param_groups
        if update.optimizer.state[update.parameters[0]]["exp_avg"] is not self._seen:
            self._lay_out()  # the optimiser's state was loaded anew: load_state_dict replaces tensors
        group["lr"] = group["initial_lr"] * update.schedule(step)
        average = update.ema
        keep = 0.0 if average is None else min(average.decay, (1 + average.count) / (10 + average.count))
        # A tensor, not numbers: a number that changes every step would be compiled in anew every step.
        settings = torch.tensor([group["lr"], keep], dtype=self._wide(), device=self.weights.device)
        terms = self._step(
            self.weights, self.first, self.second, self.steps, self.shadow, settings, update.skipped, batch
        )
        if average is not None:
            average.count += 1
        return dict(terms)

    def _wide(self) -> torch.dtype:
        return torch.promote_types(self.weights.dtype, torch.float32)

    def _whole(
        self,
        weights: Tensor,
        first: Tensor,
        second: Tensor,
        steps: Tensor,
        shadow: Tensor,
        settings: Tensor,
        skipped: Tensor,
        batch: Batch,
    ) -> dict[str, Tensor]:
        # Nothing that changes from step to step may be read here from Python: each new value would be compiled in anew.
        update, (beta1, beta2) = self.update, self.betas
        rate, keep = settings[0], settings[1]

        def total(flat: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            parts = zip(self.names, flat.split(self.sizes), self.shapes, strict=True)
            named = {name: part.view(shape) for name, part, shape in parts}
            loss: Loss = functional_call(update.loss, named, (batch, 0))
            return loss.total, loss.terms

        gradient, (_, terms) = torch.func.grad_and_value(total, has_aux=True)(weights)
        norm = torch.linalg.vector_norm(gradient)
        good = torch.isfinite(norm)
        if update.clip is not None:
            # 1e-6 as in torch's clipping, which this must equal
            gradient = gradient * torch.clamp(update.clip / (norm + 1e-6), max=1.0)
        steps.add_(good)
        time = steps[0].to(settings.dtype)
        # 1 − β^t through expm1: in float32 1 − 0.999 has lost four digits.
        root = torch.sqrt(-torch.expm1(time * math.log(beta2)))
        rise = -torch.expm1(time * math.log(beta1))
        mean = torch.lerp(first, gradient, 1 - beta1)
        square = beta2 * second + (1 - beta2) * gradient * gradient
        moved = weights * (1 - rate * self.decay) - (rate / rise) * mean / (torch.sqrt(square) / root + self.epsilon)
        weights.copy_(torch.where(good, moved, weights))
        first.copy_(torch.where(good, mean, first))
        second.copy_(torch.where(good, square, second))
        if update.ema is not None:
            shadow.copy_(torch.lerp(weights, shadow, keep.to(shadow.dtype)))
        skipped.add_(~good)
        return {**terms, "gradient_norm": norm}


def _refuse_what_does_not_compile(update: Update) -> None:
    group, *others = update.optimizer.param_groups
    decoupled = isinstance(update.optimizer, torch.optim.AdamW) or group.get("weight_decay", 0.0) == 0.0
    adam = isinstance(update.optimizer, torch.optim.Adam | torch.optim.AdamW)
    if not adam or not decoupled or others or group["amsgrad"] or group["maximize"]:
        kind = type(update.optimizer).__name__
        raise InputError(
            f"compiled: expected AdamW (or Adam without decay) with one parameter group, got {kind}; train without compiling"
        )
    if update.accumulate != 1:
        raise InputError(f"accumulate: expected 1 in a compiled step, got {update.accumulate}; train without compiling")
    kinds = {(str(p.dtype), str(p.device)) for p in update.parameters}
    if len(kinds) != 1:
        raise InputError(
            f"compiled: expected weights of one dtype on one device, got {sorted(kinds)}; train without compiling"
        )
    if update.ema is not None and [id(p) for p in update.ema.parameters] != [id(p) for p in update.parameters]:
        raise InputError(
            "ema: expected the average of the weights that are trained, in their order; train without compiling"
        )
