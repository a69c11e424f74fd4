"""Rows that a table's density finds surprising, in scikit-learn's grammar."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.encoding import encode
from ..data.frames import Frame
from ..data.kinds import Column
from ..data.splits import Rows
from ..errors import InputError
from ..numerics.seeds import generator_for
from .fitting import canonical
from .grammar import OutlierMixin, check_is_fitted
from .typed import TypedEstimator, encoded, fit_table

#: Nats added to each column's scale: of a column whose log p hardly varies, a tenth of a nat less is no surprise yet.
LEAST = 0.3
#: The interquartile range of a normal distribution, in deviations.
QUARTILES = 1.349
#: Medians are taken over at most so many training rows, and rows are scored so many at once.
MOST, CHUNK = 20_000, 16_384


class FlowAnomaly(OutlierMixin, TypedEstimator):  # type: ignore[misc]
    """Anomalies of a table: rows in which columns are less likely than they usually are, given the columns before them.

        score(row) = −Σ_i max(0, (m_i − log p(x_i | x_before)) / s_i),   decision_function(row) = score(row) − offset_

    with m_i the median of log p(x_i | x_before) over the training rows and s_i their interquartile range / 1.349, the deviation of a normal
    distribution, plus 0.3 nats. An anomaly is where decision_function is below 0. The log density itself (``FlowDensity``) adds
    nats of columns as they are: one whose density varies much between ordinary rows then drowns the others.

    The grammar is ``IsolationForest``'s. A word that no training row had, or a number that a column cannot hold, counts as a missing value,
    which is unlikely where training rows had none: every row has a finite score.

    Args:
        contamination: the share of training rows that are anomalies, in (0, 0.5]; "auto": those below the lower fence of the training
            rows' scores, Q1 − 1.5 (Q3 − Q1) (Tukey 1977).
        max_samples: rows that are learnt, drawn where there are more: in few, a crowd of anomalies is thin. ``max_steps`` is 300, since a
            longer training learns them too.
        kinds, minutes, max_steps, random_state, verbose: as in ``FlowDensity``.

    Raises InputError for another contamination, or fewer than two rows; else as ``FlowDensity``.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> anomaly = FlowAnomaly(max_steps=20, random_state=0).fit(X)
    >>> anomaly.predict([[0.0, 0.0], [9.0, -9.0]])
    array([ 1, -1])
    """

    def __init__(
        self,
        contamination: float | str = "auto",
        *,
        kinds: Mapping[str, str] | None = None,
        minutes: float = 1.0,
        max_steps: int | None = 300,
        max_samples: int = 2_000,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.contamination = contamination
        self.kinds = kinds
        self.minutes = minutes
        self.max_steps = max_steps
        self.max_samples = max_samples
        self.random_state = random_state
        self.verbose = verbose

    @property
    def kinds_(self) -> tuple[Column, ...]:
        """What each column of X that is modelled holds."""
        return self.model_.columns

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn what rows are common in X, (rows, columns), anomalies among them; y is ignored."""
        share = self.contamination
        if share != "auto" and not (isinstance(share, int | float) and 0 < share <= 0.5):
            raise InputError(f"contamination: expected 'auto' or a share in (0, 0.5], got {share!r}")
        if not self.max_samples >= 2:
            raise InputError(f"max_samples: expected at least 2 rows to learn from, got {self.max_samples!r}")
        frame = self._frame(X, reset=True)
        weights = self._weights(sample_weight, frame)
        self.notes_: tuple[str, ...] = ()
        kinds = [dataclasses.replace(k, gaps=True) for k in self._infer(frame, weights, self.kinds) if k.of is None]
        known = weights > 0
        matrix, weights = encode(frame.select(np.flatnonzero(known)), kinds, source="X").matrix, weights[known]
        rows = canonical(matrix, weights)
        seed = self._seed()
        fit_table(self, kinds, _drawn(rows, int(self.max_samples), seed), seed=seed)
        some = rows if len(rows) <= MOST else _drawn(rows, MOST, seed)
        terms, counts = self._terms(some.x), _weights(some)
        low, self.middle_, high = (_quantiles(terms, counts, q) for q in (0.25, 0.5, 0.75))
        self.scale_ = (high - low) / QUARTILES + LEAST
        scores = self._surprise(self._terms(torch.from_numpy(matrix)))
        if share == "auto":
            first, third = np.quantile(scores, [0.25, 0.75], weights=weights, method="inverted_cdf")
            self.offset_ = float(first - 1.5 * (third - first))
        else:
            self.offset_ = _below(scores, weights, float(share))
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Each row's score, at most 0, (rows,): the lower, the more anomalous."""
        check_is_fitted(self)
        return self._surprise(self._terms(self._known(self._frame(X, reset=False))))

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """``score_samples`` less ``offset_``: below 0 for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """−1 for anomalies, 1 for others."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _surprise(self, terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return -np.maximum((np.asarray(self.middle_) - terms) / np.asarray(self.scale_), 0).sum(1)

    def _known(self, frame: Frame) -> Tensor:
        """Encoded rows, with a gap for what a column cannot hold."""
        matrix = np.full((len(frame), len(self.kinds_)), np.nan)
        for i, kind in enumerate(self.kinds_):
            values, kept = encoded(frame, [kind])
            matrix[kept, i] = values[:, 0]
        return torch.from_numpy(matrix)

    def _terms(self, x: Tensor) -> NDArray[np.float64]:
        """log p of each column given those before it, (rows, columns)."""
        with torch.inference_mode():
            return torch.cat([self.model_.columns_log_prob(rows) for rows in x.split(CHUNK)]).numpy()


def _drawn(rows: Rows, size: int, seed: int) -> Rows:
    """So many of the rows by their weights, with replacement; all, where there are no more."""
    if len(rows) <= size:
        return rows
    assert rows.weights is not None
    generator = generator_for(seed, "rows", size)
    index, counts = torch.multinomial(rows.weights.double(), size, replacement=True, generator=generator).unique(
        return_counts=True
    )
    return dataclasses.replace(rows.select(index), weights=(counts / counts.double().mean()).float())


def _weights(rows: Rows) -> NDArray[np.float64]:
    assert rows.weights is not None
    return rows.weights.double().numpy()


def _quantiles(values: NDArray[np.float64], weights: NDArray[np.float64], q: float) -> NDArray[np.float64]:
    """The weighted quantile of each column, (rows, columns) -> (columns)."""
    return np.array([np.quantile(v, q, weights=weights, method="inverted_cdf") for v in values.T])


def _below(scores: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    """A number below which lies this share of the weight, between two scores."""
    order = np.argsort(scores)
    above = np.cumsum(weights[order]) - weights[order] >= share * weights.sum() * (1 - 1e-12)
    first = int(above.argmax()) if above.any() else len(scores) - 1
    here = scores[order][first]
    return float((scores[order][first - 1] + here) / 2) if first else float(here)
