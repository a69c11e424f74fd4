"""Rows that a table's density finds unlikely, in scikit-learn's grammar."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from ..data.encoding import encode
from ..data.frames import Frame
from ..data.kinds import Column
from ..errors import InputError
from .typed import TypedEstimator, encoded, nats


class FlowAnomaly(OutlierMixin, TypedEstimator):
    """Anomalies of a table: rows whose log density is low.

        decision_function(row) = log p(row) − offset_,   an anomaly where it is below 0

    The grammar is ``IsolationForest``'s. A word that no training row had, or a number that a column cannot hold, counts as a missing value,
    which is unlikely where training rows had none: every row has a finite score.

    Args:
        contamination: the share of training rows that are anomalies, in (0, 0.5]; "auto": those below the lower fence of the training
            rows' scores, Q1 − 1.5 (Q3 − Q1) (Tukey 1977).
        kinds, minutes, max_steps, random_state, verbose: as in ``FlowDensity``.

    Raises InputError for another contamination; else as ``FlowDensity``.

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
        max_steps: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.contamination = contamination
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
        """Learn what rows are common in X, (rows, columns), anomalies among them; y is ignored."""
        share = self.contamination
        if share != "auto" and not (isinstance(share, int | float) and 0 < share <= 0.5):
            raise InputError(f"contamination: expected 'auto' or a share in (0, 0.5], got {share!r}")
        frame = self._frame(X, reset=True)
        weights = self._weights(sample_weight, frame)
        self.notes_: tuple[str, ...] = ()
        found = self._infer(frame, weights, self.kinds)
        kinds = [dataclasses.replace(kind, gaps=True) for kind in found if kind.of is None]
        known = weights > 0
        self._train(kinds, encode(frame.select(np.flatnonzero(known)), kinds, source="X").matrix, weights[known])
        scores, weights = self._scores(frame)[known], weights[known]
        if share == "auto":
            low, high = np.quantile(scores, [0.25, 0.75], weights=weights, method="inverted_cdf")
            self.offset_ = float(low - 1.5 * (high - low))
        else:
            self.offset_ = _below(scores, weights, float(share))
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """log p of each row in nats, (rows,): the lower, the more anomalous."""
        check_is_fitted(self)
        return self._scores(self._frame(X, reset=False))

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """``score_samples`` less ``offset_``: below 0 for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """−1 for anomalies, 1 for others."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _scores(self, frame: Frame) -> NDArray[np.float64]:
        matrix = np.full((len(frame), len(self.kinds_)), np.nan)
        for i, kind in enumerate(self.kinds_):
            values, kept = encoded(frame, [kind])
            matrix[kept, i] = values[:, 0]
        return nats(self.model_, matrix)


def _below(scores: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    """A number below which lies this share of the weight, between two scores."""
    order = np.argsort(scores)
    above = np.cumsum(weights[order]) - weights[order] >= share * weights.sum() * (1 - 1e-12)
    first = int(above.argmax()) if above.any() else len(scores) - 1
    here = scores[order][first]
    return float((scores[order][first - 1] + here) / 2) if first else float(here)
