"""A person's rows as a run on a typed table takes them, chunk by chunk: columns by name, words by codes, what cannot be used refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.encoding import SAID, encode
from ..data.frame_files import stream_frames
from ..data.frames import Frame
from ..errors import DataError, InputError
from ..models.base import ColumnModel
from .record import Run
from .use import Loaded, load


@dataclass
class Reading:
    """What came of reading a person's rows, kept while they are read: how many were used, what was left out and why."""

    used: int = 0
    refused: int = 0
    refusals: list[str] = field(default_factory=list)
    ignored: tuple[str, ...] = ()


class Part(NamedTuple):
    """Rows of a chunk that the model takes: the chunk, their places in it, encoded x (rows, columns) and context (rows, features)."""

    frame: Frame
    kept: NDArray[np.int64]
    x: Tensor
    context: Tensor | None


def is_typed(record: Run) -> bool:
    """Whether a run is on a typed table: its settings say of each column what it holds."""
    return bool(record.settings.get("kinds"))


def load_typed(path: Path, recipe: Path | None = None) -> tuple[Loaded, ColumnModel]:
    """A run on a typed table read back; InputError for another."""
    loaded = load(path, recipe)
    if not loaded.schema.kinds or not isinstance(loaded.model, ColumnModel):
        raise InputError(
            f"{path}: expected a run on a typed table, got one of {type(loaded.model).__name__}; "
            "`bijectory fit data.csv` makes one"
        )
    return loaded, loaded.model


def read_typed(
    loaded: Loaded,
    file: Path,
    reading: Reading,
    *,
    skip_bad: bool = False,
    only_context: bool = False,
    open_to_gaps: bool = False,
) -> Iterator[Part]:
    """A file's rows as the model takes them, in chunks and constant memory; columns are found by name.

    With ``skip_bad`` rows that cannot be used are counted in ``reading`` and left out. With ``open_to_gaps`` any value may be missing, also
    where the model's training rows had none: it is to be filled, and not judged. Raises DataError for the first of them otherwise,
    for missing columns and for a file without one row that can be used.
    """
    kinds = (*(() if only_context else loaded.schema.kinds), *loaded.schema.context_kinds)
    # Words as they stand: a chunk of 01234s that all happen to begin with another digit would be numbers.
    words = [kind.name for kind in kinds if kind.coded]
    frames = stream_frames(
        file,
        columns=read_words(loaded.record, "columns") or None,
        missing=read_words(loaded.record, "missing"),
        words=words,
        skip_bad=skip_bad,
    )
    for frame in frames:
        part, refusals, ignored = encoded(
            loaded, frame, file, skip_bad=skip_bad, only_context=only_context, open_to_gaps=open_to_gaps
        )
        reading.ignored = ignored
        reading.used += len(part.kept)
        reading.refused += len(frame) - len(part.kept)
        reading.refusals += refusals[: SAID - len(reading.refusals)]
        if len(part.kept):
            yield part
    if not reading.used:
        raise DataError(f"{file}: none of {reading.refused:,} rows can be used; the first: {reading.refusals[0]}")


def encoded(
    loaded: Loaded,
    frame: Frame,
    source: object,
    *,
    skip_bad: bool = False,
    only_context: bool = False,
    open_to_gaps: bool = False,
) -> tuple[Part, tuple[str, ...], tuple[str, ...]]:
    """A table's rows as the model takes them, what is said of those that are refused, and the columns that nobody asked for.

    Raises DataError as `data.encoding.encode` does.
    """
    kinds = () if only_context else loaded.schema.kinds
    if open_to_gaps:
        kinds = tuple(dataclasses.replace(kind, gaps=True) for kind in kinds)
    found = encode(frame, (*kinds, *loaded.schema.context_kinds), source=source, skip_bad=skip_bad)
    dtype = next(loaded.model.parameters()).dtype
    x, context = (torch.from_numpy(part).to(dtype) for part in np.split(found.matrix, [len(kinds)], axis=1))
    part = Part(frame, found.kept, x, context if loaded.schema.context_kinds else None)
    return part, found.refusals, found.ignored


def read_words(record: Run, knob: str) -> tuple[str, ...]:
    """Words that the run's recipe was given for how to read its file (``columns``, ``missing``), so that others are read alike."""
    value = record.settings["knobs"].get(knob)
    return tuple(map(str, value)) if isinstance(value, list) else ()
