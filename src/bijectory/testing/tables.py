"""Laws of a density of typed columns: conditionals that add up, words that sum to one, cells as wide as their probability."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

from ..errors import DomainError, InputError
from ..models.base import ColumnModel
from ..numerics.seeds import generator_for
from . import exact, samples
from .checks import Check, Law, at_most, frozen_copy, hold_all, listed

FAR = (3.0, 10.0, 100.0)
_ROWS = 128


def check_columns(
    model: ColumnModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    without: Collection[str] = (),
) -> list[Check]:
    """Hold every law of typed columns against a copy of ``model`` in eval mode; the model itself is left as it is.

    ``x`` (rows, columns) and ``context`` are encoded rows, at least two, NaN for missing; ``without`` names laws to leave out. Raises
    InputError for rows of another form.

    >>> import torch
    >>> from bijectory.data.kinds import Column
    >>> from bijectory.models.table import TableModel
    >>> model = TableModel([Column("a", "real"), Column("b", "categorical", categories=("x", "y"))], hidden=8)
    >>> rows = torch.stack([torch.randn(64), torch.randint(2, (64,)).float()], 1)
    >>> all(check.passed for check in check_columns(model, rows, without=["gradients"]))
    True
    """
    return hold_all(column_laws(model, x, context, seed=seed), without)


def column_laws(model: ColumnModel, x: Tensor, context: Tensor | None = None, *, seed: int = 0) -> dict[str, Law]:
    """The laws that apply to the model, by name. See ``check_columns``."""
    if x.dim() != 2 or len(x) < 2 or x.shape[1] != len(model.columns):
        raise InputError(f"x: expected at least two encoded rows (rows, {len(model.columns)}), got {tuple(x.shape)}")
    laws: dict[str, Law] = {
        "density shapes": lambda: exact.density_shapes(model, x, context),
        "density precision": lambda: exact.density_precision(model, x, context),
        "columns add up": lambda: columns_add_up(model, x, context),
        "words sum to one": lambda: words_sum(model, x, context),
        "cells": lambda: cells(model, x, context),
        "order": lambda: ordered(model, x, context),
        "sample shapes": lambda: sample_shapes(model, context, seed=seed),
        "seeded": lambda: seeded(model, context, seed=seed),
        "samples": lambda: uniform_samples(model, context, seed=seed),
        "given": lambda: given_weights(model, x, context, seed=seed),
    }
    for factor in FAR:
        laws[f"far density {factor:g}x"] = lambda factor=factor: far_density(model, x, context, factor=factor)  # type: ignore[misc]
    if context is not None:
        laws["context"] = lambda: context_reach(model, x, context)
    laws["gradients"] = lambda: exact.density_gradients(model, x, context)
    return laws


def columns_add_up(model: ColumnModel, x: Tensor, context: Tensor | None, *, bound: float = 1e-10) -> Check:
    """The columns' conditionals add up to log_prob, which is the average of the members' densities."""
    copy, rows, given = _prepared(model, x, context)
    with torch.no_grad():
        joint = copy.log_prob(rows, given)
        each = copy.columns_log_prob(rows, given).sum(-1)
        members = copy.member_log_prob(rows, given)
    average = torch.logsumexp(members, 0) - math.log(len(members))
    error = torch.maximum((joint - each).abs(), (joint - average).abs()) / joint.abs().clamp_min(1)
    return at_most("columns add up", float(error.max()), bound, "nats relative to max(1, |log p|), float64")


def words_sum(model: ColumnModel, x: Tensor, context: Tensor | None, *, bound: float = 1e-10) -> Check:
    """Over all words of a categorical column, and the gap where there may be one, its conditional sums to one."""
    copy, rows, given = _prepared(model, x, context)
    worst, name = 0.0, "no categorical column"
    for i, column in enumerate(copy.columns):
        if column.kind != "categorical":
            continue
        total = rows.new_zeros(len(rows))
        for code in [*range(len(column.categories)), *([math.nan] if column.gaps else [])]:
            other = rows.clone()
            other[:, i] = code
            with torch.no_grad():
                total += copy.columns_log_prob(other, given)[:, i].exp()
        error = float((total - 1).abs().max())
        if error >= worst:
            worst, name = error, f"worst column {column.name!r}"
    return at_most("words sum to one", worst, bound, f"{name}, {len(rows)} rows, float64")


def cells(model: ColumnModel, x: Tensor, context: Tensor | None, *, bound: float = 1e-8) -> Check:
    """The density is what the distribution function rises by: over a cell or a word its probability, at a point its slope.

    A distribution function stays within [0, 1], so no density can integrate to more than one.
    """
    copy, rows, given = _prepared(model, x, context)
    leaf = rows.clone().requires_grad_()
    with torch.enable_grad():
        low, high = copy.cdf(leaf, given)
        density = copy.columns_log_prob(leaf, given).detach().exp()
    faults, worst, name = [], 0.0, "none"
    if not bool(((low >= -1e-12) & (low <= high + 1e-12) & (high <= 1 + 1e-12)).all()):
        faults.append("the distribution function leaves [0, 1]")
    for i, column in enumerate(copy.columns):
        if column.kind == "copy":
            continue
        width = (high - low)[:, i].detach()
        step = column.step or 1.0
        point = width <= 0 if column.step is None and column.kind not in ("categorical", "ordinal") else width < 0
        error = torch.where(point, 0.0, (width - density[:, i] * step).abs())
        if bool(point.any()):
            slope = torch.autograd.grad(low[:, i].sum(), leaf, retain_graph=True)[0][:, i]
            # A slope beyond what float64 resolves of a number near 1 (its CDF's) is compared at that precision.
            relative = (slope - density[:, i]).abs() / density[:, i].clamp_min(1e-6)
            error = torch.where(point, relative, error)
        if float(error.max()) >= worst or math.isnan(float(error.max())):
            worst, name = float(error.max()), column.name
    figure = math.inf if faults else worst
    note = listed(faults, f"probabilities, and slopes relative to the density, worst column {name!r}, {len(rows)} rows")
    return at_most("cells", figure, bound, note)


def ordered(model: ColumnModel, x: Tensor, context: Tensor | None) -> Check:
    """A column's conditional does not change with the columns behind it, and does with those before."""
    copy, rows, given = _prepared(model, x, context)
    with torch.no_grad():
        mine, faults = copy.columns_log_prob(rows, given), []
        for rank in range(len(copy.order) - 1):
            other = rows.clone()
            behind = list(copy.order[rank + 1 :])
            other[:, behind] = rows.roll(1, 0)[:, behind]
            seen = list(copy.order[: rank + 1])
            change = (copy.columns_log_prob(other, given)[:, seen] - mine[:, seen]).abs().amax(0)
            faults += [
                f"{copy.columns[i].name!r} changes by {float(c):.2g} with later columns"
                for i, c in zip(seen, change, strict=True)
                if not float(c) <= 1e-10 * max(1.0, float(mine[:, i].abs().max()))
            ]
    return at_most("order", len(faults), 0, listed(faults, f"{len(copy.order)} columns, {len(rows)} rows"))


def sample_shapes(model: ColumnModel, context: Tensor | None, *, seed: int = 0) -> Check:
    """See :func:`samples.sample_shapes`."""
    return samples.sample_shapes(model, context, seed=seed)


def seeded(model: ColumnModel, context: Tensor | None, *, seed: int = 0) -> Check:
    """A generator decides the samples, alone; where values are missing they are in the same places."""
    copy = frozen_copy(model)
    row = None if context is None else context.detach()[0].to("cpu", torch.float64)
    before = torch.get_rng_state()
    drawn = [copy.sample(64, row, generator=generator_for(seed, "seeded", i)) for i in (0, 0, 1)]
    first, again, other = (torch.nan_to_num(d, nan=-1e300) for d in drawn)
    faults = ["the global generator moved"] * (not torch.equal(before, torch.get_rng_state()))
    faults += ["the same seed gave other samples"] * (not torch.equal(first, again))
    faults += ["two seeds gave the same samples"] * torch.equal(first, other)
    return at_most("seeded", len(faults), 0, listed(faults, "64 samples, twice the same seed and once another"))


def uniform_samples(
    model: ColumnModel, context: Tensor | None, *, seed: int = 0, draws: int = 4_000, bound: float = 5.0
) -> Check:
    """The model's own samples lie in its conditional distributions as uniform numbers do: in each column, and between columns."""
    copy = frozen_copy(model)
    row = None if context is None else context.detach()[0].to("cpu", torch.float64)
    with torch.no_grad():
        x = copy.sample(draws, row, generator=generator_for(seed, "samples"))
        low, high = copy.cdf(x, None if row is None else row.expand(draws, -1))
    own = [i for i in copy.order if copy.columns[i].kind != "categorical" or _words(copy, i) > 1]
    inside = torch.rand(low.shape, generator=generator_for(seed, "inside"), dtype=torch.float64)
    u = (low + (high - low) * inside)[:, own]
    return samples.uniform_check("samples", u, [f"column {copy.columns[i].name!r}" for i in own], bound)


def given_weights(
    model: ColumnModel, x: Tensor, context: Tensor | None, *, seed: int = 0, draws: int = 4_000, bound: float = 5.0
) -> Check:
    """The mean weight of draws given the first column is the probability of that column, by each of its rows' own density."""
    copy, rows, given = _prepared(model, x[:4], None if context is None else context[:4])
    first = copy.order[0]
    known = torch.zeros(len(copy.columns), dtype=torch.bool)
    known[first] = True
    with torch.no_grad():
        expected = copy.columns_log_prob(rows, given)[:, first]
        many = rows.expand(draws, *rows.shape)
        cond = None if given is None else given.expand(draws, *given.shape)
        drawn, weight = copy.sample_given(many, known, cond, generator=generator_for(seed, "given"))
    kept = (drawn[..., first] == rows[:, first]) | (torch.isnan(drawn[..., first]) & torch.isnan(rows[:, first]))
    if not bool(kept.all()):
        return at_most("given", math.inf, bound, f"what was known of column {copy.columns[first].name!r} was changed")
    ratio = torch.exp(weight - expected)
    error = ratio.std(0) / math.sqrt(draws) + 1e-12
    figure = float(((ratio.mean(0) - 1).abs() / error.clamp_min(1e-9)).max())
    return at_most(
        "given",
        figure,
        bound,
        f"standard errors between the mean weight and p({copy.columns[first].name}), {draws} draws",
    )


def context_reach(model: ColumnModel, x: Tensor, context: Tensor) -> Check:
    """log p(x | c) changes with every column of c that is not the same in all rows."""
    copy, rows, given = _prepared(model, x, context)
    assert given is not None
    faults = []
    with torch.no_grad():
        before = copy.log_prob(rows, given)
        for j, column in enumerate(copy.context_columns):
            if column.kind == "copy":
                continue
            other = given.clone()
            other[:, j] = given[:, j].roll(1)
            same = (other[:, j] == given[:, j]) | (torch.isnan(other[:, j]) & torch.isnan(given[:, j]))
            if not bool(same.all()) and torch.equal(copy.log_prob(rows, other), before):
                faults.append(f"context column {column.name!r} changes nothing")
    return at_most("context", len(faults), 0, listed(faults, f"{given.shape[1]} columns, {len(rows)} rows"))


def far_density(model: ColumnModel, x: Tensor, context: Tensor | None, *, factor: float) -> Check:
    """``factor`` times further from the median than the data, in float32, log_prob is finite, or the point is refused by DomainError."""
    copy = frozen_copy(model, torch.float32)
    far = x.detach()[:_ROWS].double().clone()
    for i, column in enumerate(copy.columns):
        if column.kind in ("categorical", "ordinal", "circular", "bounded", "copy"):
            continue
        value, middle = far[:, i], far[:, i].nanmedian()
        moved = (
            middle + factor * (value - middle) if column.low is None and column.kind != "positive" else factor * value
        )
        far[:, i] = torch.where(torch.tensor([a in column.atoms for a in value.tolist()]), value, moved)
    given = None if context is None else context.detach()[:_ROWS].float()
    law = f"far density {factor:g}x"
    try:
        with torch.no_grad():
            value = copy.log_prob(far.float(), given)
    except DomainError as error:
        return at_most(law, 0, 0, f"refused: {error}")
    faults = [
        f"row {row}: log_prob {value[row].item()}" for row in (~torch.isfinite(value)).nonzero().flatten().tolist()
    ]
    return at_most(law, len(faults), 0, listed(faults, f"rows without a finite log_prob, of {len(far)}, float32"))


def _prepared(model: ColumnModel, x: Tensor, context: Tensor | None) -> tuple[ColumnModel, Tensor, Tensor | None]:
    rows = x.detach()[:_ROWS].to("cpu", torch.float64)
    return frozen_copy(model), rows, None if context is None else context.detach()[:_ROWS].to("cpu", torch.float64)


def _words(model: ColumnModel, i: int) -> int:
    return len(model.columns[i].categories) + model.columns[i].gaps
