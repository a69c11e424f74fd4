"""What the scikit-learn estimators share: a person's table as typed columns, and a model of them."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.encoding import encode
from ..data.frames import Frame, Text, Unread
from ..data.given import as_frame
from ..data.inference import infer_columns
from ..data.kinds import Column
from ..data.splits import Rows
from ..errors import InputError
from ..evaluation.likelihood import log_prob_rows
from ..experiments.auto import choose_table
from ..models.table import TableModel
from .fitting import repeats, train_table
from .grammar import (
    BaseEstimator,
    _check_sample_weight,
    check_array,
    check_is_fitted,
    check_random_state,
    validate_data,
)
from .saving import load_estimator, save_estimator

#: Rows kept with an estimator, whose log density is computed anew when it is loaded.
PROBES = 16


class TypedEstimator(BaseEstimator, abc.ABC):  # type: ignore[misc]
    """A scikit-learn estimator around a ``TableModel``: columns of any kind, found in the data, words and gaps among them.

    Fitted: ``model_`` (float64), ``kinds_`` (what each column of X holds), ``notes_`` (in sentences what was found in them), ``size_``
    (the model's and the training's), ``n_iter_``, ``n_features_in_`` and, after a frame, ``feature_names_in_``.
    """

    kinds: Mapping[str, str] | None
    max_steps: int | None
    random_state: Any
    verbose: int
    feature_names_in_: Any

    @property
    @abc.abstractmethod
    def kinds_(self) -> tuple[Column, ...]:
        """What each column of X that is modelled holds."""

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to one safetensors file: tensors, and JSON beside them. Loading it runs no code.

        Raises NotFittedError before ``fit``, InputError for parameters that JSON has no word for, such as a RandomState.
        """
        check_is_fitted(self)
        save_estimator(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The estimator that ``save`` wrote. Raises CheckpointError for a file that was altered, another estimator's, or none of ours."""
        return load_estimator(cls, Path(path))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        # Words are taken as well; but whoever says ``string`` must take any object whatever, and a dict is no value of a table.
        return tags

    def _frame(self, X: Any, *, reset: bool) -> Frame:
        """A person's own table, its columns those of the fit."""
        # One of scipy's sparse matrices is a dict, and no table.
        if isinstance(X, Mapping) and not hasattr(X, "toarray"):
            frame = as_frame(X, None if reset else self.feature_names_in_)
            if reset:
                self.n_features_in_, self.feature_names_in_ = len(frame.names), np.array(frame.names, dtype=object)
        elif hasattr(X, "columns"):
            validate_data(self, X, reset=reset, skip_check_array=True)
            frame = as_frame(X)
        else:
            if isinstance(X, list | tuple) and any(
                isinstance(v, str) for row in X if isinstance(row, Sequence) for v in row
            ):
                X = np.array(X, dtype=object)  # numbers beside words: numpy would make all of them words
            array = check_array(X, dtype=None, ensure_all_finite="allow-nan", estimator=self, input_name="X")
            validate_data(self, array, reset=reset, skip_check_array=True)
            frame = as_frame(array)
        for column in frame.columns:
            if isinstance(column, Unread):
                raise TypeError(f"X: an argument must be a string or a number; {column.why}")
        return frame

    def _weights(self, sample_weight: Any, frame: Frame) -> NDArray[np.float64]:
        like = np.empty((len(frame), 1))
        weights = _check_sample_weight(sample_weight, like, dtype=np.float64, ensure_non_negative=True)
        if not weights.sum() > 0:
            raise InputError("sample_weight: expected a row of weight above 0, got none")
        return weights

    def _infer(self, frame: Frame, weights: NDArray[np.float64], kinds: Mapping[str, str] | None) -> tuple[Column, ...]:
        """The kinds of a table's columns, a row of weight 2 seen twice; what a person should know of them goes to ``notes_``."""
        often = np.repeat(np.arange(len(frame)), repeats(weights))
        found, notes = infer_columns(frame.select(often), kinds, source="X")
        self.notes_ = (*getattr(self, "notes_", ()), *notes)
        return found

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))


def fit_table(
    estimator: Any, columns: Sequence[Column], rows: Rows, context_columns: Sequence[Column] = (), *, seed: int
) -> None:
    """Set what the ``fit`` of an estimator with ``minutes`` learns from canonical rows."""
    if not estimator.minutes > 0:
        raise InputError(f"minutes: expected more than 0, got {estimator.minutes}")
    size = choose_table(len(rows), [*context_columns, *columns], minutes=estimator.minutes)
    if estimator.max_steps is not None:
        if estimator.max_steps < 1:
            raise InputError(f"max_steps: expected at least 1, got {estimator.max_steps}")
        size = size._replace(steps=min(size.steps, estimator.max_steps))
    estimator.model_, estimator.n_iter_ = train_table(columns, rows, size, context_columns=context_columns, seed=seed)
    estimator.size_, estimator.probes_ = size, rows.select(slice(0, PROBES))
    if estimator.verbose:
        print("\n".join([*estimator.notes_, f"{len(rows):,} distinct rows, {estimator.n_iter_:,} steps, {size}"]))


def encoded(frame: Frame, kinds: Sequence[Column]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A table's rows as a matrix, and the places of those that the kinds allow; all others the model gives the density 0.

    Raises DataError for words where numbers stood and for infinities: those are mistakes, and no rare values.
    """
    for kind in kinds:
        column = frame.column(kind.name)
        if not kind.coded and (isinstance(column, Text) or (isinstance(column, np.ndarray) and np.isinf(column).any())):
            encode(frame, [k for k in kinds if k.name in (kind.name, kind.of)], source="X")
    matrix, kept, _, _ = encode(frame, kinds, source="X", skip_bad=True)
    return matrix, kept


def nats(model: TableModel, x: NDArray[np.float64], context: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """log p of encoded rows, (rows, columns) -> (rows)."""
    given = None if context is None else torch.from_numpy(context)
    return log_prob_rows(model, torch.from_numpy(x), given).numpy()


def generator(random_state: Any) -> torch.Generator:
    """torch's random numbers from scikit-learn's ``random_state``."""
    return torch.Generator().manual_seed(int(check_random_state(random_state).randint(2**31 - 1)))
