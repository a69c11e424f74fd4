"""Radial maps: everything moves towards one point or away from it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InputError
from .amortised import Amortised, above_minus_one
from .base import Transform


class Radial(Transform):
    """z = x + m α/(α + r) · (x − x₀), with r = |x − x₀|, α > 0 and m > FLOOR − 1.

        log|det| = (D − 1) log(1 + m α/(α + r)) + log(1 + m α²/(α + r)²)

    m starts at zero: the identity. ``net`` maps a context to offsets of (x₀, log α, m's raw value), ``num_params`` numbers.
    Both directions are closed forms: the radius solves r² + r (α + m α − |z − x₀|) − α |z − x₀| = 0.
    Source: Rezende & Mohamed 2015 (arXiv:1505.05770), with β = α m. Differs: an inverse; |log α| ≤ 5; slopes stay above 0.01.

    >>> import torch
    >>> Radial(2)(torch.ones(2)).tolist()
    [1.0, 1.0]
    """

    _BOUND = 5.0

    def __init__(self, features: int, net: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        if features < 1:
            raise InputError(f"features: expected at least 1, got {features}")
        self.features = features
        self.params = Amortised(torch.cat([torch.randn(features), torch.zeros(2)]), net)

    @staticmethod
    def num_params(features: int) -> int:
        """How many numbers a net has to give."""
        return features + 2

    def _numbers(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """x₀ (*batch, features), α and m (*batch)."""
        centre, log_alpha, raw = self.params(context).split([self.features, 1, 1], -1)
        alpha = torch.exp(self._BOUND * torch.tanh(log_alpha / self._BOUND))
        return centre, alpha.squeeze(-1), above_minus_one(raw).squeeze(-1)

    def _log_det(self, share: Tensor, m: Tensor) -> Tensor:
        """From share = α/(α + r), which is 1 at the centre and 0 far away."""
        across, along = share, share * share
        # Sums of terms that are not negative, like 1 − share + share (1 + m), cancel nowhere.
        return (self.features - 1) * torch.log((1 - across) + across * (1 + m)) + torch.log(
            (1 - along) + along * (1 + m)
        )

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        centre, alpha, m = self._numbers(context)
        away = x - centre
        share = alpha / (alpha + torch.linalg.vector_norm(away, dim=-1))
        return x + (m * share).unsqueeze(-1) * away, self._log_det(share, m)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        centre, alpha, m = self._numbers(context)
        away = z - centre
        far = torch.linalg.vector_norm(away, dim=-1)
        p = far - alpha * (1 + m)
        root = torch.sqrt(p * p + 4 * alpha * far)
        # The quadratic's positive solution, or where p < 0 its conjugate: their difference would lose every digit near the centre.
        radius = torch.where(p >= 0, 0.5 * (p + root), 2 * alpha * far / (root - torch.where(p >= 0, -root - 1, p)))
        share = alpha / (alpha + radius)
        return centre + away / (1 + m * share).unsqueeze(-1), -self._log_det(share, m)
