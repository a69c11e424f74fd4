"""Roots of increasing functions: found by a bracket that grows, polished by Newton, differentiated implicitly."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InverseError
from .loops import State, repeat
from .residuals import Solved, listening, report
from .tracing import traced

Increasing = Callable[[Tensor], tuple[Tensor, Tensor]]


def solve_increasing(
    function: Increasing, target: Tensor, low: Tensor, high: Tensor, *, iterations: int = 200, growth: int = 200
) -> tuple[Tensor, Tensor]:
    """Solve f(x) = target for an increasing f, elementwise; return x and log f'(x).

        x ← Newton's step where it stays inside the bracket, else the middle; the bracket shrinks at every step.

    ``function`` maps x to (f(x), log f'(x)), each of ``target``'s shape; ``low`` and ``high`` are a first guess of a bracket, which
    doubles until the root is inside. Gradients reach x through the implicit function theorem, x' = −f_θ / f_x, to first order.

    Raises InverseError where the bracket does not close: a wrong answer is never returned silently. Inside a compiled or exported graph
    and inside ``torch.func``, where nobody can raise, such elements are NaN. What is left of f(x) = target is reported to a block of
    ``bijectory.residuals``.
    """
    with torch.no_grad():
        root, log_slope = _bisect_newton(function, target, low, high, iterations, growth)
    if not torch.is_grad_enabled():
        return root, log_slope
    value, log_slope = function(root)
    # One Newton step whose slope is held constant: its value is the root, its derivative the implicit one.
    # At the far points of float32 f(root) and target may round to infinity minus infinity; there the root stands as found.
    step = (target - value) * torch.exp(-log_slope.detach())
    root = root + torch.where(torch.isfinite(step), step, torch.zeros_like(step))
    return root, function(root)[1]


def _bisect_newton(
    function: Increasing, target: Tensor, low: Tensor, high: Tensor, iterations: int, growth: int
) -> tuple[Tensor, Tensor]:
    low, high, beyond = _grow(function, target, torch.minimum(low, high), torch.maximum(low, high), growth)
    eps = torch.finfo(target.dtype).eps

    def looked(x: Tensor, low: Tensor, high: Tensor, previous: Tensor, count: Tensor) -> State:
        """All that is known once f is known at x; the first entry says whether that is enough."""
        value, log_slope = function(x)
        error = value - target
        low, high = torch.where(error <= 0, x, low), torch.where(error >= 0, x, high)
        # Found: as close to the target as f is computed, or between neighbours. To go on halving costs 60 calls in float64, not 10.
        found = (error.abs() <= 4 * eps * target.abs().clamp_min(1)) | (high - low <= 4 * eps * x.abs())
        return found, x, error, log_slope, low, high, previous, count

    def unfinished(found: Tensor, *rest: Tensor) -> Tensor:
        return ~found.all() & (rest[-1] < iterations)

    def nearer(found: Tensor, x: Tensor, error: Tensor, log_slope: Tensor, *rest: Tensor) -> State:
        low, high, previous, count = rest
        newton = error * torch.exp(-log_slope)
        # Two units too far, so that the root is bracketed from both sides once Newton has arrived.
        newton = newton + 2 * eps * x.abs() * torch.sign(newton)
        # Newton creeps on the flat piece between two modes 40 deviations apart (over 1,000 steps seen), so its step is
        # taken only where it stays in the bracket and is at most half of the step before; otherwise the bracket is halved.
        good = (x - newton > low) & (x - newton < high) & (newton.abs() <= 0.5 * previous)
        following = torch.where(found, x, torch.where(good, x - newton, low + 0.5 * (high - low)))
        previous = torch.where(found, previous, (following - x).abs())
        return looked(following, low, high, previous, count + 1)

    start = looked(
        low + 0.5 * (high - low), low, high, high - low, torch.ones((), dtype=torch.int64, device=target.device)
    )
    found, x, error, log_slope, *_, count = repeat(unfinished, nearer, start)
    # Newton once more, where it comes nearer: in float32's far tails the slope is rounding, at times 0 or infinity.
    again = x - error * torch.exp(-log_slope)
    value, log_slope_again = function(again)
    better = (value - target).abs() < error.abs()
    root, log_slope = torch.where(better, again, x), torch.where(better, log_slope_again, log_slope)
    residual = torch.where(better, value - target, error).abs()
    solved = found | (residual <= 1e3 * eps * (1 + target.abs()))
    if traced():
        return torch.where(solved & ~beyond, root, math.nan), log_slope
    if bool(solved.all()):
        if listening() and target.numel():
            left = (function(root)[0] - target).abs() / target.abs().clamp_min(1)
            tolerance = 4 * eps if bool(found.all()) else 1e3 * eps
            report(Solved("root", int(count), left.max().item(), tolerance))
        return root, log_slope
    worst = int(residual.argmax())
    raise InverseError(
        f"inverse: {int((~solved).sum())} of {target.numel()} elements did not converge in {iterations} iterations; "
        f"the worst (element {worst}) misses its target {target.flatten()[worst].item():.6g} by {residual.max().item():.3g}; "
        "use float64, or bound the parameters of the map"
    )


def _grow(
    function: Increasing, target: Tensor, low: Tensor, high: Tensor, growth: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Double the bracket's width on the side where the root is still outside; say, in a graph, where it still is in the end."""

    def looked(low: Tensor, high: Tensor, width: Tensor, count: Tensor) -> State:
        return function(low)[0] > target, function(high)[0] < target, low, high, width, count

    def unfinished(below: Tensor, above: Tensor, *rest: Tensor) -> Tensor:
        return (below | above).any() & (rest[-1] < growth)

    def wider(below: Tensor, above: Tensor, low: Tensor, high: Tensor, width: Tensor, count: Tensor) -> State:
        return looked(
            torch.where(below, low - width, low), torch.where(above, high + width, high), 2 * width, count + 1
        )

    width = (high - low) + 1e-3 * (1 + torch.maximum(low.abs(), high.abs()))
    below, above, low, high, *_ = repeat(
        unfinished, wider, looked(low, high, width, torch.zeros((), dtype=torch.int64, device=target.device))
    )
    beyond = below | above
    if traced() or not bool(beyond.any()):
        return low, high, beyond
    raise InverseError(
        f"inverse: no bracket found for {int(beyond.sum())} of {target.numel()} targets after {growth} doublings; expected values in the "
        f"map's range, got targets from {target.min().item():.6g} to {target.max().item():.6g}"
    )
