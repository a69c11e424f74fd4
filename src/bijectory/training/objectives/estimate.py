"""Maximum of an unbiased estimate, for models whose log-det is too large to be computed."""

from __future__ import annotations

from typing import Unpack

from torch import nn

from ...data.batches import Batch
from ...errors import InputError
from ...models.base import EstimateModel
from ..update import Loss, Update
from .adam import AdamSettings, adam


class NegativeEstimate(nn.Module):
    """loss = −mean of an unbiased estimate of log p(x | c), one draw, joint nats per row: its gradient is unbiased too.

    The noise comes with the batch, drawn for all of it from (seed, step): a resumed run, or one of several processes, then meets the
    same. Raises InputError for a batch without.
    """

    def __init__(self, model: EstimateModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, step: int) -> Loss:
        if batch.noise is None:
            raise InputError(
                "batch: expected noise for an estimate, got none; make the batches with noise="
                "lambda rows, generator: model.draw_noise((rows,), generator=generator)"
            )
        nats = -self.model.log_prob_estimate(batch.x, batch.context, noise=batch.noise).mean()
        return Loss(nats, {"nats": nats})


def maximum_estimate(model: EstimateModel, **settings: Unpack[AdamSettings]) -> list[Update]:
    """Adam on −mean of the estimate; the settings, their defaults and their errors are those of :func:`adam`.

    >>> import bijectory
    >>> [update.name for update in maximum_estimate(bijectory.ffjord(2, hidden=(8,), trace="hutchinson"))]
    ['estimate']
    """
    return [adam("estimate", NegativeEstimate(model), **settings)]
