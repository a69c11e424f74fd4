"""The flat density on a box."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from ..numerics.reduce import sum_event
from .base import Base


class Uniform(Base):
    """Independent uniforms: log p = −D log(high − low) where every coordinate lies in [low, high], −∞ elsewhere.

    A flow that ends here needs a map whose range is the box, such as a sigmoid or a spline on a circle: outside there is no gradient.
    Both ends belong to the box, of measure 0 as they are: a map onto (low, high) may round to them.
    Raises InputError where the box is empty.

    >>> import torch
    >>> Uniform((2,), low=-1, high=1).log_prob(torch.tensor([[0.5, -0.5], [0.5, 2.0]])).exp().tolist()
    [0.25, 0.0]
    """

    def __init__(self, event_shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> None:
        super().__init__(event_shape)
        if not -math.inf < low < high < math.inf:
            raise InputError(f"low, high: expected finite numbers, low < high, got {low} and {high}")
        self.low, self.high = float(low), float(high)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        outside = ~((z >= self.low) & (z <= self.high))
        value = -math.prod(self.event_shape) * math.log(self.high - self.low)
        held = sum_event(outside.to(z.dtype), len(self.event_shape)) == 0
        return torch.where(held, z.new_full((), value), z.new_full((), -math.inf))

    def sample(
        self, shape: Sequence[int], context: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        size = (*shape, *self.event_shape)
        # The numbers of torch.rand, see Normal.
        share = torch.empty(size, dtype=self.like.dtype, device=self.like.device).uniform_(generator=generator)
        return self.low + (self.high - self.low) * share

    def cdf(self, z: Tensor) -> Tensor:
        # The clamp is the CDF itself, 0 below the box and 1 above it.
        return ((z - self.low) / (self.high - self.low)).clamp(0, 1)

    def extra_repr(self) -> str:
        return f"low={self.low:g}, high={self.high:g}"
