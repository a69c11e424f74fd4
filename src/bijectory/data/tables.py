"""Numbers from and to files: CSV, NPZ and Parquet, chosen by the file's ending.

A table is read whole or refused whole. A refusal names the file, the data row (counted from 1), the line of a CSV and
the column, says what was expected and what stood there, and how to mend it: a row that was silently dropped, shifted or
turned into NaN would train a model on data that nobody has.
"""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bijectory.data.archives import whole_file
from bijectory.data.columns import Table, as_real, bad_value, checked_names, finite_table, listed, outgoing, pick
from bijectory.data.delimited import read_csv, write_csv
from bijectory.errors import DataError, MissingExtraError

__all__ = ["ENDINGS", "Table", "check_ending", "read_table", "write_csv", "write_table"]

ENDINGS = (".csv", ".npz", ".parquet")


def read_table(path: str | os.PathLike[str], *, columns: Sequence[str] | None = None) -> Table:
    """Read a table of finite numbers from a .csv, .npz or .parquet file.

    With `columns`, those are picked by name, in that order; the names of the others are returned in `Table.ignored`.

    - CSV: UTF-8, commas, a header row of names. A file whose first line holds only numbers has no header: it is read if
      `columns` names every one of its columns.
    - NPZ: either 'x' (rows, columns) with optional 'columns' (an array of strings; without it the names are those of
      the argument, or x1, x2, …), or one 1-D array per column. Arrays of objects are never loaded: that would run
      pickled code.
    - Parquet: columns of integers, floats, booleans or decimals. Needs pyarrow.

    Raises:
        DataError: the file, its shape or one of its values is not what it should be; names the row and the column.
        MissingExtraError: a Parquet file without pyarrow.

    Example:
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "points.csv")
        ...     write_table(path, ["x", "y"], [[0.1, 2.0], [-3.0, 4.5]])
        ...     table = read_table(path, columns=["y"])
        >>> table.columns, table.ignored, table.values.tolist()
        (('y',), ('x',), [[2.0], [4.5]])
    """
    path = Path(path)
    ending = check_ending(path)
    wanted = None if columns is None else checked_names(path, columns)
    if wanted == ():
        raise DataError(f"{path}: expected names in columns, got an empty list; name one, or pass None for all")
    try:
        if not path.exists():
            raise DataError(f"{path}: expected a file, found nothing of that name; check the path")
        if not path.is_file():
            got = "folder" if path.is_dir() else "device or pipe"
            raise DataError(f"{path}: expected a file, got a {got}; name a file")
        if path.stat().st_size == 0:
            raise DataError(f"{path}: expected a table, got an empty file; write it again from its source")
        return _READERS[ending](path, wanted)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}; check the file and its permissions") from error


def check_ending(path: str | os.PathLike[str]) -> str:
    """The ending of a table's file ('.csv', '.npz', '.parquet'); a bad one is refused before anything is computed.

    Raises:
        DataError: another ending.
        MissingExtraError: '.parquet' without pyarrow.

    Example:
        >>> check_ending("scores.CSV")
        '.csv'
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        got = ending or "no ending"
        raise DataError(f"{path}: expected a name ending in {', '.join(ENDINGS)}, got {got}; rename or convert it")
    if ending == ".parquet":
        parquet_modules()
    return ending


def write_table(path: str | os.PathLike[str], columns: Sequence[str], values: ArrayLike) -> None:
    """Write (rows, columns) of float64 to a file, so that `read_table` gives back the same bits.

    The file appears complete or not at all: it is written beside its place, flushed to the disk, then moved there. An
    infinite value (a log-density outside the support) is written as it is; NaN is refused.

    Raises:
        DataError: unknown ending, no such folder, no rows, shapes that disagree, NaN (names the row), or a full disk.
        MissingExtraError: '.parquet' without pyarrow.
    """
    ending = check_ending(path)
    names, rows = outgoing(path, columns, values)
    with whole_file(Path(path)) as file:
        _WRITERS[ending](file, names, rows)


# ── NPZ ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_npz(path: Path, wanted: tuple[str, ...] | None) -> Table:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: not an NPZ archive, or a truncated one; write it again with numpy.savez")
    with _npz_faults(path, "the archive"), np.load(path, allow_pickle=False) as file:
        keys = tuple(file.files)
        if not keys:
            raise DataError(f"{path}: expected arrays, got an archive without any; write it again with numpy.savez")
        x = _member(path, file, "x") if "x" in keys else None
        if x is not None and x.ndim != 1:  # a 1-D 'x' is a column that is called x
            return _from_matrix(path, file, x, wanted)
        found = checked_names(path, keys)
        picked, ignored = pick(path, found, wanted)
        arrays = [_member(path, file, found[i]) for i in picked]
    names = tuple(found[i] for i in picked)
    for name, column in zip(names, arrays, strict=True):
        if column.ndim != 1:
            raise DataError(f"{path}, column {name!r}: expected shape (rows,), got {column.shape}; save 1-D columns")
        if len(column) != len(arrays[0]):
            raise DataError(
                f"{path}, column {name!r}: expected {len(arrays[0])} rows, as in column {names[0]!r}, "
                f"got {len(column)}; save columns of one length"
            )
    real = [as_real(path, f"column {name!r}", column) for name, column in zip(names, arrays, strict=True)]
    return finite_table(path, names, np.stack(real, axis=1), ignored)


def _from_matrix(path: Path, file: Any, x: NDArray[Any], wanted: tuple[str, ...] | None) -> Table:
    if x.ndim != 2 or x.shape[1] == 0:
        raise DataError(f"{path}, array 'x': expected shape (rows, columns), got {x.shape}; save a row for each point")
    width = x.shape[1]
    if "columns" in file.files:
        labels = _member(path, file, "columns")
        if labels.dtype.kind != "U" or labels.shape != (width,):
            raise DataError(
                f"{path}, array 'columns': expected {width} strings, got {labels.dtype} of shape {labels.shape}; "
                "save numpy.array(names)"
            )
        found = checked_names(path, labels.tolist())
    elif wanted is not None and len(wanted) != width:
        raise DataError(
            f"{path}: the archive has no 'columns', so the columns asked for must be all {width} of 'x'; "
            f"got {len(wanted)} ({listed(wanted)}); name every column, or save 'columns'"
        )
    else:
        found = wanted or tuple(f"x{i + 1}" for i in range(width))
    picked, ignored = pick(path, found, wanted)
    others = tuple(key for key in file.files if key not in ("x", "columns"))
    values = as_real(path, "array 'x'", x)[:, picked]
    return finite_table(path, tuple(found[i] for i in picked), values, ignored + others, "columns" in file.files)


def _member(path: Path, file: Any, key: str) -> NDArray[Any]:
    with _npz_faults(path, f"array {key!r}"):
        value = file[key]
    if not isinstance(value, np.ndarray):
        raise DataError(f"{path}, member {key!r}: expected an array, got other data; write it with numpy.savez")
    return value


@contextlib.contextmanager
def _npz_faults(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except (ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        if "Object arrays" in str(error):
            raise DataError(f"{path}, {what}: expected numbers, got objects, never loaded; save float64") from error
        raise DataError(f"{path}, {what}: truncated or damaged ({error}); write it again with numpy.savez") from error


# ── Parquet ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def parquet_modules() -> tuple[Any, Any]:
    """pyarrow and its Parquet; MissingExtraError says how to get them."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Parquet files need pyarrow: pip install 'bijectory[tables]'") from error
    return pyarrow, pyarrow.parquet


def _read_parquet(path: Path, wanted: tuple[str, ...] | None) -> Table:
    arrow, parquet = parquet_modules()
    types = arrow.types
    numeric = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
    try:
        with parquet.ParquetFile(path) as file:
            found = checked_names(path, file.schema_arrow.names)
            picked, ignored = pick(path, found, wanted)
            names = tuple(found[i] for i in picked)
            for i in picked:
                kind = file.schema_arrow.field(i).type
                if not any(fits(kind) for fits in numeric):
                    raise DataError(
                        f"{path}, column {found[i]!r}: expected numbers, got {kind}; encode or leave it out"
                    )
            content = file.read(columns=list(names))
        columns = [content.column(name) for name in names]
        for name, column in zip(names, columns, strict=True):
            if column.null_count:
                raise bad_value(path, f"row {column.is_null().index(True).as_py() + 1}, column {name!r}", "null")
        # numpy has no decimals: they would arrive as objects.
        plain = [c.cast(arrow.float64()) if types.is_decimal(c.type) else c for c in columns]
        arrays = [c.to_numpy().astype(np.float64) for c in plain]
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error}); truncated or damaged: write it again") from error
    if not arrays:
        raise DataError(f"{path}: expected columns, got none; write it again from its source")
    return finite_table(path, names, np.stack(arrays, axis=1), ignored)


# ── Writers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _csv_bytes(file: IO[bytes], names: tuple[str, ...], values: NDArray[np.float64]) -> None:
    stream = io.TextIOWrapper(file, encoding="utf-8", newline="")
    write_csv(stream, names, values)
    stream.detach()  # or the wrapper, when it goes, closes the file before it is flushed to the disk


def _npz_bytes(file: IO[bytes], names: tuple[str, ...], values: NDArray[np.float64]) -> None:
    np.savez(file, x=values, columns=np.array(names))


def _parquet_bytes(file: IO[bytes], names: tuple[str, ...], values: NDArray[np.float64]) -> None:
    arrow, parquet = parquet_modules()
    parquet.write_table(arrow.table([arrow.array(column) for column in values.T], names=list(names)), file)


_READERS: dict[str, Callable[[Path, tuple[str, ...] | None], Table]] = {
    ".csv": read_csv,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
}
_WRITERS: dict[str, Callable[[IO[bytes], tuple[str, ...], NDArray[np.float64]], None]] = {
    ".csv": _csv_bytes,
    ".npz": _npz_bytes,
    ".parquet": _parquet_bytes,
}
