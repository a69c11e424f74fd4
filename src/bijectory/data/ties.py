"""How much noise takes the ties out of a column: a density has no bound where many rows hold the same number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A column is tied where at most this share of its rows hold distinct values.
DISTINCT = 0.5
#: A value that this share of the rows hold is an atom; its noise is at least this share of the column's deviation wide.
ATOM, SMEARED = 0.05, 0.01
#: A column repeats where at least this share of its rows hold a value that another row has held already.
REPEATED = 0.05
#: Steps are equal where gaps are whole multiples of the least, up to this share of it on average: files round their numbers.
ROUNDED = 0.1
#: A gap of more steps than these is no whole number of them in float64: two numbers that differ by rounding are no step apart.
FARTHEST = 1e12
#: A step is a column's own where at least this share of its gaps have it.
MOST = 0.5
#: A value is an atom of its own where more than this share of the rows hold it, and at least so many; a column has at most `ATOMS`.
SHARE, COUNT, ATOMS = 0.02, 10, 16
#: A step that is none of the column's own is at least this share of its deviation: two numbers that differ by rounding are no step apart.
FINEST = 1e-4


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
    step = _equal_step(gaps)
    if step is not None:
        # A few values between the steps, as a third among tenths, reach into their neighbours' cells.
        return Widths(np.full(len(values), step), f"steps of {step:.4g}", smears=least < (1 - ROUNDED) * step)
    inner = np.minimum(gaps[:-1], gaps[1:])
    cells = np.concatenate([gaps[:1], inner, gaps[-1:]])
    return Widths(cells[place], f"steps of {cells.min():.3g} to {cells.max():.3g}")


@dataclass(frozen=True)
class Repeats:
    """The step of values that repeat, and whether they stand in equal steps; or the values that many rows share, ``atoms``."""

    step: float | None
    equal: bool = True
    atoms: tuple[float, ...] = ()


def repeated(values: NDArray[np.float64]) -> Repeats:
    """How values repeat: in equal steps, as few atoms among values that hardly do, in unequal steps, or hardly at all.

    In unequal steps the width is the middle gap: a cell may hold its neighbours, and the density is that of the column smoothed so far,
    which cannot rise past the reciprocal of the width.

    >>> repeated(np.array([0.0] * 30 + [0.1, 0.25, 0.7, 1.3])).atoms
    (0.0,)
    """
    step = equal_step(values)
    if step is not None:
        return Repeats(step)
    found, counts = np.unique(values, return_counts=True)
    many = np.flatnonzero((counts >= COUNT) & (counts > SHARE * len(values)))
    kept = many[np.argsort(-counts[many], kind="stable")[:ATOMS]]
    rest = np.delete(found, kept)
    rows = int(np.delete(counts, kept).sum())
    if (len(many) <= ATOMS and len(rest) > DISTINCT * rows) or len(rest) < 2:
        return Repeats(None, atoms=tuple(sorted(found[kept].tolist())))
    return Repeats(in_few_digits(max(float(np.median(np.diff(found))), FINEST * float(values.std()))), equal=False)


def equal_step(values: NDArray[np.float64]) -> float | None:
    """The step of a column whose values repeat and stand in equal steps, in few digits; None where they do not.

    >>> equal_step(np.array([0.25, 0.5, 0.5, 1.25, 0.25, 1.25]))
    0.25
    """
    found = np.unique(values)
    if len(found) < 2 or len(found) > (1 - REPEATED) * len(values):
        return None
    step = _equal_step(np.diff(found))
    return None if step is None else in_few_digits(step)


def in_few_digits(step: float) -> float:
    """The number of fewest digits within a thousandth: tenths that a file kept in single precision stand 0.0999985 apart.

    >>> in_few_digits(0.0999985), in_few_digits(12.25)
    (0.1, 12.25)
    """
    near = (float(f"{step:.{digits}g}") for digits in range(1, 17))
    return next(short for short in near if abs(short - step) <= step / 1000)


def _equal_step(gaps: NDArray[np.float64]) -> float | None:
    """One step in most places, or gaps that are whole multiples of the least."""
    middle, least = float(np.median(gaps)), float(gaps.min())
    if (np.abs(gaps - middle) < ROUNDED * middle).mean() >= MOST:
        return middle
    if float(gaps.max()) > FARTHEST * least:
        return None
    ratios = gaps / least
    if np.abs(ratios - np.rint(ratios)).mean() < ROUNDED:
        # Rounding makes gaps differ in their last digits: the middle one of the single steps is nearest to the true one.
        return float(np.median(gaps[np.rint(ratios) == 1]))
    return None
