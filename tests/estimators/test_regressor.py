"""FlowRegressor: a known conditional distribution, its quantiles, kinds of targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from bijectory import FlowRegressor
from bijectory.errors import DataError, InputError

RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, size=(600, 2))
MEAN, DEVIATION = X[:, 0] + 0.5 * X[:, 1], 0.2 + 0.2 * np.abs(X[:, 0])
Y = MEAN + DEVIATION * RNG.normal(size=600)


@pytest.fixture(scope="module")
def fitted() -> FlowRegressor:
    return FlowRegressor(max_steps=300, random_state=0).fit(X, Y)


def test_a_heteroscedastic_line_is_found(fitted: FlowRegressor) -> None:
    fresh = RNG.uniform(-2, 2, size=(2000, 2))
    mean, deviation = fresh[:, 0] + 0.5 * fresh[:, 1], 0.2 + 0.2 * np.abs(fresh[:, 0])
    y = mean + deviation * RNG.normal(size=2000)
    assert np.sqrt(((fitted.predict(fresh) - mean) ** 2).mean()) < 0.08
    lost = norm.logpdf(y, mean, deviation) - fitted.log_prob(fresh, y)
    # The best Gaussian of one width for all rows would lose 0.1.
    assert lost.mean() < 0.06
    assert fitted.score(fresh, y) > 0.85
    inside = fitted.quantiles(fresh, [0.1, 0.9])
    assert 0.75 < ((inside[:, 0] < y) & (y < inside[:, 1])).mean() < 0.85


def test_samples_quantiles_and_mean_are_of_one_distribution(fitted: FlowRegressor) -> None:
    drawn = fitted.sample(X[:4], 20_000, random_state=0)
    assert drawn.shape == (4, 20_000)
    # Standard errors: 0.0035 of a share, 0.004 of a mean.
    below = (drawn[:, :, None] <= fitted.quantiles(X[:4], [0.05, 0.5, 0.95])[:, None]).mean(1)
    np.testing.assert_allclose(below, [[0.05, 0.5, 0.95]] * 4, atol=0.015)
    np.testing.assert_allclose(drawn.mean(1), fitted.predict(X[:4]), atol=0.02)
    np.testing.assert_array_equal(drawn, fitted.sample(X[:4], 20_000, random_state=0))


def test_its_density_integrates_to_one_and_crosses_no_quantiles(fitted: FlowRegressor) -> None:
    grid = np.linspace(-30, 30, 20_001)
    total = np.trapezoid(np.exp(fitted.log_prob(np.repeat(X[:1], len(grid), 0), grid)), grid)
    assert total == pytest.approx(1, abs=1e-6)
    assert (np.diff(fitted.quantiles(X[:50], np.linspace(0.01, 0.99, 33)), axis=1) > 0).all()


@pytest.mark.parametrize(
    ("y", "asked", "kind"),
    [
        (np.exp(Y), None, "positive"),
        (np.rint(3 * Y), None, "real"),
        (np.rint(3 * np.abs(Y)), "integer", "integer"),
        (1 / (1 + np.exp(-Y)), "bounded(0,1)", "bounded"),
        ((Y > 0).astype(int), None, "real"),
        (np.maximum(Y, 0), None, "real"),
    ],
)
def test_kinds_of_targets(y: Any, asked: str | None, kind: str) -> None:
    regressor = FlowRegressor(target_kind=asked, max_steps=150, random_state=0).fit(X, y)
    assert regressor.target_.kind == kind
    assert regressor.score(X, y) > 0.4
    assert np.isfinite(regressor.log_prob(X, y)).all()
    levels = regressor.quantiles(X[:20], [0.02, 0.5, 0.98])
    if regressor.target_.step:
        np.testing.assert_array_equal(levels, np.rint(levels))
    if asked == "bounded(0,1)":
        assert ((levels > 0) & (levels < 1)).all()


def test_words_and_gaps_in_x_are_read() -> None:
    town = np.where(RNG.random(400) < 0.5, "Oslo", "Rome").astype(object)
    x = np.where(RNG.random(400) < 0.3, np.nan, 1.0) * RNG.normal(size=400)
    y = np.where(town == "Oslo", 2.0, -2.0) + np.nan_to_num(x, nan=4.0) + 0.1 * RNG.normal(size=400)
    regressor = FlowRegressor(max_steps=200, random_state=0).fit({"town": town, "x": x}, y)
    assert regressor.score({"town": town, "x": x}, y) > 0.95
    with pytest.raises(DataError, match=r"row 1, column 'town': expected one of Oslo, Rome, got 'Bonn'"):
        regressor.predict({"town": ["Bonn"], "x": [0.0]})


def test_targets_that_are_no_numbers_on_a_line_are_refused() -> None:
    with pytest.raises(InputError, match="target_kind: expected real, positive, bounded or integer"):
        FlowRegressor(target_kind="circular(-9,9)").fit(X, Y)
    with pytest.raises(InputError, match="y, row 3: expected a finite number, got nan"):
        FlowRegressor().fit(X[:4], [1.0, 2.0, np.nan, 3.0])
    with pytest.raises(InputError, match="y: expected numbers"):
        FlowRegressor().fit(X[:2], ["a", "b"])


def test_levels_outside_of_0_and_1_are_refused(fitted: FlowRegressor) -> None:
    with pytest.raises(InputError, match=r"q: expected probabilities between 0 and 1, got \[0.5, 1.0\]"):
        fitted.quantiles(X[:2], [0.5, 1.0])
