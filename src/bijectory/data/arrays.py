"""Pictures as arrays of integers: those of an .npz, and in how many levels values are counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .archives import npz_names, read_npz
from .pictures import DEPTH

#: How many values an 8-bit integer has.
BYTE = 1 << DEPTH


def npz_pictures(path: Path, keys: Mapping[str, str], depth: int | None) -> tuple[dict[str, NDArray[np.uint8]], int]:
    """Arrays of an .npz as (rows, channels, height, width), and how many levels their integers have.

    That is what its array ``levels`` says, else ``depth``, else 256.

    Raises:
        DataError: no integers, other shapes, values past the levels, or so few of 256 that they are no 8-bit pictures.
    """
    known = "levels" in npz_names(path)
    arrays = read_npz(path, [*keys.values(), *(["levels"] if known else [])])
    levels = int(arrays["levels"]) if known and arrays["levels"].size == 1 else depth or BYTE
    found = {part: _pictures(path, key, arrays[key], levels) for part, key in keys.items()}
    top = max(int(x.max()) for x in found.values())
    if not known and depth is None and top < BYTE >> 3:
        raise DataError(
            f"{path}: expected integers 0..{BYTE - 1}, got none past {top}; say how many levels they have with levels={top + 1}, "
            "or store that number beside them as the array levels"
        )
    return found, levels


def fewest_levels(arrays: Iterable[NDArray[np.uint8]]) -> int:
    """The least number of levels in which 8-bit values keep apart: floor(levels x / 256) differs wherever x does.

    Example:
        >>> fewest_levels([np.array([0, 85, 170, 255], np.uint8)]), fewest_levels([np.arange(0, 255, 15, dtype=np.uint8)])
        (4, 18)
    """
    occurs = np.zeros(BYTE, bool)
    for x in arrays:
        occurs |= np.bincount(x.reshape(-1), minlength=BYTE) > 0
    values = np.flatnonzero(occurs).astype(np.uint8)
    return next(n for n in range(2, BYTE + 1) if len(np.unique(reduced(values, BYTE, n, ""))) == len(values))


def reduced(x: NDArray[np.uint8], depth: int, levels: int, name: object) -> NDArray[np.uint8]:
    """Integers 0..depth-1 as 0..levels-1: floor(levels x / depth).

    Raises:
        DataError: more levels than the integers have.
    """
    if levels > depth:
        raise DataError(f"{name}: expected integers of at least {levels} levels, got {depth}; ask for fewer bits")
    return np.ascontiguousarray(x) if levels == depth else (x.astype(np.uint16) * levels // depth).astype(np.uint8)


def same_channels(parts: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.uint8]]:
    """One channel where the three agree in every picture of every part."""
    grey = all(x.shape[1] == 1 or bool((x == x[:, :1]).all()) for x in parts.values())
    return {part: x[:, :1] if grey else x for part, x in parts.items()}


def _pictures(path: Path, key: str, x: NDArray[Any], levels: int) -> NDArray[np.uint8]:
    """(rows, height, width[, channels]) as (rows, channels, height, width), checked."""
    shaped = x[..., None] if x.ndim == 3 else x
    if shaped.ndim != 4 or shaped.shape[-1] not in (1, 3) or not shaped.size:
        raise DataError(
            f"{path} ({key}): expected (rows, height, width) or (rows, height, width, 1 or 3), got shape {x.shape}"
        )
    if x.dtype.kind not in "iu" or not 2 <= levels <= BYTE:
        raise DataError(
            f"{path} ({key}): expected integers of 2 to {BYTE} levels, got {x.dtype} of {levels}; save uint8"
        )
    if int(x.min()) < 0 or int(x.max()) >= levels:
        raise DataError(
            f"{path} ({key}): expected integers 0..{levels - 1}, got {x.min()}..{x.max()}; say how many levels they have"
        )
    return np.ascontiguousarray(shaped.transpose(0, 3, 1, 2)).astype(np.uint8)
