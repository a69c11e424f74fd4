"""How much noise takes the ties out of a column: a density has no bound where many rows hold the same number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A column is tied where at most this share of its rows hold distinct values.
DISTINCT = 0.5
#: A value that this share of the rows hold is an atom; its noise is at least this share of the column's deviation wide.
ATOM, SMEARED = 0.05, 0.01
#: Steps are equal where gaps are whole multiples of the least, up to this share of it on average: files round their numbers.
ROUNDED = 0.1
#: A step is a column's own where at least this share of its gaps have it.
MOST = 0.5


@dataclass(frozen=True)
class Widths:
    """The width of each row's noise (rows,), in words what it is, and whether it reaches into other values' cells."""

    widths: NDArray[np.float64]
    words: str
    smears: bool = False


def tie_widths(values: NDArray[np.float64]) -> Widths | None:
    """How wide uniform noise has to be so that a column's repeated values fill their cells; None where most values are distinct.

    - Equal steps, as of integers and of rounded decimals: one step for every row. The noise fills [v, v + step), which holds no
      other value, so that the value can be told from the noisy one.
    - One step in most places, and a few values between: that step. Cells of those values overlap with others.
    - Unequal steps, as of logarithms of integers: for each value the smaller of the gaps beside it. The same holds.
    - A value that more than a twentieth of the rows share, in steps below a hundredth of the column's deviation: that hundredth.
      Cells then overlap, and the column is smeared, not only filled.

    The density of the noisy column is another than that of the column, which has none: log P(cell of v) ≥ E log p(v + noise) + log width
    (Theis, van den Oord & Bethge 2016, arXiv:1511.01844).

    >>> import numpy as np
    >>> tie_widths(np.array([3.0, 1.0, 2.0, 2.0, 5.0, 5.0, 1.0, 3.0])).words
    'steps of 1'
    >>> tie_widths(np.arange(9.0)) is None
    True
    """
    found, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(found) < 2 or len(found) > DISTINCT * len(values):
        return None
    gaps = np.diff(found)
    least, smear = float(gaps.min()), SMEARED * float(values.std())
    if counts.max() > ATOM * len(values) and np.median(gaps) < smear:
        return Widths(np.full(len(values), smear), f"smeared over {smear:.3g}", smears=True)
    middle = float(np.median(gaps))
    if (np.abs(gaps - middle) < ROUNDED * middle).mean() >= MOST:
        # A few values between the steps, as a third among tenths, reach into their neighbours' cells.
        return Widths(np.full(len(values), middle), f"steps of {middle:.4g}", smears=least < (1 - ROUNDED) * middle)
    ratios = gaps / least
    if np.abs(ratios - np.rint(ratios)).mean() < ROUNDED:
        # Rounding makes gaps differ in their last digits: the middle one of the single steps is nearest to the true one.
        step = float(np.median(gaps[np.rint(ratios) == 1]))
        return Widths(np.full(len(values), step), f"steps of {step:.4g}")
    inner = np.minimum(gaps[:-1], gaps[1:])
    cells = np.concatenate([gaps[:1], inner, gaps[-1:]])
    return Widths(cells[place], f"steps of {cells.min():.3g} to {cells.max():.3g}")
