"""A trained mixture of Gaussians as a base: a latent space of several modes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .base import Base


class Mixture(Base):
    """K Gaussians over whole events, each with a diagonal covariance; weights, means and log-scales are trained.

        log p(z) = log Σ_k w_k Π_i N(z_i; μ_ki, s_ki),   w = softmax(logits),   |log s| ≤ bound

    A continuous map cannot tear a normal base apart: between two modes of the data it leaves a thin bridge. Here the base has the modes.
    ``cdf`` is that of each coordinate given those before it, F(z_i | z_<i) = Σ_k w_k(z_<i) Φ((z_i − μ_ki)/s_ki), which makes the cube
    uniform as a whole; the coordinates' marginal CDFs would leave them dependent.

    Samples are differentiable in means and scales, not in the weights: a loss of samples, such as a reverse KL, does not train those.
    Source: Izmailov et al. 2020 (FlowGMM, arXiv:1912.13025). Differs: weights, means and scales are trained without labels.
    Raises InputError for fewer than two components.

    >>> import torch
    >>> Mixture((2,), 3).log_prob(torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    def __init__(self, event_shape: Sequence[int], components: int = 8, *, bound: float = 5.0) -> None:
        super().__init__(event_shape)
        if components < 2 or not 0 < bound < math.inf:
            raise InputError(
                f"components, bound: expected at least 2, and above 0 and finite, got {components} and {bound}; one component is a Normal"
            )
        self.components, self.bound = components, bound
        self.logits = nn.Parameter(torch.zeros(components))
        # Means drawn apart, since components that start alike stay alike; scales then make the mixture about as wide as a standard normal.
        self.loc = nn.Parameter(math.sqrt(0.5) * torch.randn(components, *self.event_shape))
        self.raw_log_scale = nn.Parameter(torch.full((components, *self.event_shape), 0.5 * math.log(0.5)))

    def _log_scale(self) -> Tensor:
        # Bounded: a component that shrinks onto one row would otherwise raise the likelihood without end.
        return self.bound * torch.tanh(self.raw_log_scale / self.bound)

    def _each(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised coordinates and log densities, each (*batch, K, D): the event's numbers in a row."""
        log_scale = self._log_scale().flatten(1) if self.event_shape else self._log_scale().unsqueeze(-1)
        row = z.flatten(z.dim() - len(self.event_shape)) if self.event_shape else z.unsqueeze(-1)
        u = (row.unsqueeze(-2) - self.loc.reshape(log_scale.shape)) * torch.exp(-log_scale)
        return u, -0.5 * u * u - log_scale - 0.5 * math.log(2 * math.pi)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        log_weight = torch.log_softmax(self.logits, 0)
        return torch.logsumexp(log_weight + self._each(z)[1].sum(-1), -1)

    def sample(
        self, shape: Sequence[int], context: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        like = self.like
        ends = torch.softmax(self.logits.detach(), 0).cumsum(0)[:-1]
        point = torch.rand(tuple(shape), generator=generator, dtype=like.dtype, device=like.device)
        chosen = (point.unsqueeze(-1) >= ends).sum(-1)
        noise = torch.randn((*shape, *self.event_shape), generator=generator, dtype=like.dtype, device=like.device)
        return torch.addcmul(self.loc[chosen], noise, torch.exp(self._log_scale()[chosen]))

    def cdf(self, z: Tensor) -> Tensor:
        u, log_density = self._each(z)
        before = F.pad(log_density[..., :-1].cumsum(-1), (1, 0))
        weight = torch.softmax(self.logits.unsqueeze(-1) + before, -2)
        return (weight * torch.special.ndtr(u)).sum(-2).reshape(z.shape)

    def extra_repr(self) -> str:
        return f"components={self.components}"
