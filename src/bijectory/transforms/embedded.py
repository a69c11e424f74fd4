"""A map that reads its context through another module: standardised, embedded, summarised."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from .base import DataInitialised, Transform


@runtime_checkable
class InitialisedEmbedding(Protocol):
    """An embedding that sets its constants from a batch of contexts."""

    def initialise(self, context: Tensor) -> None: ...


class Embedded(Transform, DataInitialised):
    """z = f(x; e(c)): the map ``transform`` reads e(c) wherever it would read the context c; its log-det is the map's own.

    ``embed`` takes contexts (*batch, *anything) to (*batch, features), each by itself. ``initialise`` lets an embedding that has an
    ``initialise`` of its own set its constants from the contexts, then the map from what it makes of them.

    >>> import torch
    >>> from bijectory import StandardisedContext, maf
    >>> Embedded(maf(2, context_dim=3).transform, StandardisedContext(3))(torch.zeros(5, 2), torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(self, transform: Transform, embed: nn.Module) -> None:
        super().__init__()
        self.transform, self.embed = transform, embed
        self.event_dim_in, self.event_dim_out = transform.event_dim_in, transform.event_dim_out
        self.has_inverse, self.exact_log_det = transform.has_inverse, transform.exact_log_det
        self.accuracy = transform.accuracy
        self.rebuilds_x, self.rebuilds_z = transform.rebuilds_x, transform.rebuilds_z

    def embedded(self, context: Tensor | None) -> Tensor | None:
        """What the map reads in place of the context."""
        return None if context is None else self.embed(context)

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.transform.forward_and_log_det(x, self.embedded(context))

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.transform.inverse_and_log_det(z, self.embedded(context))

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Initialise the embedding on the contexts, and the map on x, of shape (batch, *event), and on what comes out."""
        if context is not None and isinstance(self.embed, InitialisedEmbedding):
            self.embed.initialise(context)
        if isinstance(self.transform, DataInitialised):
            self.transform.initialise(x, self.embedded(context))
