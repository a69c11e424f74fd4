"""A person's table from and to files: CSV, Parquet, folders of Parquet and NPZ, whole or chunk by chunk."""

from __future__ import annotations

import io
import itertools
import os
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .archives import npz_faults, whole_file
from .columns import checked_names, listed
from .frames import Frame, Missing, Text, joined, usable
from .frames_csv import read_csv_frames, write_csv_frames
from .frames_parquet import read_parquet_frames, write_parquet_frames
from .given import values_of
from .tables import check_ending

FRAME_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".npz")


def read_frame(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    missing: Collection[str] = (),
    words: Collection[str] = (),
    skip_bad: bool = False,
) -> Frame:
    """Read a person's table whole: .csv, .tsv (also .gz), .parquet, a folder of Parquet files, or .npz.

    A column is numbers if all its fields are, words else; empty fields, NA, N/A, NaN, null, None, ? and what ``missing`` adds are missing
    values. Booleans become the words True and False; codes with a leading nought (01234) stay words. Columns of dates or lists can be
    read and are refused by whoever needs them. ``columns`` names the columns of a CSV without a header; ``words`` names those that are
    words whatever they hold. With ``skip_bad``, CSV rows of another length do not end the reading: they stand in ``Frame.broken``.

    Raises:
        DataError: another ending, no such file, damaged, ragged, not UTF-8, no rows; names the row, the line and the remedy.
        MissingExtraError: Parquet without pyarrow.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "people.csv")
        ...     _ = path.write_text("age,town\\n31,Rome\\n,Oslo\\n")
        ...     frame = read_frame(path)
        >>> frame.columns[0].tolist(), frame.column("town").listed()
        ([31.0, nan], ['Rome', 'Oslo'])
    """
    frames = list(stream_frames(path, columns=columns, missing=missing, words=words, skip_bad=skip_bad))
    mixed = {
        name
        for i, name in enumerate(frames[0].names)
        if any(isinstance(f.columns[i], Text) for f in frames)
        and any(isinstance(c := f.columns[i], np.ndarray) and not np.isnan(c).all() for f in frames)
    }
    if mixed:
        # Words further down: read again, so that 1.10 above them stays the word it is, and not the number 1.1.
        frames = list(stream_frames(path, columns=columns, missing=missing, words={*words, *mixed}, skip_bad=skip_bad))
    return joined(frames)


def stream_frames(
    path: str | os.PathLike[str],
    rows: int = 65_536,
    *,
    columns: Sequence[str] | None = None,
    missing: Collection[str] = (),
    words: Collection[str] = (),
    skip_bad: bool = False,
) -> Iterator[Frame]:
    """The same table in chunks of at most ``rows`` rows and in constant memory (an .npz is read whole); see `read_frame`.

    Each frame knows the number of its first row. A column may be numbers in one chunk and words in the next, unless ``words`` names it.
    """
    path = Path(path)
    ending = frame_ending(path)
    if rows < 1:
        raise DataError(f"rows: expected at least 1 a chunk, got {rows}")
    wanted = None if columns is None else checked_names(path, columns)
    says = Missing.of(missing)
    if ending == ".npz":
        frames = _npz_frames(path, rows, says)
    elif ending in (".parquet", ""):
        frames = read_parquet_frames(path, rows, says)
    else:
        frames = read_csv_frames(path, rows, wanted, says, words, skip_bad)
    # The first chunk at once: what is wrong with a file is said where it is opened, and not in the midst of the work.
    first = next(frames, None)
    if first is None:
        raise DataError(f"{path}: expected at least one row, got none; write it again from its source")
    return itertools.chain([first], frames)


def frame_ending(path: Path) -> str:
    """The ending of a table that is to be read, '' for a folder of Parquet files.

    Raises:
        DataError: another ending, nothing there, or an empty file.
    """
    if path.is_dir():
        return ""
    name = path.name.lower()
    ending = max((e for e in FRAME_ENDINGS if name.endswith(e)), key=len, default="")
    if not ending:
        got = path.suffix or "no ending"
        raise DataError(
            f"{path}: expected a name ending in {', '.join(FRAME_ENDINGS)}, or a folder of Parquet files, got {got}; rename or convert it"
        )
    if not path.is_file():
        got = "a device or pipe" if path.exists() else "nothing of that name"
        raise DataError(f"{path}: expected a file, found {got}; check the path")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: expected a table, got an empty file; write it again from its source")
    return ending


def write_frames(path: str | os.PathLike[str], frames: Iterable[Frame]) -> int:
    """Write frames one below the other to .csv, .parquet or .npz; how many rows it was.

    The file appears complete or not at all. Missing values are empty fields, nulls, or in an .npz NaN and empty strings; whole numbers
    are written without a point in CSV. CSV and Parquet are written chunk by chunk, in constant memory.

    Raises:
        DataError: another ending, no such folder, no rows, columns that change, or a full disk.
        MissingExtraError: Parquet without pyarrow.
    """
    path = Path(path)
    writer = {".csv": write_csv_frames, ".parquet": write_parquet_frames, ".npz": _write_npz}[check_ending(path)]
    with whole_file(path) as file:
        return writer(path, file, _sound(path, frames))


def _sound(path: Path, frames: Iterable[Frame]) -> Iterator[Frame]:
    names, count = None, 0
    for frame in frames:
        names = names or checked_names(path, frame.names)
        if frame.names != names:
            raise DataError(f"{path}: expected the columns {listed(names)} throughout, got {listed(frame.names)}")
        count += len(frame)
        if len(frame):
            yield frame
    if not count:
        raise DataError(f"{path}: expected at least one row to write, got none; no file was touched")


# ── NPZ ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _npz_frames(path: Path, rows: int, missing: Missing) -> Iterator[Frame]:
    with npz_faults(path, "the archive"), np.load(path, allow_pickle=False) as file:
        held = {key: _member(path, file, key) for key in file.files}
    if not held:
        raise DataError(f"{path}: expected arrays, got an archive without any; write it again with numpy.savez")
    if "x" in held and held["x"].ndim == 2:
        x, labels = held["x"], held.get("columns", np.array([f"x{i + 1}" for i in range(held["x"].shape[1])]))
        if labels.dtype.kind != "U" or labels.shape != x.shape[1:]:
            raise DataError(
                f"{path}, array 'columns': expected {x.shape[1]} strings, got {labels.dtype} of shape {labels.shape}"
            )
        held = {name: x[:, i] for i, name in enumerate(checked_names(path, labels.tolist()))}
    lengths = {key: value.shape for key, value in held.items()}
    first = next(iter(lengths))
    for key, shape in lengths.items():
        if len(shape) != 1 or shape != lengths[first]:
            raise DataError(
                f"{path}, array {key!r}: expected one column, or 'x' of shape (rows, columns), got shape {shape} "
                f"beside {lengths[first]} of {first!r}; save 1-D columns of one length"
            )
    names = checked_names(path, tuple(held))
    columns = tuple(values_of(name, column, missing) for name, column in held.items())
    whole = Frame(names, columns)
    for start in range(0, len(whole), rows):
        part = whole.select(slice(start, start + rows))
        yield Frame(names, part.columns, start + 1)


def _member(path: Path, file: Any, key: str) -> NDArray[Any]:
    with npz_faults(path, f"array {key!r}"):
        value = file[key]
    if not isinstance(value, np.ndarray):
        raise DataError(f"{path}, member {key!r}: expected an array, got other data; write it with numpy.savez")
    return value


def _write_npz(path: Path, file: IO[bytes], frames: Iterable[Frame]) -> int:
    frame = joined(list(frames))
    # Not numpy.savez: a column may be called 'file', which is the name of its argument.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, column in zip(frame.names, frame.columns, strict=True):
            held = usable(path, column)
            values = held if isinstance(held, np.ndarray) else np.array(["" if w is None else w for w in held.listed()])
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, values, allow_pickle=False)
            archive.writestr(f"{name}.npy", buffer.getvalue())
    return len(frame)
