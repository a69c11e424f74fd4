"""Parquet of any columns: files and folders of files, partitioned or not, batch by batch; the one room that knows pyarrow's columns."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .columns import checked_names, listed, number
from .frames import Frame, Missing, Text, Unread, Values, as_words, usable
from .tables import parquet_modules

#: Bytes of a column that are read ahead. Without, all that was read of a file is kept until its end: 740 MB of one of 585 MB.
_BUFFER = 1 << 20
#: What Hive calls a partition without a value.
_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def read_parquet_frames(path: Path, rows: int, missing: Missing) -> Iterator[Frame]:
    """Batches of at most ``rows`` rows of a file, or of all files below a folder in the order of their names.

    Folders called a=1/b=x give the columns a and b. Memory is that of a batch and of what Parquet keeps of a row group.

    Raises:
        DataError: no files, damaged, or files whose columns differ.
        MissingExtraError: without pyarrow.
    """
    arrow, parquet = parquet_modules()
    files = _files(path)
    partitions = {file: _partitions(path, file) for file in files}
    numeric = _numeric_partitions(partitions.values())
    names: tuple[str, ...] | None = None
    start = 1
    for file in files:
        try:
            with parquet.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER) as opened:
                own = checked_names(file, opened.schema_arrow.names)
                added = {key: value for key, value in partitions[file].items() if key not in own}
                names = names or (*own, *added)
                if {*own, *added} != set(names):
                    raise DataError(
                        f"{file}: expected the columns {listed(names)}, as in {files[0]}, got {listed((*own, *added))}"
                    )
                for batch in opened.iter_batches(batch_size=rows):
                    if not batch.num_rows:
                        continue
                    held = {name: arrow_values(arrow, name, batch.column(i), missing) for i, name in enumerate(own)}
                    for key, value in added.items():
                        held[key] = _repeated(value, batch.num_rows, key in numeric, missing)
                    yield Frame(names, tuple(held[name] for name in names), start)
                    start += batch.num_rows
        except (arrow.ArrowException, OSError) as error:
            raise DataError(
                f"{file}: cannot be read as Parquet ({error}); truncated or damaged: write it again"
            ) from error


def arrow_values(arrow: Any, name: str, column: Any, missing: Missing) -> Values:
    """An Arrow array as numbers or words: booleans become the words True and False, nulls missing values."""
    types, kind = arrow.types, column.type
    if types.is_dictionary(kind):
        if _is_text(types, kind.value_type):
            return missing.in_words(
                column.indices.fill_null(-1).to_numpy(zero_copy_only=False), column.dictionary.to_pylist()
            )
        column = column.dictionary_decode()
        kind = column.type
    if _is_text(types, kind):
        coded = column.dictionary_encode()
        return missing.in_words(
            coded.indices.fill_null(-1).to_numpy(zero_copy_only=False), coded.dictionary.to_pylist()
        )
    if types.is_boolean(kind):
        codes = column.cast(arrow.int8()).fill_null(-1).to_numpy(zero_copy_only=False)
        return missing.in_words(codes, ("False", "True"))
    if types.is_null(kind):
        return np.full(len(column), np.nan)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        # Unsafe: integers past 2^53 are rounded, not refused.
        wide = column if types.is_float64(kind) else column.cast(arrow.float64(), safe=False)
        return missing.in_numbers(wide.to_numpy(zero_copy_only=False))
    return Unread.of(name, kind, len(column))


def write_parquet_frames(path: Path, file: IO[bytes], frames: Iterable[Frame]) -> int:
    """Write the rows of all frames, words as strings and missing values as nulls; how many rows it was."""
    arrow, parquet = parquet_modules()
    writer, count = None, 0
    try:
        for frame in frames:
            if writer is None:
                kinds = [arrow.float64() if isinstance(c, np.ndarray) else arrow.string() for c in frame.columns]
                schema = arrow.schema(list(zip(frame.names, kinds, strict=True)))
                writer = parquet.ParquetWriter(file, schema)
            arrays = [
                _arrow(arrow, usable(path, column), kind)
                for column, kind in zip(frame.columns, schema.types, strict=True)
            ]
            writer.write_table(arrow.table(arrays, schema=schema))
            count += len(frame)
    finally:
        if writer is not None:
            writer.close()
    return count


def _arrow(arrow: Any, column: NDArray[np.float64] | Text, kind: Any) -> Any:
    if kind == arrow.float64():
        if isinstance(column, Text):
            raise DataError(
                "expected numbers in a column that began with numbers, got words; hand over one kind throughout"
            )
        return arrow.array(column, mask=np.isnan(column))
    text = as_words(column) if isinstance(column, np.ndarray) else column
    codes = arrow.array(text.codes, mask=text.codes < 0)
    return arrow.DictionaryArray.from_arrays(codes, arrow.array(text.words, arrow.string())).dictionary_decode()


def _is_text(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    # Names that begin with _ or . are what writers leave beside their data: _SUCCESS, _metadata, .crc.
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix.lower() == ".parquet"
        and file.is_file()
        and not any(part[0] in "_." for part in file.relative_to(path).parts)
    ]
    if not found:
        raise DataError(
            f"{path}: expected a folder with .parquet files, found none; name a file, or the folder that holds them"
        )
    return found


def _partitions(path: Path, file: Path) -> dict[str, str | None]:
    if path == file:
        return {}
    pairs = (part.split("=", 1) for part in file.relative_to(path).parts[:-1] if "=" in part)
    return {key: None if value == _NO_PARTITION else urllib.parse.unquote(value) for key, value in pairs}


def _numeric_partitions(found: Iterable[dict[str, str | None]]) -> set[str]:
    """The partition columns whose every value is a number, throughout the folder."""
    values = [(key, value) for each in found for key, value in each.items() if value is not None]
    words = {key for key, value in values if number(value) is None}
    return {key for key, _ in values} - words


def _repeated(value: str | None, rows: int, numeric: bool, missing: Missing) -> Values:
    if numeric:
        held = None if value is None else number(value)
        return missing.in_numbers(np.full(rows, np.nan if held is None else held))
    return missing.in_words(np.full(rows, -1 if value is None else 0), () if value is None else (value,))
