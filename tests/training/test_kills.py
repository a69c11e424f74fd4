"""Real kills: a run killed at any moment and resumed ends as the run that nobody killed. Every built-in recipe takes its turn."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bijectory.experiments.recipe import built_in_recipes
from bijectory.experiments.record import Run
from bijectory.experiments.use import load

RECIPES = sorted(built_in_recipes())


def check_readable(run: Path, recipe: str) -> list[str]:
    """At whatever moment a run was killed, its directory opens; returns the words that go on with it."""
    if not run.exists():
        return []
    tensors, fault = Run.open(run).load_state()
    assert fault is None
    assert tensors is None or int(tensors["step"]) % 3 == 0
    if (run / "weights.safetensors").exists():
        load(run, Path(recipe))
    return ["--resume"]


def kill_and_resume(wholes: Any, folder: Path, seed: int) -> None:
    whole, moment = wholes[RECIPES[seed % len(RECIPES)]], random.Random(seed)
    for attempt in range(10):
        run = folder / f"run-{attempt}"
        child = wholes.forks.train(*whole.words, "--run", run)
        # A machine that has become faster must not let every run finish before its kill.
        if not child.ended(moment.uniform(0, whole.seconds) * 0.8**attempt):
            child.send(signal.SIGKILL)
        if child.wait()[0] == -signal.SIGKILL:
            break
    else:
        pytest.fail("never killed")
    more = check_readable(run, whole.words[0])
    code, error = wholes.forks.train(*whole.words, "--run", run, *more).wait()
    assert code == 0, error
    whole.check_same(run)


@pytest.mark.parametrize("seed", range(9))
def test_killed_and_resumed_equals_uninterrupted(wholes: Any, tmp_path: Path, seed: int) -> None:
    kill_and_resume(wholes, tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(9, 109))
def test_many_kills(wholes: Any, tmp_path: Path, seed: int) -> None:
    kill_and_resume(wholes, tmp_path, seed)


def start(*words: object) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "bijectory", "train", *map(str, words)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(condition: Any, running: Any) -> None:
    deadline = time.monotonic() + 60
    while running() and time.monotonic() < deadline and not condition():
        time.sleep(0.002)


def test_the_same_for_a_command_that_was_typed(wholes: Any, tmp_path: Path) -> None:
    whole, run = wholes["smiley_realnvp"], tmp_path / "run"
    process = start(*whole.words, "--run", run)
    until((run / "state.safetensors").exists, lambda: process.poll() is None)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    process = start(*whole.words, "--run", run, *check_readable(run, whole.words[0]))
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    whole.check_same(run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(wholes: Any, tmp_path: Path, number: signal.Signals) -> None:
    whole, run = wholes["smiley_mixture_cdf"], tmp_path / "run"
    child = wholes.forks.train(*whole.words, "--run", run)
    until((run / "state.safetensors").exists, lambda: not child.ended())
    child.send(number)
    code, error = child.wait()
    assert code == 128 + number, error
    assert "--resume" in error and len(error.strip().splitlines()) == 1
    code, error = wholes.forks.train(*whole.words, "--run", run, "--resume").wait()
    assert code == 0, error
    whole.check_same(run)


def test_a_damaged_state_falls_back_to_the_one_before(wholes: Any, tmp_path: Path) -> None:
    whole, run = wholes["smiley_mixture_cdf"], tmp_path / "run"
    child = wholes.forks.train(*whole.words, "--run", run)
    until((run / "state.previous.safetensors").exists, lambda: not child.ended())
    child.send(signal.SIGKILL)
    child.wait()
    (run / "state.next.safetensors").unlink(missing_ok=True)
    state = run / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-7])
    code, error = wholes.forks.train(*whole.words, "--run", run, "--resume").wait()
    assert code == 0, error
    assert "state.safetensors" in error and "before it" in error
    whole.check_same(run)


@pytest.mark.parametrize("last", [False, True])
def test_a_kill_between_the_two_renames_loses_nothing(wholes: Any, tmp_path: Path, last: bool) -> None:
    """The moment is shorter than most random kills will meet: stopped there by hand, early with a damaged state before it, or late."""
    whole, run = wholes["smiley_mixture_cdf"], tmp_path / "run"
    saves = json.loads((whole.run / "result.json").read_text())["steps"] // 3
    first = f"""
import os, signal
from pathlib import Path
replace, left = os.replace, {saves if last else 3}
def killed(source, target):
    global left
    if Path(source).name == "state.next.safetensors":
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = killed
"""
    assert wholes.forks.train(*whole.words, "--run", run, first=first).wait()[0] == -signal.SIGKILL
    assert not (run / "state.safetensors").exists()
    if not last:
        (run / "state.previous.safetensors").write_bytes(b"damaged")
    check_readable(run, whole.words[0])
    code, error = wholes.forks.train(*whole.words, "--run", run, "--resume").wait()
    assert code == 0, error
    whole.check_same(run)
