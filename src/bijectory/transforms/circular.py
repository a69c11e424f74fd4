"""Maps of the circle onto itself, for data that are angles in [−π, π)."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

from ..errors import DomainError, InputError
from ..numerics.circle import wrap
from ..numerics.spline import rational_quadratic, unconstrained_knots
from ..numerics.tracing import traced
from .base import Transform
from .elementwise import Elementwise

#: π as float32 rounds it, 9e-8 above π: what atan2 gives for a point on the seam, and what it still is once scored in float64.
EDGE = cast(float, torch.tensor(math.pi, dtype=torch.float32).item())


class CircularSpline(Elementwise):
    """A spline of ``bins`` rational-quadratic pieces once around the circle, turned by a phase.

        z = wrap(spline(x) + φ),   spline(±π) = ±π with one slope d_0 = d_K at both ends

    So z and its slope go on across the seam, and no point of the circle is fixed. ``params`` holds K widths, K heights, K slopes and
    φ, all unconstrained; zero parameters are the identity. ``floor`` bounds bins, as shares of a turn, and slopes from below.
    It increases around the circle; as numbers in [−π, π) the values fall once, by 2π, where they come past the seam.

    Source: Rezende et al. 2020 (normalizing flows on tori and spheres, arXiv:2002.02428). Differs: the phase is a parameter of every
    spline, where the paper turns between layers by hand.
    """

    # A number at the seam may come back a turn away.
    rebuilds_x = rebuilds_z = False

    def __init__(self, bins: int = 8, *, floor: float = 1e-3) -> None:
        if bins < 2:
            raise InputError(f"bins: expected at least 2, got {bins}")
        if not 0 < floor * bins < 1:
            raise InputError(f"floor: expected above 0 and below 1/bins = {1 / bins:.3g}, got {floor}")
        self.bins, self.floor = bins, floor
        self.num_params = 3 * bins + 1

    def _split(self, params: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        widths, heights, slopes, phase = params.split([self.bins, self.bins, self.bins, 1], -1)
        knots = unconstrained_knots(widths, heights, slopes, bound=math.pi, min_bin=self.floor, min_slope=self.floor)
        # Turned back before it is added: a phase of 1e4 would leave a float32 angle three digits.
        return knots, wrap(phase.squeeze(-1))

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        knots, phase = self._split(params)
        z, log_slope = rational_quadratic(x, *knots)
        return wrap(z + phase), log_slope

    def inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        knots, phase = self._split(params)
        return rational_quadratic(wrap(z - phase), *knots, inverse=True)

    def identity_params(self) -> Tensor:
        return torch.zeros(self.num_params)


class Rotate(Transform):
    """z = wrap(x + angle), each coordinate an angle in [−π, π) and turned by the same constant; log-det 0.

    >>> import math, torch
    >>> Rotate(math.pi / 2)(torch.tensor([0.0, 3.0])).tolist()
    [1.5707963705062866, -1.7123889923095703]
    """

    rebuilds_x = rebuilds_z = False

    def __init__(self, angle: float, event_dim: int = 1) -> None:
        super().__init__()
        if not math.isfinite(angle):
            raise InputError(f"angle: expected a finite number of radians, got {angle}")
        self.event_dim_in = self.event_dim_out = event_dim
        self.angle = math.remainder(angle, 2 * math.pi)

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return wrap(x + self.angle), x.new_zeros(x.shape[: x.dim() - self.event_dim_in])

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return wrap(z - self.angle), z.new_zeros(z.shape[: z.dim() - self.event_dim_in])

    def extra_repr(self) -> str:
        return f"angle={self.angle:.6g}"


class Angles(Transform):
    """The identity of angles in [−π, π]: where a circular flow begins; log-det 0.

    Whatever is no such number is refused by DomainError: to take 4 for 4 − 2π would give the density of the circle to the whole line,
    over which it does not integrate to one. π itself comes back as −π, the same point.
    """

    rebuilds_x = rebuilds_z = False

    def __init__(self, event_dim: int = 1) -> None:
        super().__init__()
        self.event_dim_in = self.event_dim_out = event_dim

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        outside = ~(x.abs() <= EDGE)
        if traced():
            # A spline goes on as a line beyond its last knot: a number outside would get a density, and a wrong one.
            x = x.masked_fill(outside, torch.nan)
        elif bool(outside.any()):
            raise DomainError(
                f"x: expected angles in [−π, π], got {x[outside].flatten()[0].item():.6g}; take remainder(x + π, 2π) − π of angles in "
                "radians that go on beyond a turn, and multiply degrees by π/180 first"
            )
        return wrap(x), x.new_zeros(x.shape[: x.dim() - self.event_dim_in])

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return wrap(z), z.new_zeros(z.shape[: z.dim() - self.event_dim_in])
