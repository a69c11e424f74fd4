"""Jacobi iteration for causal systems: all positions at once, again and again, until nothing moves."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import NumericError
from .loops import State, repeat
from .residuals import Solved, listening, report

#: From x (*batch, *event) to new values and their log slopes, each of x's shape.
Sweep = Callable[[Tensor], tuple[Tensor, Tensor]]


def solve_causal(
    sweep: Sweep, start: Tensor, *, length: int, what: str = "jacobi", tolerance: float | None = None
) -> tuple[Tensor, Tensor]:
    """Solve x = sweep(x), where each number of sweep(x) depends on those of x before it alone; x and the log slopes at it.

        x ← sweep(x)   until   |sweep(x) − x| ≤ tolerance · max(1, |sweep(x)|)   everywhere, at most ``length`` times

    "Before" means in any one order of the ``length`` positions, numbers or planes, which need not be known here: the first is right after
    one sweep, whatever ``start`` holds, the k-th after k, and all after ``length``. Where x depends little on what is far before it, far
    fewer do. ``tolerance`` is 8 roundings of the dtype where it is None; what a value stops short of the exact one is that change times
    the system's own conditioning, as rounding is where positions are taken one by one.

    Gradients are implicit: g ← at_x + gᵀ ∂sweep/∂x, again at most ``length`` times, with the graph of one sweep and not of all.
    Sweeps are reported to a block of ``bijectory.residuals`` under the name ``what``. Raises NumericError for second derivatives.

    Source: Song et al. 2021 (arXiv:2002.03629).
    """
    limit = 8 * torch.finfo(start.dtype).eps if tolerance is None else tolerance
    with torch.no_grad():
        x, log_slope = _iterate(sweep, start, length, limit, what)
    if not torch.is_grad_enabled():
        return x, log_slope
    value, _ = sweep(x)
    if value.requires_grad and length > 1 and value.numel():
        value.register_hook(lambda at_x: _through(sweep, x, at_x, length, limit))
    return value, sweep(value)[1]


def _iterate(sweep: Sweep, x: Tensor, length: int, limit: float, what: str) -> tuple[Tensor, Tensor]:
    def swept(following: Tensor, log_slope: Tensor, moved: Tensor, count: Tensor) -> State:
        # A position whose turn has not come may overflow for the moment; times a mask's zeros infinity is NaN, in positions before it too.
        x = torch.where(torch.isfinite(following), following, torch.zeros_like(following))
        following, log_slope = sweep(x)
        moved = ~((following - x).abs() <= limit * following.abs().clamp_min(1)).all()
        return following, log_slope, moved, count + 1

    def unfinished(following: Tensor, log_slope: Tensor, moved: Tensor, count: Tensor) -> Tensor:
        return moved & (count < length)

    first = torch.ones((), dtype=torch.bool, device=x.device), torch.ones((), dtype=torch.int64, device=x.device)
    following, log_slope, _, count = repeat(unfinished, swept, (*sweep(x), *first))
    if listening() and following.numel():
        left = (sweep(following)[0] - following).abs() / following.abs().clamp_min(1)
        report(Solved(what, int(count), left.max().item(), limit))
    return following, log_slope


def _through(sweep: Sweep, x: Tensor, at_x: Tensor, length: int, limit: float) -> Tensor:
    """The gradient that reaches one sweep's result, from that of the solution: at_x (I − ∂sweep/∂x)⁻¹."""
    if torch.is_grad_enabled():
        raise NumericError(
            "jacobi: the gradient of its gradient is not known; set_sampling(model, 'incremental') where second derivatives are wanted"
        )
    with torch.enable_grad():
        held = x.detach().requires_grad_()
        value, _ = sweep(held)
    total = at_x
    for _ in range(length - 1):
        (pulled,) = torch.autograd.grad(value, held, total, retain_graph=True, allow_unused=True)
        following = at_x if pulled is None else at_x + pulled
        done = (following - total).abs().max() <= limit * following.abs().max()
        total = following
        if bool(done):
            break
    return total
