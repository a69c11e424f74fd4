"""Tables handed over in Python: NumPy arrays, mappings, frames of pandas, polars and Arrow, of which none is imported here."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, MissingExtraError
from .columns import checked_names
from .frames import Frame, Missing, Unread, Values


def as_frame(data: Any, columns: Sequence[str] | None = None, *, missing: Collection[str] = ()) -> Frame:
    """A table of a person's own as a `Frame`: what is missing, and what are words, is found as in files.

    ``data`` is an array or nested lists (rows, columns), named by ``columns`` or x1, x2, …; a mapping of names to columns; a frame of
    pandas, polars or pyarrow, or anything that gives an Arrow stream. With names of its own, ``columns`` picks among them.

    Raises:
        DataError: no table, no rows, columns of several lengths, names that stand twice or are missing.

    Example:
        >>> frame = as_frame({"age": [31, None], "town": ["Rome", "?"]})
        >>> frame.column("age").tolist(), frame.column("town").listed()
        ([31.0, nan], ['Rome', None])
    """
    if isinstance(data, Frame):
        return data if columns is None else _picked(data, columns)
    says = Missing.of(missing)
    named = _named(data)
    if named is not None:
        names = checked_names("table", [name for name, _ in named])
        held = tuple(_values(name, column, says) for name, column in named)
        for name, values in zip(names, held, strict=True):
            if len(values) != len(held[0]):
                raise DataError(
                    f"table, column {name!r}: expected {len(held[0])} rows, as in {names[0]!r}, got {len(values)}"
                )
        frame = Frame(names, held)
        frame = frame if columns is None else _picked(frame, columns)
    else:
        frame = _from_array(data, columns, says)
    if not len(frame):
        raise DataError("table: expected at least one row and one column, got none")
    return frame


def values_of(name: str, column: NDArray[Any], missing: Missing) -> Values:
    """A NumPy column as numbers or words; booleans become the words True and False."""
    kind = column.dtype.kind
    if kind in "iuf":
        with np.errstate(over="ignore"):  # a long double past float64's range becomes infinite, and is refused as that
            return missing.in_numbers(column.astype(np.float64))
    if kind == "b":
        return missing.in_words(column.astype(np.int32), ("False", "True"))
    if kind in "UT":
        found, place = np.unique(column, return_inverse=True)
        return missing.in_words(place, found.tolist())
    return _objects(name, column, missing) if kind == "O" else Unread.of(name, column.dtype, len(column))


def _objects(name: str, column: NDArray[Any], missing: Missing) -> Values:
    """A column of Python's objects: numbers and None, or words, booleans and None; other things are left unread."""
    values = [None if _is_missing(value) else value for value in column.tolist()]
    kinds = {type(value) for value in values if value is not None}
    if kinds and all(issubclass(kind, str | bool | np.bool_ | np.str_) for kind in kinds):
        return missing.text(["" if value is None else str(value) for value in values])
    for kind in kinds:
        if issubclass(kind, bool | np.bool_) or not (issubclass(kind, str) or hasattr(kind, "__float__")):
            mixture = " beside ".join(sorted(k.__name__ for k in kinds))
            return Unread.of(name, f"objects ({mixture})", len(column))
    if any(issubclass(kind, str) for kind in kinds):
        # Numbers beside words: both are written as in a file, and whoever needs numbers says which row is none.
        return missing.text(["" if value is None else str(value) for value in values])
    return missing.in_numbers(
        np.array([math.nan if value is None else float(value) for value in values], dtype=np.float64)
    )


def _is_missing(value: Any) -> bool:
    # pandas' NA is no truth value when compared, and NaT is of a type of its own: known by name, since pandas is not imported.
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float) and math.isnan(value))
    )


def _named(data: Any) -> list[tuple[str, Any]] | None:
    """The columns with their names, where the table has names."""
    if isinstance(data, Mapping):
        return [(str(name), column) for name, column in data.items()]
    if isinstance(data, np.ndarray):
        return None
    names = getattr(data, "column_names", None)  # Arrow's, whose 'columns' are no names
    names = getattr(data, "columns", None) if names is None else names
    if names is not None and hasattr(data, "__getitem__"):
        return [(str(name), data[name]) for name in names]
    if hasattr(data, "__arrow_c_stream__"):
        try:
            import pyarrow
        except ImportError as error:
            raise MissingExtraError("Arrow streams need pyarrow: pip install 'bijectory[tables]'") from error
        return _named(pyarrow.table(data))
    return None


def _values(name: str, column: Any, missing: Missing) -> Values:
    if type(column).__module__.startswith("pyarrow"):
        return _arrow(name, column, missing)
    dtype = getattr(column, "dtype", None)
    if hasattr(column, "to_numpy"):
        # pandas' nullable numbers become objects with NA unless asked for floats.
        nullable = hasattr(dtype, "na_value") and str(dtype).lower().startswith(("int", "uint", "float"))
        array = column.to_numpy(dtype=np.float64, na_value=math.nan) if nullable else np.asarray(column.to_numpy())
    else:
        array = np.asarray(column) if dtype is not None else _listed(column)
    if array.ndim != 1:
        raise DataError(f"table, column {name!r}: expected shape (rows,), got {array.shape}")
    return values_of(name, array, missing)


def _listed(column: Any) -> NDArray[Any]:
    """A list as an array; numbers beside None or words stay what they are, where numpy would make all of them words."""
    values = list(column)
    if any(value is None or isinstance(value, str) for value in values):
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    return np.asarray(values)


def _arrow(name: str, column: Any, missing: Missing) -> Values:
    import pyarrow

    from .frames_parquet import arrow_values

    if isinstance(column, pyarrow.ChunkedArray):
        column = column.combine_chunks()
    return arrow_values(pyarrow, name, column, missing)


def _from_array(data: Any, columns: Sequence[str] | None, missing: Missing) -> Frame:
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise DataError(f"table: expected rows of one length, got a ragged list ({error})") from None
    if array.ndim != 2 or not array.size:
        raise DataError(
            f"table: expected an array (rows, columns), a mapping of columns or a frame, got {type(data).__name__} of shape {array.shape}"
        )
    names = checked_names("table", columns or tuple(f"x{i + 1}" for i in range(array.shape[1])))
    if len(names) != array.shape[1]:
        raise DataError(f"columns: expected {array.shape[1]} names, one a column, got {len(names)}")
    if array.dtype.kind in "UT" and not isinstance(data, np.ndarray):
        array = np.array(data, dtype=object)  # nested lists of numbers and words: numpy made all of them words
    return Frame(names, tuple(values_of(name, array[:, i], missing) for i, name in enumerate(names)))


def _picked(frame: Frame, columns: Sequence[str]) -> Frame:
    names = checked_names("columns", columns)
    return Frame(names, tuple(frame.column(name) for name in names))
