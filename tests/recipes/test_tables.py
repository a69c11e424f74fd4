"""Recipes on tables beyond their defaults: every flow trains, a continuous one on the weights that are judged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bijectory import Autoregressive
from bijectory.data.generated_tables import generated_table
from bijectory.experiments.check import certify
from bijectory.experiments.run import train
from bijectory.experiments.use import load
from bijectory.recipes._tables import Size, Training, estimate_noise, estimated, objective, vector_flow
from bijectory.recipes.bsds300 import PUBLISHED, bsds300
from bijectory.recipes.maf_against_iaf import maf_against_iaf
from bijectory.recipes.regression import EXPECTED, regression
from bijectory.recipes.uci_density import GAUSSIAN, uci_density


@pytest.mark.parametrize(
    "words",
    [
        ["regression", "flow=mixture_cdf"],
        ["regression", "flow=maf"],
        ["uci_density", "flow=maf", "table=bike"],
        ["maf_against_iaf", "direction=iaf", "table=bike"],
        ["uci_density", "flow=ffjord"],
        ["bsds300", "flow=ffjord"],
    ],
    ids=" ".join,
)
def test_other_flows_train(words: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(words[0], assignments=[*words[1:], "smoke=true"], run=run)
    assert load(run).model.event_shape
    if "flow=ffjord" in words:
        # An exact trace of more columns takes minutes.
        assert load(run).model.event_shape == (3,)
        assert all(check["passed"] for check in certify(run)["checks"])


def test_a_continuous_flow_learns_by_the_estimate_of_its_own_weights() -> None:
    torch.manual_seed(0)
    model = vector_flow("ffjord", 3, Size(hidden=(8,), ode_steps=4))
    twin = estimated(model)
    assert {id(p) for p in model.parameters()} == {id(p) for p in twin.parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    x = torch.randn(6, 3)
    noise = estimate_noise(model)(400 * 6, torch.Generator().manual_seed(0)).reshape(400, 6, -1)
    with torch.no_grad():
        estimates = torch.stack([twin.log_prob_estimate(x, noise=one) for one in noise])
        exact = model.log_prob(x)
    error = estimates.std(0) / len(estimates) ** 0.5
    assert ((estimates.mean(0) - exact).abs() < 4.5 * error + 1e-5).all()
    (update,) = objective(Training(10, 6, 1e-3))(model)
    assert update.name == "estimate"


def test_a_smoke_run_on_other_rows_promises_no_figure() -> None:
    for recipe in (bsds300, maf_against_iaf, regression, uci_density):
        assert recipe(smoke=True).expect is None and recipe().expect is not None


def test_every_table_and_flow_has_its_expectation() -> None:
    assert all(regression(table=table).expect is not None for table in EXPECTED)  # type: ignore[arg-type]
    assert all(uci_density(table=table).expect is not None for table in GAUSSIAN)  # type: ignore[arg-type]
    assert all(bsds300(flow=flow).expect is not None for flow in PUBLISHED)  # type: ignore[arg-type]


def test_bins_on_tables_have_a_floor_that_float32_can_undo() -> None:
    schema = generated_table(5, 50, 0).schema
    chosen = [("parkinsons", None, 6, 0.15), ("bike", None, 8, 0.1), ("keggdirected", None, 8, 0.1)]
    for table, asked, bins, floor in [*chosen, ("parkinsons", 9, 9, 0.1), ("bike", 18, 18, 0.05)]:
        model = uci_density(table=table, bins=asked).model(schema)  # type: ignore[arg-type]
        (spline, *_) = (part.elementwise for part in model.modules() if isinstance(part, Autoregressive))
        assert (spline.bins, spline.floor) == (bins, floor)
    (affine, *_) = (
        part.elementwise for part in uci_density(flow="maf").model(schema).modules() if isinstance(part, Autoregressive)
    )
    assert affine.scale == 2.0
