"""Laws of bounds: in expectation they stay below the exact value, their terms add up to them, and their noise can be handed in."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

from ..errors import InputError
from ..models.base import BoundModel, ExactModel, IntegerModel
from ..numerics.seeds import generator_for
from .checks import (
    Check,
    Law,
    as_rows,
    at_most,
    check_rows,
    dtype_name,
    frozen_copy,
    hold_all,
    worst_row,
)
from .integers import integer_laws
from .noisy import noise_decides, noisy_gradients, noisy_shapes
from .samples import sample_shapes, seeded

_ROWS = 64
# Of the rows that pass 576 times: 64 rows of 8 numbers, 8 digits, 2 larger pictures; with more it took minutes.
_NUMBERS = 512


def bound_laws(
    model: BoundModel,
    x: Tensor,
    exact: Tensor | ExactModel | None = None,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    seeds: int = 64,
    crop: int | None = 8,
    **bounds: float,
) -> dict[str, Law]:
    """The laws that apply to the model, by name; each is called without arguments and gives its Check. See ``check_bound``."""
    if isinstance(model, IntegerModel):
        x = x.double()
    check_rows(x, context, len(model.event_shape), model.context_dim)
    if isinstance(model, IntegerModel):
        model.check_integers(x)
    laws: dict[str, Law] = {
        "sample shapes": lambda: sample_shapes(model, context, seed=seed, dtype=_sample_dtype(model)),
        "seeded": lambda: seeded(model, context, seed=seed),
        "bound shapes": lambda: noisy_shapes(model, x, context),
        "noise": lambda: noise_decides(model, x, context, seed=seed),
        "terms": lambda: terms_add_up(model, x, context, seed=seed),
        "more draws": lambda: more_draws_tighten(model, x, context, seed=seed, seeds=seeds),
        "gradients": lambda: noisy_gradients(model, x, context, seed=seed),
    }
    if exact is not None:
        laws["bound"] = lambda: stays_below(model, x, exact, context, seed=seed, seeds=seeds)
    if isinstance(model, IntegerModel):
        laws |= integer_laws(model, x, context, seed=seed, crop=crop, **bounds)
    return laws


def check_bound(
    model: BoundModel,
    x: Tensor,
    exact: Tensor | ExactModel | None = None,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    seeds: int = 64,
    without: Collection[str] = (),
    crop: int | None = 8,
    **bounds: float,
) -> list[Check]:
    """Hold every law of bounds that applies against a copy of ``model``, in eval mode; the model itself is left as it is.

    For an IntegerModel, such as Quantised, also those of integers: every row comes back from its latents, the log-det of
    dequantisation, where there are few integers that their probabilities sum to one; and, called "flow: …", the laws of the density
    behind it, on dequantised rows: those of ``check_exact`` up to 16 numbers an event; up to 256 without those that need importance
    sampling, which decides nothing there; beyond, those of ``check_transform`` and that density and samples use the same map.

    Args:
        model: the model with a bound.
        x: rows of data (rows, *event), at least two; integers of any dtype for an IntegerModel.
        exact: log p(x | context) of each row, nats (rows,), or the ExactModel that knows it; without it, no bound is held against it.
        context: (rows, features) for a conditional model.
        seed: decides every random number.
        seeds: how many draws of the bound are compared.
        without: names of laws to leave out.
        crop: side to which pictures of more than 256 numbers are cut for the flow's laws, so that its Jacobian can be formed whole,
            where the flow takes pictures of any size; None leaves them whole.
        bounds: ``round_trip``, ``log_det`` and their kin, for the flow's laws: see ``check_transform``.

    Raises InputError for rows that no law could be tried on.

    >>> import torch, bijectory
    >>> model = bijectory.Quantised(bijectory.Flow(bijectory.Logistic((2,)), bijectory.DiagonalScale((2,))), levels=4)
    >>> checks = check_bound(model, torch.tensor([[0, 3], [1, 2], [2, 2]]))
    >>> [check.law for check in checks if not check.passed]
    []
    """
    laws = bound_laws(model, x, exact, context, seed=seed, seeds=seeds, crop=crop, **bounds)
    return hold_all(laws, without)


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
    limit = min(_ROWS, max(2, _NUMBERS // math.prod(model.event_shape)))
    rows, given = as_rows(x, context, torch.float64, limit)
    with torch.no_grad():
        one = torch.stack([_value(copy, rows, given, 1, seed, i) for i in range(seeds)])
        many = torch.stack([_value(copy, rows, given, draws, seed, i) for i in range(seeds)])
    fall, error = _mean_and_error((one - many).mean(1))
    slack = 1e-9 * float(one.abs().mean().clamp_min(1))
    note = f"nats by which {draws} draws fall below one (negative: above); bound is 4 standard errors, {seeds} seeds, {len(rows)} rows"
    return at_most("more draws", fall, 4 * error + slack, note)


def terms_add_up(
    model: BoundModel, x: Tensor, context: Tensor | None = None, *, seed: int = 0, bound: float = 1e-9
) -> Check:
    """The bound has shape (rows,), and its named terms are its sum, for one draw and for two."""
    copy = frozen_copy(model)
    rows, given = as_rows(x, context, torch.float64, _ROWS)
    worst, note = 0.0, ""
    for draws in (1, 2):
        with torch.no_grad():
            value, terms = copy.log_prob_bound(rows, given, draws=draws, generator=generator_for(seed, "terms"))
        if value.shape != rows.shape[:1]:
            return at_most("terms", math.nan, bound, f"the bound has shape {tuple(value.shape)} for {len(rows)} rows")
        total = torch.stack([term.expand(len(rows)) for term in terms.values()]).sum(0)
        figure, row = worst_row(total.reshape(-1, 1), value.reshape(-1, 1))
        if not figure <= worst or not note:
            worst, note = (
                figure,
                f"nats relative to max(1, |bound|), row {row}, {draws} draws: {' + '.join(terms)}",
            )
    return at_most("terms", worst, bound, note)


def _sample_dtype(model: BoundModel) -> torch.dtype:
    """What samples come in: the dtype of the copies that laws work on, or of the model's integers."""
    if not isinstance(model, IntegerModel):
        return torch.float64
    copy = frozen_copy(model)
    with torch.no_grad():
        found = copy.to_integer(copy.to_real(torch.zeros(model.event_shape, dtype=torch.float64), 0.5)[0]).dtype
    if found.is_floating_point:
        raise InputError(f"to_integer: expected integers, got {dtype_name(found)}")
    return found


def _value(model: BoundModel, x: Tensor, context: Tensor | None, draws: int, seed: int, number: int) -> Tensor:
    return model.log_prob_bound(x, context, draws=draws, generator=generator_for(seed, "bound", number))[0]


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))
