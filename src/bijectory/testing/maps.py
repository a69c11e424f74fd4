"""Laws of invertible maps that need no oracle: shapes, round trips, independent rows, contexts, far inputs, gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import DomainError, InverseError
from ..nets.mlp import Linear
from ..transforms.base import Transform
from .checks import Check, as_rows, at_most, dtype_name, exceeds, frozen_copy, listed, units, worst_row
from .jacobians import row_jacobian

BATCHES = ((), (3,), (2, 3), (0,))
_ROWS = 256

Way = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]


def spread(rows: Tensor, batch: tuple[int, ...]) -> Tensor:
    """Rows (n, *) repeated or cut to (*batch, *)."""
    return rows[torch.arange(math.prod(batch)) % len(rows)].reshape((*batch, *rows.shape[1:]))


def shapes(transform: Transform, x: Tensor, context: Tensor | None = None) -> Check:
    """z has the batch and the declared event dimensions, log_det exactly the batch shape, for batches (), (3,), (2, 3) and (0,)."""
    t = frozen_copy(transform)
    x, context = as_rows(x, context, torch.float64, 6)
    faults = []
    for batch in BATCHES:
        rows = spread(x, batch)
        given = None if context is None else spread(context, batch)
        try:
            z, log_det = t.forward_and_log_det(rows, given)
            if tuple(z.shape[: len(batch)]) != batch or z.dim() != len(batch) + t.event_dim_out:
                faults.append(f"batch {batch}: z {tuple(z.shape)}, {t.event_dim_out} event dimensions declared")
            if tuple(log_det.shape) != batch:
                faults.append(f"batch {batch}: log_det {tuple(log_det.shape)}")
            if t.has_inverse:
                back, log_det = t.inverse_and_log_det(z, given)
                if back.shape != rows.shape:
                    faults.append(f"batch {batch}: the inverse gives {tuple(back.shape)} for x {tuple(rows.shape)}")
                if tuple(log_det.shape) != batch:
                    faults.append(f"batch {batch}: the inverse's log_det {tuple(log_det.shape)}")
        except Exception as error:
            faults.append(f"batch {batch}: {type(error).__name__}: {error}")
    return at_most("shapes", len(faults), 0, listed(faults, f"batches tried: {', '.join(map(str, BATCHES))}"))


def independent_rows(transform: Transform, x: Tensor, context: Tensor | None = None, *, bound: float = 1e-9) -> Check:
    """A row alone, and rows in reverse, give what they give within their batch; every other law counts on it."""
    t = frozen_copy(transform)
    x, context = as_rows(x, context, torch.float64, 16)
    with torch.no_grad():
        z, log_det = t.forward_and_log_det(x, context)
        ways: list[tuple[Way, Tensor, Tensor, Tensor]] = [(t.forward_and_log_det, x, z, log_det)]
        if t.has_inverse:
            ways.append((t.inverse_and_log_det, z, *t.inverse_and_log_det(z, context)))
        worst, where = 0.0, "every row"
        for way, rows, value, slope in ways:
            whole = torch.cat([value.reshape(len(x), -1), slope.reshape(len(x), 1)], 1)
            trials = [(f"row {i} alone", torch.tensor([i])) for i in (0, len(x) // 2, len(x) - 1)]
            trials.append(("rows reversed", torch.arange(len(x) - 1, -1, -1)))
            for name, index in trials:
                a, b = way(rows[index], None if context is None else context[index])
                error, _ = worst_row(torch.cat([a.reshape(len(index), -1), b.reshape(len(index), 1)], 1), whole[index])
                if exceeds(error, worst):
                    worst, where = error, name
    return at_most(
        "independent rows", worst, bound, f"largest change, relative to max(1, |row|): {where} of {len(x)}, float64"
    )


def round_trip(
    transform: Transform,
    x: Tensor,
    context: Tensor | None = None,
    *,
    z: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
    bound: float = 1e-10,
) -> Check:
    """f⁻¹(f(x)) = x for rows x and for x = f⁻¹(z), and in float64 also f(f⁻¹(z)) = z. A vector's columns count in their own ``units``.

    ``z`` holds latents, such as the base's samples, and is f(x) where none are given. In float32 only x is asked to come back: where
    the map stretches by k, neighbouring float32 values of x lie k·eps apart in z, and no inverse could bring z back closer.
    """
    t = frozen_copy(transform, dtype)
    x, context = as_rows(x, context, dtype, _ROWS)
    unit = units(x, t.event_dim_in)
    with torch.no_grad():
        latent = t(x, context)
        out, row_out = worst_row(t.inverse(latent, context), x, unit)
        z = latent if z is None else z.detach()[: len(x)].to("cpu", dtype)
        given = None if context is None else context[: len(z)]
        drawn = t.inverse(z, given)
        again = t(drawn, given)
        if dtype is torch.float64:
            way, (back, row_back) = "z→x→z", worst_row(again, z)
        else:
            way, (back, row_back) = "x→z→x from latents", worst_row(t.inverse(again, given), drawn, unit)
    figure = math.nan if math.isnan(out + back) else max(out, back)
    return at_most(
        f"round trip {dtype_name(dtype)}",
        figure,
        bound,
        f"{_relative(t)}: x→z→x {out:.1e} (row {row_out} of {len(x)}), {way} {back:.1e} (row {row_back} of {len(z)})",
    )


def opposite_log_det(transform: Transform, x: Tensor, context: Tensor | None = None, *, bound: float = 1e-9) -> Check:
    """The inverse's log-det at f(x) is minus the forward one at x."""
    t = frozen_copy(transform)
    x, context = as_rows(x, context, torch.float64, _ROWS)
    with torch.no_grad():
        z, log_det = t.forward_and_log_det(x, context)
        opposite = t.inverse_and_log_det(z, context)[1]
    figure, row = worst_row(-opposite.reshape(-1, 1), log_det.reshape(-1, 1))
    return at_most(
        "inverse log-det", figure, bound, f"nats relative to max(1, |log-det|), row {row} of {len(x)}, float64"
    )


def precision(transform: Transform, x: Tensor, context: Tensor | None = None, *, bound: float = 1e-3) -> Check:
    """float32 and float64 give about the same z and log-det, each in the dtype it was given, and a copy gives the same bits."""
    wide, narrow = frozen_copy(transform), frozen_copy(transform, torch.float32)
    x32, context32 = as_rows(x, context, torch.float32, _ROWS)
    with torch.no_grad():
        z32, log_det32 = narrow.forward_and_log_det(x32, context32)
        z64, log_det64 = wide.forward_and_log_det(x32.double(), None if context32 is None else context32.double())
        again, log_det_again = frozen_copy(narrow, torch.float32).forward_and_log_det(x32, context32)
    if (z32.dtype, log_det32.dtype, z64.dtype, log_det64.dtype) != (torch.float32,) * 2 + (torch.float64,) * 2:
        kinds = ", ".join(dtype_name(v.dtype) for v in (z32, log_det32, z64, log_det64))
        return at_most("precision", math.inf, bound, f"z and log_det come in {kinds} for x in float32 and float64")
    if not (torch.equal(z32, again) and torch.equal(log_det32, log_det_again)):
        return at_most("precision", math.inf, bound, "a copy of the map gives other bits")
    by_z, row_z = worst_row(z32.double(), z64)
    by_slope, row_slope = worst_row(log_det32.double().reshape(-1, 1), log_det64.reshape(-1, 1))
    figure = math.nan if math.isnan(by_z + by_slope) else max(by_z, by_slope)
    note = f"float32 against float64, relative to max(1, |row|): z {by_z:.1e} (row {row_z}), log-det {by_slope:.1e} (row {row_slope})"
    return at_most("precision", figure, bound, note)


def far_inputs(
    transform: Transform, x: Tensor, context: Tensor | None = None, *, factor: float = 100.0, bound: float = 1e-3
) -> Check:
    """``factor`` times further from the median than the data, in float32: finite and still invertible, or refused by a declared error."""
    law = f"far inputs {factor:g}x"
    t = frozen_copy(transform, torch.float32)
    x, context = as_rows(x, context, torch.float32, _ROWS)
    middle = x.median(0).values
    far = middle + factor * (x - middle)
    with torch.no_grad():
        try:
            z, log_det = t.forward_and_log_det(far, context)
            if not bool(torch.isfinite(log_det).all()):
                row = int((~torch.isfinite(log_det)).nonzero()[0, 0])
                return at_most(
                    law,
                    math.nan,
                    bound,
                    f"log-det {log_det[row].item()} at row {row}: x {far[row].flatten()[:4].tolist()}",
                )
            back = t.inverse(z, context) if t.has_inverse else far
        except (DomainError, InverseError) as error:
            return at_most(law, 0.0, bound, f"refused: {error}")
    figure, row = worst_row(back, far, units(x, t.event_dim_in))
    return at_most(law, figure, bound, f"round trip {_relative(t)}, row {row} of {len(x)}, float32, all finite")


def _relative(t: Transform) -> str:
    return "relative to max(1, |row|)" + (" in standard deviations of its columns" if t.event_dim_in == 1 else "")


def context_reach(transform: Transform, x: Tensor, context: Tensor, *, outputs: int = 256) -> Check:
    """Every number of z depends on every feature of the context, and every number of x where the map is read backwards.

    In nflows 0.14 and normflows 1.7.3 the first number's parameters do not: a conditional flow of one feature ignores its context.
    """
    t = frozen_copy(transform)
    x, given = as_rows(x, context, torch.float64, 16 if x[0].numel() <= outputs else 2)
    assert given is not None
    missing: list[str] = []
    with torch.no_grad():
        z = t(x, given)
    ways = [("z", t.forward, x)] + ([("x", t.inverse, z)] if t.has_inverse else [])
    for name, way, rows in ways:
        slopes = row_jacobian(lambda c, i, way=way, rows=rows: way(rows[i], c), given, limit=outputs).abs().amax(0)  # type: ignore[misc]
        missing += [f"d {name}_{i} / d context_{j} = 0" for i, j in (~(slopes > 0)).nonzero().tolist()]
    return at_most(
        "context", len(missing), 0, listed(missing, f"pairs without a dependence, at {len(x)} rows, both directions")
    )


def gradients(transform: Transform, x: Tensor, context: Tensor | None = None) -> Check:
    """Every parameter receives a finite gradient that is not zero from Σ z² + log-det."""
    t = frozen_copy(transform)
    x, context = as_rows(x, context, torch.float64, _ROWS)
    with torch.enable_grad():
        z, log_det = t.forward_and_log_det(x, context)
        total = z.square().sum() + log_det.sum()
    return gradient_check(t, total)


def gradient_check(module: torch.nn.Module, total: Tensor) -> Check:
    """Every trainable parameter of the module receives a finite gradient from ``total`` that is not zero."""
    # A weight behind a mask closed throughout, as in a MADE of one feature, is none that anything could reach.
    closed = {
        f"{name}.{weight}".lstrip(".")
        for name, part in module.named_modules()
        if isinstance(part, Linear) and part.mask is not None and not bool(part.mask.any())
        for weight in ("weight", "gain")
    }
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad and name not in closed]
    slopes = (
        torch.autograd.grad(total, [p for _, p in named], allow_unused=True)
        if named and total.requires_grad
        else [None] * len(named)
    )
    faults = []
    for (name, _), slope in zip(named, slopes, strict=True):
        if slope is None:
            faults.append(f"{name}: none")
        elif not bool(torch.isfinite(slope).all()):
            faults.append(f"{name}: not finite")
        elif not bool((slope != 0).any()):
            faults.append(f"{name}: zero")
    return at_most(
        "gradients", len(faults), 0, listed(faults, f"parameters without a finite gradient, of {len(named)}")
    )
