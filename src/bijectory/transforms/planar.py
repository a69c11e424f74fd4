"""Planar maps: everything moves along one vector, by a function of one projection."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InputError
from ..numerics.roots import solve_increasing
from .amortised import Amortised, above_minus_one
from .base import Transform


class Planar(Transform):
    """z = x + û tanh(wᵀx + b), with û the vector nearest to u for which wᵀû > −1.

        log|det| = log(1 + (1 − tanh²(wᵀx + b)) · wᵀû),   û = u + (m(wᵀu) − wᵀu) w/|w|²,   m > FLOOR − 1, m(0) = 0

    u starts at zero: the identity. ``net`` maps a context to offsets of (u, w, b), ``num_params`` numbers; all dimensions move.
    The inverse solves one increasing equation, for α = wᵀx: α + wᵀû tanh(α + b) = wᵀz, its gradient implicit.
    Source: Rezende & Mohamed 2015 (arXiv:1505.05770). Differs: an inverse; m(0) = 0, and slopes stay above 0.01.

    >>> import torch
    >>> Planar(3)(torch.ones(2, 3)).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    rebuilds_x = False

    def __init__(self, features: int, net: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        if features < 1:
            raise InputError(f"features: expected at least 1, got {features}")
        self.features = features
        # A random direction of length about 1 and a random place: layers that start alike would stay alike.
        start = torch.cat([torch.zeros(features), torch.randn(features) / features**0.5, torch.randn(1)])
        self.params = Amortised(start, net)

    @staticmethod
    def num_params(features: int) -> int:
        """How many numbers a net has to give."""
        return 2 * features + 1

    def _vectors(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """û, w (*batch, features), b and wᵀû (*batch)."""
        u, w, b = self.params(context).split([self.features, self.features, 1], -1)
        raw, squared = (w * u).sum(-1, keepdim=True), (w * w).sum(-1, keepdim=True)
        # w = 0 is a map by a constant: û = u serves, where dividing by |w|² would be 0/0.
        safe = torch.where(squared > 0, squared, torch.ones_like(squared))
        bent = above_minus_one(raw)
        return u + (bent - raw) * w / safe, w, b.squeeze(-1), bent.squeeze(-1)

    @staticmethod
    def _log_slope(bend: Tensor, inner: Tensor) -> Tensor:
        t2 = torch.tanh(inner) ** 2
        # Two terms that are not negative, instead of 1 + (1 − t²) · bend, which cancels where bend comes near −1.
        return torch.log(t2 + (1 - t2) * (1 + bend))

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        u, w, b, bend = self._vectors(context)
        inner = (x * w).sum(-1) + b
        return x + u * torch.tanh(inner).unsqueeze(-1), self._log_slope(bend, inner)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        u, w, b, bend = self._vectors(context)
        target = (z * w).sum(-1)
        reach = bend.abs().expand(target.shape)

        def along(alpha: Tensor) -> tuple[Tensor, Tensor]:
            return alpha + bend * torch.tanh(alpha + b), self._log_slope(bend, alpha + b)

        alpha, log_slope = solve_increasing(along, target, target - reach, target + reach)
        return z - u * torch.tanh(alpha + b).unsqueeze(-1), -log_slope
