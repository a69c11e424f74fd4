"""Maximum likelihood of each member of an average on its own."""

from __future__ import annotations

from typing import Unpack

from torch import nn

from ...data.batches import Batch
from ...models.base import ColumnModel
from ..update import Loss, Update
from .adam import AdamSettings, adam


class MembersLikelihood(nn.Module):
    """loss = −mean over rows and members of log p_m(x | c), joint nats per row; rows count by their weights, where they have any.

    It is no less than the nats of the average, by Jensen. Trained on the average's own likelihood, members divide the rows among
    themselves and none of them knows all; trained each alone they err in different places, and averaging mends that.
    """

    def __init__(self, model: ColumnModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, step: int) -> Loss:
        each = -self.model.member_log_prob(batch.x, batch.context).mean(0)
        nats = (each if batch.weights is None else each * batch.weights).mean()
        return Loss(nats, {"nats": nats})


def maximum_members_likelihood(model: ColumnModel, **settings: Unpack[AdamSettings]) -> list[Update]:
    """Adam on the members' mean −log p_m; the settings, their defaults and their errors are those of :func:`adam`.

    >>> from bijectory.data.kinds import Column
    >>> from bijectory.models.table import TableModel
    >>> [update.name for update in maximum_members_likelihood(TableModel([Column("x", "real")]))]
    ['likelihood']
    """
    return [adam("likelihood", MembersLikelihood(model), **settings)]
