"""Batches as a function of the step, so that a resumed run sees what the uninterrupted one would have seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError
from ..numerics.seeds import generator_for, seed_for
from .splits import Rows

#: Random numbers for so many rows, from this generator: (rows, generator) -> (rows, *noise shape).
Noise = Callable[[int, torch.Generator], Tensor]


class Batch(NamedTuple):
    """Rows for one step: x (batch, *event), their context, and their numbers in the training split.

    ``weights`` (batch,) are those of the rows, with mean 1 over the training split. ``noise`` (batch, *noise shape) is what a bound or an
    estimate consumes. ``share`` is the part of the step's whole batch that these
    rows are: less than 1 where several processes divide it, or several parts of an accumulated gradient.
    """

    x: Tensor
    context: Tensor | None
    rows: Tensor
    noise: Tensor | None = None
    share: float = 1.0
    weights: Tensor | None = None

    def part(self, index: int, parts: int) -> Batch:
        """The ``index``-th of ``parts`` nearly equal pieces, for gradient accumulation and for processes."""
        size = len(self.x)
        cut = slice(index * size // parts, (index + 1) * size // parts)
        context, noise, weights = (None if t is None else t[cut] for t in (self.context, self.noise, self.weights))
        return Batch(self.x[cut], context, self.rows[cut], noise, self.share * (cut.stop - cut.start) / size, weights)


class Shuffled:
    """Batches of ``size`` rows, every row once an epoch in an order drawn from (seed, epoch).

    Random access: ``batches(step)`` needs no history. Rows that do not fill a last batch wait for the next epoch's order; a data
    set smaller than ``size`` is one batch. The rows stay on their device. Of ``parts`` processes the ``part``-th gets its piece of the
    same batch: the order, the ``noise`` and the ``flips`` (half of the pictures mirrored left to right) are drawn for the whole batch
    from (seed, step) and then cut, so that the number of processes changes nothing.

    Raises InputError for no rows a batch, or fewer than there are processes.
    """

    def __init__(
        self,
        rows: Rows,
        size: int,
        seed: int,
        *,
        noise: Noise | None = None,
        flips: bool = False,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        self.size = min(size, len(rows))
        if self.size < max(1, parts):
            wanted = f"one for each of {parts} processes" if parts > 1 else "one row a batch"
            raise InputError(f"size: expected at least {wanted}, got {self.size}")
        self.rows, self.seed, self.noise, self.flips = rows, seed, noise, flips
        self.piece, self.parts = part, parts
        self.per_epoch = len(rows) // self.size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def __call__(self, step: int) -> Batch:
        """This process's piece of the batch of that step, counted from 0."""
        index, device = self._index(step), self.rows.x.device
        cut = slice(self.piece * self.size // self.parts, (self.piece + 1) * self.size // self.parts)
        mine = index[cut]
        x, context, noise = self.rows.x.index_select(0, mine), self.rows.context, None
        if self.flips:
            mirrored = torch.rand(self.size, generator=generator_for(self.seed, "flips", step)) < 0.5
            x = torch.where(mirrored[cut].to(device).reshape(-1, *[1] * (x.dim() - 1)), x.flip(-1), x)
        if self.noise is not None:
            noise = self.noise(self.size, generator_for(self.seed, "noise", step, device=device))[cut]
        context = None if context is None else context.index_select(0, mine)
        weights = None if self.rows.weights is None else self.rows.weights.index_select(0, mine)
        return Batch(x, context, mine, noise, len(mine) / self.size, weights)

    def whole(self, step: int) -> Batch:
        """The batch of that step as one process would get it."""
        alone = Shuffled(self.rows, self.size, self.seed, noise=self.noise, flips=self.flips)
        return alone(step)

    def _index(self, step: int) -> Tensor:
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(seed_for(self.seed, "epoch", epoch))
            self._order = torch.randperm(len(self.rows), generator=generator).to(self.rows.x.device)
            self._epoch = epoch
        return self._order[position * self.size : (position + 1) * self.size]


class Drawn:
    """Batches of random numbers and no data: for objectives that learn from a density, such as a reverse KL.

    ``draw(rows, generator)`` gives ``noise`` (rows, *noise shape) for the whole batch of ``size`` rows from (seed, step), as ``Shuffled``
    draws what it adds to data: a resumed run sees the same, and of ``parts`` processes the ``part``-th gets its piece. ``device`` is the
    generator's. In place of data ``x`` is the noise once more.

    Raises InputError for no rows a batch, or fewer than there are processes.

    >>> batches = Drawn(lambda rows, generator: torch.randn(rows, 2, generator=generator), 64, seed=0)
    >>> batches(5).noise.shape, torch.equal(batches(5).noise, batches(5).noise)
    (torch.Size([64, 2]), True)
    """

    def __init__(
        self, draw: Noise, size: int, seed: int, *, device: str | torch.device = "cpu", part: int = 0, parts: int = 1
    ) -> None:
        if size < max(1, parts):
            raise InputError(f"size: expected at least {max(1, parts)} rows a batch, got {size}")
        self.draw, self.size, self.seed, self.device = draw, size, seed, torch.device(device)
        self.piece, self.parts = part, parts

    def __call__(self, step: int) -> Batch:
        """This process's piece of the batch of that step, counted from 0."""
        return self.whole(step).part(self.piece, self.parts)

    def whole(self, step: int) -> Batch:
        """The batch of that step as one process would get it."""
        noise = self.draw(self.size, generator_for(self.seed, "noise", step, device=self.device))
        return Batch(noise, None, torch.arange(self.size, device=noise.device), noise)
