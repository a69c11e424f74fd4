"""Runs of models that estimate their density: noise belongs to rows and steps, and every score says 'estimate'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import bijectory as bj
from bijectory.data.batches import Batch, Shuffled
from bijectory.data.splits import Rows
from bijectory.errors import CheckpointError, InputError
from bijectory.evaluation.likelihood import estimate_rows
from bijectory.experiments.check import certify
from bijectory.experiments.run import train
from bijectory.experiments.use import evaluate, load, score
from bijectory.training.doctor import diagnose, log_scales
from bijectory.training.fit import Budget, State, fit
from bijectory.training.objectives.estimate import maximum_estimate
from bijectory.training.objectives.likelihood import maximum_likelihood
from bijectory.training.update import apply

RECIPE = """
from bijectory.data.toy_splits import toy_splits
from bijectory.experiments.recipe import Recipe
from bijectory.models.flows.ffjord import ffjord
from bijectory.models.flows.residual_flow import residual_flow
from bijectory.training.fit import Budget
from bijectory.training.objectives.estimate import maximum_estimate

def job(*, kind: str = "probe"):
    def model(schema):
        if kind == "probe":
            return ffjord(schema.event_shape, hidden=(8,), steps=16, trace="hutchinson")
        return residual_flow(schema.event_shape, depth=2, hidden=(8,), log_det="estimate")
    return Recipe(
        data=lambda folder, seed: toy_splits("moons", seed, rows=1000),
        model=model,
        objective=lambda model: maximum_estimate(model, rate=1e-2),
        budget=Budget(steps=8, batch=64, log_every=2, save_every=4),
        looks=2,
        draws=4,
    )
"""


@pytest.fixture(scope="module", params=["probe", "series"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("estimates")
    (folder / "job.py").write_text(RECIPE)
    train(str(folder / "job.py"), assignments=[f"kind={request.param}"], run=folder / "run")
    return folder / "run"


def test_every_score_says_estimate(run: Path) -> None:
    scores = json.loads((run / "result.json").read_text())["scores"]
    assert {s["kind"] for s in scores} == {"estimate"}
    assert {s["name"] for s in scores if s["split"] == "test"} == {
        "nats",
        "bits_per_dim",
        "excess_nats",
        "float32_bias",
    }
    again = evaluate(run, recipe=run.parent / "job.py")["scores"]
    assert [s["value"] for s in again] == pytest.approx([s["value"] for s in scores], rel=1e-9)


def test_rows_of_a_file_are_scored_as_estimates(run: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 2))
    name, found = score(run, values, recipe=run.parent / "job.py")
    assert name == "log_prob_estimate"
    model = load(run, run.parent / "job.py").model
    assert np.array_equal(found, estimate_rows(model, torch.from_numpy(values), draws=4).numpy())


def test_the_run_has_a_certificate(run: Path) -> None:
    checks = {check["law"]: check for check in certify(run, recipe=run.parent / "job.py")["checks"]}
    assert {"estimate", "estimate gradient", "noise", "own noise", "round trip float64"} <= set(checks)
    assert [law for law, check in checks.items() if not check["passed"]] == []


def test_probe_rows_notice_a_changed_constant(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "probe.log_prob_estimate" in load_file(run / "weights.safetensors")
    original = bj.Normal.log_prob
    monkeypatch.setattr(bj.Normal, "log_prob", lambda self, z, context=None: original(self, z, context) + 1e-6)
    with pytest.raises(CheckpointError, match="16 probe rows give other log densities"):
        load(run, run.parent / "job.py")


# Training itself


def rows() -> Rows:
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    return Rows(torch.stack([x[:, 0], x[:, 1] + x[:, 0] ** 2], 1))


def flow(kind: str) -> bj.EstimatedFlow:
    torch.manual_seed(3)
    if kind == "probe":
        model = bj.ffjord(2, hidden=(8,), steps=4, trace="hutchinson")
    else:
        model = bj.residual_flow(2, depth=2, hidden=(8,), log_det="estimate")
    bj.initialise(model, rows().x)
    return model


def batches(model: bj.EstimatedFlow, **pieces: int) -> Shuffled:
    return Shuffled(rows(), 50, 7, noise=lambda n, generator: model.draw_noise((n,), generator=generator), **pieces)


@pytest.mark.parametrize("kind", ["probe", "series"])
def test_a_resumed_run_ends_with_the_same_bits(kind: str) -> None:
    saved: dict[int, dict[str, Any]] = {}

    def keep(state: State) -> None:
        saved[state.step] = state.tensors()

    whole, resumed = flow(kind), flow(kind)
    budget = Budget(steps=9, batch=50, save_every=5)
    fit(maximum_estimate(whole), batches(whole), budget=budget, save=keep)
    torch.manual_seed(99)
    fit(maximum_estimate(resumed), batches(resumed), budget=budget, resume=saved[5])
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_processes_cut_the_same_noise() -> None:
    model = flow("series")
    alone, parts = batches(model)(3), [batches(model, part=part, parts=2)(3) for part in (0, 1)]
    assert alone.noise is not None and alone.noise.shape == (50, 2 * 3)
    assert torch.equal(alone.noise, torch.cat([part.noise for part in parts]))  # type: ignore[misc]


def test_a_batch_without_noise_is_refused() -> None:
    (update,) = maximum_estimate(flow("probe"))
    with pytest.raises(InputError, match="expected noise for an estimate, got none"):
        update.loss(Batch(rows().x, None, torch.arange(200)), 0)


def test_training_maximises_the_likelihood() -> None:
    model = flow("series")
    before = float(estimate_rows(model, rows().x, draws=8).mean())
    fit(maximum_estimate(model, rate=1e-2, average=None), batches(model), budget=Budget(steps=60, batch=50))
    assert float(estimate_rows(model, rows().x, draws=8).mean()) > before + 0.1


# The doctor, where networks run inside torch.func


@pytest.mark.parametrize("kind", ["exact", "probe", "series"])
def test_a_lost_step_of_a_field_is_diagnosed(kind: str) -> None:
    model = bj.ffjord(2, hidden=(8,), steps=2) if kind == "exact" else flow(kind)
    (update,) = maximum_likelihood(model) if isinstance(model, bj.Flow) else maximum_estimate(model)
    noise = None if isinstance(model, bj.Flow) else model.draw_noise((50,))
    batch = Batch(rows().x[:50] * 1e30, None, torch.arange(50), noise)
    apply(update, batch, 0)
    assert update.take_lost() == [0]
    assert "is not finite" in str(diagnose(update, batch, 0))


def test_a_model_whose_only_map_estimates_has_no_log_scales() -> None:
    model = bj.EstimatedFlow(bj.Normal((2,)), bj.Continuous(bj.TimeMLP(2, hidden=(8,)), steps=2, trace="hutchinson"))
    (update,) = maximum_estimate(model)
    batch = Batch(rows().x, None, torch.arange(200), model.draw_noise((200,)))
    assert log_scales(update, batch, 0) == {}
