"""Laws of bounds: in expectation they stay below the exact value, and their terms add up to them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InputError
from ..models.base import BoundModel, ExactModel
from ..numerics.seeds import generator_for
from .checks import Check, Law, as_rows, at_most, check_rows, frozen_copy, hold, worst_row
from .samples import sample_shapes, seeded


def check_bound(
    model: BoundModel,
    x: Tensor,
    exact: Tensor | ExactModel | None = None,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    seeds: int = 64,
) -> list[Check]:
    """Hold every law of bounds that applies against a copy of ``model``, in eval mode; the model itself is left as it is.

    Args:
        model: the model with a bound.
        x: rows of data (rows, *event), at least two.
        exact: log p(x | context) of each row, nats (rows,), or the ExactModel that knows it; without it, no bound is held against it.
        context: (rows, features) for a conditional model.
        seed: decides every random number.
        seeds: how many draws of the bound are compared.

    Raises InputError for rows that no law could be tried on.
    """
    check_rows(x, context, len(model.event_shape), model.context_dim)
    laws: dict[str, Law] = {
        "sample shapes": lambda: sample_shapes(model, context, seed=seed),
        "seeded": lambda: seeded(model, context, seed=seed),
        "terms": lambda: terms_add_up(model, x, context, seed=seed),
        "more draws": lambda: more_draws_tighten(model, x, context, seed=seed, seeds=seeds),
    }
    if exact is not None:
        laws["bound"] = lambda: stays_below(model, x, exact, context, seed=seed, seeds=seeds)
    return [hold(name, law) for name, law in laws.items()]


def stays_below(
    model: BoundModel,
    x: Tensor,
    exact: Tensor | ExactModel,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    seeds: int = 64,
    draws: int = 1,
) -> Check:
    """The bound's mean over rows and seeds exceeds the exact value's by no more than four standard errors, paired row by row."""
    copy = frozen_copy(model)
    rows, given = as_rows(x, context, torch.float64, len(x))
    with torch.no_grad():
        known = frozen_copy(exact).log_prob(rows, given) if isinstance(exact, ExactModel) else exact
        truth = known.detach().to("cpu", torch.float64)
        if truth.shape != rows.shape[:1]:
            raise InputError(
                f"exact: expected shape ({len(rows)},), one log density for each row, got {tuple(truth.shape)}"
            )
        values = torch.stack([_value(copy, rows, given, draws, seed, i) for i in range(seeds)])
    excess, error = _mean_and_error((values - truth).mean(1))
    # Rounding: an exact model dressed as a bound has excess and error 1e-16 both.
    slack = 1e-9 * float(truth.abs().mean().clamp_min(1))
    note = f"nats above the exact value on average (negative: below); bound is 4 standard errors, {seeds} seeds, {len(rows)} rows"
    return at_most("bound", excess, 4 * error + slack, note)


def more_draws_tighten(
    model: BoundModel, x: Tensor, context: Tensor | None = None, *, seed: int = 0, seeds: int = 64, draws: int = 8
) -> Check:
    """With more draws the bound does not fall, by more than four standard errors over the seeds."""
    copy = frozen_copy(model)
    rows, given = as_rows(x, context, torch.float64, 64)
    with torch.no_grad():
        one = torch.stack([_value(copy, rows, given, 1, seed, i) for i in range(seeds)])
        many = torch.stack([_value(copy, rows, given, draws, seed, i) for i in range(seeds)])
    fall, error = _mean_and_error((one - many).mean(1))
    slack = 1e-9 * float(one.abs().mean().clamp_min(1))
    note = f"nats by which {draws} draws fall below one (negative: above); bound is 4 standard errors, {seeds} seeds"
    return at_most("more draws", fall, 4 * error + slack, note)


def terms_add_up(
    model: BoundModel, x: Tensor, context: Tensor | None = None, *, seed: int = 0, bound: float = 1e-9
) -> Check:
    """The bound has shape (rows,), and its named terms are its sum."""
    copy = frozen_copy(model)
    rows, given = as_rows(x, context, torch.float64, 64)
    with torch.no_grad():
        value, terms = copy.log_prob_bound(rows, given, generator=generator_for(seed, "terms"))
    if value.shape != rows.shape[:1]:
        return at_most("terms", math.nan, bound, f"the bound has shape {tuple(value.shape)} for {len(rows)} rows")
    total = torch.stack([term.expand(len(rows)) for term in terms.values()]).sum(0)
    figure, row = worst_row(total.reshape(-1, 1), value.reshape(-1, 1))
    return at_most("terms", figure, bound, f"nats relative to max(1, |bound|), row {row}: {' + '.join(terms)}")


def _value(model: BoundModel, x: Tensor, context: Tensor | None, draws: int, seed: int, number: int) -> Tensor:
    return model.log_prob_bound(x, context, draws=draws, generator=generator_for(seed, "bound", number))[0]


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))
