"""Maximum likelihood for models with an exact density."""

from __future__ import annotations

from typing import Unpack

from torch import nn

from ...data.batches import Batch
from ...models.base import ExactModel
from ..update import Loss, Update
from .adam import AdamSettings, adam


class NegativeLogLikelihood(nn.Module):
    """loss = −mean log p(x | c), joint nats per row."""

    def __init__(self, model: ExactModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, step: int) -> Loss:
        nats = -self.model.log_prob(batch.x, batch.context).mean()
        return Loss(nats, {"nats": nats})


def maximum_likelihood(model: ExactModel, **settings: Unpack[AdamSettings]) -> list[Update]:
    """Adam on −mean log p; the settings, their defaults and their errors are those of :func:`adam`.

    >>> import bijectory
    >>> [update.name for update in maximum_likelihood(bijectory.nsf(2, depth=1, hidden=(8,)))]
    ['likelihood']
    """
    return [adam("likelihood", NegativeLogLikelihood(model), **settings)]
