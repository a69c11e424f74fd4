"""Files of arrays in the data folder: found or asked for by name, read whole or refused, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError


def find_file(folder: Path | None, names: Sequence[str], remedy: str) -> Path:
    """The first of ``names`` that lies in the data folder.

    Raises:
        DataError: no folder was given, it is none, or it holds none of them; says which file, how to name the folder, and ``remedy``.
    """
    wanted = " or ".join(names)
    if folder is None:
        raise DataError(
            f"expected a data folder with {wanted}, got none; name it with --data FOLDER or the variable BIJECTORY_DATA. "
            f"To get the file: {remedy}"
        )
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing of that name"
        raise DataError(
            f"{folder}: expected the data folder with {wanted}, found {got}; correct --data or BIJECTORY_DATA. "
            f"To get the file: {remedy}"
        )
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"{folder}: expected {wanted} in the data folder (--data or BIJECTORY_DATA), found none. To get the file: {remedy}"
    )


def read_npz(path: Path, keys: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The arrays of these names from an NPZ archive; arrays of objects are never loaded: that would run code.

    Raises:
        DataError: the file is missing, no archive, truncated or damaged, or has not all the keys; names the file and the array.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected an NPZ file, found none; check the path")
    with npz_faults(path, "the archive"):
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path}: not an NPZ archive, or a truncated one; fetch or write it again")
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            missing = [key for key in keys if key not in file.files]
            if missing:
                raise DataError(
                    f"{path}: expected the arrays {', '.join(keys)}, got {', '.join(file.files) or 'none'}; "
                    f"{', '.join(missing)} is missing: save it under that name"
                )
            return {key: _member(path, file, key) for key in keys}


def npz_names(path: Path) -> tuple[str, ...]:
    """The names of the arrays of an NPZ archive, none of which is read.

    Raises:
        DataError: the file is missing, no archive, truncated or damaged.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected an NPZ file, found none; check the path")
    with npz_faults(path, "the archive"), zipfile.ZipFile(path) as archive:
        return tuple(name.removesuffix(".npy") for name in archive.namelist())


def _member(path: Path, file: Any, key: str) -> NDArray[Any]:
    with npz_faults(path, f"array {key!r}"):
        value = file[key]
    if not isinstance(value, np.ndarray):
        raise DataError(f"{path}, member {key!r}: expected an array, got other data; write it with numpy.savez")
    return value


@contextlib.contextmanager
def npz_faults(path: Path, what: str) -> Iterator[None]:
    """What zipfile, zlib and NumPy raise on a bad archive, as one DataError that names the file and the array."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}; check the file and its permissions") from error
    # NumPy interprets an array's head before the archive's checksum is compared, and raises whatever the damage led it to:
    # ValueError, SyntaxError, TokenError, MemoryError for a shape that nobody wrote …
    except Exception as error:
        if "Object arrays" in str(error):
            raise DataError(f"{path}, {what}: expected numbers, got objects, never loaded; save numbers") from error
        raise DataError(f"{path}, {what}: truncated or damaged ({error!s:.200}); fetch or write it again") from error


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a compressed NPZ archive, complete or not at all.

    Raises:
        DataError: no such folder, a folder of that name, or a full disk.
    """
    members: dict[str, Any] = dict(arrays)
    with whole_file(path) as file:
        np.savez_compressed(file, **members)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file opened beside its place, flushed to the disk and moved there when the block ends well; else nothing is left.

    Raises:
        DataError: no such folder, a folder of that name, or a full disk.
    """
    # Through a symbolic link: os.replace would replace the link and leave the file behind it as it was.
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise DataError(f"{path}: expected an existing folder, found none at {target.parent}; create it first")
    if target.is_dir():
        raise DataError(f"{path}: expected the name of a file, got a folder; add a file name")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error}; check free space and permissions") from error
    finally:
        # Still there only if something failed, an interrupt by keyboard included.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
