"""Rows and contexts of a run from a person's file, each column found by its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.columns import Table, listed
from ..data.tables import read_table
from ..errors import DataError, InputError
from .record import Run
from .use import context_columns


@dataclass(frozen=True)
class FileRows:
    """Rows x (rows, columns) of a file, their contexts (rows, features) or None, and the columns nobody asked for."""

    x: NDArray[np.float64]
    context: NDArray[np.float64] | None
    ignored: tuple[str, ...]


def read_rows(record: Run, file: Path) -> FileRows:
    """The run's columns from a file, and those of its context where its model is conditional.

    Raises DataError where a column is missing, naming it and those there are, a value is no finite number, or, for a conditional run, the
    file names no columns: which of them are the context would be a guess.
    """
    columns, given = tuple(record.settings["columns"]), context_columns(record)
    table = read_table(file, columns=[*columns, *given])
    if given:
        _check_named(table, file)
    x, context = table.values[:, : len(columns)], table.values[:, len(columns) :]
    return FileRows(np.ascontiguousarray(x), np.ascontiguousarray(context) if given else None, table.ignored)


def read_context(record: Run, file: Path | None) -> NDArray[np.float64] | None:
    """The contexts (rows, features) that a conditional run samples for; None for a run without a context.

    Raises InputError where a conditional run is given no file, or an unconditional one is given one; DataError for a bad file, or one
    that does not name its columns.
    """
    columns = context_columns(record)
    if file is None and columns:
        raise InputError(
            f"{record.path}: is conditional on {listed(columns)}; name a file that has these columns with --context FILE"
        )
    if file is None:
        return None
    if not columns:
        raise InputError(
            f"{record.path}: its model is not conditional, so --context {file} has no meaning; leave it out"
        )
    table = read_table(file, columns=columns)
    _check_named(table, file)
    return table.values


def _check_named(table: Table, file: Path) -> None:
    # Taken by their place, features in another order would give a density of other days without a word.
    if not table.named:
        raise DataError(
            f"{file}: expected a header with the names {listed(table.columns)}, since a context is found by name, got only numbers; add one"
        )
