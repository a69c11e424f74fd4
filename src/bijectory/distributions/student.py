"""Student's t: a base whose tails fall like a power."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from ..numerics.reduce import sum_event
from ..numerics.student import log_gamma_half_step, student_t_cdf
from .base import Base


class StudentT(Base):
    """Independent Student's t with ``df`` = ν degrees of freedom, a constant.

        log p = Σ log Γ((ν+1)/2) − log Γ(ν/2) − ½ log(νπ) − (ν+1)/2 · log(1 + z²/ν)

    Flows with bounded slopes keep the tails of their base (Jaini et al. 2020, arXiv:1907.04481): data whose tails fall like a power need a
    base whose tails do. The variance is ν/(ν − 2), finite for every ``df`` that is accepted.
    Raises InputError where ``df`` is not above 2 and finite.

    >>> StudentT((2,), df=3).sample((5,)).shape
    torch.Size([5, 2])
    """

    def __init__(self, event_shape: Sequence[int], df: float = 5.0) -> None:
        super().__init__(event_shape)
        if not 2 < df < math.inf:
            raise InputError(f"df: expected above 2 (a variance) and finite (else take Normal), got {df}")
        self.df = float(df)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        nu = self.df
        constant = log_gamma_half_step(0.5 * nu) - 0.5 * math.log(nu * math.pi)
        tails = sum_event(torch.log1p(z * z / nu), len(self.event_shape))
        return constant * math.prod(self.event_shape) - 0.5 * (nu + 1) * tails

    def sample(
        self, shape: Sequence[int], context: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        # Bailey 1994: √(ν(u^(−2/ν) − 1)) · cos(2πv) with u, v uniform is Student's t for any ν, and −log u is an exponential. A normal over
        # the root of a gamma needs torch's gamma sampler, whose public face takes no generator.
        size = (*shape, *self.event_shape)
        steps = torch.empty(size, dtype=self.like.dtype, device=self.like.device).exponential_(generator=generator)
        turn = torch.rand(size, generator=generator, dtype=self.like.dtype, device=self.like.device)
        return torch.sqrt(self.df * torch.expm1(2 * steps / self.df)) * torch.cos(2 * math.pi * turn)

    def cdf(self, z: Tensor) -> Tensor:
        return student_t_cdf(z, self.df)

    def extra_repr(self) -> str:
        return f"df={self.df:g}"
