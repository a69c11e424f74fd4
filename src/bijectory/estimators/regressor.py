"""A number's whole distribution given a table's other columns, in scikit-learn's grammar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..data.encoding import encode
from ..data.frames import Frame
from ..data.inference import infer_columns
from ..data.kinds import Column
from ..errors import InputError
from ..models.predictive import Predictive
from .fitting import canonical, repeats
from .grammar import RegressorMixin, check_consistent_length, check_is_fitted, column_or_1d
from .typed import TypedEstimator, fit_table, generator, nats

#: Rows that are asked about at once: their mixtures, at every level of probability, are held together.
CHUNK = 4096


class FlowRegressor(RegressorMixin, TypedEstimator):  # type: ignore[misc]
    """p(y | X), an exact density of one number given the columns of a table.

        p(y | x) = (1/M) Σ_m Σ_k w_mk(x) logistic(t(y); loc_mk(x), s_mk(x)) |t'(y)|

    t is the identity; for a positive y whose logarithm is less skewed its logarithm. A y of whole or rounded numbers has the probabilities
    of their cells. ``predict`` is the mean, exactly that of the mixture where t is the identity; else each logistic's part is a midpoint
    rule of 64 probabilities, which leaves out its outermost 1/128 (the exponential of a wide logistic has no finite mean). ``score`` is R²
    of it. Missing values in X are told to the model as such.

    Args:
        kinds: of columns of X, as in ``FlowDensity``.
        target_kind: of y, such as "positive", "integer", "bounded(0,1)" or "real", where a look at it should not decide.
        minutes, max_steps, random_state, verbose: as in ``FlowDensity``.

    Raises InputError for a y that is circular or of words; else as ``FlowDensity``.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> y = X[:, 0] + 0.1 * np.random.default_rng(1).normal(size=300)
    >>> regressor = FlowRegressor(max_steps=60, random_state=0).fit(X, y)
    >>> regressor.score(X, y) > 0.9, regressor.quantiles(X[:5], [0.05, 0.5, 0.95]).shape
    (True, (5, 3))
    """

    def __init__(
        self,
        kinds: Mapping[str, str] | None = None,
        *,
        target_kind: str | None = None,
        minutes: float = 1.0,
        max_steps: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.kinds = kinds
        self.target_kind = target_kind
        self.minutes = minutes
        self.max_steps = max_steps
        self.random_state = random_state
        self.verbose = verbose

    @property
    def kinds_(self) -> tuple[Column, ...]:
        """What each column of X that is read holds."""
        return self.model_.context_columns

    @property
    def target_(self) -> Column:
        """What y holds."""
        return self.model_.columns[0]

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn the distribution of y, (rows,), given the rows of X, (rows, columns); a row of weight 2 counts as two."""
        if y is None:
            raise InputError("This FlowRegressor requires y to be passed, but the target y is None")
        frame = self._frame(X, reset=True)
        check_consistent_length(range(len(frame)), y)
        target = _target(column_or_1d(y, warn=True))
        weights = self._weights(sample_weight, frame)
        self.notes_: tuple[str, ...] = ()
        kinds = [_read(kind) for kind in self._infer(frame, weights, self.kinds) if kind.of is None]
        known = np.flatnonzero(weights)
        column = self._target_column(target.select(np.repeat(np.arange(len(frame)), repeats(weights))))
        y_rows = encode(target.select(known), [column], source="y").matrix
        context = encode(frame.select(known), kinds, source="X").matrix
        fit_table(self, [column], canonical(y_rows, weights[known], context), kinds, seed=self._seed())
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The mean of y given each row, (rows,)."""
        return np.concatenate([part.mean().numpy() for part in self._asked(X)])

    def quantiles(self, X: Any, q: ArrayLike) -> NDArray[np.float64]:
        """The least y that has probability q or more below or at it, for each row and level: q (levels,) -> (rows, levels)."""
        levels = torch.atleast_1d(torch.as_tensor(np.asarray(q, dtype=np.float64)))
        return np.concatenate([part.quantile(levels).numpy() for part in self._asked(X)])

    def log_prob(self, X: Any, y: Any) -> NDArray[np.float64]:
        """log p(y | x) in nats per unit of y, (rows,): −∞ for a y that cannot be, such as one below 0 of a positive target."""
        context = self._context(X)
        check_consistent_length(context, y)
        matrix, kept, _, _ = encode(_target(column_or_1d(y)), [self.target_], source="y", skip_bad=True)
        found = np.full(len(context), -np.inf)
        found[kept] = nats(self.model_, matrix, context[kept])
        return found

    def sample(self, X: Any, n_samples: int = 1, random_state: Any = None) -> NDArray[np.float64]:
        """Draws of y given each row, (rows, n_samples)."""
        drawn = generator(random_state)
        return np.concatenate([part.sample(n_samples, generator=drawn).numpy() for part in self._asked(X)])

    def _context(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        return encode(self._frame(X, reset=False), self.kinds_, source="X").matrix

    def _asked(self, X: Any) -> list[Predictive]:
        return [Predictive(self.model_, rows) for rows in torch.from_numpy(self._context(X)).split(CHUNK)]

    def _target_column(self, target: Frame) -> Column:
        asked = {} if self.target_kind is None else {"y": self.target_kind}
        (column,), notes = infer_columns(target, asked, source="y")
        if self.target_kind is None and column.kind not in ("real", "positive"):
            # Counts and shares as numbers on the whole line: their mean is exact, and two values are no words here.
            (column,), notes = infer_columns(target, {"y": "real"}, source="y")
        if column.kind not in ("real", "positive", "bounded", "integer"):
            raise InputError(
                f"target_kind: expected real, positive, bounded or integer, got {column.kind}; y is a number on a line"
            )
        self.notes_ += notes
        return column


def _target(y: NDArray[Any]) -> Frame:
    try:
        values = y.astype(np.float64)
    except (TypeError, ValueError):
        raise InputError("y: expected numbers; Unknown label type") from None
    if not np.isfinite(values).all():
        row = int((~np.isfinite(values)).argmax())
        raise InputError(f"y, row {row + 1}: expected a finite number, got {values[row]}; drop the row")
    return Frame(("y",), (values,))


def _read(kind: Column) -> Column:
    """A column that is only read: numbers need no support of their own, so that any may be asked about."""
    if kind.coded or kind.kind == "circular":
        return kind
    return Column(kind.name, "real", gaps=kind.gaps)
