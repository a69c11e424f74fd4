"""Batches as a function of the step, so that a resumed run sees what the uninterrupted one would have seen."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError
from ..numerics.seeds import seed_for
from .splits import Rows


class Batch(NamedTuple):
    """Rows for one step: x (batch, *event), their context, and their numbers in the training split."""

    x: Tensor
    context: Tensor | None
    rows: Tensor

    def part(self, index: int, parts: int) -> Batch:
        """The ``index``-th of ``parts`` nearly equal pieces, for gradient accumulation."""
        size = len(self.x)
        cut = slice(index * size // parts, (index + 1) * size // parts)
        return Batch(self.x[cut], None if self.context is None else self.context[cut], self.rows[cut])


class Shuffled:
    """Batches of ``size`` rows, every row once an epoch in an order drawn from (seed, epoch).

    Random access: ``batches(step)`` needs no history. Rows that do not fill a last batch wait for the next epoch's order; a data
    set smaller than ``size`` is one batch. The rows stay on their device.
    """

    def __init__(self, rows: Rows, size: int, seed: int) -> None:
        if size < 1:
            raise InputError(f"size: expected at least one row a batch, got {size}")
        self.rows, self.seed = rows, seed
        self.size = min(size, len(rows))
        self.per_epoch = len(rows) // self.size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def __call__(self, step: int) -> Batch:
        """The batch of that step, counted from 0."""
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(seed_for(self.seed, "epoch", epoch))
            self._order = torch.randperm(len(self.rows), generator=generator).to(self.rows.x.device)
            self._epoch = epoch
        index = self._order[position * self.size : (position + 1) * self.size]
        context = self.rows.context
        return Batch(
            self.rows.x.index_select(0, index), None if context is None else context.index_select(0, index), index
        )
