"""Tables of any width made on the spot: for smoke runs, tests and machines without data."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import DataError
from ..numerics.seeds import seed_for
from .splits import Rows, Splits


def generated_regression(features: int, rows: int, seed: int) -> Splits:
    """p(y | c) whose mean, spread and skew follow the context c: x (rows, 1), context (rows, features) in units of 10 about 100.

        y = sin 2u + v/2 + (0.1 + 0.2 σ(2u)) · (e − 1),   u, v: two directions of (c − 100)/10,   e ~ Exp(1) or its mirror image

    Raises:
        DataError: no features, or fewer than 10 rows.

    Example:
        >>> splits = generated_regression(3, rows=100, seed=0)
        >>> splits.schema.context_columns, len(splits.train)
        (('c1', 'c2', 'c3'), 70)
    """
    draws = _draws("regression", features, rows, seed)
    c = draws.standard_normal((rows, features))
    u, v = c[:, 0], c @ (np.arange(1, features + 1) / np.linalg.norm(np.arange(1, features + 1)))
    noise = draws.exponential(size=rows) - 1
    y = np.sin(2 * u) + v / 2 + (0.1 + 0.2 / (1 + np.exp(-2 * u))) * np.where(v > 0, noise, -noise)
    return _split(y[:, None], 100 + 10 * c, ("y",))


def generated_table(columns: int, rows: int, seed: int, *, scale: float = 1.0) -> Splits:
    """Correlated, bent and skewed columns, deviations about ``scale``: x (rows, columns), no context.

    Raises:
        DataError: no columns, or fewer than 10 rows.

    Example:
        >>> generated_table(5, rows=50, seed=0).schema.columns
        ('x1', 'x2', 'x3', 'x4', 'x5')
    """
    draws = _draws("table", columns, rows, seed)
    mix = draws.standard_normal((columns, columns)) / np.sqrt(columns) + np.eye(columns)
    z = draws.standard_normal((rows, columns)) @ mix
    z[:, 1:] += 0.3 * z[:, :-1] ** 2
    z[:, ::3] = np.exp(0.5 * z[:, ::3])
    return _split(scale * (z - z.mean(0)), None, tuple(f"x{i + 1}" for i in range(columns)))


def _draws(kind: str, columns: int, rows: int, seed: int) -> np.random.Generator:
    if columns < 1 or rows < 10:
        raise DataError(f"expected at least 1 column and 10 rows, got {columns} and {rows}")
    return np.random.default_rng(seed_for(seed, "generated", kind))


def _split(x: NDArray[np.float64], context: NDArray[np.float64] | None, columns: tuple[str, ...]) -> Splits:
    tenth = len(x) // 10
    cuts = slice(3 * tenth, None), slice(2 * tenth, 3 * tenth), slice(0, 2 * tenth)
    train, validation, test = (
        Rows(torch.from_numpy(x[cut]).float(), None if context is None else torch.from_numpy(context[cut]).float())
        for cut in cuts
    )
    return Splits(train, validation, test, columns, "generated")
