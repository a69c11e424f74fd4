"""Columns of a typed table one by one: bars that several sets of rows share, so that they can be laid over each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.kinds import Column

Floats = NDArray[np.float64]

#: Bars of numbers; a column with fewer values than the second has one for each. Words that have a bar of their own, and ranks.
BARS, VALUES, WORDS, RANKS = 24, 32, 8, 12
#: What share of the rows stands at either end in the last bars, and from which ratio of greatest to least on an axis is logarithmic.
TAIL, DECADES = 0.001, 1000.0
#: Bar of the words that have none of their own, and letters that are kept of a word.
OTHERS, LETTERS = "others", 24

#: Edges around a single value, one bar on either side of its own.
ONE = np.array([-1.5, -0.5, 0.5, 1.5])


class Axis(NamedTuple):
    """The part of a column's axis that is shown. ``knee`` is NaN for a linear one, 0 for a logarithmic one, and otherwise the value
    from which on it is logarithmic, being linear from there down to 0."""

    low: float
    high: float
    knee: float


class Bars(NamedTuple):
    """Bars of one column: their ``edges`` on its axis, or their words. Places of a word's code among the bars in ``bar_of``."""

    axis: Axis
    edges: Floats
    words: tuple[str, ...]
    bar_of: NDArray[np.int64]

    @property
    def bars(self) -> int:
        """How many bars, missing values aside."""
        return len(self.words) or len(self.edges) - 1

    def counted(self, values: Floats) -> NDArray[np.int64]:
        """Rows in each bar, missing ones in one more behind them: (rows,) -> (bars + 1,). What lies beyond the edges is in the last."""
        here = values[~np.isnan(values)]
        if self.words:
            counts = np.bincount(self.bar_of[here.astype(np.int64)], minlength=self.bars)
        else:
            counts = np.histogram(here.clip(self.edges[0], self.edges[-1]), self.edges)[0]
        return np.append(counts, len(values) - len(here)).astype(np.int64)


def cut(text: str) -> str:
    """A word, or as much of it as is kept and an ellipsis."""
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"


def says_something(column: Column) -> bool:
    """Whether a column can differ from row to row, and repeats no other."""
    constant = column.kind == "categorical" and len(column.categories) == 1 and not column.gaps
    return column.kind != "copy" and not constant


def bars_of(column: Column, values: Floats) -> Bars:
    """Bars for a column whose data are ``values`` (rows,), encoded, NaN for missing.

    Words have a bar each, the ``WORDS`` most frequent if there are many, in that order (ranks: in their own, if they are few). Numbers have
    bars of equal width, on a logarithmic axis equal steps; those with a step bars of whole cells, so that none holds more values than
    its neighbour. A thousandth of the rows at either end stands in the last bars.
    """
    here = values[~np.isnan(values)]
    if column.coded:
        return _words(column, here)
    axis = axis_of(column, values)
    step = column.step or 0.0
    if math.isnan(axis.knee):
        edges = _even(axis, step)
    else:
        least = axis.knee or axis.low
        edges = np.geomspace(least, max(axis.high, least * (1 + 1e-9)), BARS)
        if axis.knee:
            # Zero has a bar of its own: half a cell on either side, or nearly nothing.
            half = step / 2 or axis.knee / 20
            edges = np.concatenate([[-half, half], edges])
        if step:
            start = axis.low - step / 2
            edges = start + step * np.rint((edges - start) / step)
            edges = np.append(edges, edges[-1] + step)
        edges = np.unique(edges)
        edges = edges[edges > 0] if not axis.knee else edges
    return Bars(axis._replace(low=float(edges[0]), high=float(edges[-1])), edges, (), np.zeros(0, dtype=np.int64))


def axis_of(column: Column, values: Floats) -> Axis:
    """Which part of a column's axis is shown, and whether it is logarithmic: values (rows,), NaN for missing."""
    here = values[~np.isnan(values)]
    if not len(here):
        return Axis(0.0, 1.0, math.nan)
    if column.kind == "circular" and column.low is not None and column.high is not None:
        # A circle has no ends to leave out. Where it has steps, its last value is one before its end.
        return Axis(column.low, column.high - (column.step or 0.0), math.nan)
    low, high = (float(end) for end in np.quantile(here, (TAIL, 1 - TAIL)))
    above = here[here > 0]
    counted = column.kind == "positive" or (column.kind == "integer" and column.low is not None and column.low >= 0)
    if counted and len(above) and here.min() >= 0:
        least, most = (float(end) for end in np.quantile(above, (TAIL, 1 - TAIL)))
        first = float(above.min())
        zeros = low <= 0
        if here.max() > DECADES * (min(first, column.step or first) if zeros else first):
            return Axis(0.0, most, 10 ** math.floor(math.log10(least))) if zeros else Axis(least, most, 0.0)
    return Axis(low, high, math.nan)


def apart(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """½ Σ |p − q| of two counts of the same bars: the share of the rows that would have to move to another bar.

    >>> apart(np.array([5, 5]), np.array([10, 0]))
    0.5
    """
    return float(0.5 * np.abs(first / first.sum() - second / second.sum()).sum())


def marginals(sets: Sequence[Floats], columns: Sequence[Column]) -> dict[str, NDArray[np.generic]]:
    """The arrays of ``table_marginals`` (see tables.py) of held-out rows, samples and training rows, each (rows, columns)."""
    data = np.concatenate([sets[0], sets[2]])
    bars = [bars_of(column, data[:, i]) for i, column in enumerate(columns)]
    most = max(b.bars for b in bars)
    edges = np.full((len(bars), most + 1), np.nan)
    words = np.full((len(bars), most), "", dtype=f"<U{LETTERS}")
    counts = np.zeros((len(bars), len(sets), most + 1), dtype=np.int64)
    off = np.zeros((len(bars), 2))
    for i, b in enumerate(bars):
        edges[i, : len(b.edges)] = b.edges
        words[i, : len(b.words)] = [cut(word) for word in b.words]
        found = [b.counted(s[:, i]) for s in sets]
        counts[i, :, : b.bars], counts[i, :, -1] = np.stack(found)[:, :-1], [c[-1] for c in found]
        off[i] = apart(found[0], found[1]), apart(found[0], found[2])
    return {
        "name": np.array([column.name for column in columns]),
        "axis": np.array([_axis_word(b) for b in bars]),
        "knee": np.array([b.axis.knee for b in bars]),
        "edges": edges,
        "words": words,
        "bars": np.array([b.bars for b in bars]),
        "counts": counts,
        "apart": off,
    }


def _axis_word(bars: Bars) -> str:
    return "words" if bars.words else "linear" if np.isnan(bars.axis.knee) else "log"


def _even(axis: Axis, step: float) -> Floats:
    if step:
        cells = round((axis.high - axis.low) / step) + 1
        if cells == 1:
            # Of rows that all hold one value, another set's may lie beside it.
            return axis.low + step * ONE
        across = 1 if cells <= VALUES else math.ceil(cells / BARS)
        cuts = across * np.arange(math.ceil(cells / across) + 1) - 0.5
        return np.asarray(axis.low + step * cuts, dtype=np.float64)
    if not axis.high - axis.low > 1e-12 * max(abs(axis.low), abs(axis.high)):
        return axis.low + max(1.0, abs(axis.low)) * ONE
    return np.asarray(np.linspace(axis.low, axis.high, BARS + 1), dtype=np.float64)


def _words(column: Column, codes: Floats) -> Bars:
    counts = np.bincount(codes.astype(np.int64), minlength=len(column.categories))
    order: Sequence[int] = np.argsort(-counts, kind="stable").tolist()
    if column.kind == "ordinal" and len(counts) <= RANKS:
        order = range(len(counts))
    elif len(counts) > WORDS + 1:
        order = order[:WORDS]
    bar_of = np.full(len(counts), len(order), dtype=np.int64)
    bar_of[list(order)] = np.arange(len(order))
    rest = (OTHERS,) if len(order) < len(counts) else ()
    words = (*(column.categories[code] for code in order), *rest)
    return Bars(Axis(0.0, float(len(words)), math.nan), np.zeros(0), words, bar_of)
