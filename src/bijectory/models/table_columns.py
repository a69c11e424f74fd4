"""A typed table's columns as numbers: the changes of variables of its values, with their log-dets, and what a network reads of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..data.kinds import Column
from ..errors import DomainError

#: Edges of cells that are infinitely far away stand here, in deviations: a float32 keeps their difference from all others, and a logistic
#: of the widest scale (33) has less than e^−300 beyond.
FAR = 1e4
#: Knots stand at least so far apart, in deviations: between equal quantiles of a column with ties the ramp would have no width.
RAMP = 1e-3


class Seen(NamedTuple):
    """Encoded rows as a model sees them: states (*batch, stated), where there is a value (*batch, valued), and of values on a line their t,
    its log-slope, the edges of their cells and the cells' widths (*batch, lines), of circular ones their angles (*batch, circles)."""

    states: Tensor
    present: Tensor
    t: Tensor
    log_slope: Tensor
    low: Tensor
    high: Tensor
    width: Tensor
    angle: Tensor


class Columns(nn.Module):
    """The columns of a typed table as states and values.

    Every column has states: the words of a categorical one; of any other "a value", each of its atoms, and, with ``gaps``, "missing".
    Where the state is a value, t = (g(x) − centre) / spread with g the identity (real, ordinal, integer with no least value), log x
    (positive), the logit of (x − low)/(high − low) (bounded) or log(1 + (x − low)/c) (integer from ``low`` on, c its median distance from
    it: nearly x below the median, nearly log x above). A circular value is an angle. Cells [x − step/2, x + step/2] are mapped by their
    edges; those that reach beyond ``low`` or ``high`` take all that lies there.

    Encoded rows (*batch, columns), NaN where a value is missing. Copies are left aside: they say nothing new.
    """

    centre: Tensor
    spread: Tensor
    unit: Tensor
    origin: Tensor
    knots: Tensor

    def __init__(self, columns: Sequence[Column], *, knots: int = 0) -> None:
        super().__init__()
        self.columns = tuple(columns)
        own = [i for i, c in enumerate(columns) if c.kind != "copy"]
        self.own = own
        self.state_counts = {i: _states(columns[i]) for i in own}
        #: Columns with more than one state, in order; those with values on a line, and those on a circle.
        self.stated = [i for i in own if self.state_counts[i] > 1]
        self.lines = [i for i in own if columns[i].kind not in ("categorical", "circular")]
        self.circles = [i for i in own if columns[i].kind == "circular"]
        self.valued = [*self.lines, *self.circles]
        count = len(self.lines)
        for name, start in (("centre", torch.zeros(count)), ("spread", torch.ones(count)), ("unit", torch.ones(count))):
            self.register_buffer(name, start)
        self.register_buffer("origin", torch.zeros(len(self.valued)))
        self.register_buffer("knots", torch.linspace(-2, 2, knots + 1).repeat(count, 1))
        self._atoms = {i: torch.tensor(columns[i].atoms, dtype=torch.float64) for i in own if columns[i].atoms}
        self._steps = [columns[i].step or (1.0 if columns[i].kind == "ordinal" else 0.0) for i in self.valued]
        supports = [_support(columns[i]) for i in self.lines]
        # Constants that follow from the columns, in float64: they are no part of the state, and are brought to the rows' precision.
        self._least, self._most = (torch.tensor([s[k] for s in supports], dtype=torch.float64) for k in (0, 1))
        self._width = torch.tensor(self._steps[:count], dtype=torch.float64)
        self._inner = torch.tensor([_inside(columns[i]) for i in self.lines], dtype=torch.float64)
        # 0 is no value of a positive column, so that its least cell begins a step higher.
        self._margin = torch.tensor(
            [0.75 if columns[i].kind == "positive" else 0.25 for i in self.lines], dtype=torch.float64
        )
        curves = [_curve_name(columns[i]) for i in self.lines]
        self._groups = [(name, [j for j, c in enumerate(curves) if c == name]) for name in dict.fromkeys(curves)]
        order = [j for _, group in self._groups for j in group]
        self._back = sorted(range(count), key=order.__getitem__)

    def see(self, x: Tensor, dtype: torch.dtype) -> Seen:
        """Encoded rows (*batch, columns) in parts, computed in x's own precision and given in ``dtype``."""
        present = self.present(x)
        inside = x.new_tensor([self.inside(i) for i in self.valued])
        held = torch.where(present, x[..., self.valued], inside)
        line, celled = held[..., : len(self.lines)], self.stepped[: len(self.lines)]
        # A value with a cell may stand on a bound, where t is infinite: there t is the middle of its cell, or its one finite edge.
        t, log_slope = self.line(torch.where(celled, inside[: len(self.lines)], line))
        low, high, width = self.edges(line)
        middle = torch.where(low <= -FAR, high, torch.where(high >= FAR, low, (low + high) / 2))
        t, low, high = torch.where(celled, middle, t), torch.where(celled, low, t), torch.where(celled, high, t)
        angle = self.angles(held[..., len(self.lines) :])
        parts = (part.to(dtype) for part in (t, log_slope, low, high, width, angle))
        return Seen(self.states(x), present, *parts)

    def inside(self, i: int) -> float:
        """Some value that column i can hold, to stand where there is none: nothing depends on it."""
        return _inside(self.columns[i])

    def support(self, j: int) -> tuple[float, float]:
        """The least and the greatest value that the j-th column on a line can hold."""
        return _support(self.columns[self.lines[j]])

    # ── states ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def states(self, x: Tensor) -> Tensor:
        """The state of each stated column, (*batch, columns) -> (*batch, stated) of int64."""
        found = []
        for i in self.stated:
            column, value = self.columns[i], x[..., i]
            gap = torch.isnan(value)
            if column.kind == "categorical":
                state = torch.where(gap, len(column.categories), value.nan_to_num(0.0)).long()
            else:
                state = torch.where(gap, 1 + len(column.atoms), 0)
                if i in self._atoms:
                    hit = value.unsqueeze(-1) == self._atoms[i].to(value)
                    state = torch.where(hit.any(-1), 1 + hit.int().argmax(-1), state)
            found.append(state)
        return torch.stack(found, -1) if found else x.new_zeros((*x.shape[:-1], 0), dtype=torch.long)

    def present(self, x: Tensor) -> Tensor:
        """Whether each valued column holds a value and no atom, (*batch, columns) -> (*batch, valued) of bool."""
        found = []
        for i in self.valued:
            value = x[..., i]
            here = ~torch.isnan(value)
            if i in self._atoms:
                here &= ~(value.unsqueeze(-1) == self._atoms[i].to(value)).any(-1)
            found.append(here)
        return torch.stack(found, -1) if found else x.new_zeros((*x.shape[:-1], 0), dtype=torch.bool)

    # ── values on a line ─────────────────────────────────────────────────────────────────────────────────────────────

    def line(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """t and log|dt/dx| of values on a line, (*batch, lines) -> twice (*batch, lines). Raises DomainError outside a column's bounds."""
        g, log_slope = self._curves(x)
        return (g - self.centre) / self.spread, log_slope - torch.log(self.spread)

    def edges(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The edges of the cells of values with a step, and the cells' widths on the scale of t: (*batch, lines) -> thrice (*batch, lines).

        Edges at infinity stand at ±FAR. For columns without a step both edges are t: a cell without width.
        """
        step, least, most = self._width.to(x), self._least.to(x), self._most.to(x)
        margin, inner = self._margin.to(x) * step, self._inner.to(x)
        below, above = x - step / 2, x + step / 2
        # The last cells take all that lies beyond them: what was rounded to the least value was that or less.
        first = (below <= least + margin) & (step > 0)
        last = (above >= most - margin) & (step > 0)
        low, high = torch.where(first, inner, below), torch.where(last, inner, above)
        width = self._widths(torch.where(first | last, inner, below), step) / self.spread
        t_low = torch.where(first, -FAR, (self._curves(low)[0] - self.centre) / self.spread)
        t_high = torch.where(last, FAR, (self._curves(high)[0] - self.centre) / self.spread)
        return t_low, t_high, torch.where(first | last, t_high - t_low, width)

    def _widths(self, low: Tensor, step: Tensor) -> Tensor:
        """g(low + step) − g(low) from the step itself, and not as a difference, which far from 0 has no digits left."""
        parts = []
        for name, group in self._groups:
            a, w, least, most = low[..., group], step[group], self._least[group].to(low), self._most[group].to(low)
            if name == "positive":
                part = torch.log1p(w / a)
            elif name == "bounded":
                # Of a last cell, whose width is not used, the upper edge may lie beyond the bound: its NaN would reach the gradient.
                part = torch.log1p(w / (a - least)) + torch.log1p(w / (most - a - w).clamp_min(w / 4))
            elif name == "counts":
                part = torch.log1p(w / (self.unit[group] + a - least))
            else:
                part = w.expand_as(a)
            parts.append(part)
        if not parts:
            return low
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)[..., self._back]

    def unline(self, t: Tensor, j: int) -> Tensor:
        """The value of the j-th column on a line at t, snapped to its grid and bounds: (*batch) -> (*batch)."""
        column, step = self.columns[self.lines[j]], self._steps[j]
        g = t * self.spread[j] + self.centre[j]
        low, high = column.low, column.high
        # Beyond e^±700 float64 has no exponentials; a column's own values end long before.
        if column.kind == "positive":
            x = torch.exp(g.clamp(-700, 700))
        elif column.kind == "bounded":
            assert low is not None
            assert high is not None
            x = low + (high - low) * torch.sigmoid(g)
        elif column.kind == "integer" and low is not None:
            x = low + self.unit[j] * torch.expm1(g.clamp(-700, 700))
        else:
            x = g
        return self._snapped(x, column, step, j)

    def unturn(self, angle: Tensor, k: int) -> Tensor:
        """The value of the k-th circular column at an angle: (*batch) -> (*batch), in [low, high)."""
        column = self.columns[self.circles[k]]
        assert column.low is not None
        assert column.high is not None
        period = column.high - column.low
        j = len(self.lines) + k
        x = column.low + torch.remainder(angle / (2 * math.pi) * period, period)
        if (step := self._steps[j]) > 0:
            x = column.low + torch.remainder(_on_grid(x, step, self.origin[j]) - column.low, period)
        return x

    def angles(self, x: Tensor) -> Tensor:
        """The angles of circular values, (*batch, circles) -> (*batch, circles), in radians from ``low`` on."""
        low = [self.columns[i].low or 0.0 for i in self.circles]
        return (x - x.new_tensor(low)) * torch.exp(self.log_turn.to(x))

    @property
    def log_turn(self) -> Tensor:
        """log(2π / period), (circles,)."""
        return torch.tensor([math.log(2 * math.pi / self._period(i)) for i in self.circles], dtype=torch.float64)

    def arcs(self) -> Tensor:
        """Half the cells' widths as angles, (circles,)."""
        halves = [math.pi * self._steps[len(self.lines) + k] / self._period(i) for k, i in enumerate(self.circles)]
        return self.centre.new_tensor(halves)

    @property
    def stepped(self) -> Tensor:
        """Which valued columns have cells, (valued,) of bool."""
        return torch.tensor([step > 0 for step in self._steps], dtype=torch.bool, device=self.centre.device)

    @property
    def log_steps(self) -> Tensor:
        """The logarithms of the cells' widths in the columns' own units, 0 where there are none and for ranks: (valued,)."""
        return self.centre.new_tensor([math.log(step) if step else 0.0 for step in self._steps])

    def _period(self, i: int) -> float:
        column = self.columns[i]
        assert column.low is not None
        assert column.high is not None
        return column.high - column.low

    def _curves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """g(x) and log dg/dx of values on a line."""
        inside = (x > self._least.to(x)) & (x < self._most.to(x)) | (self._width.to(x) > 0)
        if not bool((inside | torch.isnan(x)).all()):
            j = int((~inside).reshape(-1, len(self.lines)).any(0).nonzero()[0, 0])
            column = self.columns[self.lines[j]]
            least, most = _support(column)
            raise DomainError(
                f"column {column.name!r}: expected values between {least:g} and {most:g}, got others; the density knows none there"
            )
        values, slopes = [], []
        for name, group in self._groups:
            part = x if len(self._groups) == 1 else x[..., group]
            g, slope = _curve(name, part, self._least[group].to(x), self._most[group].to(x), self.unit[group])
            values.append(g)
            slopes.append(slope)
        if len(values) <= 1:
            return (values[0], slopes[0]) if values else (x, x)
        return torch.cat(values, -1)[..., self._back], torch.cat(slopes, -1)[..., self._back]

    def _snapped(self, x: Tensor, column: Column, step: float, j: int) -> Tensor:
        if step:
            x = _on_grid(x, step, self.origin[j])
        least, most = _support(column)
        if step or column.kind == "bounded":
            # A value rounded past its bound, or a sigmoid rounded to 0 or 1, belongs to the last cell inside.
            margin = 0.0 if step else (most - least) * torch.finfo(x.dtype).eps
            x = x.clamp(least + margin, most - margin)
        return x

    # ── what a network reads ─────────────────────────────────────────────────────────────────────────────────────────

    def read_columns(self) -> list[int]:
        """The column of each number that ``reads`` gives."""
        values = [i for i in self.lines for _ in range(self.knots.shape[1])] + [
            i for i in self.circles for _ in range(2)
        ]
        return values + [i for i in self.stated for _ in range(self.state_counts[i])]

    def reads(self, seen: Seen) -> Tensor:
        """What a network reads, (*batch, reads).

        Of t: t itself, cut at ±8 (bounded far outside, and inside exactly what a straight line needs), and ramps that rise by one between
        neighbouring quantiles (piecewise linear encoding, Gorishniy, Rubachev & Babenko 2022, arXiv:2203.05556); of an angle its cos and
        sin; of a state its place among one-hots. Where there is no value, zeros.
        """
        t, angles, states = seen.t, seen.angle, seen.states
        batch, here = t.shape[:-1], seen.present.to(t.dtype)
        line = t.clamp(-8, 8).unsqueeze(-1)
        if self.knots.shape[1] > 1:
            low, high = self.knots[:, :-1], self.knots[:, 1:]
            ramp = ((t.unsqueeze(-1) - low) / (high - low).clamp_min(RAMP)).clamp(0, 1) - 0.5
            line = torch.cat([line, ramp], -1)
        line = line * here[..., : len(self.lines)].unsqueeze(-1)
        circle = torch.stack([torch.cos(angles), torch.sin(angles)], -1) * here[..., len(self.lines) :].unsqueeze(-1)
        counts = [self.state_counts[i] for i in self.stated]
        starts = [sum(counts[:k]) for k in range(len(counts))]
        places = t.new_zeros((*batch, sum(counts)))
        if counts:
            places = places.scatter(-1, states + states.new_tensor(starts), 1.0)
        return torch.cat([line.flatten(-2), circle.flatten(-2), places], -1)

    # ── constants from data ──────────────────────────────────────────────────────────────────────────────────────────

    def initialise(self, x: Tensor) -> None:
        """Set centres, spreads, units, grids and knots from encoded rows (rows, columns)."""
        present = self.present(x)
        for j, i in enumerate(self.valued):
            values = x[present[:, j], i].double()
            if not len(values):
                continue
            if (step := self._steps[j]) > 0:
                middle = values.median()
                self.origin[j] = middle - torch.round(middle / step) * step
            if j >= len(self.lines):
                continue
            column = self.columns[i]
            if column.kind == "integer" and column.low is not None:
                self.unit[j] = (values.median() - column.low).clamp_min(1.0)
            if column.kind in ("positive", "bounded") and self._steps[j]:
                # Values that stand on a bound, whose cells reach to infinity, say nothing of centre and spread.
                values = values[(values > self._least[j]) & (values < self._most[j])]
            if not len(values):
                continue
            least, most, unit = self._least[j], self._most[j], self.unit[j].double()
            g, _ = _curve(_curve_name(column), values, least, most, unit)
            self.centre[j] = g.mean()
            deviation = g.std(correction=0)
            # Of a score that has one value off its bounds, rounding left a deviation of 1e-17, and t of 1e17.
            self.spread[j] = deviation if deviation > 1e-12 * (1 + g.abs().amax()) else 1.0
            t = (g - self.centre[j]) / self.spread[j]
            self.knots[j] = _quantiles(t, torch.linspace(0, 1, self.knots.shape[1], dtype=t.dtype)).to(self.knots)


def _states(column: Column) -> int:
    return (len(column.categories) if column.kind == "categorical" else 1 + len(column.atoms)) + column.gaps


def _support(column: Column) -> tuple[float, float]:
    """The least and the greatest value a column on a line can hold."""
    if column.kind == "ordinal":
        return 0.0, float(len(column.categories) - 1)
    low = 0.0 if column.kind == "positive" else column.low
    return (-math.inf if low is None else low), (math.inf if column.high is None else column.high)


def _inside(column: Column) -> float:
    """Some value that a column can hold, put where a number is computed and then not used."""
    if column.kind == "bounded" and column.high is not None:
        return ((column.low or 0.0) + column.high) / 2
    return 1.0 if column.kind == "positive" else (column.low or 0.0)


def _curve_name(column: Column) -> str:
    if column.kind == "integer":
        return "counts" if column.low is not None else "real"
    return column.kind if column.kind in ("positive", "bounded") else "real"


def _curve(name: str, x: Tensor, least: Tensor, most: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
    """g(x) and log dg/dx of one kind of curve; the constants broadcast."""
    if name == "positive":
        log_x = torch.log(x)
        return log_x, -log_x
    if name == "bounded":
        log_p, log_q = torch.log(x - least), torch.log(most - x)
        return log_p - log_q, torch.log(most - least) - log_p - log_q
    if name == "counts":
        value = torch.log1p((x - least) / unit)
        return value, -value - torch.log(unit)
    return x, torch.zeros_like(x)


def _quantiles(t: Tensor, q: Tensor) -> Tensor:
    # torch.quantile refuses more than 16 million numbers.
    return torch.quantile(t[:1_000_000], q)


def _on_grid(x: Tensor, step: float, origin: Tensor) -> Tensor:
    """The nearest of origin + whole steps. 3 · 0.1 is 0.30000000000000004: three digits more than the step has are kept, as 0.3."""
    value = torch.round((x - origin) / step) * step + origin
    return torch.round(value, decimals=max(0, 3 - math.floor(math.log10(step))))


def _stack(parts: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(parts, -1) if parts else like.new_zeros((*like.shape[:-1], 0))
