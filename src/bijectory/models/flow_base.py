"""A flow as the base of another flow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..distributions.base import Base
from ..errors import InputError
from .base import LatentModel


class FlowBase(Base):
    """The density of ``flow`` as a base: log p_base(z) = log p_flow(z), a sample is the flow's own.

    Its ``cdf`` is the flow's latent CDF of the flow's latents, F_i = latent_cdf(encode(z))_i, uniform on the unit cube where z follows
    the flow; of an event of one number in a flow that increases, this is its CDF.

    Raises InputError for a conditional flow: its layers belong into the outer Chain, where they are handed the context.

    >>> import torch, bijectory
    >>> FlowBase(bijectory.maf(2, depth=1)).log_prob(torch.zeros(3, 2)).shape
    torch.Size([3])
    """

    def __init__(self, flow: LatentModel) -> None:
        super().__init__(flow.event_shape)
        if flow.context_dim:
            raise InputError(
                f"base: expected a flow without context as a base, got one with {flow.context_dim} features of it; "
                "put its layers into the outer flow's Chain"
            )
        self.flow = flow
        self.to(flow.base.like.dtype)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.flow.log_prob(z)

    def sample(
        self, shape: Sequence[int], context: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        return self.flow.sample(shape, generator=generator)

    def cdf(self, z: Tensor) -> Tensor:
        return self.flow.latent_cdf(self.flow.encode(z))
