"""What a context becomes before networks read it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import InputError, ShapeError


class StandardisedContext(nn.Module):
    """e(c) = (c − mean) / deviation of the training contexts, feature by feature; the identity until initialised.

    context (*batch, features) -> (*batch, features). A feature that never changed in training is only centred: it tells nothing, and its
    deviation of 0 would make infinity of the first other value. Raises InputError for no features
    or numbers that are not finite, ShapeError for another number.

    >>> import torch
    >>> embed = StandardisedContext(2)
    >>> embed.initialise(torch.tensor([[1.0, 7.0], [3.0, 7.0]]))
    >>> embed(torch.tensor([5.0, 8.0])).tolist()
    [3.0, 1.0]
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        if features < 1:
            raise InputError(f"features: expected at least one, got {features}; a model without a context embeds none")
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.mean: Tensor
        self.deviation: Tensor

    def forward(self, context: Tensor) -> Tensor:
        if context.shape[-1] != len(self.mean):
            raise ShapeError(f"context: expected {len(self.mean)} features, got {context.shape[-1]}")
        return (context - self.mean) / self.deviation

    @torch.no_grad()
    def initialise(self, context: Tensor) -> None:
        """Set mean and deviation (with divisor n) from contexts (batch, features), computed in float64."""
        wide = context.double()
        if not bool(wide.isfinite().all()):
            raise InputError("context: expected finite numbers to take mean and deviation of, got NaN or infinity")
        varies = context.amax(0) > context.amin(0)
        self.mean.copy_(wide.mean(0))
        self.deviation.copy_(torch.where(varies, wide.std(0, correction=0), torch.ones_like(wide[0])))
