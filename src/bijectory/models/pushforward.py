"""A base density carried through an invertible map: what a flow is, whether its log-det is exact or estimated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..distributions.base import Base
from ..transforms.base import DataInitialised, Transform
from .base import LatentSampleModel, as_shape, check_dtype


class Pushforward(LatentSampleModel, DataInitialised):
    """x = f⁻¹(z; c) with z from ``base`` and f the ``transform``, which goes from data to latent. Latents have the event's shape.

    What comes in is a tensor in the dtype of the base; encode, decode and sample raise ShapeError for another shape and InputError for
    another dtype, or for what is no tensor.
    """

    def __init__(self, base: Base, transform: Transform, *, context_dim: int = 0) -> None:
        super().__init__()
        self.base, self.transform = base, transform
        self.event_shape, self.context_dim = base.event_shape, context_dim

    def check_rows(self, x: Tensor, context: Tensor | None, name: str = "x") -> torch.Size:
        """The batch shape of x, or of latents, once they and their contexts are what the model takes."""
        self.check_event(x, name)
        check_dtype(x, name, self.base.like.dtype)
        batch = x.shape[: x.dim() - len(self.event_shape)]
        self._check_given(context, batch)
        return batch

    def _check_given(self, context: Tensor | None, batch: torch.Size | None = None) -> None:
        self.check_context(context, batch)
        if context is not None:
            check_dtype(context, "context", self.base.like.dtype)

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Data to latent, z = f(x)."""
        self.check_rows(x, context)
        return self.transform(x, context)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Latent to data, x = f⁻¹(z)."""
        self.check_rows(z, context, "z")
        return self.transform.inverse(z, context)

    def latent_cdf(self, z: Tensor) -> Tensor:
        """Each latent coordinate's CDF under the base: (*batch, *event) -> (*batch, *event), values in [0, 1]."""
        return self.base.cdf(z)

    def sample(
        self,
        shape: int | Sequence[int] = (),
        context: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draws of shape (*shape, *context's batch, *event), exactly the model's own."""
        z, context = self.sample_latents(shape, context, generator)
        return self.transform.inverse(z, context)

    def sample_latents(
        self, shape: int | Sequence[int], context: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor | None]:
        """Draws of the base, (*shape, *context's batch, *event), and the context a row each."""
        self._check_given(context)
        full = as_shape(shape)
        if context is not None:
            full = (*full, *context.shape[:-1])
            context = context.expand(*full, context.shape[-1])
        return self.base.sample(full, context, generator=generator), context

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Let the parts that ask for it set their constants from x of shape (batch, *event)."""
        self.check_rows(x, context)
        if isinstance(self.transform, DataInitialised):
            with torch.no_grad():
                self.transform.initialise(x, context)
