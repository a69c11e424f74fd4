"""FlowAnomaly: what is unusual is found, among columns of any kind, and what the score is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bijectory import FlowAnomaly
from bijectory.errors import DataError, InputError

RNG = np.random.default_rng(0)
MIX = np.array([[1.0, 0.95], [0.0, 0.3]])
USUAL = RNG.normal(size=(400, 2)) @ MIX
#: Each number alone is usual, both together are not.
ODD = np.array([[2.0, -2.0], [-2.0, 2.0], [1.5, -1.5]])


@pytest.fixture(scope="module")
def fitted() -> FlowAnomaly:
    return FlowAnomaly(max_steps=100, random_state=0).fit(USUAL)


def test_a_row_against_the_correlation_is_an_anomaly(fitted: FlowAnomaly) -> None:
    fresh = RNG.normal(size=(400, 2)) @ MIX
    assert roc_auc_score([0] * 400 + [1] * 3, -fitted.score_samples(np.concatenate([fresh, ODD]))) > 0.98
    assert (fitted.predict(ODD) == -1).all()
    assert (fitted.predict(fresh) == 1).mean() > 0.85


def test_no_column_makes_up_for_another(fitted: FlowAnomaly) -> None:
    # A row at the middle of both columns has the largest density; it is no more usual than one beside it.
    scores = fitted.score_samples([[0.0, 0.0], [0.2, 0.2], [4.0, 4.0]])
    assert scores[0] == scores[1] == 0
    assert scores[2] < -1
    assert (fitted.score_samples(USUAL) <= 0).all()


@pytest.mark.parametrize("share", [0.05, 0.25])
def test_the_contamination_is_the_share_of_training_rows(share: float) -> None:
    found = FlowAnomaly(share, max_steps=20, random_state=0).fit_predict(USUAL)
    assert (found == -1).sum() == 400 * share


def test_every_row_has_a_finite_score_and_the_strange_are_unusual() -> None:
    rows = {
        "n": RNG.integers(0, 5, 300).astype(float),
        "town": RNG.choice(["Oslo", "Rome"], 300),
        "flag": RNG.choice([0.0, 1.0], 300),
    }
    anomaly = FlowAnomaly(max_steps=60, random_state=0).fit(rows)
    usual = anomaly.score_samples(rows)
    strange: dict[str, Any] = {
        "n": [2.0, -7.0, 2.0, None],
        "town": ["Bonn", "Oslo", "Oslo", "Oslo"],
        "flag": [1.0, 1.0, 0.5, 1.0],
    }
    scores = anomaly.score_samples(strange)
    assert np.isfinite(scores).all()
    assert (scores < usual.min()).all()
    with pytest.raises(DataError, match=r"row 1, column 'n': expected a number, got 'many'"):
        anomaly.score_samples({"n": ["many"], "town": ["Oslo"], "flag": [1.0]})


def test_of_many_rows_some_are_learnt_whatever_their_order() -> None:
    few = FlowAnomaly(max_samples=60, max_steps=10, random_state=0)
    scores = few.fit(USUAL).score_samples(USUAL)
    np.testing.assert_array_equal(scores, few.fit(USUAL[::-1]).score_samples(USUAL))
    weights = RNG.integers(0, 3, 400)
    weighted = few.fit(USUAL, sample_weight=weights).score_samples(USUAL)
    np.testing.assert_allclose(weighted, few.fit(USUAL.repeat(weights, 0)).score_samples(USUAL), rtol=1e-9)


def test_what_is_no_share_or_no_number_of_rows_is_refused() -> None:
    with pytest.raises(InputError, match=r"contamination: expected 'auto' or a share in \(0, 0.5\], got 0.7"):
        FlowAnomaly(0.7).fit(USUAL)
    with pytest.raises(InputError, match="max_samples: expected at least 2 rows to learn from, got 1"):
        FlowAnomaly(max_samples=1).fit(USUAL)
