"""A density of the rows of a typed table: real numbers, counts, words, gaps, each in its own measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.kinds import Column
from ..errors import InputError, ShapeError
from ..nets.masked_resnet import MaskedResNet
from ..transforms.base import DataInitialised
from .base import ColumnModel, as_shape
from .table_columns import Columns, Seen
from .table_heads import Heads
from .table_start import start_linear


class TableModel(ColumnModel, DataInitialised):
    """An exact density of a typed table's rows, column by column.

        p(row | c) = (1/M) Σ_m Π_i P_m(state_i | columns before i, c) · p_m(value_i | state_i = value, columns before i, c)

    A column's state is its word, "a value", one of its atoms or "missing": a softmax. A value has a mixture of logistics over t(value), a
    change of variables that its kind says (see ``Columns``), a circular one a mixture of wrapped Cauchys. A column with a step has the
    probability of its cell [v − step/2, v + step/2] divided by step: exact, no bound, and never above 1/step. All is in the units of the
    person's own columns: nats of a density for values, of a probability for words and gaps. Where values are missing the model is of
    which ones are, and of the others: nothing is ever filled.

    The parameters of all columns come from one masked residual network; ``members`` such networks are averaged as densities. Rows are
    encoded, float, (*batch, columns), NaN for missing; so is the context, of ``context_columns``. ``order`` lists the columns in the order
    of the product, words first by default: given columns that come first are conditioned on exactly (``sample_given``).

    Source: Germain et al. 2015 (MADE, arXiv:1502.03509); mixtures of logistics and their cells, Salimans et al. 2017 (arXiv:1701.05517).
    Differs: several kinds of column, each with its own measure; direct connections; what the network reads of a number is piecewise linear.
    Raises InputError for an order that is no permutation of the columns, or numbers that no network can have.

    >>> import torch
    >>> from bijectory.data.kinds import Column
    >>> model = TableModel([Column("age", "integer", low=0, step=1, gaps=True), Column("sex", "categorical", categories=("f", "m"))])
    >>> model.log_prob(torch.tensor([[41.0, 0.0], [torch.nan, 1.0]])).shape
    torch.Size([2])
    """

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        context_columns: Sequence[Column] = (),
        hidden: int = 256,
        blocks: int = 2,
        components: int = 8,
        knots: int = 16,
        members: int = 1,
        dropout: float = 0.0,
        order: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        for name, number, least in (
            ("blocks", blocks, 0),
            ("components", components, 1),
            ("knots", knots, 0),
            ("members", members, 1),
        ):
            if number < least:
                raise InputError(f"{name}: expected at least {least}, got {number}")
        self.columns, self.context_columns = tuple(columns), tuple(context_columns)
        self.event_shape, self.context_dim = (len(self.columns),), len(self.context_columns)
        self.values = Columns(self.columns, knots=knots)
        self.given = Columns(self.context_columns, knots=knots) if context_columns else None
        self.heads = Heads(self.values, components)
        own = self.values.own
        if order is None:
            order = sorted(own, key=lambda i: self.columns[i].kind != "categorical")
        self.order = tuple(i for i in order if self.columns[i].kind != "copy")
        if sorted(self.order) != own:
            raise InputError(
                f"order: expected each of the columns {own} once (copies may be left out), got {tuple(order)}; give all of them"
            )
        degree = {i: rank + 1 for rank, i in enumerate(self.order)}
        reads = [0] * (len(self.given.read_columns()) if self.given else 0) + [
            degree[i] for i in self.values.read_columns()
        ]
        outputs = [degree[i] for i in self.heads.outputs]
        self.nets = nn.ModuleList(
            MaskedResNet(reads, outputs, hidden=hidden, blocks=blocks, dropout=dropout) for _ in range(members)
        )

    # ── density ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Exact joint log density in nats, in the columns' own units: (*batch, columns) -> (*batch)."""
        return torch.logsumexp(self.member_log_prob(x, context), 0) - math.log(len(self.nets))

    def member_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The log density of each member alone, (members, *batch)."""
        return self._terms(x, context).sum(-1)

    def columns_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(column_i | columns before it in ``order``), (*batch, columns); 0 for copies. They add up to ``log_prob``."""
        return self._conditional(self._terms(x, context))[0]

    def cdf(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Where each column's value lies in its conditional distribution: the probability below it and up to it, twice (*batch, columns).

        States are laid side by side in their order, values among themselves by size. Of a continuous value both are the same number F;
        words, atoms, gaps and cells are as wide as their probability. A number drawn between the two is uniform where the model is true.
        """
        rows, read = self._see(x, context)
        terms, low, high = [], [], []
        for net in self.nets:
            out = net(read)
            terms.append(self.heads.log_probs(out, rows))
            a, b = self.heads.bounds(out, rows)
            low.append(a)
            high.append(b)
        # The average of densities has averages of CDFs, each weighted by what its member says of the columns before.
        _, weight = self._conditional(torch.stack(terms))
        return (weight * torch.stack(low)).sum(0), (weight * torch.stack(high)).sum(0)

    def mixture(self, context: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of a model of one column, log P(states), (members, *batch, states), and the log weights, places and log-scales of its values'
        logistics over t, (members, *batch, components): all that it says of that column."""
        blank = torch.full((1,), self.values.inside(0), dtype=self.dtype)
        batch = () if context is None else context.shape[:-1]
        _, read = self._see(blank.expand(*batch, 1), context)
        parts = []
        for net in self.nets:
            out = net(read)
            parts.append(tuple(part.squeeze(-2) for part in self.heads.mixture(out)))
        states, weight, loc, scale = (torch.stack(p) for p in zip(*parts, strict=True))
        return states, weight, loc, scale

    def _terms(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Each member's log p(column_i | columns before), (members, *batch, columns)."""
        rows, read = self._see(x, context)
        return torch.stack([self.heads.log_probs(net(read), rows) for net in self.nets])

    def _see(self, x: Tensor, context: Tensor | None) -> tuple[Seen, Tensor]:
        """The rows in parts, and what the networks read of them and of their context."""
        self.check_event(x)
        self.check_context(context, x.shape[:-1])
        rows = self.values.see(x, self.dtype)
        read = self.values.reads(rows)
        if self.given is not None and context is not None:
            other = self.given.reads(self.given.see(context, self.dtype))
            read = torch.cat([other.expand(*read.shape[:-1], -1), read], -1)
        return rows, read

    def _conditional(self, terms: Tensor) -> tuple[Tensor, Tensor]:
        """The average's conditionals (*batch, columns), and each member's weight in them (members, *batch, columns)."""
        ranked = terms[..., list(self.order)]
        before = torch.cumsum(ranked, -1) - ranked
        log_weight = F.log_softmax(before, 0)
        value = torch.logsumexp(log_weight + ranked, 0)
        joint, weight = torch.zeros_like(terms[0]), torch.ones_like(terms) / len(terms)
        joint[..., list(self.order)], weight[..., list(self.order)] = value, log_weight.exp()
        return joint, weight

    # ── samples ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def sample(
        self,
        shape: int | Sequence[int] = (),
        context: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Encoded rows of shape (*shape, *context's batch, columns), NaN for what is missing."""
        full = (*as_shape(shape), *(() if context is None else context.shape[:-1]))
        known = torch.zeros(len(self.columns), dtype=torch.bool)
        nothing = torch.zeros((*full, len(self.columns)), dtype=self.dtype)
        return self.sample_given(nothing, known, context, generator=generator)[0]

    def sample_given(
        self,
        x: Tensor,
        known: Tensor,
        context: Tensor | None = None,
        *,
        complete: bool = False,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Rows that agree with ``x`` where ``known``, and their log weights: (*batch, columns), (*batch).

        Column by column: what is known stays, and its log p(x_i | columns before) is added to the weight; what is not is drawn. The mean
        of the weights is p(known); the rows, resampled by them, are draws from p(others | known) (likelihood weighting: Fung & Chang 1990;
        Shachter & Peot 1990). Where the known columns are the first in ``order`` all rows' weights of one member are one number. Each row
        belongs to one member, drawn at random. With ``complete`` what is drawn is never missing, and weighs with the probability that it
        is not: the mean weight is then p(known, nothing else missing).

        ``known`` broadcasts to ``x``. A copy that is known makes its source known.
        """
        self.check_event(x)
        x = x.to(self.dtype).clone()
        known = torch.broadcast_to(known, x.shape).clone()
        batch = x.shape[:-1]
        if context is not None:
            context = context.to(self.dtype).expand(*batch, context.shape[-1])
        self.check_context(context, batch)
        for i, source in self._copies():
            x[..., source] = torch.where(known[..., i], x[..., i], x[..., source])
            known[..., source] |= known[..., i]
        rows, mask = x.reshape(-1, x.shape[-1]), known.reshape(-1, x.shape[-1])
        given = None if context is None else context.reshape(-1, context.shape[-1])
        weight = rows.new_zeros(len(rows))
        member = torch.randint(len(self.nets), (len(rows),), generator=generator)
        inside = rows.new_tensor([self.values.inside(i) for i in range(len(self.columns))])
        rows = torch.where(mask, rows, inside)
        with torch.no_grad():
            for m, net in enumerate(self.nets):
                mine = (member == m).nonzero().flatten()
                if len(mine):
                    part = None if given is None else given[mine]
                    rows[mine], weight[mine] = self._walk(net, rows[mine], mask[mine], part, complete, generator)
        for i, source in self._copies():
            rows[..., i] = rows[..., source]
        return rows.reshape(x.shape), weight.reshape(batch)

    def _walk(
        self,
        net: nn.Module,
        rows: Tensor,
        mask: Tensor,
        context: Tensor | None,
        complete: bool,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        """One member's draws, column after column."""
        weight = rows.new_zeros(len(rows))
        for i in self.order:
            if self.columns[i].kind == "categorical" and self.values.state_counts[i] == 1:
                continue
            seen, read = self._see(rows, context)
            out = net(read)
            if bool(mask[:, i].any()):
                weight = weight + torch.where(mask[:, i], self.heads.log_probs(out, seen)[:, i], 0.0)
            if not bool(mask[:, i].all()):
                drawn, among = self.heads.draw(out, i, complete, generator)
                rows[:, i] = torch.where(mask[:, i], rows[:, i], drawn)
                weight = torch.where(mask[:, i], weight, weight + among)
        return rows, weight

    def _copies(self) -> list[tuple[int, int]]:
        names = [c.name for c in self.columns]
        return [(i, names.index(c.of)) for i, c in enumerate(self.columns) if c.of is not None]

    @property
    def dtype(self) -> torch.dtype:
        """The weights' precision."""
        return next(self.parameters()).dtype

    # ── constants from data ──────────────────────────────────────────────────────────────────────────────────────────

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Start at least squares: states by their frequencies, values on a line of what stands before them, with the residuals' quantiles.

        ``x`` (rows, columns) and ``context`` are encoded training rows. Raises ShapeError for others.
        """
        if x.dim() != 2:
            raise ShapeError(f"x: expected encoded rows (rows, {len(self.columns)}), got {tuple(x.shape)}")
        with torch.no_grad():
            self.values.initialise(x)
            if self.given is not None and context is not None:
                self.given.initialise(context)
            start = self.heads.marginals(x, self.dtype)
            for net in self.nets:
                cast("MaskedResNet", net).last.bias.copy_(start)
            start_linear(self, x, context)
