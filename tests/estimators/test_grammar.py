"""scikit-learn's own contract, whole, and what its tools do with the estimators."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any
from unittest import mock

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from bijectory import FlowAnomaly, FlowDensity, FlowRegressor
from bijectory.errors import MissingExtraError

KINDS = (FlowDensity, FlowAnomaly, FlowRegressor)


# Few steps: the contract is one of grammar. It skips what needs pandas where that is not installed.
@parametrize_with_checks([kind(max_steps=15, random_state=0) for kind in KINDS])
def test_the_contract_of_scikit_learn(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def data() -> tuple[Any, Any]:
    X = np.random.default_rng(0).normal(size=(120, 3))
    return X, X[:, 0] - X[:, 1] + 0.1 * X[:, 2] ** 2


@pytest.mark.parametrize("kind", KINDS)
def test_search_scores_and_pipelines(kind: Any) -> None:
    X, y = data()
    if kind is not FlowAnomaly:
        grid = {"kinds": [None, {"x1": "ignore", "x2": "ignore"}]}
        search = GridSearchCV(kind(max_steps=5, random_state=0), grid, cv=2).fit(X, y)
        scores = search.cv_results_["mean_test_score"]
        assert np.isfinite(scores).all()
        # A density of one column has more of it than one of three; a line of y cannot do without the two that y is.
        assert search.best_index_ == (1 if kind is FlowDensity else 0)
        assert np.isfinite(cross_val_score(kind(max_steps=5, random_state=0), X, y, cv=2)).all()
    piped = make_pipeline(StandardScaler(), kind(max_steps=30, random_state=0)).fit(X, y)
    ask = "predict" if kind is FlowRegressor else "score_samples"
    alone = kind(max_steps=30, random_state=0).fit(StandardScaler().fit_transform(X), y)
    np.testing.assert_allclose(getattr(piped, ask)(X), getattr(alone, ask)(StandardScaler().fit_transform(X)))


@pytest.mark.skipif(find_spec("pandas") is None, reason="pandas is not installed")
def test_frames_pass_through_a_pipeline() -> None:
    import pandas

    X, _ = data()
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    piped = make_pipeline(StandardScaler(), FlowDensity(max_steps=5, random_state=0)).set_output(transform="pandas")
    assert list(piped.fit(frame)[-1].feature_names_in_) == ["a", "b", "c"]
    assert list(piped[-1].sample(2).columns) == ["a", "b", "c"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_and_any_order_of_rows_give_the_same_numbers(kind: Any) -> None:
    X, y = data()
    order = np.random.default_rng(1).permutation(len(X))
    ask = "predict" if kind is FlowRegressor else "score_samples"
    first = kind(max_steps=10, random_state=3).fit(X, y)
    second = clone(first).fit(X[order], y[order])
    np.testing.assert_array_equal(getattr(first, ask)(X), getattr(second, ask)(X))
    other = kind(max_steps=10, random_state=4).fit(X, y)
    assert not np.array_equal(getattr(first, ask)(X), getattr(other, ask)(X))


def test_training_leaves_global_random_numbers_alone() -> None:
    import torch

    before = torch.get_rng_state()
    FlowDensity(max_steps=5, random_state=0).fit(data()[0])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_repetitions(kind: Any) -> None:
    X, y = data()
    weights = np.random.default_rng(2).integers(0, 4, len(X))
    ask = "predict" if kind is FlowRegressor else "score_samples"
    weighted = kind(max_steps=10, random_state=0).fit(X, y, sample_weight=weights)
    repeated = kind(max_steps=10, random_state=0).fit(X.repeat(weights, 0), y.repeat(weights))
    plain = kind(max_steps=10, random_state=0).fit(X, y)
    np.testing.assert_allclose(getattr(weighted, ask)(X), getattr(repeated, ask)(X), rtol=1e-9)
    assert not np.allclose(getattr(weighted, ask)(X), getattr(plain, ask)(X))


def test_weights_that_are_all_nought_are_refused() -> None:
    # Newer versions of scikit-learn refuse them before we do, in other words.
    with pytest.raises(ValueError, match=r"(?i)sample.weight"):
        FlowDensity().fit(data()[0], sample_weight=np.zeros(120))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_printed_unless_asked(kind: Any, capfd: pytest.CaptureFixture[str]) -> None:
    X, y = data()
    kind(max_steps=3, random_state=0).fit(X, y)
    assert capfd.readouterr() == ("", "")
    kind(max_steps=3, random_state=0, verbose=1).fit(X, y)
    assert "120 distinct rows" in capfd.readouterr().out


def test_without_scikit_learn_the_error_says_what_to_install() -> None:
    hidden = {name: None for name in list(sys.modules) if name.split(".")[0] == "sklearn"}
    ours = [name for name in sys.modules if name.startswith("bijectory.estimators")]
    with mock.patch.dict(sys.modules, hidden | {"sklearn": None}):
        for name in ours:
            del sys.modules[name]
        with pytest.raises(MissingExtraError, match=r"pip install 'bijectory\[sklearn\]'"):
            __import__("bijectory.estimators.density")
