"""Roots of increasing functions: found by a bracket that grows, polished by Newton, differentiated implicitly."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InverseError
from .residuals import Solved, listening, report

Increasing = Callable[[Tensor], tuple[Tensor, Tensor]]


def solve_increasing(
    function: Increasing, target: Tensor, low: Tensor, high: Tensor, *, iterations: int = 200, growth: int = 200
) -> tuple[Tensor, Tensor]:
    """Solve f(x) = target for an increasing f, elementwise; return x and log f'(x).

        x ← Newton's step where it stays inside the bracket, else the middle; the bracket shrinks at every step.

    ``function`` maps x to (f(x), log f'(x)), each of ``target``'s shape; ``low`` and ``high`` are a first guess of a bracket, which
    doubles until the root is inside. Gradients reach x through the implicit function theorem, x' = −f_θ / f_x, to first order.

    Raises InverseError where the bracket does not close: a wrong answer is never returned silently. What is left of f(x) = target is
    reported to a block of ``bijectory.residuals``.
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
    low, high = _grow(function, target, torch.minimum(low, high), torch.maximum(low, high), growth)
    x = low + 0.5 * (high - low)
    previous = high - low
    eps = torch.finfo(target.dtype).eps
    for count in range(iterations):
        value, log_slope = function(x)
        error = value - target
        low, high = torch.where(error <= 0, x, low), torch.where(error >= 0, x, high)
        newton = error * torch.exp(-log_slope)
        # Found: as close to the target as f is computed, or between neighbours. To go on halving costs 60 calls in float64, not 10.
        found = (error.abs() <= 4 * eps * target.abs().clamp_min(1)) | (high - low <= 4 * eps * x.abs())
        if bool(found.all()):
            # Newton once more, where it comes nearer: in float32's far tails the slope is rounding, at times 0 or infinity.
            again, log_slope_again = function(x - newton)
            nearer = (again - target).abs() < error.abs()
            root, log_slope = torch.where(nearer, x - newton, x), torch.where(nearer, log_slope_again, log_slope)
            _tell(function, target, root, count + 1, 4 * eps)
            return root, log_slope
        # Two units too far, so that the root is bracketed from both sides once Newton has arrived.
        newton = newton + 2 * eps * x.abs() * torch.sign(newton)
        # Newton creeps on the flat piece between two modes 40 deviations apart (over 1,000 steps seen), so its step is
        # taken only where it stays in the bracket and is at most half of the step before; otherwise the bracket is halved.
        good = (x - newton > low) & (x - newton < high) & (newton.abs() <= 0.5 * previous)
        following = torch.where(found, x, torch.where(good, x - newton, low + 0.5 * (high - low)))
        previous = torch.where(found, previous, (following - x).abs())
        x = following
    value, log_slope = function(x)
    residual = (value - target).abs()
    worst = int(residual.argmax())
    allowed = 1e3 * eps * (1 + target.abs())
    if bool((residual <= allowed).all()):
        _tell(function, target, x, iterations, 1e3 * eps)
        return x, log_slope
    raise InverseError(
        f"inverse: {int((~(residual <= allowed)).sum())} of {target.numel()} elements did not converge in {iterations} iterations; "
        f"the worst (element {worst}) misses its target {target.flatten()[worst].item():.6g} by {residual.max().item():.3g}; "
        "use float64, or bound the parameters of the map"
    )


def _tell(function: Increasing, target: Tensor, root: Tensor, iterations: int, tolerance: float) -> None:
    """Say what is left at the root, where somebody listens; the function is evaluated once more for it."""
    if listening() and target.numel():
        left = (function(root)[0] - target).abs() / target.abs().clamp_min(1)
        report(Solved("root", iterations, left.max().item(), tolerance))


def _grow(function: Increasing, target: Tensor, low: Tensor, high: Tensor, growth: int) -> tuple[Tensor, Tensor]:
    """Double the bracket's width on the side where the root is still outside."""
    width = (high - low) + 1e-3 * (1 + torch.maximum(low.abs(), high.abs()))
    for _ in range(growth):
        below = function(low)[0] > target
        above = function(high)[0] < target
        if not bool((below | above).any()):
            return low, high
        low = torch.where(below, low - width, low)
        high = torch.where(above, high + width, high)
        width = 2 * width
    outside = int((below | above).sum())
    raise InverseError(
        f"inverse: no bracket found for {outside} of {target.numel()} targets after {growth} doublings; expected values in the "
        f"map's range, got targets from {target.min().item():.6g} to {target.max().item():.6g}"
    )
