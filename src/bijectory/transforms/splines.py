"""The rational-quadratic spline as an elementwise map."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InputError
from ..numerics.spline import rational_quadratic, unconstrained_knots
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

    def _knots(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # Each parameter of all splines in one row, for what comes; of two dimensions torch transposes block by block, of more one by one,
        # which took a fifth of a log_prob.
        batch = params.shape[:-1]
        # By its product: Size.numel() of a batch of any size is a constant to torch.export.
        rows = params.reshape(math.prod(batch), self.num_params).t().contiguous().reshape(self.num_params, *batch)
        widths, heights, slopes = rows.movedim(0, -1).split([self.bins, self.bins, self.bins - 1], -1)
        return unconstrained_knots(widths, heights, slopes, bound=self.bound, min_bin=self.floor, min_slope=self.floor)

    def forward(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return rational_quadratic(x, *self._knots(params))

    def inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return rational_quadratic(z, *self._knots(params), inverse=True)

    def identity_params(self) -> Tensor:
        return torch.zeros(self.num_params)
