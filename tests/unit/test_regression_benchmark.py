"""benchmarks/regression.py: its PIT values against what is known of them, and a whole run on generated rows."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from bijectory.evaluation.regression import pit_test

FILE = Path(__file__).parents[2] / "benchmarks" / "regression.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("regression_benchmark", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_forests_pit_is_the_weight_below_with_a_share_of_that_at_y(benchmark: ModuleType) -> None:
    centres = np.array([3.0, 1.0, 2.0, 2.0])
    weights = csr_matrix(np.tile([0.1, 0.4, 0.25, 0.25], (4000, 1)))
    y = np.tile([0.5, 1.5, 2.0, 9.0], 1000)
    _, _, u = benchmark.weighted_scores(weights, centres, y)
    u = u.reshape(1000, 4)
    np.testing.assert_allclose(u[:, [0, 1, 3]], np.tile([0, 0.4, 1], (1000, 1)), atol=1e-15)
    assert u.max() <= 1
    # Uniform within the jump from 0.4 to 0.9.
    assert 0.4 <= u[:, 2].min() < u[:, 2].max() <= 0.9
    assert pit_test((u[:, 2] - 0.4) / 0.5, 10).chi_square_p > 1e-3


def test_a_weighted_samples_own_draws_have_a_uniform_pit(benchmark: ModuleType) -> None:
    """y drawn with the very weights: all of them are ties, which the share at y alone makes uniform."""
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.ones(8))
    y = rng.choice(8, 3000, p=share).astype(float)
    _, _, u = benchmark.weighted_scores(csr_matrix(np.tile(share, (3000, 1))), np.arange(8.0), y)
    assert pit_test(u, 10).chi_square_p > 1e-3


def test_the_linear_gaussians_pit_is_uniform_where_it_is_true_and_nowhere_else(benchmark: ModuleType) -> None:
    rng = np.random.default_rng(0)
    c = rng.normal(size=(4000, 3))
    mean = 5 + c @ [1.0, -2.0, 0.5]
    for noise, true in ((rng.normal(size=4000), True), (rng.exponential(size=4000) - 1, False)):
        rows = benchmark.Rows(c, mean + noise)
        half = [benchmark.Rows(rows.c[k], rows.y[k]) for k in (slice(0, 2000), slice(2000, None))]
        found = benchmark.linear(*half)
        assert (pit_test(found.u, 10).chi_square_p > 1e-3) == true
        inside = np.abs(found.u - 0.5) <= np.array(benchmark.LEVELS)[:, None] / 2
        np.testing.assert_array_equal(inside, found.inside)


def test_a_run_prints_and_keeps_the_histograms_of_all_three(
    benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    c = rng.normal(size=(400, 8))
    np.savez(tmp_path / "uci_regression.npz", concrete=np.column_stack([c, c[:, 0] + rng.normal(size=400)]))
    words = ["--data", tmp_path, "--out", tmp_path, "--tables", "concrete", "--steps", "5"]
    with mock.patch.object(sys, "argv", ["regression.py", *map(str, words)]), mock.patch.object(benchmark, "TREES", 10):
        benchmark.main()
    printed = capsys.readouterr().out
    kept = json.loads((tmp_path / "regression.json").read_text())["concrete"]
    assert f"expected in each bin where a model is true: {kept['test'] / 10:.1f}" in printed
    for name in ("flow", "linear", "forest"):
        pit = kept[name]["pit"]
        assert len(pit["counts"]) == 10 and sum(pit["counts"]) == kept["test"]
        expected = kept["test"] / 10
        assert pit["chi_square"] == pytest.approx(sum((n - expected) ** 2 / expected for n in pit["counts"]))
        assert 0 <= pit["chi_square_p"] <= 1 and 0 <= pit["distance_p"] <= 1
        line = next(line for line in printed.splitlines() if line.split()[:11] == [name, *map(str, pit["counts"])])
        assert f"{pit['chi_square']:.1f}" in line and f"{pit['distance']:.3f}" in line
        assert len(kept[name]["coverage"]) == 4 and kept[name]["crps"][1] > 0
