"""Numbers that are not finite, wherever they come from: caught and named, and never written over what was sound."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bijectory
from bijectory.data.batches import Shuffled
from bijectory.data.splits import Rows
from bijectory.errors import BijectoryError, DataError, NonFiniteError
from bijectory.experiments.record import Run
from bijectory.experiments.run import train
from bijectory.experiments.use import load
from bijectory.training.best import KeepBest
from bijectory.training.checkpoint import read_tensors, write_tensors
from bijectory.training.ema import EMA
from bijectory.training.fit import Averaged, Budget, State, fit
from bijectory.training.objectives.likelihood import maximum_likelihood

NAN = float("nan")
RECIPE = """
from dataclasses import replace
from bijectory.experiments.recipe import find_recipe
from bijectory.training.objectives.likelihood import maximum_likelihood

def poisoned(*, split: str = "none", rate: float = 1e-3):
    recipe = find_recipe("moons_realnvp").build({"smoke": True, "depth": 4, "hidden": (8,)})
    def data(folder, seed):
        splits = recipe.data(folder, seed)
        if split != "none":
            getattr(splits, split).x[[7, 11], 1] = float("nan")
        return splits
    return replace(
        recipe,
        data=data,
        objective=lambda model: maximum_likelihood(model, rate=rate),
        budget=replace(recipe.budget, steps=40, log_every=4, save_every=5),
        evaluators=lambda model, splits: (),
        looks=10,
    )
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "poisoned.py"
    path.write_text(RECIPE)
    return str(path)


def check_sound(run: Path) -> int:
    """The run's last state holds no poison; returns its step."""
    state, fault = Run.open(run).load_state()
    assert fault is None
    assert state is not None
    weights = [t for name, t in state.items() if name.startswith("update.") and t.is_floating_point()]
    assert weights and all(bool(torch.isfinite(t).all()) for t in weights)
    return int(state["step"])


# rows of data ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_rows_that_are_not_finite_are_named_before_a_run_begins(recipe: str, tmp_path: Path, split: str) -> None:
    with pytest.raises(DataError, match=rf"\({split}\): row 8, column x2: expected a finite number, got nan"):
        train(recipe, assignments=[f"split={split}"], run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_rows_that_went_bad_in_memory_are_lost_steps_and_the_saved_states_stay_sound() -> None:
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    x[[37, 150]] = NAN
    model = bijectory.realnvp(2, depth=2, hidden=(8,))
    saved: list[dict[str, Tensor]] = []
    state = fit(
        maximum_likelihood(model),
        Shuffled(Rows(x), 20, 0),
        budget=Budget(steps=30, batch=20, log_every=5, save_every=3),
        log=lambda *row: None,
        save=lambda state: saved.append(state.tensors()),
    )
    assert 3 <= state.updates[0].skipped <= 6  # two rows in ten batches an epoch, three epochs
    assert len(saved) == 10
    weights = [t for tensors in saved for name, t in tensors.items() if name.startswith("update.")]
    assert all(bool(torch.isfinite(t).all()) for t in weights)


# the learning rate -------------------------------------------------------------------------------------------------------


def test_an_exploding_rate_is_named_and_the_last_state_is_sound(recipe: str, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match="lower the learning rate") as caught:
        train(recipe, assignments=["rate=1e6"], run=tmp_path / "run")
    assert "transform.transforms." in str(caught.value)  # the part of the model
    assert check_sound(tmp_path / "run") > 0
    with pytest.raises(BijectoryError, match="no weights yet"):
        load(tmp_path / "run", Path(recipe))


def test_weights_that_overflow_stop_the_run_before_they_are_saved(recipe: str, tmp_path: Path) -> None:
    """At 1e39 float32 ends: the very first step makes the weights infinite, with a gradient that was finite."""
    with pytest.raises(NonFiniteError) as caught:
        train(recipe, assignments=["rate=1e39"], run=tmp_path / "run")
    assert "transform.transforms." in str(caught.value)
    assert Run.open(tmp_path / "run").load_state() == (None, None)


# the average -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def spoilt_average(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the 23rd update on one number of the average is NaN, while the weights themselves stay sound."""
    update = EMA.update

    def spoilt(self: EMA) -> None:
        update(self)
        if self.count == 23:
            self.shadow[0][10] = NAN

    monkeypatch.setattr(EMA, "update", spoilt)


def test_a_poisoned_average_is_named_at_the_next_look(recipe: str, tmp_path: Path, spoilt_average: None) -> None:
    with pytest.raises(NonFiniteError, match=r"step 24: transform\.transforms\.\S+ .*the average of the weights"):
        train(recipe, run=tmp_path / "run")
    assert check_sound(tmp_path / "run") == 20


def test_a_poisoned_average_is_never_saved(
    recipe: str, tmp_path: Path, spoilt_average: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved before it is looked at; without the poison the run then goes on to its end."""
    monkeypatch.setattr(KeepBest, "_refuse_unsound", lambda self, step: None)
    run = tmp_path / "run"
    with pytest.raises(
        NonFiniteError, match=r"step 25 was not saved, since update\.likelihood\.ema\.shadow\.0.*step 20 is kept"
    ):
        train(recipe, run=run)
    assert check_sound(run) == 20
    monkeypatch.undo()
    train(recipe, run=run, resume=True)
    assert check_sound(run) == 40
    load(run, Path(recipe))


def poison(path: Path, name: str, value: float) -> None:
    tensors, record = read_tensors(path)
    tensors[name].view(-1)[3] = value
    write_tensors(path, tensors, record)


@pytest.mark.parametrize("name", ["ema.shadow.0", "optimizer.0.exp_avg_sq"])
def test_a_poisoned_state_is_passed_over(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    run = tmp_path / "run"
    train(recipe, run=run)
    whole = {path.name: path.read_bytes() for path in run.glob("weights*")}
    poison(run / "state.safetensors", f"update.likelihood.{name}", math.inf)
    train(recipe, run=run, resume=True)
    error = capsys.readouterr().err
    assert f"update.likelihood.{name} holds 1 of" in error and "the state before it" in error
    assert whole == {path.name: path.read_bytes() for path in run.glob("weights*")}
    for file in ("state", "state.previous"):
        poison(run / f"{file}.safetensors", f"update.likelihood.{name}", NAN)
    with pytest.raises(BijectoryError, match="no earlier state is whole"):
        train(recipe, run=run, resume=True)


# what is kept as the best ------------------------------------------------------------------------------------------------


class Looks:
    """An evaluator whose scores are known beforehand."""

    every = 1

    def __init__(self, *values: float) -> None:
        self.values = iter(values)

    def __call__(self, step: int) -> Iterable[Any]:
        return [SimpleNamespace(name="nats", value=next(self.values))]


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_never_the_best(value: float) -> None:
    model = nn.Linear(1, 1)
    best = KeepBest(model, Looks(2.0, value, 3.0), every=1)
    first = model.weight.detach().clone()
    for step in (1, 2, 3):
        best(step)
        nn.init.constant_(model.weight, step)
    assert (best.value, best.step, best.missed) == (2.0, 1, 1)
    best.restore()
    assert torch.equal(model.weight, first)


def test_weights_that_are_not_finite_are_never_kept_whatever_their_score() -> None:
    model = nn.Linear(2, 1)
    best = KeepBest(model, Looks(2.0), every=1)
    nn.init.constant_(model.weight, NAN)
    with pytest.raises(NonFiniteError, match="step 1: weight"):
        best(1)
    assert all(bool(torch.isfinite(t).all()) for t in best.kept.values())


def test_no_finite_score_at_all_is_an_error_and_not_the_untrained_weights() -> None:
    best = KeepBest(nn.Linear(1, 1), Looks(NAN, NAN), every=1)
    best(1)
    best(2)
    again = KeepBest(nn.Linear(1, 1), Looks(), every=1)
    again.load(best.tensors())  # a run that was killed after its last look knows it too
    for kept in (best, again):
        with pytest.raises(NonFiniteError, match="none of the 2 looks gave a finite number"):
            kept.restore()


def test_the_average_is_put_back_when_a_look_refuses_it() -> None:
    model = bijectory.realnvp(2, depth=2, hidden=(8,))
    updates = maximum_likelihood(model)
    assert updates[0].ema is not None
    updates[0].ema.shadow[0][0] = NAN
    with pytest.raises(NonFiniteError, match="the weights themselves are"):
        Averaged(updates, KeepBest(model, Looks(NAN), every=1))(1)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


# what is written ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def record(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", {"recipe": "moons_realnvp"}, Path(__file__))


def test_a_state_that_is_not_sound_leaves_the_saved_ones_alone(record: Run) -> None:
    updates = maximum_likelihood(bijectory.realnvp(2, depth=2, hidden=(8,)))
    state = State(updates)
    for state.step in (1, 2):
        record.save_state(state.tensors())
    before = {path.name: path.read_bytes() for path in record.path.glob("state*")}
    state.step = 3
    with torch.no_grad():
        updates[0].parameters[0][5] = math.inf
    with pytest.raises(
        NonFiniteError, match=r"step 3 was not saved, since update\.likelihood\.\S+ holds 1 of .*step 2 is kept"
    ):
        record.save_state(state.tensors())
    assert before == {path.name: path.read_bytes() for path in record.path.glob("state*")}


def test_a_sum_that_a_lost_step_made_nan_is_no_fault_of_the_state(record: Run) -> None:
    state = State(maximum_likelihood(bijectory.realnvp(2, depth=2, hidden=(8,))))
    state.add("nats", torch.tensor(NAN))
    record.save_state(state.tensors())
    assert record.load_state()[1] is None


def test_weights_that_are_not_finite_are_not_written(record: Run) -> None:
    model = bijectory.realnvp(2, depth=2, hidden=(8,))
    x = torch.randn(20, 2)
    nn.init.constant_(next(model.parameters()), NAN)
    with pytest.raises(NonFiniteError, match=r"model\.transform\S+ of step 5 is not finite"):
        record.save_weights(model, 5, x)
    assert not (record.path / "weights.safetensors").exists()


def test_a_result_that_is_not_finite_is_named_and_a_row_of_the_log_stays_json(record: Run) -> None:
    with pytest.raises(NonFiniteError, match=r"scores\.1\.value is not finite"):
        record.save_json("result.json", {"scores": [{"value": 1.0}, {"value": NAN}]})
    assert not (record.path / "result.json").exists()
    record.append_metrics({"step": 1, "train": {"nats": NAN}, "scores": [{"value": -math.inf}]})
    line = (record.path / "metrics.jsonl").read_text()
    assert json.loads(line) == {"step": 1, "train": {"nats": None}, "scores": [{"value": None}]}
