"""Eight tables of the UCI repository, for p(y | x) and for joint densities.

They are read from uci_regression.npz in the data folder: an array for each table, (rows, columns), the last column the target, every
column less its mean and in its own unit. Rows are split 70/10/20 into training, validation and test rows by the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import DataError
from ..numerics.seeds import seed_for
from .archives import find_file, read_npz
from .frames import Frame
from .splits import Rows, Splits
from .ties import Widths, tie_widths

FILE = "uci_regression.npz"
REMEDY = (
    "fetch the tables from https://archive.ics.uci.edu and save one array a table, (rows, columns), the last column the target, with "
    "numpy.savez; bike's target is the logarithm of the count"
)
#: Shares of the rows held out for choosing weights and for testing.
VALIDATION, TEST = 0.1, 0.2


@dataclass(frozen=True)
class _Table:
    """What is known of a table: its columns, those that are left out and why; ``gives_away`` is left out of a context only."""

    columns: tuple[str, ...]
    copies: tuple[str, ...] = ()
    gives_away: tuple[str, ...] = ()
    remark: str = ""


def _named(names: str) -> tuple[str, ...]:
    return tuple(names.split())


def _numbered(count: int) -> tuple[str, ...]:
    return (*(f"x{i + 1}" for i in range(count - 1)), "y")


_TABLES = {
    "airfoil": _Table(("frequency", "angle", "chord", "velocity", "thickness", "level")),
    "bike": _Table(
        _named(
            "year month day season year_again month_again hour holiday weekday workingday weather temperature felt humidity wind casual "
            "registered log_count"
        ),
        copies=("year_again", "month_again"),
        gives_away=("casual", "registered"),
        remark="the target is the logarithm of casual + registered",
    ),
    "concrete": _Table(
        _named("cement slag ash water superplasticizer coarse fine age strength"), remark="strength in MPa"
    ),
    "energy": _Table(
        _named("compactness surface wall roof height orientation glazing glazing_place heating"),
        remark="heating load in kWh/m²",
    ),
    "keggdirected": _Table(
        _numbered(21),
        copies=("x14", "x16"),
        remark="x14 is twice x11 and x16 equals it; 32,486 of 48,827 rows repeat others, so that test rows stand among the training rows",
    ),
    "parkinsons": _Table(
        _named(
            "subject age sex test_time jitter jitter_abs rap ppq5 ddp shimmer shimmer_db apq3 apq5 apq11 dda nhr hnr rpde dfa ppe "
            "total_updrs"
        ),
        remark="ddp is three times rap and dda three times apq3, up to rounding",
    ),
    "tamielectric": _Table(_numbered(4)),
    "wine": _Table(
        _named(
            "fixed_acidity volatile_acidity citric_acid sugar chlorides free_so2 total_so2 density ph sulphates quality alcohol"
        ),
        remark="the target is alcohol in per cent, the last column, not quality as in most papers; 240 rows repeat others",
    ),
}

UCI = tuple(_TABLES)


def regression_splits(folder: Path | None, table: str, seed: int, *, rows: int | None = None) -> Splits:
    """p(y | features) of a table: x (rows, 1) the target, context (rows, features), both in the table's units.

    Where most values of the target repeat, its density has no bound; uniform noise of one step is then added to it (`tie_widths`), fixed
    by the seed, and the nats are those of the noisy target. Columns that give the target away are no part of the context; the notes
    say which. With ``rows``, only so many of all.

    Raises:
        DataError: another table, no folder, no such file (says how to get it) or a damaged one.
    """
    about, names, values = _read(folder, table)
    kept = [i for i, name in enumerate(names[:-1]) if name not in (*about.copies, *about.gives_away)]
    target, widths = _untied(values[:, -1:], (names[-1],), table, seed)
    notes = _notes(table, about, (*about.copies, *about.gives_away), widths)
    return _split(table, target, values[:, kept], (names[-1],), tuple(names[i] for i in kept), seed, rows, notes)


def joint_splits(folder: Path | None, table: str, seed: int, *, rows: int | None = None) -> Splits:
    """The joint density of a table's columns, the target among them: x (rows, columns) in the table's units.

    Columns whose values repeat get uniform noise of one step (`tie_widths`), fixed by the seed: nats are those of the noisy rows. Copies
    of other columns are left out; the notes say which. With ``rows``, only so many of all.

    Raises:
        DataError: another table, no folder, no such file (says how to get it) or a damaged one.
    """
    about, names, values = _read(folder, table)
    kept = [i for i, name in enumerate(names) if name not in about.copies]
    columns = tuple(names[i] for i in kept)
    x, widths = _untied(values[:, kept], columns, table, seed)
    return _split(table, x, None, columns, (), seed, rows, _notes(table, about, about.copies, widths))


def table_frame(folder: Path | None, table: str) -> Frame:
    """A table as it is in the file, columns by name and nothing added to what repeats: the last one is the target.

    Raises:
        DataError: another table, no folder, no such file (says how to get it) or a damaged one.
    """
    _, names, values = _read(folder, table)
    return Frame(names, tuple(np.ascontiguousarray(column) for column in values.T))


def _read(folder: Path | None, table: str) -> tuple[_Table, tuple[str, ...], NDArray[np.float64]]:
    if table not in _TABLES:
        raise DataError(f"table: expected one of {', '.join(UCI)}, got {table!r}")
    path = find_file(folder, [FILE], REMEDY)
    values, about = read_npz(path, [table])[table], _TABLES[table]
    if values.ndim != 2 or values.shape[1] != len(about.columns) or values.dtype.kind != "f" or len(values) < 10:
        raise DataError(
            f"{path} ({table}): expected at least 10 rows of {len(about.columns)} real columns ({', '.join(about.columns)}), got "
            f"{values.dtype} of shape {values.shape}; this is another table"
        )
    return about, about.columns, values.astype(np.float64)


def _untied(
    values: NDArray[np.float64], columns: Sequence[str], table: str, seed: int
) -> tuple[NDArray[np.float64], dict[str, Widths]]:
    """The values with noise where they repeat, and of which columns and how wide."""
    found = {}
    for i, name in enumerate(columns):
        widths = tie_widths(values[:, i])
        if widths is not None:
            found[name] = widths
            noise = np.random.default_rng(seed_for(seed, "ties", table, name)).random(len(values))
            values[:, i] += noise * widths.widths
    return values, found


def _notes(table: str, about: _Table, left_out: Sequence[str], widths: dict[str, Widths]) -> tuple[str, ...]:
    notes = [f"{table}: every column less its mean, in its own unit" + (f"; {about.remark}" if about.remark else "")]
    if left_out:
        notes.append(f"left out: {', '.join(left_out)}")
    if widths:
        named = ", ".join(f"{name} ({w.words})" for name, w in widths.items())
        notes.append(
            f"repeated values have uniform noise added, fixed by the seed: {named}; nats are those of the noisy rows in the columns' units"
        )
        if not any(w.smears for w in widths.values()):
            filled = -sum(float(np.log(w.widths).mean()) for w in widths.values())
            notes.append(
                f"on average over the noise, nats + {filled:.4f} is an upper bound on −log of the probability of the cells it fills"
            )
    return tuple(notes)


def _split(
    name: str,
    x: NDArray[np.float64],
    context: NDArray[np.float64] | None,
    columns: tuple[str, ...],
    context_columns: tuple[str, ...],
    seed: int,
    rows: int | None,
    notes: tuple[str, ...],
) -> Splits:
    order = np.random.default_rng(seed_for(seed, "uci", name)).permutation(len(x))[:rows]
    if len(order) < 10:
        raise DataError(
            f"rows: expected at least 10, which is 7 to train, 1 to choose weights by and 2 to test, got {len(order)}"
        )
    test, held = round(TEST * len(order)), round(VALIDATION * len(order))
    parts = [order[test + held :], order[test : test + held], order[:test]]
    train, chosen, tested = (
        Rows(_tensor(x[part]), None if context is None else _tensor(context[part])) for part in parts
    )
    return Splits(train, chosen, tested, columns, name, notes=notes, context_columns=context_columns)


def _tensor(values: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
