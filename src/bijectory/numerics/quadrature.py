"""Integrals by Gauss-Legendre quadrature: of a density over a box, over the cells of a grid, and in logs along a line.

`integrate` checks that a density integrates to one and computes entropies; `cell_masses` gives the expected counts of a
chi-square test; `log_integral` gives the log-density of a mixture over a continuous index, far into its tails.
All work is done in float64 and without gradients; but `log_integral` is differentiable in what its integrand holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from bijectory.errors import InputError, NonFiniteError, NumericError, ShapeError

__all__ = ["Integral", "cell_masses", "gauss_legendre", "integrate", "log_integral"]

_POINTS_PER_CALL = 2**17  # what an integrand makes of so many points must fit into memory
_FIRST_CELLS = {1: 64, 2: 16}  # an axis; with 8 nodes a cell
_ORDERS = (6, 8)  # the lower rule only estimates the error; the value is the higher rule's
_DEEPEST = 20  # halvings of a cell: a millionth of a first cell's side
_CROWD = 4  # of the points named by near, as many as a first cell may hold
_HALVINGS = 60  # of a panel of log_integral: then it is narrower than float64 resolves the interval, jump or not
_ZERO = -1e300  # stands for the logarithm of zero where -inf - -inf would give NaN


@dataclass(frozen=True)
class Integral:
    """An integral, the estimate of its absolute error, and the number of points at which fn was evaluated."""

    value: float
    error: float
    evaluations: int


@lru_cache(maxsize=32)
def _gauss_legendre(nodes: int) -> tuple[Tensor, Tensor]:
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return torch.from_numpy(points), torch.from_numpy(weights)


def gauss_legendre(nodes: int) -> tuple[Tensor, Tensor]:
    """Points and weights of the Gauss-Legendre rule on [-1, 1], exact for polynomials of degree 2 nodes - 1.

    ∫ f(t) dt over [-1, 1]  ≈  Σ_i w_i f(t_i)

    Returns:
        Two float64 tensors of shape (nodes,), the points increasing, the weights summing to 2. They are fresh copies.

    Raises:
        InputError: fewer than one node.

    Example:
        >>> points, weights = gauss_legendre(3)
        >>> round(float((weights * points**4).sum()), 12)
        0.4
    """
    if nodes < 1:
        raise InputError(f"nodes: expected at least 1, got {nodes}; give the number of points of the rule")
    points, weights = _gauss_legendre(nodes)
    return points.clone(), weights.clone()


def _tensor_rule(nodes: int, dim: int) -> tuple[Tensor, Tensor]:
    """The product rule on [-1, 1]^dim: points (nodes^dim, dim), weights (nodes^dim,)."""
    points, weights = _gauss_legendre(nodes)
    if dim == 1:
        return points[:, None], weights
    return torch.cartesian_prod(points, points), torch.outer(weights, weights).reshape(-1)


def _evaluate(fn: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """fn at points (N, D) in chunks, checked: (N,) float64 on the CPU, finite."""
    values = []
    for chunk in points.split(_POINTS_PER_CALL):
        value = fn(chunk)
        if value.shape != chunk.shape[:1]:
            raise ShapeError(
                f"fn: expected {tuple(chunk.shape[:1])} values for points of shape {tuple(chunk.shape)}, "
                f"got shape {tuple(value.shape)}; return one number a row"
            )
        value = value.detach().to("cpu", torch.float64)
        bad = ~torch.isfinite(value)
        if bad.any():
            row = int(bad.nonzero()[0, 0])
            raise NonFiniteError(
                f"fn: expected finite values, got {value[row].item()} at {chunk[row].tolist()}; "
                "give 0 where the density is zero, and leave a singular point out of the box"
            )
        values.append(value)
    return torch.cat(values)


def _box(low: Sequence[float], high: Sequence[float]) -> tuple[Tensor, Tensor]:
    if len(low) != len(high) or len(low) not in (1, 2):
        raise InputError(
            f"low, high: expected one or two bounds each, got {len(low)} and {len(high)}; give (D,) with D = 1 or 2"
        )
    lower, upper = torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64)
    if not (torch.isfinite(upper - lower).all() and (upper > lower).all()):
        raise InputError(
            f"low, high: expected finite low < high, got {list(low)} and {list(high)}; integrate over a finite box"
        )
    return lower, upper


def _with_coarser_neighbours(level: Tensor, index: Tensor, cut: Tensor) -> Tensor:
    """The cells to cut, and all they touch that would be left more than one level coarser than their parts.

    Without this, a ridge a thousandth wide that crossed some of the first cells between their nodes was lost in them:
    4e-4 of its mass, at an estimated error of 7e-6.
    """
    steps = torch.cartesian_prod(*[torch.arange(-1, 2)] * index.shape[1]).reshape(-1, index.shape[1])
    keys, fresh = _keys(level, index), cut
    while fresh.any():
        around = (index[fresh][:, None] + steps) >> 1
        wanted = _keys((level[fresh] - 1)[:, None].expand(around.shape[:2]), around)
        fresh = torch.isin(keys, wanted) & ~cut
        cut = cut | fresh
    return cut


def _keys(level: Tensor, index: Tensor) -> Tensor:
    """One integer for each cell; an index is at least -1, beside the box, and below 2^27."""
    key = level
    for axis in (index + 1).unbind(-1):
        key = (key << 28) + axis
    return key


def _halved(level: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """The parts of cells, halved along every axis; those of a cell follow one another."""
    dim = index.shape[1]
    corners = torch.cartesian_prod(*[torch.arange(2)] * dim).reshape(-1, dim)
    return (level + 1).repeat_interleave(len(corners)), (2 * index[:, None] + corners).reshape(-1, dim)


def _first_cells(places: Tensor, dim: int, most: int) -> tuple[Tensor, Tensor]:
    """The first grid, its cells halved where the points crowd; places (n, D) in units of the box, and at most so many cells."""
    first = _FIRST_CELLS[dim]
    index = torch.cartesian_prod(*[torch.arange(first)] * dim).reshape(-1, dim)
    level = torch.zeros(len(index), dtype=torch.long)
    for depth in range(_DEEPEST):
        inside = (places * (first * 2**depth)).floor().long()
        keys, counts = _keys(torch.full((len(inside),), depth), inside).unique(return_counts=True)
        cut = torch.isin(_keys(level, index), keys[counts > _CROWD])
        cut = _with_coarser_neighbours(level, index, cut)
        if not cut.any() or len(index) + int(cut.sum()) * (2**dim - 1) > most:
            break
        finer_level, finer_index = _halved(level[cut], index[cut])
        level, index = torch.cat([level[~cut], finer_level]), torch.cat([index[~cut], finer_index])
    return level, index


def integrate(
    fn: Callable[[Tensor], Tensor],
    low: Sequence[float],
    high: Sequence[float],
    *,
    near: Tensor | None = None,
    tolerance: float = 1e-7,
    max_evaluations: int = 4_000_000,
    strict: bool = True,
) -> Integral:
    """The integral of fn over a box in one or two dimensions, by adaptive cubature.

    Each cell is integrated by two tensor Gauss-Legendre rules, of 6 and of 8 nodes an axis; the difference estimates the
    cell's error (that of the lower rule: the value returned is usually far better). Cells are halved along every axis,
    those with the largest errors first, until the estimates sum to less than `tolerance`. A cell is also halved when a
    neighbour is to become more than twice as fine: so a thin ridge, once seen anywhere, is followed through cells in
    which no node had met it.

    An island between the first nodes (1/512 of a side apart in 1-D, 1/128 in 2-D) can be missed, unless `near` says where
    to look. A jump costs cells along its whole length, and there the estimate has the size of the error but does not bound
    it: ask for 1e-3.

    Args:
        fn: from float64 points (N, D), N at most 2^17, to (N,) values.
        low, high: D bounds each, D = 1 or 2, finite.
        near: points (n, D) where fn is thought to matter, such as samples of a density: the first cells are halved until none
            holds more than four of them, or a quarter of the evaluations is spent. They choose cells and nothing else.
        tolerance: absolute, on the sum of the cells' error estimates.
        max_evaluations: points at which fn may be evaluated; a round of halving that would exceed it is not begun.
        strict: raise when the tolerance is not met; otherwise return what was reached, its `error` above `tolerance`.

    Raises:
        InputError: bounds that are no box, or too few evaluations for the first grid.
        ShapeError: near is not (n, D).
        ShapeError, NonFiniteError: fn returns another shape, NaN or infinity.
        NumericError: the evaluations ran out before the tolerance was met.

    Example:
        >>> result = integrate(lambda x: torch.exp(-0.5 * x.square().sum(-1)) / (2 * math.pi), (-9.0, -9.0), (9.0, 9.0))
        >>> abs(result.value - 1) < 1e-9, result.error < 1e-7
        (True, True)
    """
    lower, upper = _box(low, high)
    dim, first = len(lower), _FIRST_CELLS[len(lower)]
    rules = [_tensor_rule(nodes, dim) for nodes in _ORDERS]
    offsets, split = torch.cat([points for points, _ in rules]), len(rules[0][1])

    def measure(level: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """The integral over every cell and the estimate of its error."""
        half = (upper - lower) / (2 * first) / 2.0 ** level[:, None]
        points = lower + (2 * index + 1)[:, None] * half[:, None] + half[:, None] * offsets
        values = _evaluate(fn, points.reshape(-1, dim)).reshape(len(index), -1)
        coarse, fine = values[:, :split] @ rules[0][1], values[:, split:] @ rules[1][1]
        return fine * half.prod(-1), (fine - coarse).abs() * half.prod(-1)

    if near is None:
        near = lower.new_empty(0, dim)
    elif near.ndim != 2 or near.shape[1] != dim:
        raise ShapeError(f"near: expected (n, {dim}) points, got {tuple(near.shape)}; give a row for each point")
    places = (near.detach().to("cpu", torch.float64) - lower) / (upper - lower)
    places = places[((places >= 0) & (places < 1)).all(1)]
    level, index = _first_cells(places, dim, max_evaluations // (4 * len(offsets)))
    evaluations = len(index) * len(offsets)
    if max_evaluations < evaluations:
        raise InputError(f"max_evaluations: expected at least {evaluations}, the first grid, got {max_evaluations}")
    value, error = measure(level, index)

    while float(error.sum()) > tolerance:
        # The cells with the smallest errors may keep half the tolerance between them; all others are cut.
        order = error.argsort()
        cut = torch.empty(len(order), dtype=torch.bool).index_put((order,), error[order].cumsum(0) > tolerance / 2)
        cut = _with_coarser_neighbours(level, index, cut & (level < _DEEPEST))
        children = int(cut.sum()) * 2**dim
        if children == 0 or evaluations + children * len(offsets) > max_evaluations:
            break
        evaluations += children * len(offsets)
        child_level, child_index = _halved(level[cut], index[cut])
        child_value, child_error = measure(child_level, child_index)
        level, index = torch.cat([level[~cut], child_level]), torch.cat([index[~cut], child_index])
        value, error = torch.cat([value[~cut], child_value]), torch.cat([error[~cut], child_error])

    result = Integral(float(value.sum()), float(error.sum()), evaluations)
    if strict and result.error > tolerance:
        raise NumericError(
            f"integrate: expected an error below {tolerance:.2g}, got {result.error:.2g} after {evaluations} evaluations; "
            "raise tolerance or max_evaluations, shrink the box to where fn is not zero, or accept it with strict=False"
        )
    return result


def cell_masses(fn: Callable[[Tensor], Tensor], edges: Sequence[Tensor], *, order: int = 8, sub: int = 1) -> Tensor:
    """The integral of fn over every cell of a rectangular grid in one or two dimensions.

    masses[i, j] = ∫∫ fn(x, y) dx dy over edges[0][i] < x < edges[0][i+1], edges[1][j] < y < edges[1][j+1]

    Args:
        fn: from float64 points (N, D), N at most 2^17, to (N,) values.
        edges: D increasing 1-D tensors, D = 1 or 2, of n_d + 1 edges each.
        order: Gauss-Legendre nodes an axis.
        sub: equal parts an axis into which each cell is cut before the rule is applied. Nothing adapts: choose order and
            sub so that nodes lie closer than the features of fn.

    Returns:
        float64 tensor of shape (n_1,) or (n_1, n_2).

    Raises:
        InputError: edges that do not increase, or order or sub below 1.
        ShapeError, NonFiniteError: fn returns another shape, NaN or infinity.

    Example:
        >>> cell_masses(lambda x: x[:, 0] * x[:, 1], [torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 2.0])]).tolist()
        [[1.0], [3.0]]
    """
    if len(edges) not in (1, 2) or any(e.ndim != 1 or len(e) < 2 or not (e.diff() > 0).all() for e in edges):
        raise InputError(
            "edges: expected one or two increasing 1-D tensors of at least two edges, got shapes "
            f"{[tuple(e.shape) for e in edges]}; sort them and leave no two equal"
        )
    if order < 1 or sub < 1:
        raise InputError(f"order, sub: expected at least 1, got {order} and {sub}")
    points, weights = _gauss_legendre(order)
    axes, axis_weights = [], []
    for edge in edges:
        left, width = edge[:-1].double(), edge.double().diff() / sub
        starts = left[:, None] + width[:, None] * torch.arange(sub, dtype=torch.float64)
        axes.append((starts[..., None] + width[:, None, None] * (points + 1) / 2).reshape(-1))
        axis_weights.append((width[:, None] * weights.repeat(sub) / 2).reshape(-1))
    nodes_a_cell = order * sub
    if len(edges) == 1:
        values = _evaluate(fn, axes[0][:, None]) * axis_weights[0]
        return values.reshape(-1, nodes_a_cell).sum(-1)
    # One strip of cells at a time: a fine grid has more nodes than should be held at once.
    strips = []
    for strip, strip_weights in zip(axes[0].split(nodes_a_cell), axis_weights[0].split(nodes_a_cell), strict=True):
        values = _evaluate(fn, torch.cartesian_prod(strip, axes[1])).reshape(nodes_a_cell, -1)
        strips.append((strip_weights @ values * axis_weights[1]).reshape(-1, nodes_a_cell).sum(-1))
    return torch.stack(strips)


def log_integral(
    log_fn: Callable[[Tensor, Tensor], Tensor],
    rows: int,
    low: float,
    high: float,
    *,
    panels: int = 20,
) -> Tensor:
    """The logarithm of the integral of exp(log_fn) over an interval, for many integrands at once, at any depth of tail.

    out[r] = log ∫ exp(log_fn(r, t)) dt,  low < t < high

    Every row has its own panels. A panel over which log_fn varies by more than 8 is halved, since a 16-node rule
    integrates a Gaussian peak to 1e-9 below that; one that lies 40 below the row's maximum is dropped. So a peak a
    million times narrower than the interval is found and resolved, as long as log_fn leads up to it from the nodes of
    the first panels, and a jump is enclosed until it no longer matters.

    Args:
        log_fn: from row numbers (K,) and points (K, 16) to (K, 16) values; -inf where the integrand is zero.
        rows: the number of integrands.
        low, high: the interval, the same for all rows.
        panels: equal panels to start from.

    Returns:
        float64 tensor of shape (rows,).

    Raises:
        NonFiniteError: log_fn gives NaN or plus infinity.

    Example:
        >>> far = log_integral(lambda r, t: -0.5 * ((t - 0.3) / 1e-6) ** 2 - 1e9, 1, 0.0, 1.0)
        >>> round(float(far[0] + 1e9) - math.log(1e-6 * math.sqrt(2 * math.pi)), 6)
        0.0
    """
    points, weights = _gauss_legendre(16)
    row = torch.arange(rows).repeat_interleave(panels)
    half = torch.full((len(row),), (high - low) / (2 * panels), dtype=torch.float64)
    centre = low + half * (2 * torch.arange(panels, dtype=torch.float64) + 1).repeat(rows)
    best = torch.full((rows,), -math.inf, dtype=torch.float64)
    parts: list[Tensor] = []
    owners: list[Tensor] = []
    for halvings_left in reversed(range(_HALVINGS)):
        values = log_fn(row, centre[:, None] + half[:, None] * points).double()
        if not (values < math.inf).all():
            bad = int((~(values < math.inf)).any(-1).nonzero()[0, 0])
            raise NonFiniteError(
                f"log_fn: expected numbers or -inf, got NaN or infinity in row {int(row[bad])} near {centre[bad].item():.6g}"
            )
        with torch.no_grad():
            top = values.amax(-1)
            span = top - values.amin(-1).clamp_min(_ZERO)
            best = best.scatter_reduce(0, row, top, "amax")
            # At |log_fn| = 1e17 neighbouring floats lie 16 apart: without this both halves of the best panel could fall
            # below their parent by rounding and be dropped, and no panel would ever count as smooth.
            rounding = 16 * torch.finfo(torch.float64).eps * best[row].abs()
            # Between its nodes a line or parabola exceeds their maximum by at most 3 % of the span: an eighth is safe.
            alive = top + span / 8 > best[row] - rounding.clamp_min(40)
            done = alive & (span <= rounding.clamp_min(8)) if halvings_left else alive
            cut = alive & ~done
        parts.append(torch.logsumexp(values[done] + weights.log() + half[done].log()[:, None], -1))
        owners.append(row[done])
        if not cut.any():
            break
        quarter = half[cut] / 2
        row, half = row[cut].repeat(2), quarter.repeat(2)
        centre = torch.cat([centre[cut] - quarter, centre[cut] + quarter])
    part, owner = torch.cat(parts), torch.cat(owners)
    shift = torch.full((rows,), _ZERO, dtype=torch.float64).scatter_reduce(0, owner, part.detach(), "amax")
    total = torch.zeros(rows, dtype=torch.float64).index_add(0, owner, (part - shift[owner]).exp())
    return total.log() + shift
