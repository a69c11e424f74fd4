"""Rows that a table's other rows make surprising, in scikit-learn's grammar."""

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
from ..experiments.auto import TableSize
from ..models.table import TableModel
from ..numerics.seeds import generator_for, seed_for
from .fitting import canonical, train_table
from .grammar import OutlierMixin, check_is_fitted
from .typed import TypedEstimator, encoded

#: A network that sees a few hundred rows for a moment.
SIZE = TableSize(64, 1, 4, 8, 1, 0.0, 150, 64, 8e-3, 0.1)
#: The share of its rows that a first look found most surprising, and that the network then is not trained on.
LEFT_OUT = 0.1
#: No column's surprise counts more than this, in nats: one in 3,000.
MOST = 8.0
#: Rows scored at once.
CHUNK = 4096


class FlowAnomaly(OutlierMixin, TypedEstimator):  # type: ignore[misc]
    """Anomalies of a table: rows whose columns, each given those before it, are less likely than such columns are.

        score(row) = −(1/M) Σ_m Σ_i min(8, max(0, u_mi − log p_m(column_i | columns before i)))

    u_mi is the median of these logs over the rows that member m has seen: a column that is likelier than usual makes up for no other, as it
    would in log p(row), where rows in a dense crowd, of anomalies even, pass all others. Each of the M = ``n_estimators`` networks learns
    ``max_samples`` rows, of which it leaves the tenth that surprised it most out of a second training: a crowd of anomalies is thin in
    so few rows, and does not teach. The log density itself is ``FlowDensity``'s.

    The grammar is ``IsolationForest``'s. A word that no training row had, or a number that a column cannot hold, counts as a missing value,
    which is surprising where training rows had none: every row has a finite score.

    Args:
        contamination: the share of training rows that are anomalies, in (0, 0.5]; "auto": those below the lower fence of the training
            rows' scores, Q1 − 1.5 (Q3 − Q1) (Tukey 1977).
        n_estimators, max_samples: networks, and how many rows each learns, drawn with replacement.
        kinds, max_steps, random_state, verbose: as in ``FlowDensity``.

    Raises InputError for another contamination, or for fewer than one network or two rows; else as ``FlowDensity``.
    Sources: few rows for each of many members, Liu, Ting & Zhou 2008 (isolation forest); leaving out before a second fit, Rousseeuw & Van
    Driessen 1999. The sum of columns' own surprises is ours, measured in docs/estimators.md.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> anomaly = FlowAnomaly(n_estimators=2, max_steps=20, random_state=0).fit(X)
    >>> anomaly.predict([[0.0, 0.0], [9.0, -9.0]])
    array([ 1, -1])
    """

    def __init__(
        self,
        contamination: float | str = "auto",
        *,
        n_estimators: int = 8,
        max_samples: int = 256,
        kinds: Mapping[str, str] | None = None,
        max_steps: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.contamination = contamination
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.kinds = kinds
        self.max_steps = max_steps
        self.random_state = random_state
        self.verbose = verbose

    @property
    def kinds_(self) -> tuple[Column, ...]:
        """What each column of X that is modelled holds."""
        return self.model_.columns

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn what is usual in the rows of X, (rows, columns), anomalies among them; y is ignored."""
        share = self.contamination
        if share != "auto" and not (isinstance(share, int | float) and 0 < share <= 0.5):
            raise InputError(f"contamination: expected 'auto' or a share in (0, 0.5], got {share!r}")
        if self.n_estimators < 1 or self.max_samples < 2:
            raise InputError(
                f"expected n_estimators of at least 1 and max_samples of at least 2, got {self.n_estimators} and {self.max_samples}"
            )
        frame = self._frame(X, reset=True)
        weights = self._weights(sample_weight, frame)
        self.notes_: tuple[str, ...] = ()
        kinds = [dataclasses.replace(k, gaps=True) for k in self._infer(frame, weights, self.kinds) if k.of is None]
        known = weights > 0
        matrix = encode(frame.select(np.flatnonzero(known)), kinds, source="X").matrix
        self._learn(kinds, canonical(matrix, weights[known]))
        scores, weights = self._scores(matrix), weights[known]
        if share == "auto":
            low, high = np.quantile(scores, [0.25, 0.75], weights=weights, method="inverted_cdf")
            self.offset_ = float(low - 1.5 * (high - low))
        else:
            self.offset_ = _below(scores, weights, float(share))
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """The negative mean surprise of each row in nats, (rows,): 0 at best, the lower, the more anomalous."""
        check_is_fitted(self)
        return self._scores(self._known(self._frame(X, reset=False)))

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """``score_samples`` less ``offset_``: below 0 for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """−1 for anomalies, 1 for others."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _learn(self, kinds: list[Column], rows: Rows) -> None:
        seed = self._seed()
        size = self._limited(SIZE)._replace(members=self.n_estimators)
        parts = [_drawn(rows, self.max_samples, seed, m) for m in range(self.n_estimators)]
        model, first = train_table(kinds, rows, size, parts=parts, seed=seed)
        usual = _usual(model, parts)
        parts = [_without_worst(part, _surprise(model, part.x, usual)[m]) for m, part in enumerate(parts)]
        model, second = train_table(kinds, rows, size, parts=parts, seed=seed_for(seed, "again"))
        self.usual_ = _usual(model, parts).tolist()
        self._keep(model, first + second, size, rows)

    def _known(self, frame: Frame) -> NDArray[np.float64]:
        """Encoded rows, with a gap for what a column cannot hold."""
        matrix = np.full((len(frame), len(self.kinds_)), np.nan)
        for i, kind in enumerate(self.kinds_):
            values, kept = encoded(frame, [kind])
            matrix[kept, i] = values[:, 0]
        return matrix

    def _scores(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        usual = torch.tensor(self.usual_, dtype=torch.float64)
        rows = torch.from_numpy(matrix).split(CHUNK)
        return -torch.cat([_surprise(self.model_, part, usual).mean(0) for part in rows]).numpy()


def _surprise(model: TableModel, x: Tensor, usual: Tensor) -> Tensor:
    """Each member's surprise at each row, the sum of its columns': (members, rows)."""
    with torch.inference_mode():
        return (usual.unsqueeze(1) - model.member_columns_log_prob(x)).clamp(0, MOST).sum(-1)


def _usual(model: TableModel, parts: list[Rows]) -> Tensor:
    """The median log p of each column over each member's rows, by their weights, (members, columns)."""
    found = []
    for m, part in enumerate(parts):
        assert part.weights is not None
        with torch.inference_mode():
            logs, order = model.member_columns_log_prob(part.x)[m].sort(0)
        below = part.weights[order].cumsum(0)
        middle = (below < below[-1] / 2).sum(0, keepdim=True)
        found.append(logs.gather(0, middle).squeeze(0))
    return torch.stack(found)


def _drawn(rows: Rows, size: int, seed: int, member: int) -> Rows:
    """So many rows by their weights, with replacement; no more than there are."""
    assert rows.weights is not None
    index = torch.multinomial(
        rows.weights.double(), min(size, len(rows)), replacement=True, generator=generator_for(seed, "rows", member)
    )
    kept, counts = index.unique(return_counts=True)
    return _weighted(rows.select(kept), counts.float())


def _without_worst(part: Rows, surprise: Tensor) -> Rows:
    """The rows but for the share that surprises most."""
    assert part.weights is not None
    order = surprise.argsort()
    above = part.weights[order].cumsum(0) > (1 - LEFT_OUT) * part.weights.sum()
    kept = order[~above].sort().values if bool((~above).any()) else order
    return _weighted(part.select(kept), part.weights[kept])


def _weighted(rows: Rows, weights: Tensor) -> Rows:
    return dataclasses.replace(rows, weights=weights / weights.mean())


def _below(scores: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    """A number below which lies this share of the weight, between two scores."""
    order = np.argsort(scores)
    above = np.cumsum(weights[order]) - weights[order] >= share * weights.sum() * (1 - 1e-12)
    first = int(above.argmax()) if above.any() else len(scores) - 1
    here = scores[order][first]
    return float((scores[order][first - 1] + here) / 2) if first else float(here)
