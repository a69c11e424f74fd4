"""Named columns of finite numbers, and the refusals that every file format shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bijectory.errors import DataError


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of float64: `values` is (rows, columns), and `ignored` names what the file held besides.

    `named` is False where the names are the caller's, or made up, and not the file's: its columns were then taken by their place.
    """

    columns: tuple[str, ...]
    values: NDArray[np.float64]
    ignored: tuple[str, ...] = ()
    named: bool = True


def checked_names(path: object, names: Sequence[str]) -> tuple[str, ...]:
    """The names as a tuple; text in place of a list, a nameless column and a name that stands twice are refused."""
    if isinstance(names, str):
        raise DataError(f"{path}: columns must be a list of names, got the text {names!r}; write [{names!r}]")
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise DataError(
                f"{path}, column {i + 1}: expected a name, got {name!r}; name every column "
                "(a first column without a name is often pandas' index: write with index=False)"
            )
        if name in first:
            raise DataError(f"{path}: the name {name!r} stands twice, in columns {first[name]} and {i + 1}; rename one")
        first[name] = i + 1
    return tuple(names)


def pick(path: Path, found: tuple[str, ...], wanted: tuple[str, ...] | None) -> tuple[list[int], tuple[str, ...]]:
    """The places in `found` of the wanted names, in the order wanted, and the names that nobody asked for."""
    for name in wanted or ():
        if name not in found:
            raise DataError(f"{path}: there is no column {name!r}; the file has {listed(found)}")
    picked = found if wanted is None else wanted
    return [found.index(name) for name in picked], tuple(name for name in found if name not in picked)


def as_real(path: Path, what: str, values: NDArray[Any]) -> NDArray[np.float64]:
    """Integers, booleans and floats as float64; complex numbers, text, dates and objects are refused."""
    if values.dtype.kind not in "biuf":
        raise DataError(f"{path}, {what}: expected real numbers, got dtype {values.dtype}; save float64")
    # A long double past float64's range becomes infinite here, and is refused below with its row rather than warned of.
    with np.errstate(over="ignore"):
        return values.astype(np.float64)


def finite_table(
    path: Path, columns: tuple[str, ...], values: NDArray[np.float64], ignored: tuple[str, ...], named: bool = True
) -> Table:
    """The table, if it has a row and every value is finite; the first fault in reading order is named."""
    if not len(values):
        raise DataError(f"{path}: expected at least one row, got none; write it again from its source")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise bad_value(path, f"row {row + 1}, column {columns[column]!r}", str(values[row, column]))
    return Table(columns, np.ascontiguousarray(values), ignored, named)


def outgoing(path: object, columns: Sequence[str], values: ArrayLike) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names and (rows, columns) of float64 as they may be written: no output file is ever silently NaN."""
    names = checked_names(path, columns)
    given = np.asarray(values)
    if given.dtype.kind not in "biuf":
        raise DataError(f"{path}: expected real numbers to write, got dtype {given.dtype}; hand over float64")
    if given.ndim != 2 or given.shape[1] != len(names) or not given.size:
        raise DataError(
            f"{path}: expected values of shape (rows, {len(names)}) with at least one row, got {given.shape}; "
            f"give one column for each of {listed(names)}"
        )
    out = given.astype(np.float64)
    if np.isnan(out).any():
        row, column = np.argwhere(np.isnan(out))[0]
        raise DataError(
            f"{path}, row {row + 1}, column {names[column]!r}: expected a number, got NaN, which is never written; "
            "no file was touched: find the input of that row"
        )
    return names, out


def bad_value(path: Path, where: str, got: str) -> DataError:
    """The refusal of one value."""
    return DataError(f"{path}, {where}: expected a finite number, got {got}; correct the value or drop the row")


def listed(names: Sequence[str]) -> str:
    """The first names of a table, few enough for a line."""
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def number(text: str) -> float | None:
    """The number that a field of text is, None where it is none; it may be infinite or NaN.

    numpy's parser strips the blanks of every script, of which float() leaves some; float() also reads '1_000' and the digits of every
    script, which numpy refuses. Both passes over a CSV must read the same.
    """
    text = text.strip()
    if "_" in text or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None
