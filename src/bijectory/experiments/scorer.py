"""A run's density as a function of batches of columns: for Ray Data, and for whatever else maps over such batches."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns import as_real, finite_table, listed
from ..data.given import as_frame
from ..errors import DataError, InputError, NonFiniteError
from ..evaluation.likelihood import log_prob_rows
from ..models.base import ColumnModel
from .queries import PASS
from .typed import encoded, read_words
from .use import context_columns, density, load


class Scorer:
    """Adds the log density of each row, in nats, to a batch: a mapping of column names to arrays (rows,).

        log_prob   (``log_prob_bound``, ``log_prob_estimate``) = log p(row's columns | those the run is conditional on)

    ``run`` is read once, when the scorer is made: Ray Data makes one for each of its workers (extra ``ray``), so that a data set of any
    size is scored where it lies::

        ds = ray.data.read_parquet("people/").map_batches(Scorer, fn_constructor_args=("runs/table",), concurrency=2)

    Columns are found by name and all stay. With ``skip_bad`` rows that cannot be used are left out of the batch; a batch may then be empty.

    Raises:
        InputError: a run on pictures, or a batch that has a column of the scores' name.
        DataError: a missing column; without ``skip_bad`` a row that cannot be used, by its number in the batch and its column.
        RunIncompleteError: no run of that name.

    Example:
        >>> import tempfile
        >>> from bijectory.experiments.run import train
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train("smiley_realnvp", assignments=["smoke=true"], run=Path(folder) / "run")
        ...     scored = Scorer(run)({"x1": np.zeros(3), "x2": np.zeros(3)})
        >>> list(scored), scored["log_prob"].shape
        (['x1', 'x2', 'log_prob'], (3,))
    """

    def __init__(
        self, run: str | os.PathLike[str], *, skip_bad: bool = False, recipe: str | os.PathLike[str] | None = None
    ) -> None:
        self.loaded = load(Path(run), None if recipe is None else Path(recipe))
        self.skip_bad = skip_bad
        shape = self.loaded.schema.event_shape
        if len(shape) != 1:
            raise InputError(f"{run}: expected a run on rows of columns, got one on events of shape {shape}")

    def __call__(self, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The batch with its scores."""
        if not isinstance(batch, Mapping):
            raise InputError(
                f"batch: expected a mapping of names to arrays, got {type(batch).__name__}; in Ray Data: batch_format='numpy'"
            )
        given = context_columns(self.loaded.record)
        wanted = (*self.loaded.schema.columns, *given)
        missing = [name for name in wanted if name not in batch]
        if missing:
            raise DataError(
                f"batch: expected the columns {listed(wanted)}, got {listed(tuple(batch))}; {listed(missing)} missing"
            )
        held = {name: batch[name] for name in wanted}
        if not len(held[wanted[0]]):
            # Ray hands over empty blocks too.
            kept, name, values = np.zeros(0, dtype=np.int64), "log_prob", np.zeros(0)
        elif self.loaded.schema.kinds:
            kept, name, values = self._typed(held)
        else:
            kept, name, values = self._plain(held, len(given))
        if name in batch:
            raise InputError(f"batch: has a column {name!r} already, which would be replaced; rename or drop it")
        if np.isnan(values).any():
            raise NonFiniteError(f"batch, row {int(kept[np.isnan(values).argmax()]) + 1}: {name} is no number")
        whole = len(kept) == len(held[wanted[0]])
        return {**{key: column if whole else np.asarray(column)[kept] for key, column in batch.items()}, name: values}

    def _typed(self, held: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.int64], str, NDArray[np.float64]]:
        model = self.loaded.model
        assert isinstance(model, ColumnModel)
        frame = as_frame(held, missing=read_words(self.loaded.record, "missing"))
        part, _, _ = encoded(self.loaded, frame, "batch", skip_bad=self.skip_bad)
        return part.kept, "log_prob", log_prob_rows(model, part.x, part.context, chunk=PASS).numpy()

    def _plain(
        self, held: Mapping[str, NDArray[Any]], features: int
    ) -> tuple[NDArray[np.int64], str, NDArray[np.float64]]:
        columns = [as_real(Path("batch"), f"column {name!r}", np.asarray(column)) for name, column in held.items()]
        x = np.stack(columns, axis=1)
        kept = np.flatnonzero(np.isfinite(x).all(1)) if self.skip_bad else np.arange(len(x))
        if not len(kept):
            return kept, "log_prob", np.zeros(0)
        rows = finite_table(Path("batch"), tuple(held), x[kept], ()).values
        split = rows.shape[1] - features
        name, values = density(
            self.loaded, np.ascontiguousarray(rows[:, :split]), rows[:, split:] if features else None
        )
        return kept, name, values
