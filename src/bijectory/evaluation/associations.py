"""How strongly columns of a typed table go together: Spearman's ρ between numbers, Cramér's V where there are words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..data.kinds import Column
from .marginals import axis_of

Floats = NDArray[np.float64]

#: What is shown: pairs, points of each, columns of a matrix; and values that a column must have to stand in a pair.
PAIRS, POINTS, MATRIX, DISTINCT = 8, 1200, 24, 4
#: Rows that two columns must have in common, parts that numbers are cut into beside words, and words that are told apart.
LEAST, PARTS, WORDS = 10, 5, 8


def spearman(x: Floats, y: Floats) -> float:
    """Spearman's ρ of two columns (rows,) on the rows where neither is NaN; ties share their middle rank. NaN where there are too few.

    The linear correlation of the ranks. Source: Spearman 1904.

    >>> spearman(np.arange(20.0), -np.arange(20.0) ** 3)
    -1.0
    """
    here = ~np.isnan(x) & ~np.isnan(y)
    return _linear(ranks(x[here]), ranks(y[here])) if here.sum() >= LEAST else math.nan


def ranks(x: Floats) -> Floats:
    """Ranks from 0, ties at their middle; NaN stays."""
    found = np.full(len(x), np.nan)
    here = ~np.isnan(x)
    _, place, counts = np.unique(x[here], return_inverse=True, return_counts=True)
    found[here] = (np.cumsum(counts) - (counts + 1) / 2)[place]
    return found


def cramers_v(x: NDArray[np.int64], y: NDArray[np.int64]) -> float:
    """How far two classifications (rows,) determine each other, 0 for independent ones, 1 for equal ones; corrected for chance.

        V² = max(0, φ² − (k−1)(r−1)/(n−1)) / min(k' − 1, r' − 1),   φ² = χ²/n,   k' = k − (k−1)²/(n−1)

    Without the correction many classes on few rows go together by chance. Sources: Cramér 1946; the correction, Bergsma 2013.

    >>> cramers_v(np.arange(100) % 4, np.arange(100) % 4)
    1.0
    """
    n = len(x)
    _, x = np.unique(x, return_inverse=True)
    _, y = np.unique(y, return_inverse=True)
    k, r = int(x.max(initial=0)) + 1, int(y.max(initial=0)) + 1
    if n < LEAST or min(k, r) < 2:
        return 0.0
    seen = np.bincount(x * r + y, minlength=k * r).reshape(k, r) / n
    expected = np.outer(seen.sum(1), seen.sum(0))
    phi = float(((seen - expected) ** 2 / expected).sum()) - (k - 1) * (r - 1) / (n - 1)
    most = min(c - (c - 1) ** 2 / (n - 1) for c in (k, r)) - 1
    return math.sqrt(min(1.0, max(0.0, phi) / most)) if most > 0 else 0.0


def pairs(sets: Sequence[Floats], columns: Sequence[Column], given: int) -> dict[str, NDArray[np.generic]] | None:
    """The arrays of ``table_pairs`` (see tables.py): the columns of numbers with the largest |ρ| on the held-out rows, None without any.

    ``sets`` are held-out rows, samples and training rows, each (rows, columns); two of the first ``given`` columns make no pair.
    """
    held, drawn, _ = sets
    numbers = [
        i
        for i, column in enumerate(columns)
        if not column.coded and len(np.unique(held[~np.isnan(held[:, i]), i])) >= DISTINCT
    ]
    # The first few, roughly, in their true order.
    likely = [(numbers[i], numbers[j]) for i, j in strongest(roughly(held[:, numbers]))] if len(numbers) > 1 else []
    rated = [(i, j, spearman(held[:, i], held[:, j])) for i, j in likely if j >= given][: 4 * PAIRS]
    best = sorted((pair for pair in rated if np.isfinite(pair[2])), key=lambda pair: -abs(pair[2]))[:PAIRS]
    if not best:
        return None
    used = sorted({i for pair in best for i in pair[:2]})
    axes = [axis_of(columns[i], held[:, i]) for i in used]
    return {
        "name": np.array([columns[i].name for i in used]),
        "axis": np.array(["linear" if np.isnan(axis.knee) else "log" for axis in axes]),
        "knee": np.array([axis.knee for axis in axes]),
        "low": np.array([axis.low for axis in axes]),
        "high": np.array([axis.high for axis in axes]),
        "pair": np.array([[used.index(i), used.index(j)] for i, j, _ in best]),
        "rho": np.array([[rho, spearman(drawn[:, i], drawn[:, j])] for i, j, rho in best]),
        "data": held[:POINTS, used],
        "samples": drawn[:POINTS, used],
    }


def correlations(sets: Sequence[Floats], columns: Sequence[Column]) -> dict[str, NDArray[np.generic]]:
    """The arrays of ``table_correlations`` (see tables.py) of held-out rows, samples and training rows, each (rows, columns)."""
    shown = list(range(len(columns)))
    if len(shown) > MATRIX:
        ranked = dict.fromkeys(i for pair in strongest(roughly(sets[0])) for i in pair)
        shown = sorted(list(ranked)[:MATRIX])
    chosen = [columns[i] for i in shown]
    return {
        "name": np.array([column.name for column in chosen]),
        "words": np.array([column.kind == "categorical" for column in chosen]),
        "values": np.stack([associations(s[:, shown], chosen, sets[0][:, shown]) for s in sets]),
        "columns": np.asarray(len(columns)),
    }


def associations(rows: Floats, columns: Sequence[Column], reference: Floats) -> Floats:
    """The matrix of all pairs of columns, (columns, columns): encoded rows (n, columns).

    Between numbers ρ, on the rows where both are there. With a word V: then missing values are a class, rare words are one, and numbers
    are cut at the quintiles of ``reference``, rows of the same columns, so that two sets of rows are measured alike.
    """
    k = len(columns)
    whole = [bool(np.isfinite(column).all()) for column in rows.T]
    ranked = [ranks(rows[:, i]) for i in range(k)]
    classes = [_classes(rows[:, i], columns[i], reference[:, i]) for i in range(k)]
    words = [column.kind == "categorical" for column in columns]
    found = np.eye(k)
    for i in range(k):
        for j in range(i):
            if words[i] or words[j]:
                value = cramers_v(classes[i], classes[j])
            elif whole[i] and whole[j] and len(rows) >= LEAST:
                value = _linear(ranked[i], ranked[j])
            else:
                value = spearman(rows[:, i], rows[:, j])
            found[i, j] = found[j, i] = value
    return found


def roughly(rows: Floats) -> Floats:
    """|ρ| of all pairs of columns at once, missing values at the middle rank: which pairs are worth a closer look, (columns, columns)."""
    z = np.stack([ranks(column) for column in rows.T], 1)
    z = np.nan_to_num(z - _mean_of_present(z))
    z /= np.maximum(np.sqrt((z**2).sum(0)), 1e-300)  # a constant column is 0 / 0, and goes with none
    found = np.abs(z.T @ z)
    np.fill_diagonal(found, 0.0)
    return found


def strongest(strength: Floats) -> list[tuple[int, int]]:
    """Pairs i < j by their strength in a symmetric matrix, the strongest first."""
    i, j = np.triu_indices(len(strength), 1)
    order = np.argsort(-strength[i, j], kind="stable")
    return list(zip(i[order].tolist(), j[order].tolist(), strict=True))


def _mean_of_present(z: Floats) -> Floats:
    here = ~np.isnan(z)
    return np.nan_to_num(z).sum(0) / np.maximum(here.sum(0), 1)


def _linear(x: Floats, y: Floats) -> float:
    x, y = x - x.mean(), y - y.mean()
    size = math.sqrt(float(x @ x) * float(y @ y))
    return round(float(x @ y) / size, 12) if size > 0 else math.nan


def _classes(values: Floats, column: Column, reference: Floats) -> NDArray[np.int64]:
    missing = np.isnan(values)
    if column.coded:
        counts = np.bincount(reference[~np.isnan(reference)].astype(np.int64), minlength=len(column.categories))
        place = np.full(len(counts), WORDS)
        place[np.argsort(-counts, kind="stable")[:WORDS]] = np.arange(min(WORDS, len(counts)))
        found = place[np.where(missing, 0, values).astype(np.int64)]
    else:
        known = reference[~np.isnan(reference)]
        cuts = np.quantile(known, np.arange(1, PARTS) / PARTS) if len(known) else np.zeros(0)
        found = np.searchsorted(cuts, np.where(missing, 0.0, values), side="left")
    return np.where(missing, -1, found).astype(np.int64)
