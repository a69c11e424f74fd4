"""The rational-quadratic spline as an elementwise map."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InputError
from ..numerics.spline import rational_quadratic, spline_of_rows, unconstrained_knots
from .elementwise import Elementwise


class RationalQuadraticSpline(Elementwise):
    """An increasing spline of ``bins`` rational-quadratic pieces on [−bound, bound], the identity outside.

        z = y_k + h (s ξ² + d_k ξ(1−ξ)) / (s + (d_{k+1} + d_k − 2s) ξ(1−ξ)),   ξ = (x − x_k)/w

    ``params`` holds K widths, K heights and K − 1 inner slopes, all unconstrained; zero parameters are the identity.
    ``floor`` bounds from below a bin's width and height, as shares of 2·bound, and the slopes at knots: no
    bin is then steeper on average than 1/floor, which bounds what a round trip loses.
    Source: Durkan et al. 2019 (neural spline flows, arXiv:1906.04032). Differs: the slope at both ends is exactly 1.
    """

    def __init__(self, bins: int = 8, bound: float = 5.0, *, floor: float = 1e-3) -> None:
        if bins < 2:
            raise InputError(f"bins: expected at least 2, got {bins}")
        if not 0 < bound < math.inf:
            raise InputError(f"bound: expected a positive, finite number, got {bound}")
        if not 0 < floor * bins < 1:
            raise InputError(f"floor: expected above 0 and below 1/bins = {1 / bins:.3g}, got {floor}")
        self.bins, self.bound, self.floor = bins, bound, floor
        self.num_params = 3 * bins - 1

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return self._run(x, params, inverse=False)

    def inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return self._run(z, params, inverse=True)

    def _run(self, x: Tensor, params: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor]:
        if x.dim() and params.stride(-1) != 1:
            # Of a network that gives each parameter as a row: rows they stay, and x is turned to lie as they do.
            z, log_slope = self._of_rows(x.movedim(-1, 0), params.movedim((-1, -2), (0, 1)), inverse)
            return z.movedim(0, -1), log_slope.movedim(0, -1)
        # Each parameter of all splines in one row, for what comes; of two dimensions torch transposes block by block, of more one by one,
        # which took a fifth of a log_prob.
        batch = params.shape[:-1]
        # By its product: Size.numel() of a batch of any size is a constant to torch.export.
        rows = params.reshape(math.prod(batch), self.num_params).t().contiguous().reshape(self.num_params, *batch)
        return self._of_rows(x, rows, inverse)

    def _of_rows(self, x: Tensor, rows: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        """x (*) and a row of that shape for each parameter, (num_params, *)."""
        parts = rows.split([self.bins, self.bins, self.bins - 1])
        if torch.compiler.is_compiling():
            return spline_of_rows(x, *parts, bound=self.bound, floor=self.floor, inverse=inverse)
        raw = (part.movedim(0, -1) for part in parts)
        knots = unconstrained_knots(*raw, bound=self.bound, min_bin=self.floor, min_slope=self.floor)
        return rational_quadratic(x, *knots, inverse=inverse)

    def identity_params(self) -> Tensor:
        return torch.zeros(self.num_params)
