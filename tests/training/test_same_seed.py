"""Same seed, same result: the rows of docs/reproducibility.md that a CPU shows in seconds.

Kills are in test_kills.py, several processes in test_ranks.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from bijectory.experiments.run import train
from bijectory.experiments.use import evaluate, sample

RECIPE = """
from dataclasses import replace
from bijectory.experiments.recipe import find_recipe

def job(*, name: str = "smiley_realnvp", threads: int = 1, looks: int = 4, rows: int = 10, save: int = 10, compiled: bool = False):
    recipe = find_recipe(name).build({"smoke": True})
    def objective(model):
        return [replace(update, compiled=compiled) for update in recipe.objective(model)]
    budget = replace(recipe.budget, log_every=rows, save_every=save)
    return replace(recipe, objective=objective, threads=threads, looks=looks, budget=budget)
"""


class Jobs:
    """Runs of one short recipe, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.recipe, self.made = folder, folder / "job.py", 0
        self.recipe.write_text(RECIPE)

    def __call__(self, *words: str, **options: Any) -> Path:
        self.made += 1
        run = self.folder / f"run-{self.made}"
        train(str(self.recipe), assignments=words, run=run, **options)
        return run


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Jobs]:
    yield Jobs(tmp_path)
    torch.set_num_threads(1)


def state(run: Path) -> dict[str, Tensor]:
    return {name: t for name, t in load_file(run / "state.safetensors").items() if name != "seconds"}


def bits(run: Path) -> dict[str, bytes]:
    """Everything that must be equal: the weights' file as it is, all of the state but the seconds, every row of the log."""
    found = {name: t.numpy().tobytes() for name, t in state(run).items()}
    return {**found, "weights": (run / "weights.safetensors").read_bytes(), "log": (run / "metrics.jsonl").read_bytes()}


def apart(one: Path, two: Path) -> float:
    """How far the last weights lie apart, as a part of their length."""
    a, b = (
        torch.cat(
            [t.double().reshape(-1) for n, t in sorted(state(run).items()) if ".loss." in n and t.is_floating_point()]
        )
        for run in (one, two)
    )
    return float((a - b).norm() / a.norm())


@pytest.mark.parametrize("name", ["smiley_mixture_cdf", "parabola_nice"])
def test_again_gives_the_same_bits(job: Jobs, name: str) -> None:
    one, two = job(f"name={name}"), job(f"name={name}")
    assert bits(one) == bits(two)
    other = job(f"name={name}", seed=1)
    assert bits(one)["weights"] != bits(other)["weights"]


def test_another_process_gives_the_same_bits(job: Jobs, forks: Any, tmp_path: Path) -> None:
    code, error = forks.train(job.recipe, "--run", tmp_path / "forked").wait()
    assert code == 0, error
    assert bits(job()) == bits(tmp_path / "forked")


def test_looking_logging_and_saving_more_often_changes_no_weight(job: Jobs) -> None:
    """They only look: nothing that they draw is drawn from the training's own random stream."""
    one, two = state(job()), state(job("looks=10", "rows=1", "save=3"))
    trained = [name for name in one if name.startswith("update.") or name == "rng"]
    assert len(trained) > 10
    assert [name for name in trained if not torch.equal(one[name], two[name])] == []


# tensorboard still calls what NumPy and protobuf have deprecated
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_changes_nothing(job: Jobs) -> None:
    pytest.importorskip("tensorboard")
    assert bits(job()) == bits(job(tensorboard=True))


def test_a_resumed_run_keeps_its_own_threads(job: Jobs) -> None:
    run = job()
    before = bits(run)
    for path in run.glob("state*"):
        path.unlink()
    torch.set_num_threads(2)
    train(str(job.recipe), run=run, resume=True)
    assert torch.get_num_threads() == 1
    assert bits(run) == before


def test_judging_and_sampling_again_give_the_same_bits(job: Jobs) -> None:
    run = job()
    assert evaluate(run, recipe=job.recipe) == json.loads((run / "result.json").read_text())
    one, two, other = (sample(run, 50, seed=seed, recipe=job.recipe)[1] for seed in (3, 3, 4))
    assert one.tobytes() == two.tobytes() != other.tobytes()


# to tolerance ------------------------------------------------------------------------------------------------------------


def test_two_threads_come_close(job: Jobs) -> None:
    """Sums of many numbers are cut at other places: 20 steps at rates of 1e-3 then stay within a thousandth of a step."""
    assert apart(job(), job("threads=2")) < 1e-6


# inductor's own imports raise torch's deprecation warning
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.slow
def test_a_compiled_step_comes_close_and_gives_the_same_bits_again(job: Jobs) -> None:
    eager, compiled = job(), job("compiled=true")
    torch.compiler.reset()
    again = job("compiled=true")
    torch.compiler.reset()
    assert 0 < apart(eager, compiled) < 1e-5
    assert bits(compiled) == bits(again)
