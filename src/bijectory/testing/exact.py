"""Laws of log_prob as a function: its shape, its dependence on the context, its gradients, its precision, far inputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import DomainError, InverseError
from ..models.base import ExactModel
from .checks import Check, as_rows, at_most, dtype_name, frozen_copy, listed, worst_row
from .maps import BATCHES, gradient_check, spread

_ROWS = 256


def density_shapes(model: ExactModel, x: Tensor, context: Tensor | None = None) -> Check:
    """log_prob has exactly the batch shape, for batches (), (3,), (2, 3) and (0,); one context row serves all of x."""
    copy = frozen_copy(model)
    x, context = as_rows(x, context, torch.float64, 6)
    faults = []
    for batch in BATCHES:
        try:
            with torch.no_grad():
                value = copy.log_prob(spread(x, batch), None if context is None else spread(context, batch))
            if tuple(value.shape) != batch:
                faults.append(f"batch {batch}: log_prob {tuple(value.shape)}")
        except Exception as error:
            faults.append(f"batch {batch}: {type(error).__name__}: {error}")
    if context is not None:
        try:
            with torch.no_grad():
                one, each = copy.log_prob(x, context[0]), copy.log_prob(x, context[:1].expand(len(x), -1))
            if not (one.shape == each.shape and torch.allclose(one, each, rtol=1e-9, atol=1e-9)):
                faults.append("one context row for all of x gives other numbers than that row repeated")
        except Exception as error:
            faults.append(f"one context row for all of x: {type(error).__name__}: {error}")
    return at_most("density shapes", len(faults), 0, listed(faults, f"batches tried: {', '.join(map(str, BATCHES))}"))


def density_context(model: ExactModel, x: Tensor, context: Tensor) -> Check:
    """log p(x | c) changes with every feature of c."""
    copy = frozen_copy(model)
    x, given = as_rows(x, context, torch.float64, 64)
    assert given is not None
    leaf = given.clone().requires_grad_()
    with torch.enable_grad():
        total = copy.log_prob(x, leaf).sum()
    slope = torch.autograd.grad(total, leaf, allow_unused=True)[0] if total.requires_grad else None
    reached = torch.zeros(given.shape[1], dtype=torch.bool) if slope is None else (slope.abs().amax(0) > 0)
    faults = [f"d log p / d context_{j} = 0" for j in (~reached).nonzero().flatten().tolist()]
    return at_most("density context", len(faults), 0, listed(faults, f"features that change nothing, at {len(x)} rows"))


def density_gradients(model: ExactModel, x: Tensor, context: Tensor | None = None) -> Check:
    """Every parameter of the model receives a finite gradient that is not zero from the mean of log_prob."""
    copy = frozen_copy(model)
    x, context = as_rows(x, context, torch.float64, _ROWS)
    with torch.enable_grad():
        total = copy.log_prob(x, context).mean()
    return gradient_check(copy, total)


def density_precision(model: ExactModel, x: Tensor, context: Tensor | None = None, *, bound: float = 1e-3) -> Check:
    """float32 and float64 give about the same log_prob, each in the dtype it was given, and a copy of the model the same bits."""
    narrow = frozen_copy(model, torch.float32)
    x, context = as_rows(x, context, torch.float32, _ROWS)
    with torch.no_grad():
        single = narrow.log_prob(x, context)
        double = frozen_copy(model).log_prob(x.double(), None if context is None else context.double())
        again = frozen_copy(narrow, torch.float32).log_prob(x, context)
    if single.dtype != torch.float32 or double.dtype != torch.float64:
        kinds = f"{dtype_name(single.dtype)} for float32, {dtype_name(double.dtype)} for float64"
        return at_most("density precision", math.inf, bound, f"log_prob comes in {kinds}")
    if not torch.equal(single, again):
        return at_most("density precision", math.inf, bound, "a copy of the model gives other bits")
    figure, row = worst_row(single.double().reshape(-1, 1), double.reshape(-1, 1))
    note = f"log_prob in float32 against float64, nats relative to max(1, |log p|), row {row} of {len(x)}"
    return at_most("density precision", figure, bound, note)


def far_density(model: ExactModel, x: Tensor, context: Tensor | None = None, *, factor: float = 100.0) -> Check:
    """``factor`` times further from the median than the data, in float32, log_prob is finite, or the point is refused by DomainError."""
    law = f"far density {factor:g}x"
    copy = frozen_copy(model, torch.float32)
    x, context = as_rows(x, context, torch.float32, _ROWS)
    middle = x.median(0).values
    far = middle + factor * (x - middle)
    with torch.no_grad():
        try:
            value = copy.log_prob(far, context)
        except (DomainError, InverseError) as error:
            return at_most(law, 0, 0, f"refused: {error}")
    bad = ~torch.isfinite(value)
    rows = bad.nonzero().flatten().tolist()
    faults = [f"row {row}: log_prob {value[row].item()}" for row in rows]
    return at_most(law, len(faults), 0, listed(faults, f"rows without a finite log_prob, of {len(x)}, float32"))
