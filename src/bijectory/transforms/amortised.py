"""Constants of a map that a context may move: what planar, radial and Sylvester maps are told."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ShapeError

#: The least slope along the direction in which a planar, radial or Sylvester map bends. At 1e-2 a round trip loses two digits at worst;
#: without a floor wᵀu = −40 gave a slope of 4e-18, through which nothing comes back.
FLOOR = 1e-2


class Amortised(nn.Module):
    """Trained numbers θ, or θ + net(c) where a net is handed in: (*batch, context features) -> (*batch, count).

    ``net`` is called with the context alone. Without one the numbers have shape (count,) and the context is not looked at.
    """

    def __init__(self, start: Tensor, net: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.start = nn.Parameter(start)
        self.net = net

    def forward(self, context: Tensor | None = None) -> Tensor:
        if self.net is None:
            return self.start
        if context is None:
            raise ShapeError("context: expected the features that the net reads, got none")
        return self.start + self.net(context)


def above_minus_one(raw: Tensor) -> Tensor:
    """An increasing function from ℝ onto (FLOOR − 1, ∞) with m(0) = 0: m(a) = log(1 + (e^{1 − FLOOR} − 1) · e^a) − (1 − FLOOR).

    Source: Rezende & Mohamed 2015 (arXiv:1505.05770), appendix A.1. Differs: theirs has m(0) = log 2 − 1 and reaches −1.
    """
    offset = torch.log(torch.expm1(torch.tensor(1 - FLOOR, dtype=torch.float64))).item()
    return F.softplus(raw + offset) - (1 - FLOOR)
