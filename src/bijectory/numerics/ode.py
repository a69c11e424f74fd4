"""Ordinary differential equations from a start to an end: Runge-Kutta of fixed steps, ours, and of adaptive ones, by torchdiffeq."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..errors import InputError, MissingExtraError, NonFiniteError

#: d state / dt from the time (a tensor without dimensions) and the state (*batch, numbers).
Slope = Callable[[Tensor, Tensor], Tensor]
Solver = Literal["rk4", "dopri5"]
#: Steps after which an adaptive solve is given up: fields of trained flows take tens to hundreds.
MOST_STEPS = 10_000


def check_solver(solver: str) -> None:
    """Refuse a solver that is not known, or whose package is not installed."""
    if solver not in get_args(Solver):
        raise InputError(f"solver: expected one of {', '.join(get_args(Solver))}, got {solver!r}")
    if solver == "dopri5":
        _torchdiffeq()


def rk4(slope: Slope, state: Tensor, start: float, end: float, steps: int) -> Tensor:
    """The state at ``end`` from that at ``start``, by ``steps`` equal steps of the classical Runge-Kutta method of order 4.

        y ← y + h/6 · (k₁ + 2k₂ + 2k₃ + k₄),   error of the whole O(h⁴);   there and back again O(h⁵), since the leading errors cancel

    Four slopes a step. The graph keeps all of them: memory grows with the steps, gradients are those of the discrete map.
    Source: Kutta 1901.

    >>> import math, torch
    >>> end = rk4(lambda t, y: y, torch.ones(1, dtype=torch.float64), 0, 1, 32)
    >>> abs(end.item() - math.e) < 1e-7
    True
    """
    h = (end - start) / steps

    def at(time: float) -> Tensor:
        return torch.full((), time, dtype=state.dtype, device=state.device)

    for i in range(steps):
        begin, middle, after = (at(start + (i + part) * h) for part in (0.0, 0.5, 1.0))
        k1 = slope(begin, state)
        k2 = slope(middle, state + 0.5 * h * k1)
        k3 = slope(middle, state + 0.5 * h * k2)
        k4 = slope(after, state + h * k3)
        state = state + (h / 6) * (k1 + 2 * (k2 + k3) + k4)
    return state


def dopri5(slope: Slope, state: Tensor, start: float, end: float, *, rtol: float, atol: float) -> Tensor:
    """The state at ``end`` from that at ``start``, by the Dormand-Prince method of orders 5 and 4, whose steps adapt.

    A step is taken where the worst number of the batch errs by at most atol + rtol·|number| in it, so the steps are those of the hardest
    row: another batch gives other numbers, within about the tolerance. Gradients go through the accepted steps. Neither tolerance is
    taken below 8 roundings of the dtype (1e-6 in float32).
    Source: Dormand & Prince 1980; the package torchdiffeq (Chen 2018).

    Raises MissingExtraError without torchdiffeq, NonFiniteError where no step is small enough or 10,000 are not sufficient.
    """
    odeint = _torchdiffeq()
    if state.numel() == 0:
        return state  # no rows have no error to keep below the tolerance
    times = torch.tensor([start, end], dtype=state.dtype, device=state.device)
    # The package's own norm is the root mean square over all rows, in which one stiff row of a thousand is not seen.
    # Below some roundings of the dtype no step is ever good enough: float32 at 1e-11 took steps until it underflowed, or for minutes.
    least = 8 * torch.finfo(state.dtype).eps
    rtol, atol = max(rtol, least), max(atol, least)
    options = {"norm": lambda error: error.abs().max(), "max_num_steps": MOST_STEPS}
    try:
        solved: Tensor = odeint(slope, state, times, rtol=rtol, atol=atol, method="dopri5", options=options)
    except AssertionError as error:
        raise NonFiniteError(
            f"dopri5: no solution from t = {start:g} to {end:g} at rtol {rtol:g} and atol {atol:g} ({error}); loosen the tolerances, use "
            "float64, or look for weights that are not finite"
        ) from error
    return solved[-1]


def _torchdiffeq() -> Callable[..., Any]:
    try:
        from torchdiffeq import odeint
    except ImportError as error:
        raise MissingExtraError("solver: 'dopri5' needs torchdiffeq: pip install 'bijectory[ode]'") from error
    return odeint
