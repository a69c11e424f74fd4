"""Between a person's table and the matrix that a model sees: words and codes, missing values and NaN, and what is refused on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .columns import listed, number
from .frames import Frame, Text, Values, spelled_out, usable, word_of
from .kinds import Column

#: So many refusals are put into words; the others are counted.
SAID = 20


class Encoded(NamedTuple):
    """``matrix`` (kept rows, columns) float64; ``kept`` the places of its rows in the frame, from 0; ``refusals`` the first refused rows in
    words (all others are counted: rows of the frame less those kept); ``ignored`` the frame's columns that nobody asked for."""

    matrix: NDArray[np.float64]
    kept: NDArray[np.int64]
    refusals: tuple[str, ...]
    ignored: tuple[str, ...]


class _Fault(NamedTuple):
    """Rows that a column refuses, and what is said of one of them: (expected, got, remedy)."""

    column: str
    rows: NDArray[np.bool_]
    say: Callable[[int], tuple[str, str, str]]


def word_columns(kinds: Sequence[Column]) -> frozenset[str]:
    """The columns that `read_frame` and `stream_frames` should be told are ``words``: the coded ones and their copies.

    A chunk of a CSV in which all words look like numbers would else lose how they are written: 1.10 and 1.1 are two words.
    """
    coded = {kind.name for kind in kinds if kind.coded}
    return frozenset(kind.name for kind in kinds if kind.name in coded or kind.of in coded)


def encode(frame: Frame, kinds: Sequence[Column], *, source: object = "table", skip_bad: bool = False) -> Encoded:
    """The matrix of a table's rows as `Column` describes it. Columns are found by name, in any order; others are ignored and named.

    Raises:
        DataError: a missing column; and, unless ``skip_bad`` leaves such rows out, an unseen word, text or infinity where numbers stood,
            a value outside of what the kind allows, a missing value where the model saw none, a fraction in place of a whole number, a copy
            that differs from its source; names the row and the column.

    Example:
        >>> frame = Frame(("age", "town"), (np.array([31.0, 18.0]), Text(np.array([1, 0], np.int32), ("Rome", "Oslo"))))
        >>> kinds = Column("town", "categorical", categories=("Oslo", "Rome")), Column("age", "integer", low=0, step=1)
        >>> encode(frame, kinds).matrix.tolist()
        [[0.0, 31.0], [1.0, 18.0]]
    """
    lacking = [kind.name for kind in kinds if kind.name not in frame.names]
    if lacking:
        raise DataError(
            f"{source}: expected the columns {listed([k.name for k in kinds])}, got {listed(frame.names)}; {listed(lacking)} missing"
        )
    faults = (
        [_Fault("", np.isin(np.arange(len(frame)), list(frame.broken)), lambda row: ("", frame.broken[row], ""))]
        if frame.broken
        else []
    )
    matrix = np.empty((len(frame), len(kinds)))
    place = {kind.name: i for i, kind in enumerate(kinds)}
    for i, kind in enumerate(kinds):
        values = usable(source, frame.column(kind.name))
        if kind.of is None:
            matrix[:, i], found = _encoded(values, kind)
            faults += found
            continue
        original = kinds[place[kind.of]]
        matrix[:, i] = matrix[:, place[kind.of]]
        own, _ = _encoded(values, original)
        faults += _disagreeing(own, matrix[:, i], values, kind)
    bad = np.zeros(len(frame), dtype=bool)
    for fault in faults:
        bad |= fault.rows
    ignored = tuple(name for name in frame.names if name not in place)
    if not bad.any():
        return Encoded(matrix, np.arange(len(frame)), (), ignored)
    refused = np.flatnonzero(bad)
    if not skip_bad:
        more = f" ({len(refused)} of {len(frame)} rows are refused)" if len(refused) > 1 else ""
        raise DataError(_sentence(frame, int(refused[0]), faults, source) + more)
    said = tuple(_sentence(frame, int(row), faults, source) for row in refused[:SAID])
    return Encoded(matrix[~bad], np.flatnonzero(~bad), said, ignored)


def _sentence(frame: Frame, row: int, faults: list[_Fault], source: object) -> str:
    fault = next(fault for fault in faults if fault.rows[row])
    expected, got, remedy = fault.say(row)
    if not fault.column:
        return got  # the reader has named file, row and line
    return f"{source}, row {frame.first_row + row}, column {fault.column!r}: expected {expected}, got {got}; {remedy}"


def _encoded(values: NDArray[np.float64] | Text, kind: Column) -> tuple[NDArray[np.float64], list[_Fault]]:
    """A column's encoded values, and the rows that it refuses."""
    faults: list[_Fault] = []

    def fault(rows: NDArray[np.bool_], expected: str, remedy: str = "correct the value or drop the row") -> None:
        if rows.any():
            faults.append(_Fault(kind.name, rows, lambda row: (expected, _written(values, row), remedy)))

    missing = values.codes < 0 if isinstance(values, Text) else np.isnan(values)
    if not kind.gaps:
        fault(
            missing,
            "a value, since the training rows had no missing one",
            "fill it, drop the row, or train on rows with gaps",
        )
    if kind.coded:
        codes = _codes(values, kind)
        fault(
            np.isnan(codes) & ~missing,
            f"one of {listed(kind.categories)}",
            "correct the word, or train on rows that hold it",
        )
        return codes, faults
    if isinstance(values, Text):
        numbers = np.append(values.as_numbers, np.nan)[values.codes]
        fault(np.isnan(numbers) & ~missing, "a number")
    else:
        numbers = values
    fault(np.isinf(numbers), "a finite number")
    ends = -math.inf if kind.low is None else kind.low, math.inf if kind.high is None else kind.high
    expected, allowed = _support(numbers, kind, *ends)
    fault(~allowed & np.isfinite(numbers), expected, "correct the value, or train on rows that hold such values")
    if kind.kind == "circular":
        numbers = np.where(numbers == ends[1], ends[0], numbers)  # both ends are one point
    return numbers, faults


def _support(values: NDArray[np.float64], kind: Column, low: float, high: float) -> tuple[str, NDArray[np.bool_]]:
    """In words which values the kind allows, and which of these it does."""
    if kind.kind == "integer":
        least = "" if kind.low is None else f" of at least {low:g}"
        return f"a whole number{least}", (values == np.rint(values)) & (values >= low)
    if kind.kind == "positive":
        allowed, words = values > 0, "a value above 0"
    elif kind.kind == "bounded" and kind.step is None:
        allowed, words = (values > low) & (values < high), f"a value between {low:g} and {high:g}"
    else:
        return f"a value in [{low:g}, {high:g}]", (values >= low) & (values <= high)
    shared = f" or {', '.join(map(word_of, kind.atoms))}" if kind.atoms else ""
    return words + shared, allowed | np.isin(values, kind.atoms)


def _codes(values: NDArray[np.float64] | Text, kind: Column) -> NDArray[np.float64]:
    """The code of each row's word, NaN for missing and unseen ones; numbers are found however they are written."""
    # First the word as it stands; 1.0 is then the category 1 unless there are both.
    place = {spelled_out(word): code for code, word in reversed(list(enumerate(kind.categories)))}
    exact = {word: code for code, word in enumerate(kind.categories)}
    if isinstance(values, Text):
        found = [exact.get(word, place.get(spelled_out(word), math.nan)) for word in values.words]
        return np.array([*found, math.nan])[values.codes]
    numeric = sorted(
        (value, exact.get(word, code)) for word, code in place.items() if (value := number(word)) is not None
    )
    codes = np.full(len(values), np.nan)
    if numeric:
        sought, code = (np.array(part, dtype=np.float64) for part in zip(*numeric, strict=True))
        at = np.minimum(np.searchsorted(sought, values), len(sought) - 1)
        codes = np.where(sought[at] == values, code[at], np.nan)
    return codes


def _disagreeing(
    own: NDArray[np.float64], source: NDArray[np.float64], values: NDArray[np.float64] | Text, kind: Column
) -> list[_Fault]:
    rows = (own != source) & ~(np.isnan(own) & np.isnan(source))
    if not rows.any():
        return []
    expected = f"the value of {kind.of!r}, which it repeated in every training row"
    return [
        _Fault(kind.name, rows, lambda row: (expected, _written(values, row), "correct one of the two or drop the row"))
    ]


def _written(values: NDArray[np.float64] | Text, row: int) -> str:
    if isinstance(values, Text):
        return repr(values.words[values.codes[row]]) if values.codes[row] >= 0 else "a missing value"
    return "a missing value" if math.isnan(values[row]) else word_of(float(values[row]))


def decode(matrix: NDArray[np.float64], kinds: Sequence[Column]) -> Frame:
    """The table of an encoded matrix: words for codes, whole numbers for integers, missing values for NaN, copies beside their sources.

    Words that are numbers come back as numbers.

    Raises:
        DataError: another number of columns, or a code that stands for no word.

    Example:
        >>> decode(np.array([[1.0], [np.nan]]), [Column("town", "categorical", categories=("Oslo", "Rome"), gaps=True)]).columns[0].listed()
        ['Rome', None]
    """
    if matrix.ndim != 2 or matrix.shape[1] != len(kinds):
        raise DataError(f"matrix: expected shape (rows, {len(kinds)}), a column for each kind, got {matrix.shape}")
    columns: dict[str, Values] = {}
    for i, kind in enumerate(kinds):
        columns[kind.name] = columns[kind.of] if kind.of is not None else _decoded(matrix[:, i], kind)
    return Frame(tuple(columns), tuple(columns.values()))


def _decoded(values: NDArray[np.float64], kind: Column) -> Values:
    if kind.kind == "integer":
        return np.rint(values)
    if not kind.coded:
        return np.array(values, dtype=np.float64)
    codes = np.where(np.isnan(values), -1, values).astype(np.int32)
    if not ((codes >= -1) & (codes < len(kind.categories))).all() or not (np.isnan(values) | (values == codes)).all():
        raise DataError(
            f"matrix, column {kind.name!r}: expected codes 0..{len(kind.categories) - 1} or NaN, got another value"
        )
    numbers = [number(word) for word in kind.categories]
    if all(v is not None and word_of(v) == word for v, word in zip(numbers, kind.categories, strict=True)):
        return np.array([*(v for v in numbers if v is not None), np.nan])[codes]
    return Text(codes, kind.categories)
