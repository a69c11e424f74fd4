"""Continuous flows: x is carried along a field that depends on time, and the log-det is the integral of the field's divergence."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..numerics.ode import Solver, check_solver, dopri5, rk4
from ..numerics.trace import exact_trace, hutchinson, signs
from .estimated import EstimatedLogDet


class TimeField(Protocol):
    """The speed of every row at a time: (), (*batch, D), (*batch, features) or None -> (*batch, D); smooth in x and in time."""

    def __call__(self, t: Tensor, x: Tensor, context: Tensor | None, /) -> Tensor: ...


class Continuous(EstimatedLogDet):
    """z = x(1), where x(0) = x and dx/dt = field(t, x; c); the inverse runs from 1 back to 0.

        log|det ∂z/∂x| = ∫₀¹ tr ∂field/∂x dt

    ``trace="exact"`` takes D vector-Jacobian products a slope; ``"hutchinson"`` takes one, vᵀJv with signs v drawn once a row for the whole
    path, and then the log-det is an unbiased estimate of the integral. ``solver="rk4"`` takes ``steps`` equal steps of four slopes;
    ``"dopri5"`` (extra ``ode``) chooses its own so that each errs by at most atol + rtol·|number|.

    What the discretisation costs: the map that is computed is the solver's, and neither the other direction is its exact inverse nor the
    integral its exact log-det; a density is normalised to that error and no better. With rk4 the log-det errs by O(steps⁻⁴), the
    round trip by O(steps⁻⁵): the field of an ``ffjord`` trained on two moons left 1e-6 and 3e-7 with 16 steps, 4e-9 and 3e-10 with 64,
    3e-10 and 8e-12 with 128, in float64. A field that turns more sharply needs more: ``steps`` is no part of the state, so train with few,
    double them and look what changes. With dopri5 all three are about the tolerances, and a row's numbers depend by that much on the
    rows beside it. Gradients go through the solver's steps, whose memory grows with their number.

    Sources: Chen et al. 2018 (arXiv:1806.07366); Grathwohl et al. 2018 (FFJORD, arXiv:1810.01367). Differs: fixed steps are the default,
    so that rows are independent; gradients are those of the discrete map, where the paper solves the adjoint equation backwards.

    Raises InputError for fewer than one step, tolerances that are not positive or an unknown trace or solver, MissingExtraError for
    dopri5 without torchdiffeq.

    >>> import torch
    >>> turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    >>> quarter = Continuous(lambda t, x, context: 0.5 * torch.pi * x @ turn.T)
    >>> z, log_det = quarter.forward_and_log_det(torch.tensor([1.0, 0.0]))
    >>> torch.allclose(z, torch.tensor([0.0, 1.0]), atol=1e-5), log_det.item()
    (True, 0.0)
    """

    def __init__(
        self,
        field: TimeField,
        *,
        trace: Literal["exact", "hutchinson"] = "exact",
        steps: int = 16,
        solver: Solver = "rk4",
        rtol: float = 1e-6,
        atol: float = 1e-6,
        accuracy: float = 0.0,
    ) -> None:
        super().__init__()
        if trace not in ("exact", "hutchinson"):
            raise InputError(f"trace: expected 'exact' or 'hutchinson', got {trace!r}")
        if steps < 1:
            raise InputError(f"steps: expected at least one, got {steps}")
        if not (rtol > 0 and atol > 0):
            raise InputError(f"rtol, atol: expected positive tolerances, got {rtol} and {atol}")
        if not accuracy >= 0:
            raise InputError(f"accuracy: expected a number of at least 0, got {accuracy}")
        check_solver(solver)
        self.field, self.trace, self.exact_log_det = field, trace, trace == "exact"
        self.steps, self.solver, self.rtol, self.atol = steps, solver, rtol, atol
        self.accuracy = accuracy

    def noise_size(self, numbers: int) -> int:
        """One number for each of the event's: the signs of the probe."""
        return 0 if self.exact_log_det else numbers

    def forward_and_estimate(self, x: Tensor, context: Tensor | None, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._carried(x, context, noise, 0.0, 1.0)

    def inverse_and_estimate(self, z: Tensor, context: Tensor | None, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._carried(z, context, noise, 1.0, 0.0)

    def _carried(
        self, x: Tensor, context: Tensor | None, noise: Tensor | None, start: float, end: float
    ) -> tuple[Tensor, Tensor]:
        probe = None if noise is None else signs(noise.to(x.dtype))

        def slope(t: Tensor, state: Tensor) -> Tensor:
            def field(y: Tensor) -> Tensor:
                return self.field(t, y, context)

            y = state[..., :-1]
            speed, divergence = exact_trace(field, y) if probe is None else hutchinson(field, y, probe)
            return torch.cat([speed, divergence.unsqueeze(-1)], -1)

        # The log-det is carried along as one number more of the row.
        state = torch.cat([x, torch.zeros_like(x[..., :1])], -1)
        if self.solver == "rk4":
            state = rk4(slope, state, start, end, self.steps)
        else:
            state = dopri5(slope, state, start, end, rtol=self.rtol, atol=self.atol)
        return state[..., :-1], state[..., -1]

    def extra_repr(self) -> str:
        how = f"steps={self.steps}" if self.solver == "rk4" else f"rtol={self.rtol:g}, atol={self.atol:g}"
        field = "" if isinstance(self.field, nn.Module) else f"{self.field}, "
        return f"{field}trace={self.trace!r}, solver={self.solver!r}, {how}"
