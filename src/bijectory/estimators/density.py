"""The density of a table in scikit-learn's grammar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..data.encoding import decode, encode
from ..data.kinds import Column
from .fitting import canonical
from .forms import form_of, in_form
from .grammar import DensityMixin, check_is_fitted
from .typed import TypedEstimator, encoded, fit_table, generator, nats


class FlowDensity(DensityMixin, TypedEstimator):  # type: ignore[misc]
    """An exact density of a table's rows: numbers, counts, words and gaps as they stand.

        log p(row) = Σ_i log p(column_i | columns before i),   the mean of ``size_.members`` such densities

    Nats are in the units of the columns: a density for values, a probability for words, gaps and the cells of rounded numbers. X is an
    array, lists, or a frame of pandas or polars; NaN and None are missing values, which are modelled and never filled. Nothing need be
    scaled: the density is the same in metres and in feet, up to the unit.

    Args:
        kinds: what some columns are, where a look at them does not say: {"hour": "circular(0,24)", "size": "ordinal(S<M<L)"}; columns of
            an array are x1, x2, …
        minutes: what training may take on two cores; most tables need less.
        max_steps: an upper limit on the steps of each network's training.
        random_state: seed of weights, batches and held-out rows; with an int the same rows give the same density, in any order.
        verbose: whether what was found and chosen is printed.

    Raises:
        DataError: columns that cannot be modelled, with row and column named; infinities.

    Source: see ``TableModel``. scikit-learn's ``KernelDensity`` is what it stands in for.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 2)) @ [[1, 0.9], [0, 0.3]]
    >>> density = FlowDensity(max_steps=50, random_state=0).fit(X)
    >>> likely, far = density.score_samples([[0, 0], [0, 3]])
    >>> bool(-1.5 < likely < 0), bool(far < -5)
    (True, True)
    >>> density.sample(3, random_state=0).shape
    (3, 2)
    """

    def __init__(
        self,
        kinds: Mapping[str, str] | None = None,
        *,
        minutes: float = 1.0,
        max_steps: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.kinds = kinds
        self.minutes = minutes
        self.max_steps = max_steps
        self.random_state = random_state
        self.verbose = verbose

    @property
    def kinds_(self) -> tuple[Column, ...]:
        """What each column of X that is modelled holds."""
        return self.model_.columns

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn the density of the rows of X, (rows, columns); a row of weight 2 counts as two, one of weight 0 as none. y is ignored."""
        frame = self._frame(X, reset=True)
        weights = self._weights(sample_weight, frame)
        self.notes_: tuple[str, ...] = ()
        kinds = self._infer(frame, weights, self.kinds)
        self.form_, self.columns_ = form_of(X), list(frame.names)
        matrix = encode(frame.select(np.flatnonzero(weights)), kinds, source="X").matrix
        fit_table(self, kinds, canonical(matrix, weights[weights > 0]), seed=self._seed())
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """log p of each row in nats, (rows,): −∞ for one that cannot be, with a word or a gap that no training row had in its column."""
        check_is_fitted(self)
        matrix, kept = encoded(frame := self._frame(X, reset=False), self.kinds_)
        found = np.full(len(frame), -np.inf)
        found[kept] = nats(self.model_, matrix)
        return found

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of ``score_samples``: nats a row, more is better, whatever the number of rows."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Draws as a table of X's form with X's columns; those that are not modelled (``notes_``) are empty."""
        check_is_fitted(self)
        rows = self.model_.sample(n_samples, generator=generator(random_state)).double().numpy()
        return in_form(decode(rows, self.kinds_), tuple(self.columns_), self.form_)
