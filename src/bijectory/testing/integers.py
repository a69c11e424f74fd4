"""Laws of integers seen by a density of real numbers: they come back, their cells have the right size, their probabilities sum to one."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from ..models.base import IntegerModel
from ..numerics.seeds import generator_for
from ..transforms.base import Transform
from .checks import Check, Law, as_rows, at_most, dtype_name, frozen_copy, listed, worst_of, worst_row
from .contract import model_laws, transform_laws
from .jacobians import diagonal
from .samples import latent_density, sample_log_prob, surprise, uniform_latents

_SMALL = 16  # numbers of an event up to which every law of exact densities is tried on the flow
_WHOLE = 256  # and up to which its Jacobian is formed whole
_NUMBERS = 2**18  # of the rows that pass the model at once
_FEW = 1024  # integers' combinations that are summed over
_DRAWS = 4096
_SAMPLES = 20_000


def integer_laws(
    model: IntegerModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    crop: int | None = 8,
    **bounds: float,
) -> dict[str, Law]:
    """The laws that an IntegerModel keeps beyond those of every bound, by name. See ``check_bound``."""
    laws: dict[str, Law] = {
        "picture round trip": lambda: picture_round_trip(model, x, context),
        "dequantisation": lambda: dequantisation(model, x, seed=seed),
        "samples of the flow": lambda: samples_of_the_flow(model, context, seed=seed),
    }
    if model.levels ** math.prod(model.event_shape) <= _FEW:
        laws["sums to one"] = lambda: sums_to_one(model, context, seed=seed)
        if model.levels > 2:  # of two levels both are edge values
            laws["sample counts"] = lambda: sample_counts(model, context, seed=seed)
    return laws | _flow_laws(model, x, context, seed, crop, bounds)


def picture_round_trip(model: IntegerModel, x: Tensor, context: Tensor | None = None) -> Check:
    """decode(encode(x)) is x, every number of every row, in float64 and in float32."""
    faults, rows = [], len(x)
    size = max(1, _NUMBERS // x[0].numel())
    for dtype in (torch.float64, torch.float32):
        copy = frozen_copy(model, dtype)
        wide, given = as_rows(x, context, dtype, rows)
        for start in range(0, rows, size):
            cut = slice(start, start + size)
            with torch.no_grad():
                part = None if given is None else given[cut]
                back = copy.decode(copy.encode(wide[cut], part), part)
            wrong = (back.to(dtype) != wide[cut]).flatten(1).sum(1)
            faults += [
                f"row {start + row}: {int(wrong[row])} numbers differ in {dtype_name(dtype)}"
                for row in wrong.nonzero().flatten().tolist()
            ]
    note = listed(faults, f"all {rows} rows of {x[0].numel()} integers came back, in float64 and in float32")
    return at_most("picture round trip", len(faults), 0, note)


def dequantisation(model: IntegerModel, x: Tensor, *, seed: int = 0, bound: float = 1e-9) -> Check:
    """The log-det of to_real is the sum of log ∂y/∂u by autodiff, y grows with u, and to_integer brings every x + u back to x."""
    copy = frozen_copy(model)
    rows, _ = as_rows(x, None, torch.float64, 64)
    leaf = torch.rand(rows.shape, generator=generator_for(seed, "cells"), dtype=rows.dtype).requires_grad_()
    with torch.enable_grad():
        y, log_det = copy.to_real(rows, leaf)
        expected = diagonal(y, leaf)
    with torch.no_grad():
        grows = bool((copy.to_real(rows, 0.75)[0] > copy.to_real(rows, 0.25)[0]).all())
        if expected is None or not grows:
            return at_most("dequantisation", math.nan, bound, "y is no increasing function of each number's own u")
        changed = int((copy.to_integer(y).to(rows.dtype) != rows).sum())
        middle = copy.to_real(rows, 0.5)[0]
        if changed or not torch.equal(middle, copy.to_real(rows, torch.full_like(rows, 0.5))[0]):
            what = (
                f"{changed} integers do not come back from x + u" if changed else "u = 0.5 as a number gives another y"
            )
            return at_most("dequantisation", math.nan, bound, what)
    figure, row = worst_row(log_det.detach().reshape(-1, 1), expected.reshape(-1, 1))
    note = f"nats relative to max(1, |log-det|), row {row} of {len(rows)}, float64"
    return at_most("dequantisation", figure, bound, note)


def samples_of_the_flow(model: IntegerModel, context: Tensor | None = None, *, seed: int = 0) -> Check:
    """sample gives to_integer of what the flow samples from the same generator, none outside 0 … levels − 1."""
    copy = frozen_copy(model)
    row = None if context is None else context.detach()[0].to("cpu", torch.float64)
    with torch.no_grad():
        drawn = copy.sample(32, row, generator=generator_for(seed, "flow"))
        expected = copy.to_integer(copy.model.sample(32, row, generator=generator_for(seed, "flow")))
    differ = int((drawn != expected).sum()) if drawn.shape == expected.shape else drawn.numel()
    outside = int(((drawn < 0) | (drawn > copy.levels - 1)).sum())
    note = f"of {drawn.numel()} numbers in 32 samples {differ} differ, {outside} lie outside 0..{copy.levels - 1}"
    return at_most("samples of the flow", differ + outside, 0, note)


def sums_to_one(model: IntegerModel, context: Tensor | None = None, *, seed: int = 0) -> Check:
    """The probabilities of all integers and the flow's mass beyond their cells add up to 1, within four standard errors.

    exp(bound of one draw) is an unbiased estimate of a probability; the mass beyond the cells is the share of the flow's samples there.
    """
    return worst_of([_sum(*part, generator_for(seed, "sum", i)) for i, part in enumerate(_parts(model, context))])


def _sum(copy: IntegerModel, row: Tensor | None, generator: torch.Generator) -> Check:
    totals = _probabilities(copy, row, _every(copy), generator).sum(1)
    with torch.no_grad():
        y = copy.model.sample(_SAMPLES, row, generator=generator).flatten(1)
        zeros = torch.zeros(copy.event_shape, dtype=torch.float64)
        low = copy.to_real(zeros, 0.0)[0].flatten()
        high = copy.to_real(zeros + copy.levels - 1, 1.0)[0].flatten()
    beyond = float(((y < low) | (y > high)).any(1).double().mean())
    mass = float(totals.mean())
    error = math.sqrt(float(totals.var()) / len(totals) + beyond * (1 - beyond) / _SAMPLES)
    # 1e-9: a flat density has no error at all, but rounding.
    check = at_most(
        "sums to one",
        abs(mass + beyond - 1),
        4 * error + 1e-9,
        f"distance from 1 of {mass:.5f} in the cells and {beyond:.5f} beyond; bound is 4 standard errors of {error:.5f}",
    )
    if check.passed and error > 0.02:
        return dataclasses.replace(check, note=f"not decided, the estimate is too rough: {check.note}")
    return check


def sample_counts(model: IntegerModel, context: Tensor | None = None, *, seed: int = 0, bound: float = 5.0) -> Check:
    """Samples are counted as their probabilities say, for each row of integers without an edge value and for all others together.

    Edge values also receive the flow's mass beyond them, which the bound leaves out; so only what has none of them is known alone.
    """
    return worst_of(
        [_counts(*part, generator_for(seed, "counts", i), bound) for i, part in enumerate(_parts(model, context))]
    )


def _counts(copy: IntegerModel, row: Tensor | None, generator: torch.Generator, bound: float) -> Check:
    every = _every(copy)
    inner = ((every > 0) & (every < copy.levels - 1)).all(1)
    chances = _probabilities(copy, row, every[inner], generator)
    with torch.no_grad():
        drawn = copy.sample(_SAMPLES, row, generator=generator).flatten(1).long()
    places = copy.levels ** torch.arange(drawn.shape[1] - 1, -1, -1)
    counts = torch.bincount((drawn * places).sum(1), minlength=len(every)).double()[inner]
    # All others together are what these leave: their sum.
    chances = torch.cat([chances, chances.sum(1, keepdim=True)], 1)
    counts = torch.cat([counts, counts.sum().reshape(1)])
    p = chances.mean(0)
    known = counts.clamp_min(5.0) / _SAMPLES  # a count of none does not vary by nothing
    variance = torch.maximum(p, known).clamp_max(0.5) / _SAMPLES + chances.var(0) / len(chances)
    z = (counts / _SAMPLES - p).abs() / variance.sqrt()
    worst = int(z.argmax())
    figure = surprise(math.log(2 * len(z)) + float(torch.special.log_ndtr(-z[worst])))
    name = "all of them" if worst == len(z) - 1 else f"{every[inner][worst].tolist()}"
    note = (
        f"−log10 p: {name} counted {int(counts[worst])} times of {_SAMPLES}, expected {float(p[worst]) * _SAMPLES:.0f}; "
        f"{len(z) - 1} rows without an edge value"
    )
    return at_most("sample counts", figure, bound, note)


def _parts(model: IntegerModel, context: Tensor | None) -> list[tuple[IntegerModel, Tensor | None]]:
    """The model with the first and with the last row of the context."""
    copy = frozen_copy(model)
    if context is None:
        return [(copy, None)]
    rows = context.detach().to("cpu", torch.float64)
    return [(copy, rows[i]) for i in sorted({0, len(rows) - 1})]


def _every(model: IntegerModel) -> Tensor:
    """Every event there is, flattened: (levels ** numbers, numbers), the last number running fastest."""
    values = torch.arange(model.levels, dtype=torch.float64)
    return torch.cartesian_prod(*[values] * math.prod(model.event_shape)).reshape(-1, math.prod(model.event_shape))


def _probabilities(model: IntegerModel, row: Tensor | None, flat: Tensor, generator: torch.Generator) -> Tensor:
    """exp(bound of one draw) of each of the events: (_DRAWS, events)."""
    events = flat.reshape(len(flat), *model.event_shape)
    at_once = max(1, _NUMBERS // flat.numel())
    parts = []
    for start in range(0, _DRAWS, at_once):
        x = events.expand(min(at_once, _DRAWS - start), *events.shape)
        given = None if row is None else row.expand(*x.shape[:2], -1)
        with torch.no_grad():
            parts.append(model.log_prob_bound(x, given, generator=generator)[0].exp())
    return torch.cat(parts)


# The flow behind


def _flow_laws(
    model: IntegerModel, x: Tensor, context: Tensor | None, seed: int, crop: int | None, bounds: dict[str, Any]
) -> dict[str, Law]:
    """The laws of the density over y, on dequantised rows, each called "flow: …"."""
    flow = model.model
    with torch.no_grad():
        noise = torch.rand(x.shape, generator=generator_for(seed, "dequantise"), dtype=torch.float64)
        y = frozen_copy(model).to_real(x.detach().to("cpu", torch.float64), noise)[0]
    size = x[0].numel()
    if size <= _WHOLE:
        laws = model_laws(flow, y, context, seed=seed, **bounds)
        if size > _SMALL:
            # Importance sampling had a standard error of 8 % at 64 numbers, after minutes with convolutions: it could not fail.
            del laws["integral"], laws["samples: moments"]
            laws["samples: latents"] = lambda: uniform_latents(flow, context, seed=seed, draws=2048)
    else:
        rows, where = _cut(flow.transform, y, context, crop)
        parts = transform_laws(flow.transform, rows, context, **bounds)
        laws = {
            "latent density": lambda: latent_density(flow, y[:8], None if context is None else context[:8]),
            "sample log-prob": lambda: sample_log_prob(flow, context, seed=seed, draws=32),
            **{name: _noted(law, where) for name, law in parts.items()},
        }
    return {f"flow: {name}": _of_the_flow(law) for name, law in laws.items()}


def _of_the_flow(law: Law) -> Law:
    def check() -> Check:
        found = law()
        return dataclasses.replace(found, law=f"flow: {found.law}")

    return check


def _noted(law: Law, where: str) -> Law:
    def check() -> Check:
        found = law()
        return dataclasses.replace(found, note=found.note + where)

    return check


def _cut(transform: Transform, y: Tensor, context: Tensor | None, crop: int | None) -> tuple[Tensor, str]:
    """The middle of each picture, and a note that says so, where the map takes pictures of that size; else the pictures whole.

    Whole pictures have no Jacobian that could be formed at once: the law of log-dets then goes layer by layer and says what it left out.
    """
    if crop is None or y.dim() != 4 or min(y.shape[-2:]) <= crop:
        return y, ""
    top, left = ((side - crop) // 2 for side in y.shape[-2:])
    rows = y[..., top : top + crop, left : left + crop].contiguous()
    try:
        with torch.no_grad():
            copy, given = frozen_copy(transform), as_rows(y, context, torch.float64, 2)[1]
            z = copy(rows[:2], given)
            fits = z.numel() == rows[:2].numel() and copy.inverse(z, given).shape == rows[:2].shape
    except Exception:
        # Whatever a map of another size raises: it is then tried on whole pictures, where an error is an error.
        fits = False
    return (
        (rows, f"; on {crop} × {crop} crops")
        if fits
        else (y, f"; whole pictures, since the map takes no {crop} × {crop} crops")
    )
