"""Maximum of a bound, for models that know no more of their likelihood."""

from __future__ import annotations

from typing import Unpack

from torch import nn

from ...data.batches import Batch
from ...errors import InputError
from ...models.base import BoundModel
from ..update import Loss, Update
from .adam import AdamSettings, adam


class NegativeBound(nn.Module):
    """loss = −mean of the bound on log p(x | c), one draw, joint nats per row.

    The noise comes with the batch, drawn for all of it from (seed, step): a resumed run, or one of several processes, then meets the
    same. Raises InputError for a batch without.
    """

    def __init__(self, model: BoundModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, step: int) -> Loss:
        if batch.noise is None:
            raise InputError(
                "batch: expected noise for a bound, got none; make the batches with noise="
                "lambda rows, generator: model.draw_noise((rows,), generator=generator)"
            )
        nats = -self.model.log_prob_bound(batch.x, batch.context, noise=batch.noise)[0].mean()
        return Loss(nats, {"nats": nats})


def maximum_bound(model: BoundModel, **settings: Unpack[AdamSettings]) -> list[Update]:
    """Adam on −mean of the bound; the settings, their defaults and their errors are those of :func:`adam`.

    >>> import bijectory
    >>> [update.name for update in maximum_bound(bijectory.Quantised(bijectory.realnvp(2, depth=1, hidden=(8,)), levels=4))]
    ['bound']
    """
    return [adam("bound", NegativeBound(model), **settings)]
