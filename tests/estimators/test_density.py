"""FlowDensity on tables as they are: known densities, words and gaps, ties, forms."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from bijectory import FlowDensity
from bijectory.errors import DataError, InputError


def people(rows: int = 300) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    age = rng.integers(18, 80, rows).astype(float)
    town = np.array(["Oslo", "Rome"], dtype=object)[(age + rng.normal(0, 15, rows) > 45).astype(int)]
    income = np.exp(7 + age / 50 + rng.normal(0, 0.3, rows))
    income[::7] = np.nan
    return {"age": age, "town": town, "income": income}


def test_a_correlated_gaussian_is_found() -> None:
    rng = np.random.default_rng(0)
    mix = np.array([[1.0, 0.9, 0.0], [0.0, 0.3, 1.0], [0.0, 0.0, 0.5]])
    X, fresh = rng.normal(size=(500, 3)) @ mix, rng.normal(size=(2000, 3)) @ mix
    truth = -0.5 * (np.linalg.solve(mix.T, fresh.T) ** 2).sum(0) - 1.5 * np.log(2 * np.pi) - np.log(np.linalg.det(mix))
    lost = truth - FlowDensity(max_steps=200, random_state=0).fit(X).score_samples(fresh)
    # A Gaussian's 9 parameters from 500 rows cost 9/1000 nats; independent columns would lose 1.9.
    assert -0.01 < lost.mean() < 0.06


def test_words_gaps_and_numbers_are_one_density_that_sums_to_one() -> None:
    rng = np.random.default_rng(0)
    town, x = rng.choice(["Oslo", "Rome", "?"], 300), rng.normal(size=300)
    x[rng.random(300) < 0.2] = np.nan
    density = FlowDensity(max_steps=60, random_state=0).fit({"town": town, "x": x})
    assert [(kind.kind, kind.gaps) for kind in density.kinds_] == [("categorical", True), ("real", True)]
    grid = np.linspace(-30, 30, 6001)
    total = 0.0
    for word in ("Oslo", "Rome", None):
        total += np.trapezoid(np.exp(density.score_samples({"town": [word] * len(grid), "x": grid})), grid)
        total += np.exp(density.score_samples({"town": [word], "x": [None]})).sum()
    assert total == pytest.approx(1, abs=1e-3)


def test_impossible_rows_have_no_density_and_mistakes_are_refused() -> None:
    density = FlowDensity(max_steps=5, random_state=0).fit(people())
    rows = {"age": [30.0, 30.0, -1.0, 30.5], "town": ["Rome", "Bonn", "Rome", "Rome"], "income": [2000.0] * 4}
    found = density.score_samples(rows)
    assert np.isfinite(found[0])
    assert (found[1:] == -np.inf).all()
    with pytest.raises(DataError, match=r"row 2, column 'age': expected a number, got 'old'"):
        density.score_samples({"age": [30, "old"], "town": ["Rome"] * 2, "income": [2000.0] * 2})
    with pytest.raises(DataError, match=r"row 1, column 'income': expected a finite number, got inf"):
        density.score_samples({"age": [30.0], "town": ["Rome"], "income": [np.inf]})


def test_repeated_values_do_not_raise_nats_without_limit() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([np.minimum(rng.exponential(1, 400), 1.5), rng.normal(size=400).round(1)])
    short, long = (FlowDensity(max_steps=steps, random_state=0).fit(X).score(X) for steps in (60, 600))
    assert short == pytest.approx(long, abs=0.3)
    assert any("many rows share a value" in note for note in FlowDensity(max_steps=1).fit(X).notes_)


def test_samples_come_in_the_form_of_the_table() -> None:
    table = people()
    density = FlowDensity(max_steps=30, random_state=0).fit(table)
    drawn = density.sample(50, random_state=1)
    assert list(drawn) == ["age", "town", "income"]
    assert set(drawn["town"]) == {"Oslo", "Rome"}
    assert (drawn["age"] == np.rint(drawn["age"])).all()
    assert np.isnan(drawn["income"]).any()
    assert np.isfinite(density.score_samples(drawn)).all()
    again = density.sample(50, random_state=1)
    np.testing.assert_array_equal(drawn["age"], again["age"])


def test_columns_that_are_left_out_are_empty_in_samples() -> None:
    X = np.column_stack([np.random.default_rng(0).normal(size=60), np.full(60, np.nan)])
    density = FlowDensity(max_steps=2, random_state=0).fit(X)
    assert density.notes_ == ("x2: left out: no row holds a value",)
    drawn = density.sample(4)
    assert drawn.shape == (4, 2)
    assert np.isnan(drawn[:, 1]).all()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_come_back_as_frames(library: str) -> None:
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    frame = __import__(library).DataFrame({k: list(v) for k, v in people(80).items()})
    density = FlowDensity(max_steps=2, random_state=0).fit(frame)
    drawn = density.sample(5, random_state=0)
    assert isinstance(drawn, type(frame))
    assert list(drawn.columns) == ["age", "town", "income"]
    assert np.isfinite(density.score_samples(drawn)).all()


def test_kinds_are_overridden_by_name() -> None:
    X = np.random.default_rng(0).uniform(0, 24, size=(80, 2))
    density = FlowDensity({"x1": "circular(0,24)"}, max_steps=2, random_state=0).fit(X)
    assert [kind.kind for kind in density.kinds_] == ["circular", "real"]
    with pytest.raises(DataError, match="there is no column 'hour'"):
        FlowDensity({"hour": "real"}).fit(X)


def test_budgets_that_are_none_are_refused() -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    with pytest.raises(InputError, match="max_steps: expected at least 1, got 0"):
        FlowDensity(max_steps=0).fit(X)
    with pytest.raises(InputError, match="minutes: expected more than 0, got 0"):
        FlowDensity(minutes=0).fit(X)
