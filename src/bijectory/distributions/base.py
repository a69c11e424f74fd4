"""The densities that latents are compared with: products of standard ones."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..numerics.reduce import sum_event


class Base(nn.Module, abc.ABC):
    """A density over latents of shape (*event), with samples."""

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        # Carries dtype and device, which a density without parameters could not know when it samples.
        self.register_buffer("like", torch.zeros(()), persistent=False)
        self.like: Tensor

    @abc.abstractmethod
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Joint nats: (*batch, *event) -> (*batch)."""

    @abc.abstractmethod
    def sample(
        self, shape: Sequence[int], context: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draws of shape (*shape, *event)."""

    @abc.abstractmethod
    def cdf(self, z: Tensor) -> Tensor:
        """Each coordinate's CDF, for views in the unit square and tests of uniformity: (*batch, *event), values in [0, 1].

        Where coordinates depend on each other, the CDF of each given some others, such that all together are uniform on the unit cube.
        """


class Normal(Base):
    """Independent standard normals: log p = −½ Σ z² − D/2 · log 2π."""

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        constant = 0.5 * math.log(2 * math.pi) * math.prod(self.event_shape)
        return sum_event(z * z, len(self.event_shape)) * -0.5 - constant

    def sample(
        self, shape: Sequence[int], context: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        size = (*shape, *self.event_shape)
        # The numbers of torch.randn, whose form with a generator cannot be exported for batches of any size.
        return torch.empty(size, dtype=self.like.dtype, device=self.like.device).normal_(generator=generator)

    def cdf(self, z: Tensor) -> Tensor:
        return torch.special.ndtr(z)


class Logistic(Base):
    """Independent standard logistics: log p = Σ log σ(z) + log σ(−z).

    On the logit scale this is the uniform density on the unit cube: σ(z) is uniform.
    """

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        # log σ(z) + log σ(−z) = −|z| − 2 log(1 + exp(−|z|)), one logarithm for two
        size = z.abs()
        return -sum_event(size + 2 * F.softplus(-size), len(self.event_shape))

    def sample(
        self, shape: Sequence[int], context: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        # The log-ratio of two exponentials is logistic. The logit of a uniform would be cut at ±17 in float32, and be −inf at 0.
        size = (*shape, *self.event_shape)
        first = torch.empty(size, dtype=self.like.dtype, device=self.like.device).exponential_(generator=generator)
        second = torch.empty_like(first).exponential_(generator=generator)
        return torch.log(first) - torch.log(second)

    def cdf(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)
