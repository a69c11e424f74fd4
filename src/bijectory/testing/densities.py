"""Laws of densities: each integrates to one, by quadrature in one or two dimensions and by importance sampling beyond."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import DomainError
from ..models.base import ExactModel
from ..numerics.quadrature import Integral, integrate
from ..numerics.seeds import generator_for
from .checks import Check, as_rows, at_most, frozen_copy, worst_of

_NODES = 400_000  # points at which one integral may evaluate the density
_KERNELS = 256
_FREEDOM = 5  # of the proposal's Student t: heavier than a Gaussian's or logistic's tails, and its variance is finite


@dataclass(frozen=True)
class Slice:
    """The density p(· | c) of one context row, over flattened events (rows, D), float64."""

    model: ExactModel
    context: Tensor | None

    def log_prob(self, points: Tensor) -> Tensor:
        x = points.reshape(len(points), *self.model.event_shape)
        with torch.no_grad():
            return self.model.log_prob(x, None if self.context is None else self.context.expand(len(x), -1))

    def density(self, points: Tensor) -> Tensor:
        return self.log_prob(points).exp()

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            return self.model.sample(count, self.context, generator=generator).reshape(count, -1)

    def refuses(self, point: Tensor) -> bool:
        """Whether a point lies outside the support, said by DomainError."""
        try:
            self.log_prob(point[None])
        except DomainError:
            return True
        return False


def slices(model: ExactModel, context: Tensor | None) -> list[Slice]:
    """The model's densities for the first and the last row of the context; its one density where there is none."""
    copy = frozen_copy(model)
    if context is None:
        return [Slice(copy, None)]
    rows = context.detach().to("cpu", torch.float64)
    return [Slice(copy, rows[i]) for i in sorted({0, len(rows) - 1})]


def dimensions(model: ExactModel) -> int:
    return math.prod(model.event_shape)


def affordable(draws: int, dim: int) -> int:
    """Fewer draws where an event is so large that importance sampling decides nothing and sampling takes the time."""
    return min(draws, max(500, 1_280_000 // dim))


@dataclass(frozen=True)
class Box:
    """A box that holds nearly all of a density, as far as its own samples and the data tell."""

    low: Tensor
    high: Tensor

    def contains(self, points: Tensor) -> Tensor:
        return ((points >= self.low) & (points <= self.high)).all(1)

    def integral(self, density: Callable[[Tensor], Tensor], tolerance: float, near: Tensor | None = None) -> Integral:
        low, high = self.low.tolist(), self.high.tolist()
        return integrate(density, low, high, near=near, tolerance=tolerance, max_evaluations=_NODES, strict=False)


def box_around(part: Slice, points: Tensor) -> Box:
    """The points' range and half of it again on either side, cut back where the density's support ends."""
    low, high = points.amin(0), points.amax(0)
    margin = 0.5 * (high - low)
    return _within_support(part, points, Box(low - margin, high + margin))


def _within_support(part: Slice, points: Tensor, box: Box) -> Box:
    """The box, each side drawn in towards the points, which the density accepts, until it accepts the side too."""
    middle = points.median(0).values
    ends = []
    for inside, outside in ((points.amin(0), box.low), (points.amax(0), box.high)):
        found = [_support_end(part, middle, d, float(inside[d]), float(outside[d])) for d in range(len(middle))]
        ends.append(torch.tensor(found, dtype=points.dtype))
    return Box(ends[0], ends[1])


def _support_end(part: Slice, middle: Tensor, d: int, inside: float, outside: float) -> float:
    """The outermost coordinate towards ``outside`` that the density accepts, the others at the middle."""

    def refused(value: float) -> bool:
        point = middle.clone()
        point[d] = value
        return part.refuses(point)

    if not refused(outside):
        return outside
    for _ in range(100):
        half = inside + 0.5 * (outside - inside)
        if half in (inside, outside):
            break
        inside, outside = (inside, half) if refused(half) else (half, outside)
    return inside


def integral_is_one(
    model: ExactModel,
    x: Tensor,
    context: Tensor | None = None,
    *,
    seed: int = 0,
    bound: float = 1e-3,
    draws: int = 2**13,
) -> Check:
    """∫ exp(log_prob) = 1.

    In one or two dimensions by adaptive quadrature over a box that holds ``draws`` samples, the data, and a margin of half their
    range on each side: the probability outside is below 3/draws (95 % confidence), and usually by far. Beyond by importance sampling
    from a heavy-tailed mixture, within four standard errors; "not decided" where the standard error is above 5 % of it.
    """
    rows = as_rows(x, None, torch.float64, 2048)[0].flatten(1)
    parts = slices(model, context)
    if dimensions(model) > 2:
        checks = [
            _by_sampling(part, rows, generator_for(seed, "importance", i), affordable(2 * draws, dimensions(model)))
            for i, part in enumerate(parts)
        ]
    else:
        checks = [
            _by_quadrature(part, rows, generator_for(seed, "integral", i), draws, bound) for i, part in enumerate(parts)
        ]
    return worst_of(checks)


def _by_quadrature(part: Slice, x: Tensor, generator: torch.Generator, draws: int, bound: float) -> Check:
    points = torch.cat([part.sample(draws, generator), x])
    box = box_around(part, points)
    result = box.integral(part.density, bound / 2)
    if abs(result.value - 1) > bound / 2:
        # The estimate of the quadrature's own error is no bound: before a fault is called one, it is looked at ten times as closely, and
        # where samples fall. A naf's mode 150 wide in a box of 1e5 lay between the first nodes: 0.9975.
        result = box.integral(part.density, bound / 20, near=points)
    error = abs(result.value - 1)
    note = (
        f"integral {result.value:.6f} ± {result.error:.0e} by quadrature, {result.evaluations} points; "
        f"outside the box < {3 / draws:.0e}"
    )
    # A density too rough for the points allowed: within the quadrature's own error nothing is decided.
    if bound < error <= result.error:
        return Check("integral", error, bound, True, f"not decided: {note}")
    return at_most("integral", error, bound, note)


def _by_sampling(part: Slice, x: Tensor, generator: torch.Generator, draws: int) -> Check:
    weight = propose(part, x, generator, draws).log_weight.exp()
    value, error = float(weight.mean()), float(weight.std()) / math.sqrt(draws)
    figure = abs(value - 1) / error if error > 0 else math.nan
    note = f"standard errors; integral {value:.4f} ± {error:.4f} by importance sampling, {draws} points"
    # Of the integral and not of 1: where a few of the points carry it all, the rest of the density is missed, and so is the error. A spline
    # flow of 21 columns, some of them 15 deviations wide, gave 0.12 ± 0.04.
    if error > 0.05 * min(value, 1) and math.isfinite(value):
        return Check("integral", figure, 4.0, True, f"not decided, the standard error is above 5 %: {note}")
    return at_most("integral", figure, 4.0, note)


@dataclass(frozen=True)
class Weighted:
    """Points (n, D), and at each the log density and the log weight log p − log q of importance sampling."""

    points: Tensor
    log_prob: Tensor
    log_weight: Tensor


def propose(part: Slice, x: Tensor, generator: torch.Generator, count: int) -> Weighted:
    """Points from half a kernel mixture of Student t around samples and data, half one broad Student t over them all."""
    # As many of the data as of the samples, so that a dimension missing from the samples is still proposed.
    pool = torch.cat([part.sample(1024, generator), x[torch.randint(len(x), (1024,), generator=generator)]])
    dim = pool.shape[1]
    mean, deviation = pool.mean(0), pool.std(0).clamp_min(1e-12)
    scaled = (pool - mean) / deviation
    # The ridge keeps a pool on a line or plane factorable; 1e-6 of a deviation is far below any kernel's width.
    factor = torch.linalg.cholesky(torch.cov(scaled.T).reshape(dim, dim) + 1e-6 * torch.eye(dim, dtype=pool.dtype))
    width = (4 / (dim + 2) / _KERNELS) ** (1 / (dim + 4))
    centres = scaled[torch.randperm(len(scaled), generator=generator)[:_KERNELS]]
    normal = torch.randn(count, dim, generator=generator, dtype=pool.dtype)
    chi2 = torch.randn(count, _FREEDOM, generator=generator, dtype=pool.dtype).square().sum(1, keepdim=True)
    noise = (normal / torch.sqrt(chi2 / _FREEDOM)) @ factor.T
    chosen = torch.randint(len(centres), (count,), generator=generator)
    broad = (torch.arange(count) % 2 == 0)[:, None]
    points = torch.where(broad, 1.3 * noise, centres[chosen] + width * noise)

    white = torch.linalg.solve_triangular(factor, points.T, upper=False).T
    white_centres = torch.linalg.solve_triangular(factor, centres.T, upper=False).T
    volume = factor.diagonal().log().sum() + deviation.log().sum()
    wide = _student(white.square().sum(1) / 1.3**2, dim) - dim * math.log(1.3)
    near = _student(torch.cdist(white, white_centres).square() / width**2, dim) - dim * math.log(width)
    near = torch.logsumexp(near, 1) - math.log(len(centres))
    log_q = torch.logaddexp(wide, near) + math.log(0.5) - volume

    points = mean + deviation * points
    log_p = _log_prob_or_zero(part, pool, points)
    return Weighted(points, log_p, log_p - log_q)


def _log_prob_or_zero(part: Slice, pool: Tensor, points: Tensor) -> Tensor:
    """Log density, −inf outside a support whose ends DomainError tells."""
    try:
        return part.log_prob(points)
    except DomainError:
        inside = _within_support(part, pool, Box(points.amin(0), points.amax(0))).contains(points)
        log_p = torch.full((len(points),), -math.inf, dtype=points.dtype)
        log_p[inside] = part.log_prob(points[inside])
        return log_p


def _student(squared: Tensor, dim: int) -> Tensor:
    """Log density of a standard Student t in ``dim`` dimensions at a squared distance."""
    nu = _FREEDOM
    constant = math.lgamma((nu + dim) / 2) - math.lgamma(nu / 2) - dim / 2 * math.log(nu * math.pi)
    return constant - (nu + dim) / 2 * torch.log1p(squared / nu)
