"""Monotonic rational-quadratic splines between knots (Gregory & Delbourgo 1982; Durkan et al. 2019, arXiv:1906.04032)."""

from __future__ import annotations

import math
from functools import reduce
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor


def unconstrained_knots(
    widths: Tensor,
    heights: Tensor,
    slopes: Tensor,
    *,
    bound: float,
    min_bin: float = 1e-3,
    min_slope: float = 1e-3,
) -> tuple[Tensor, Tensor, Tensor]:
    """Knots of an increasing spline on [−bound, bound] from any real parameters; zero parameters give the identity.

    ``widths`` and ``heights`` have shape (*, K), ``slopes`` (*, K − 1); the knots (x, y, slope) each (*, K + 1). The slope at both
    ends is 1, so that the spline meets its linear tails smoothly. With ``slopes`` (*, K) the first is that of both ends, as on a circle.
    ``min_bin`` (a share of 2·bound) and ``min_slope`` keep the map invertible in float32: without them softmax makes bins of
    width 0, whose inverse divides 0 by 0 (nflows #87).
    """
    # Bins first: then a row holds one number of every spline, and the sums over bins add whole rows, which is what processors are
    # quick at; with the few bins last, softmax and cumsum took a third of a training step.
    widths, heights, slopes = (raw.movedim(-1, 0).contiguous() for raw in (widths, heights, slopes))
    # softplus(raw + c) = 1 − min_slope at raw = 0, so that a zero parameter is slope one.
    inner = min_slope + F.softplus(slopes + math.log(math.expm1(1 - min_slope)))
    if len(slopes) == len(widths):
        end, inner = inner[:1], inner[1:]
    else:
        end = torch.ones_like(inner[:1])
    knots = [_edges(widths, bound, min_bin), _edges(heights, bound, min_bin), torch.cat([end, inner, end])]
    x, y, slope = (found.movedim(0, -1) for found in knots)
    return x, y, slope


def _edges(raw: Tensor, bound: float, floor: float) -> Tensor:
    """Knots (K + 1, *) from −bound to bound, of shares (K, *) that are a softmax above ``floor``."""
    share = floor + (1 - floor * len(raw)) * F.softmax(raw, 0)
    # What lies to the left less what lies to the right: summed from one side, rounding grows towards the other. In float32 a trained
    # neural spline flow's round trip lost 1.4e-5 to 2.2e-5 of a row so, and 0.4e-5 to 1.0e-5 from both sides, for 4 % of a step's time.
    inner = (torch.cumsum(share[:-1], 0) - torch.cumsum(share[1:].flip(0), 0).flip(0)) * bound
    # The two ends are written as constants: a cumulative sum ends at 1 ± 1e-7, and points beside the bound fall in no bin.
    end = torch.full_like(inner[:1], bound)
    return torch.cat([-end, inner, end])


def rational_quadratic(
    x: Tensor, x_knots: Tensor, y_knots: Tensor, slopes: Tensor, *, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """Value and log absolute derivative of the spline through the knots; with ``inverse``, of its inverse.

        t = (ξ² + a ξη) / (ξ² + η² + (a + b) ξη),   ξ = (x − x_k)/w,  η = 1 − ξ,  t = (y − y_k)/h,
        a = d_k w/h,  b = d_{k+1} w/h,              dt/dξ = (b ξ² + 2ξη + a η²) / (ξ² + η² + (a + b) ξη)²

    ``x`` has shape (*batch), the knots and slopes (*batch, K + 1), increasing. Outside the knots the map is a line with the slope
    of the nearer end. Written in ξ and η every sum has positive terms only, so nothing cancels in either direction: the paper's
    b² − 4ac came out as −3e-8 at a knot in float32, whose square root is NaN (nflows #87).
    """
    x_knots, y_knots, slopes = (knots.movedim(-1, 0) for knots in (x_knots, y_knots, slopes))
    searched = y_knots if inverse else x_knots
    first, last = searched[0], searched[-1]
    inside = (x >= first) & (x <= last)
    # A harmless point stands in for those outside: `where` alone would let their overflow turn gradients into NaN.
    safe = torch.where(inside, x, first)
    index = (safe >= searched[1:-1]).sum(0, keepdim=True)
    pair = torch.cat([index, index + 1])
    (x0, x1), (y0, y1), (d0, d1) = (
        torch.gather(knots.expand(len(knots), *index.shape[1:]), 0, pair) for knots in (x_knots, y_knots, slopes)
    )
    value_inside, log_inside = _piece(safe, x0, x1, y0, y1, d0, d1, inverse)
    below = x < first
    tail_slope = torch.where(below, slopes[0], slopes[-1])
    from_x = torch.where(below, x_knots[0], x_knots[-1])
    from_y = torch.where(below, y_knots[0], y_knots[-1])
    value_tail = from_x + (x - from_y) / tail_slope if inverse else from_y + (x - from_x) * tail_slope
    value = torch.where(inside, value_inside, value_tail)
    log_tail = torch.log(tail_slope)
    log_slope = torch.where(inside, log_inside, -log_tail if inverse else log_tail)
    return value, log_slope


def _piece(
    at: Tensor, x0: Tensor, x1: Tensor, y0: Tensor, y1: Tensor, d0: Tensor, d1: Tensor, inverse: bool
) -> tuple[Tensor, Tensor]:
    """Value and log derivative of the piece from (x0, y0) to (x1, y1), its slopes d0 and d1, at a point between them."""
    width, height = x1 - x0, y1 - y0
    secant = height / width
    a, b = d0 / secant, d1 / secant
    if inverse:
        t, rest = (at - y0) / height, (y1 - at) / height
        # The quadratic's discriminant is p² + 4t(1 − t), and ξ : η = 2t : q, with q = p + √… or, where p < 0, its conjugate.
        p = a * rest - b * t
        larger = p.abs() + torch.sqrt(p * p + 4 * t * rest)
        q = torch.where(p >= 0, larger, 4 * t * rest / larger)
        xi, eta = 2 * t / (2 * t + q), q / (2 * t + q)
        # From the nearer knot: from the farther one the whole width's rounding would be added.
        value = torch.where(xi <= eta, x0 + xi * width, x1 - eta * width)
    else:
        xi, eta = (at - x0) / width, (x1 - at) / width
    mixed = xi * eta
    denominator = xi * xi + eta * eta + (a + b) * mixed
    if not inverse:
        up, down = (xi * xi + a * mixed) / denominator, (eta * eta + b * mixed) / denominator
        value = torch.where(up <= down, y0 + height * up, y1 - height * down)
    log_slope = torch.log(secant * (b * xi * xi + 2 * mixed + a * eta * eta)) - 2 * torch.log(denominator)
    return value, -log_slope if inverse else log_slope


def spline_of_rows(
    x: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor, *, bound: float, floor: float, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """``rational_quadratic`` between ``unconstrained_knots`` written out bin by bin, for a compiler; the identity outside [−bound, bound].

    ``widths`` and ``heights`` have shape (K, *x.shape), ``slopes`` (K − 1, *x.shape): a row for each parameter, a number of every spline
    in it. Sums, gathers and softmax over bins end a compiled loop; sums and choices of rows do not, and all becomes one pass over x: a
    compiled training step of a neural spline flow takes two thirds of the time (D = 8, batch 512), a log-density six tenths.
    """
    nought = torch.zeros_like(x)
    knots = [_row_edges(widths, bound, floor), _row_edges(heights, bound, floor), [nought, *slopes.unbind(0), nought]]
    inside = (x >= -bound) & (x <= bound)
    safe = torch.where(inside, x, torch.full_like(x, -bound))
    chosen = [row for rows in knots for row in rows[:2]]
    for j, knot in enumerate(knots[1 if inverse else 0][1:-1], 1):
        past = safe >= knot
        following = [row for rows in knots for row in rows[j : j + 2]]
        chosen = [torch.where(past, new, old) for new, old in zip(following, chosen, strict=True)]
    x0, x1, y0, y1, raw0, raw1 = chosen
    # softplus after the choice: of two rows in place of all. At the ends its argument, a constant, gives slope one.
    offset = math.log(math.expm1(1 - floor))
    d0, d1 = (floor + F.softplus(raw + offset) for raw in (raw0, raw1))
    value, log_slope = _piece(safe, x0, x1, y0, y1, d0, d1, inverse)
    return torch.where(inside, value, x), torch.where(inside, log_slope, nought)


def _row_edges(raw: Tensor, bound: float, floor: float) -> list[Tensor]:
    """``_edges`` row by row."""
    rows = raw.unbind(0)
    largest = reduce(torch.maximum, rows)
    weights = [torch.exp(row - largest) for row in rows]
    part = (1 - floor * len(rows)) / sum(weights[1:], weights[0])
    shares = [floor + weight * part for weight in weights]
    left = list(accumulate(shares[:-1]))
    right = list(accumulate(shares[:0:-1]))[::-1]
    end = torch.full_like(largest, bound)
    return [-end, *((a - b) * bound for a, b in zip(left, right, strict=True)), end]
