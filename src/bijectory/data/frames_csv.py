"""CSV of any columns: read in chunks of rows, each column numbers if all its fields are, words else; written so that it reads back."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .columns import checked_names, listed
from .delimited import is_header, not_utf8
from .frames import Frame, Missing, Text, Values, is_code, usable, word_of

#: A field that `is_code`, in a column whose fields stand one below the other.
_CODE = re.compile(r"^[ \t]*0[0-9]+[ \t]*$", re.MULTILINE)


def read_csv_frames(
    path: Path,
    rows: int,
    columns: tuple[str, ...] | None,
    missing: Missing,
    words: Collection[str],
    skip_bad: bool,
) -> Iterator[Frame]:
    """Chunks of at most ``rows`` rows; ``columns`` names those of a file without a header, ``words`` those that are read as words.

    Raises:
        DataError: damaged, another encoding than UTF-8, no header, rows of another length (with ``skip_bad`` they are noted in
            `Frame.broken`); names the row and the line.
    """
    mark = "\t" if ".tsv" in path.name.lower() else ","
    try:
        with _opened(path) as file:
            yield from _chunks(path, csv.reader(file, delimiter=mark), rows, columns, missing, words, skip_bad, mark)
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}; write one row a line, with commas") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: truncated or damaged ({error}); fetch or compress it again") from error


def _chunks(
    path: Path,
    reader: Iterator[list[str]],
    rows: int,
    columns: tuple[str, ...] | None,
    missing: Missing,
    words: Collection[str],
    skip_bad: bool,
    mark: str,
) -> Iterator[Frame]:
    first = next(reader, [])
    stripped = [field.strip() for field in first]
    if columns is None or set(columns) == set(stripped):
        is_header(path, stripped, None if columns is None else tuple(stripped), "," if mark == "\t" else ";\t")
        names, held = checked_names(path, stripped), []
    else:
        names, held = columns, [first]
    start, chunk, broken = 1, [], {}  # type: tuple[int, list[list[str]], dict[int, str]]
    for fields in _rows(path, reader, held, names):
        if isinstance(fields, str):
            if not skip_bad:
                raise DataError(fields)
            broken[len(chunk)] = fields
            fields = [""] * len(names)
        chunk.append(fields)
        if len(chunk) == rows:
            yield _frame(names, chunk, start, broken, missing, words)
            start, chunk, broken = start + rows, [], {}
    if chunk:
        yield _frame(names, chunk, start, broken, missing, words)


def _rows(path: Path, reader: Any, held: list[list[str]], names: Sequence[str]) -> Iterator[list[str] | str]:
    """The fields of each row, or the sentence that refuses it; blank lines at the end of a file are no rows."""
    width, row, blank = len(names), 0, []  # type: tuple[int, int, list[int]]

    def refusal(line: int, got: str) -> str:
        return f"{path}, row {row} (line {line}): expected {width} fields ({listed(names)}), got {got}; complete the row or drop it"

    for fields in itertools.chain(held, reader):
        if not fields:
            blank.append(reader.line_num)
            continue
        for line in blank:
            row += 1
            yield refusal(line, "a blank line")
        blank.clear()
        row += 1
        yield fields if len(fields) == width else refusal(reader.line_num, str(len(fields)))


def _frame(
    names: tuple[str, ...],
    chunk: list[list[str]],
    start: int,
    broken: dict[int, str],
    missing: Missing,
    words: Collection[str],
) -> Frame:
    columns = zip(names, zip(*chunk, strict=True), strict=True)
    return Frame(names, tuple(_column(fields, missing, name in words) for name, fields in columns), start, broken)


def _column(fields: Sequence[str], missing: Missing, as_words: bool) -> Values:
    if as_words:
        return missing.text(fields)
    joined = "\n".join(fields)
    if "_" not in joined and joined.isascii() and not _CODE.search(joined):
        # All of them numbers, in most columns: numpy then parses them in C.
        try:
            return missing.in_numbers(np.array(fields, dtype=np.float64))
        except ValueError:
            pass
    text = missing.text(fields)
    values = text.as_numbers
    if np.isnan(values).any() or any(map(is_code, text.words)):
        return text
    return np.append(values, np.nan)[text.codes]


def write_csv_frames(path: Path, file: IO[bytes], frames: Iterable[Frame]) -> int:
    """Write a header and the rows of all frames, missing values as empty fields; how many rows it were."""
    stream = io.TextIOWrapper(file, encoding="utf-8", newline="")
    count = write_csv_text(path, stream, frames)
    stream.detach()  # or the wrapper, when it goes, closes the file before it is flushed to the disk
    return count


def write_csv_text(path: object, stream: TextIO, frames: Iterable[Frame]) -> int:
    """The same to a stream of text, such as standard output."""
    writer = csv.writer(stream, lineterminator="\n")
    count = 0
    for frame in frames:
        if not count:
            writer.writerow(frame.names)
        writer.writerows(zip(*(_fields(usable(path, column)) for column in frame.columns), strict=True))
        count += len(frame)
    return count


def _fields(column: NDArray[np.float64] | Text) -> list[str]:
    if isinstance(column, np.ndarray):
        return ["" if value != value else word_of(value) for value in column.tolist()]
    return ["" if word is None else word for word in column.listed()]


def _opened(path: Path) -> TextIO:
    # The mark that Excel puts first would become part of a name: utf-8-sig drops it.
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def _not_utf8(path: Path) -> DataError:
    """Where the encoding breaks: the file is read once more, since a decoder that reads ahead does not know its line."""
    line = 0
    with gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb") as file:
        for raw in file:  # line by line: the byte of a newline is part of no other character
            line += 1
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError as error:
                return not_utf8(path, line, raw[error.start])
    return DataError(f"{path}, line {line}: expected UTF-8, got half a character at the end; the file is truncated")
