"""CSV: text with commas and a header row, read whole or refused whole, written so that it reads back bit for bit."""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bijectory.data.columns import Table, bad_value, checked_names, listed, number, outgoing, pick
from bijectory.errors import DataError

_ROWS_PER_WRITE = 50_000  # the text of one chunk stays at a few megabytes, whatever the length of the table


def read_csv(path: Path, wanted: tuple[str, ...] | None) -> Table:
    """Read the wanted columns, or all.

    Two passes that agree wherever both give a table: numpy's parser in C, and, where that meets anything unusual, a
    parser that knows row, line and column and can name the fault.
    """
    # One reading of the file: both passes then see the same bytes, also while someone is still writing to it.
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")  # the mark that Excel puts first would become part of a name
    _check_utf8(path, raw)
    try:
        with _text(raw) as stream:
            first = [field.strip() for field in next(csv.reader(stream), [])]
        header = is_header(path, first, wanted)
        found = checked_names(path, first) if header else wanted or ()
        picked, ignored = pick(path, found, wanted)
        everything = None if ignored else _fast(raw, header, len(found))
        values = _careful(path, raw, header, found, picked) if everything is None else everything[:, picked]
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}; write one row a line, with commas") from error
    return Table(tuple(found[i] for i in picked), np.ascontiguousarray(values), ignored, header)


def write_csv(stream: TextIO, columns: Sequence[str], values: ArrayLike) -> None:
    """Write a header and (rows, columns) of float64 to a text stream, each number in its shortest exact form.

    Raises:
        DataError: no rows, shapes that disagree, or NaN (names the row); nothing has been written then.

    Example:
        >>> import sys
        >>> write_csv(sys.stdout, ["x", "log_prob"], [[0.1, -1.5]])
        x,log_prob
        0.1,-1.5
    """
    names, rows = outgoing(getattr(stream, "name", "output"), columns, values)
    csv.writer(stream, lineterminator="\n").writerow(names)
    for start in range(0, len(rows), _ROWS_PER_WRITE):
        chunk = rows[start : start + _ROWS_PER_WRITE].tolist()
        stream.write("".join(",".join(map(repr, row)) + "\n" for row in chunk))


def is_header(path: Path, first: list[str], wanted: tuple[str, ...] | None, others: str = ";\t") -> bool:
    """Whether the first line holds names; 0, 1, 2 are names where the caller asks for columns so called.

    ``others`` are the marks that separate fields in other files than this.
    """
    if not any(first):
        raise DataError(f"{path}, line 1: expected a header row of column names, got a blank line; delete it")
    if wanted is not None and set(wanted) <= set(first):
        return True
    numbers = [_is_number(field) for field in first]
    if all(numbers) and wanted is None:
        raise DataError(
            f"{path}, line 1: expected a header row of column names, got only numbers ({listed(first)}); "
            "add a header, or name the columns"
        )
    if all(numbers) and wanted is not None:
        if len(wanted) != len(first):
            raise DataError(
                f"{path}, line 1: the file has no header, so the columns asked for must be all {len(first)} it has; "
                f"got {len(wanted)} ({listed(wanted)}); name every column, or add a header"
            )
        return False
    # '0.31,NA' on line 1 is a data row with a fault, not two names; taken as a header it would vanish without a word.
    # Whole numbers may be names (label,0,1,2,…), fractions hardly are.
    if any(number and not field.isdigit() for number, field in zip(numbers, first, strict=True)):
        raise DataError(
            f"{path}, line 1: expected names alone or numbers alone, got a mixture ({listed(first)}); add a header row"
        )
    if len(first) == 1 and any(mark in first[0] for mark in others):
        raise DataError(
            f"{path}, line 1: expected fields separated by commas, got {first[0]!r}; "
            "export with commas between fields and points in numbers"
        )
    return True


def _fast(raw: bytes, header: bool, width: int) -> NDArray[np.float64] | None:
    """All columns by numpy's parser in C, or None where there is anything to complain of."""
    with _text(raw) as stream:
        reader = csv.reader(stream)
        if header:
            next(reader)
        end = len(raw)
        while end and raw[end - 1] in b"\r\n":  # blank lines at the end of a file are no rows
            end -= 1
        rows = raw.count(b"\n", 0, end) + 1 - reader.line_num
        if rows < 1 or raw.count(b"\r") != raw.count(b"\r\n"):  # a lone \r ends a line too, and is not in the count
            return None
        try:
            values = np.loadtxt(stream, delimiter=",", comments=None, quotechar='"', ndmin=2)
        except ValueError:
            return None
    # loadtxt drops blank lines in silence; in a table of one column such a line is a missing value. Hence the count.
    return values if values.shape == (rows, width) and np.isfinite(values).all() else None


def _careful(path: Path, raw: bytes, header: bool, found: tuple[str, ...], picked: list[int]) -> NDArray[np.float64]:
    """The picked columns, row by row; text in a column that was not picked does no harm."""
    values = array("d")
    row, blank = 0, 0
    with _text(raw) as stream:
        reader = csv.reader(stream)
        if header:
            next(reader)
        for fields in reader:
            if not fields:
                blank = blank or reader.line_num
                continue
            row += 1
            if blank or len(fields) != len(found):
                line, got = (blank, "a blank line") if blank else (reader.line_num, str(len(fields)))
                raise DataError(
                    f"{path}, row {row} (line {line}): expected {len(found)} fields ({listed(found)}), got {got}; "
                    "complete the row or drop it"
                )
            for i in picked:
                try:
                    values.append(_number(fields[i]))
                except ValueError:
                    where = f"row {row} (line {reader.line_num}), column {found[i]!r}"
                    raise bad_value(path, where, repr(fields[i]) if fields[i].strip() else "an empty field") from None
    if not row:
        raise DataError(
            f"{path}: expected at least one row below the header ({listed(found)}), got none; write it again"
        )
    return np.array(values, dtype=np.float64).reshape(row, len(picked))


def _number(text: str) -> float:
    value = number(text)
    if value is None or not math.isfinite(value):
        raise ValueError
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_utf8(path: Path, raw: bytes) -> None:
    try:
        raw.isascii() or raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(path, raw.count(b"\n", 0, error.start) + 1, raw[error.start]) from None


def not_utf8(path: Path, line: int, byte: int) -> DataError:
    """The refusal of a file in another encoding."""
    return DataError(f"{path}, line {line}: expected UTF-8, got byte 0x{byte:02x}; save the file as UTF-8")


def _text(raw: bytes) -> TextIO:
    return io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", newline="")
