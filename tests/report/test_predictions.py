"""Figures and sentences of predictions and costs: they carry the numbers, and tell calibrated from not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bijectory.evaluation.regression import LEVELS, covered, pit_test
from bijectory.experiments.run import train
from bijectory.figures.plates import plates
from bijectory.figures.style import DARK, LIGHT, pixels
from bijectory.report.comments import calibration_comment, cost_comment
from bijectory.report.page import render
from bijectory.report.tables import Reading, read


def calibration(u: np.ndarray) -> dict[str, np.ndarray]:
    found = pit_test(u)
    shares = np.array([covered(torch.from_numpy(u), level).mean().item() for level in LEVELS])
    return {
        "counts": found.counts,
        "n": np.asarray(len(u)),
        "chi_square": np.asarray(found.chi_square),
        "chi_square_p": np.asarray(found.chi_square_p),
        "distance": np.asarray(found.distance),
        "distance_p": np.asarray(found.distance_p),
        "level": np.asarray(LEVELS),
        "coverage": shares,
        "stderr": np.sqrt(shares * (1 - shares) / len(u)),
    }


U = np.random.default_rng(0).random(4000)
COST = {
    "models": np.array(["maf", "iaf"]),
    "tasks": np.array(["training step", "sample"]),
    "rows": np.array([256, 1000]),
    "seconds": np.array([[[0.002, 0.003, 0.004], [0.06, 0.05, 0.04]], [[0.08, 0.08, 0.08], [0.002, 0.002, 0.002]]]),
}


def test_uniform_values_are_called_calibrated() -> None:
    first, last = calibration_comment(calibration(U))
    assert first.startswith("The predictions are calibrated") and "n = 4,000" in first
    assert "Every interval holds" in last


@pytest.mark.parametrize(("u", "shape"), [(0.5 + 0.5 * np.sin(np.pi * (U - 0.5)), "narrow"), (0.25 + U / 2, "wide")])
def test_predictions_too_narrow_and_too_wide_are_called_so(u: np.ndarray, shape: str) -> None:
    first, last = calibration_comment(calibration(u))
    assert f"too {shape}" in first and "p < 0.0001" in first
    assert "50 % intervals hold" in last


def test_the_cost_says_who_is_cheaper_and_how_many_times() -> None:
    step, sample = cost_comment(COST)
    assert step == "training step of 256 rows: maf takes 3.0 ms, iaf 16.7 times as long."
    assert sample == "sample of 1,000 rows: iaf takes 2.0 ms, maf 40.0 times as long."


def test_plates_carry_their_numbers_and_are_drawn() -> None:
    intervals = {"y": np.array([0.0, 5.0]), "quantiles": np.array([[-1, 0], [0, 1], [1, 2], [2, 3], [3, 4.0]])}
    found = [
        *plates("calibration", calibration(U), ("y",)),
        *plates("intervals", intervals, ("$y",)),
        *plates("cost", COST, ("y",)),
    ]
    assert [plate.name for plate in found] == ["pit", "coverage", "intervals", "cost"]
    assert "inside the central 90 % intervals" in found[1].alt and "50 % of the rows lie inside" in found[2].alt
    assert "maf 3.0 ms, iaf 50.0 ms" in found[3].alt
    assert found[2].draw(LIGHT).axes[0].get_ylabel() == "$y, in its own unit"
    assert all(pixels(plate.draw(theme)).shape[2] == 4 for plate in found for theme in (LIGHT, DARK))


def test_the_bars_are_relative_to_uniform() -> None:
    (histogram, _) = plates("calibration", calibration(U), ("y",))
    (steps,) = histogram.draw(LIGHT).axes[0].patches[-1:]
    assert steps.get_data().values.mean() == pytest.approx(1)  # type: ignore[attr-defined]


def test_the_page_of_a_conditional_run_shows_its_predictions(tmp_path: Path) -> None:
    run = train("regression", assignments=["smoke=true"], run=tmp_path / "run")
    assert run is not None
    reading: Reading = read(run)
    page = render([reading])
    assert "Predictions" in page and "CRPS, in units of the target" in page and "central 90 % intervals" in page
    assert "<td>c1, c2, c3, c4, c5, c6, c7, c8</td>" in page
    assert {"pit.png", "coverage.png", "intervals.png"} <= {path.name for path in (run / "figures").iterdir()}
    assert not reading.missing or all("certificate" in note for note in reading.missing)
