"""Splits of densities that are known exactly."""

from __future__ import annotations

import numpy as np

from .splits import Rows, Splits, hold_out, rows_from
from .toys import homework_smiley, toy

#: The share of training rows held out for choosing weights; the test rows take no part in any choice.
VALIDATION = 0.1


def homework_splits(seed: int, *, rows: int | None = None) -> Splits:
    """The smiley of CS294-158 homework 2 with its own split: 79,999 rows to train (a tenth of them held out), 20,000 to test.

    The rows are the homework's whatever the ``seed``, which only chooses the held-out tenth. With ``rows``, only as many of each.
    """
    x_train, y_train, x_test, y_test = homework_smiley()
    return _splits("smiley", rows_from(x_train[:rows], y_train[:rows]), rows_from(x_test[:rows], y_test[:rows]), seed)


def toy_splits(name: str, seed: int, *, rows: int = 100_000) -> Splits:
    """``rows`` draws of a toy: 80 % to train (a tenth of them held out), 20 % to test."""
    x, labels = toy(name).sample(rows, seed=seed)
    border = round(0.8 * rows)
    return _splits(
        name, rows_from(x[:border], labels[:border]), rows_from(x[border:], np.asarray(labels[border:])), seed
    )


def _splits(name: str, train: Rows, test: Rows, seed: int) -> Splits:
    density = toy(name)
    kept, held = hold_out(train, VALIDATION, seed)
    return Splits(kept, held, test, density.columns, name, density.log_prob, lambda: density.entropy)
