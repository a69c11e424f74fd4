"""Real kills: a run killed at any moment and resumed ends with the weights of the run that nobody killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

RECIPE = """
from dataclasses import replace
from bijectory.recipes.smiley_mixture_cdf import smiley_mixture_cdf
from bijectory.training.fit import Budget

def short(*, steps: int = 400):
    'A run of seconds with many checkpoints.'
    recipe = smiley_mixture_cdf(components=4, hidden=(16,), smoke=True)
    return replace(recipe, budget=Budget(steps=steps, batch=64, log_every=7, save_every=11), looks=20)
"""


def start(run: Path, recipe: Path, *more: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "bijectory", "train", str(recipe), "--run", str(run), *more]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, error = process.communicate(timeout=120)
    return process.returncode, error


def outcome(run: Path) -> tuple[dict[str, bytes], list[dict[str, object]]]:
    weights = {k: v.numpy().tobytes() for k, v in load_file(run / "weights.safetensors").items()}
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return weights, metrics


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, float]:
    """The recipe, the uninterrupted run, and how long its training took."""
    folder = tmp_path_factory.mktemp("kills")
    recipe = folder / "short.py"
    recipe.write_text(RECIPE)
    code, error = wait(start(folder / "whole", recipe))
    assert code == 0, error
    return recipe, folder / "whole", json.loads((folder / "whole" / "result.json").read_text())["seconds"]


def until(condition: object, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline and not condition():  # type: ignore[operator]
        time.sleep(0.005)


def kill_and_resume(whole: tuple[Path, Path, float], run: Path, seed: int) -> None:
    recipe, reference, seconds = whole
    moment = random.Random(seed)
    process = start(run, recipe)
    until((run / "settings.json").exists, process)
    time.sleep(moment.uniform(0, 0.8 * seconds))
    os.kill(process.pid, signal.SIGKILL)
    wait(process)
    code, error = wait(start(run, recipe, "--resume"))
    assert code == 0, error
    assert outcome(run) == outcome(reference)


@pytest.mark.parametrize("seed", range(3))
def test_killed_and_resumed_equals_uninterrupted(whole: tuple[Path, Path, float], tmp_path: Path, seed: int) -> None:
    kill_and_resume(whole, tmp_path / "run", seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 103))
def test_many_kills(whole: tuple[Path, Path, float], tmp_path: Path, seed: int) -> None:
    kill_and_resume(whole, tmp_path / "run", seed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(
    whole: tuple[Path, Path, float], tmp_path: Path, number: signal.Signals
) -> None:
    recipe, reference, _ = whole
    run = tmp_path / "run"
    process = start(run, recipe)
    until((run / "state.safetensors").exists, process)
    process.send_signal(number)
    code, error = wait(process)
    assert code == 128 + number, error
    assert "--resume" in error and len(error.strip().splitlines()) == 1
    assert wait(start(run, recipe, "--resume"))[0] == 0
    assert outcome(run) == outcome(reference)


def test_a_damaged_state_falls_back_to_the_one_before(whole: tuple[Path, Path, float], tmp_path: Path) -> None:
    recipe, reference, _ = whole
    run = tmp_path / "run"
    process = start(run, recipe)
    until((run / "state.previous.safetensors").exists, process)
    os.kill(process.pid, signal.SIGKILL)
    wait(process)
    state = run / "state.safetensors"
    assert state.exists()
    state.write_bytes(state.read_bytes()[:-7])
    code, error = wait(start(run, recipe, "--resume"))
    assert code == 0, error
    assert "state.safetensors" in error and "before it" in error
    assert outcome(run) == outcome(reference)
