"""From a network's outputs to the probabilities of a typed table's columns: softmaxes of states, mixtures of values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..numerics.cells import cauchy_cell, cauchy_density, cauchy_mass, logistic_cell
from ..numerics.mixture import mixture_logs
from .table_columns import Columns, Seen

#: Log-scales of the mixtures' logistics lie within so much of the first, in deviations of the column: no component is narrower than a
#: five-thousandth of the column, where the density of a repeated value would grow without limit, nor wider than 33 of it.
SCALE_MIDDLE, SCALE_REACH = -2.5, 6.0
#: The same for the log of κ of a wrapped Cauchy.
TURN_REACH = 6.0


class Heads:
    """What the outputs of a network say of each column, given the columns before it.

    Of a stated column its states' logits; of a valued one the logits, places and log-scales of ``components`` logistics or wrapped Cauchys.
    """

    def __init__(self, values: Columns, components: int) -> None:
        self.values, self.components = values, components
        counts = [values.state_counts[i] for i in values.stated]
        #: The column of each output.
        self.outputs = [i for i, count in zip(values.stated, counts, strict=True) for _ in range(count)]
        #: How many of the outputs, the first ones, are logits of states.
        self.state_outputs = len(self.outputs)
        self.outputs += [i for i in values.valued for _ in range(3 * components)]
        # Where each column's logits stand among the outputs, in a rectangle; the places that no state fills point to a column of −∞.
        pad = torch.full((len(counts), max(counts, default=0)), sum(counts), dtype=torch.long)
        start = 0
        for row, count in enumerate(counts):
            pad[row, :count] = torch.arange(start, start + count)
            start += count
        self._pad = pad
        stepped, lines = values.stepped, len(values.lines)
        self._cells, self._points = stepped[:lines].nonzero().flatten(), (~stepped[:lines]).nonzero().flatten()

    def log_probs(self, out: Tensor, rows: Seen) -> Tensor:
        """log p(column | columns before it), (*batch, columns); 0 for copies."""
        found = out.new_zeros((*out.shape[:-1], len(self.values.columns)))
        if self.values.stated:
            logs = self.state_logs(out).gather(-1, rows.states.unsqueeze(-1)).squeeze(-1)
            found = found.index_add(-1, _index(self.values.stated, out), logs)
        if self.values.valued:
            logs = torch.where(rows.present, self._value_logs(out, rows), 0.0)
            found = found.index_add(-1, _index(self.values.valued, out), logs)
        return found

    def state_logs(self, out: Tensor) -> Tensor:
        """Log probabilities of the states of each stated column, (*batch, stated, most states)."""
        logits = F.pad(out[..., : self.state_outputs], (0, 1), value=-math.inf)
        return F.log_softmax(logits[..., self._pad.to(out.device)], -1)

    def _params(self, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, places and log-scales of the mixtures, each (*batch, valued, components)."""
        logits, loc, raw = out[..., self.state_outputs :].unflatten(-1, (-1, 3, self.components)).unbind(-2)
        return logits, loc, raw

    def mixture(self, out: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log probabilities of the states (*batch, stated, states; 0 where none is stated), and of the values' logistics the log weights,
        places and log scales in t, (*batch, valued, components)."""
        logits, loc, raw = self._params(out)
        states = self.state_logs(out) if self.values.stated else torch.zeros_like(loc[..., :1])
        return states, F.log_softmax(logits, -1), loc, _log_scale(raw)

    def _value_logs(self, out: Tensor, rows: Seen) -> Tensor:
        """log p(value | there is one), per own unit, (*batch, valued)."""
        logits, loc, raw = self._params(out)
        lines, parts, places = len(self.values.lines), [], []
        log_step = self.values.log_steps.to(out)
        for index, celled in ((self._cells, True), (self._points, False)):
            if not len(index):
                continue
            some = index.to(out.device)
            params = logits[..., some, :], loc[..., some, :], _log_scale(raw[..., some, :])
            if celled:
                value = (
                    logistic_cell(rows.low[..., some], rows.high[..., some], rows.width[..., some], *params)
                    - log_step[some]
                )
            else:
                value = mixture_logs(rows.t[..., some], *params, "logistic")[0] + rows.log_slope[..., some]
            parts.append(value)
            places.append(index)
        for k in range(len(self.values.circles)):
            j = lines + k
            params = logits[..., j, :], loc[..., j, :], _log_turn(raw[..., j, :])
            half = float(self.values.arcs()[k])
            angle = rows.angle[..., k]
            if half:
                value = cauchy_cell(angle - half, angle + half, *params) - log_step[j]
            else:
                value = cauchy_density(angle, *params) + float(self.values.log_turn[k])
            parts.append(value.unsqueeze(-1))
            places.append(torch.tensor([j]))
        return torch.cat(parts, -1)[..., torch.argsort(torch.cat(places)).to(out.device)]

    def bounds(self, out: Tensor, rows: Seen) -> tuple[Tensor, Tensor]:
        """Probability below and up to each column's value, (*batch, columns) twice."""
        low, high = (
            out.new_zeros((*out.shape[:-1], len(self.values.columns))),
            out.new_ones((*out.shape[:-1], len(self.values.columns))),
        )
        if self.values.stated:
            share, state = self.state_logs(out).exp(), rows.states.unsqueeze(-1)
            up_to = share.cumsum(-1).gather(-1, state).squeeze(-1)
            high[..., self.values.stated] = up_to
            low[..., self.values.stated] = up_to - share.gather(-1, state).squeeze(-1)
        logits, loc, raw = self._params(out) if self.values.valued else (out, out, out)
        for j, i in enumerate(self.values.valued):
            at, log_weight = loc[..., j, :], F.log_softmax(logits[..., j, :], -1)
            if j < len(self.values.lines):
                scale = _log_scale(raw[..., j, :])
                edges = rows.low[..., j], rows.high[..., j]
                below, above = (mixture_logs(e, log_weight, at, scale, "logistic")[1].exp() for e in edges)
            else:
                k = j - len(self.values.lines)
                half = float(self.values.arcs()[k])
                turn, start = _log_turn(raw[..., j, :]), rows.angle.new_full((), -half)
                ends = rows.angle[..., k] - half, rows.angle[..., k] + half
                below, above = ((log_weight.exp() * cauchy_mass(start, e, at, turn)).sum(-1) for e in ends)
            # "A value" is the first of a column's states.
            room = high[..., i].clone()
            here = rows.present[..., j]
            low[..., i] = torch.where(here, room * below, low[..., i])
            high[..., i] = torch.where(here, room * above, high[..., i])
        return low, high

    def draw(
        self, out: Tensor, i: int, complete: bool, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor | float]:
        """A draw of column i for each row, and the log of the probability of what it was drawn among: not missing, with ``complete``."""
        among: Tensor | float = 0.0
        column, drawn = self.values.columns[i], out.new_zeros(len(out))
        state = torch.zeros(len(out), dtype=torch.long)
        if i in self.values.stated:
            logs = self.state_logs(out)[:, self.values.stated.index(i)]
            if complete and column.gaps:
                logs[:, self.values.state_counts[i] - 1] = -math.inf
                among = torch.logsumexp(logs, -1)
            state = _pick(logs, generator)
        if i in self.values.valued:
            j = self.values.valued.index(i)
            logits, loc, raw = (p[:, j] for p in self._params(out))
            chosen = _pick(logits, generator).unsqueeze(-1)
            at, scale = loc.gather(-1, chosen).squeeze(-1), raw.gather(-1, chosen).squeeze(-1)
            # Strictly inside (0, 1): float64 has 2^53 places, so that the furthest logistic is 37 scales out.
            u = torch.rand(len(out), generator=generator, dtype=torch.float64).clamp(2**-53, 1 - 2**-53).to(out)
            if j < len(self.values.lines):
                drawn = self.values.unline(at + torch.exp(_log_scale(scale)) * torch.logit(u), j)
            else:
                angle = at + 2 * torch.atan(torch.exp(-_log_turn(scale)) * torch.tan(math.pi * (u - 0.5)))
                drawn = self.values.unturn(angle, j - len(self.values.lines))
            words = torch.tensor([math.nan, *column.atoms, math.nan], dtype=out.dtype)
            return torch.where(state == 0, drawn, words[state]), among
        return torch.where(state < len(column.categories), state.to(out.dtype), math.nan), among

    def marginals(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Outputs to start from, the same for every row: states by their frequencies in x (rows, columns), mixtures side by side."""
        rows = self.values.see(x, dtype)
        parts = []
        for k, i in enumerate(self.values.stated):
            # Half a row more in each state: one that was not seen has a probability still.
            counts = torch.bincount(rows.states[:, k], minlength=self.values.state_counts[i]) + 0.5
            parts.append(torch.log(counts / counts.sum()).to(dtype))
        for i in self.values.valued:
            # Side by side; where a column has values, least squares will place those on a line (``start_linear``).
            turn = self.values.columns[i].kind == "circular"
            ends = (0.0, 2 * math.pi * (1 - 1 / self.components)) if turn else (-1.0, 1.0)
            loc = torch.linspace(*ends, self.components, dtype=dtype)
            parts += [torch.zeros_like(loc), loc, torch.zeros_like(loc)]
        return torch.cat(parts) if parts else torch.zeros(0)


def _log_scale(raw: Tensor) -> Tensor:
    return SCALE_MIDDLE + SCALE_REACH * torch.tanh(raw / SCALE_REACH)


def raw_scale(log_scale: Tensor) -> Tensor:
    """The output that stands for a log-scale."""
    return SCALE_REACH * torch.atanh((log_scale - SCALE_MIDDLE) / SCALE_REACH)


def _log_turn(raw: Tensor) -> Tensor:
    return TURN_REACH * torch.tanh(raw / TURN_REACH)


def _pick(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """One place of each row (rows, places) -> (rows,), with the probabilities of a softmax."""
    up_to = torch.softmax(logits.double(), -1).cumsum(-1)
    u = torch.rand((len(logits), 1), generator=generator, dtype=torch.float64) * up_to[:, -1:]
    return torch.searchsorted(up_to, u, right=True).squeeze(-1).clamp_max(logits.shape[-1] - 1)


def _index(columns: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor(columns, device=like.device)
