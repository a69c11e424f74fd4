"""Real processes that cost little, forked from one that has paid for importing torch already, and runs to compare theirs with."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

# One thread: a process with several must not fork. What comes after the fork is the command line's own door, and a process of its own.
# torch's optimisers import torch._dynamo at their first step, which takes longer than all the rest of a short run.
SERVER = """
import json, os, sys, traceback
import torch, torch._dynamo
torch.set_num_threads(1)
import bijectory.cli.tables, bijectory.experiments.check
from bijectory.cli.main import main
from bijectory.experiments.recipe import built_in_recipes, find_recipe
for name in built_in_recipes():
    find_recipe(name).function(smoke=True)
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(writing, 2)
        os.close(reading)
        os.close(writing)
        sys.argv = ["bijectory", *order["words"]]
        code = 1
        try:
            exec(order["first"], {})
            main()
        except SystemExit as left:
            code = left.code or 0
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)
    os.close(writing)
    print(child, flush=True)
    with open(reading, errors="replace") as said:
        error = said.read()
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), error]), flush=True)
"""

#: Handed over as ``first``: training without the certificate at its end, which takes longer than all the rest of a short run.
UNCERTIFIED = """
import bijectory.experiments.check
bijectory.experiments.check.certify = lambda path, **options: {"checks": []}
"""


# A recipe's smoke run drawn out, with many checkpoints. Its own schedule would have come to zero at the smoke run's last step, and
# after that every run would end alike.
RECIPE = """
from dataclasses import replace
from bijectory.experiments.recipe import find_recipe
from bijectory.training.schedule import warmup_cosine

def drawn_out(*, name: str = "moons_realnvp"):
    'A short run with many checkpoints.'
    recipe = find_recipe(name).build({"smoke": True})
    steps = 3 * recipe.budget.steps
    def objective(model):
        return [replace(update, schedule=warmup_cosine(steps, warmup=5), compiled=False) for update in recipe.objective(model)]
    budget = replace(recipe.budget, steps=steps, log_every=2, save_every=3, seconds=3600)
    return replace(recipe, objective=objective, budget=budget, looks=10)
"""


class Child:
    """A forked process that runs ``bijectory words…``."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        assert server.stdout is not None
        self._out = server.stdout
        self.pid = int(self._out.readline())

    def ended(self, within: float = 0.0) -> bool:
        """Whether it ends before ``within`` seconds are over."""
        return bool(select.select([self._out], [], [], within)[0])

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self) -> tuple[int, str]:
        """Exit code, negative where a signal ended it, and what it said on standard error."""
        assert self.ended(120), "still running after two minutes"
        code, error = json.loads(self._out.readline())
        return code, error


class Forks:
    """Starts one forked process at a time."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n"

    def start(self, *words: object, first: str = "") -> Child:
        assert self._server.stdin is not None
        order = {"words": [str(word) for word in words], "first": first}
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return Child(self._server)

    def train(self, *words: object, first: str = "") -> Child:
        """``bijectory train words…`` without the certificate."""
        return self.start("train", *words, first=UNCERTIFIED + first)

    def close(self) -> None:
        self._server.communicate(timeout=60)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    made = Forks()
    yield made
    made.close()


@dataclass(frozen=True)
class Whole:
    """A run that nobody killed: the words that made it, where it is, and how long its process took."""

    words: tuple[str, ...]
    run: Path
    seconds: float

    def check_same(self, run: Path) -> None:
        """The run at ``run`` ended with the same files, and has nothing left in it that was half-written."""
        left, right = outcome(run), outcome(self.run)
        assert left.keys() == right.keys()
        assert [name for name in left if left[name] != right[name]] == []
        assert list(run.rglob(".*")) == []


class Wholes:
    """Each recipe's uninterrupted run, made when first asked for."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.recipe, self.forks = folder / "drawn_out.py", forks
        self.recipe.write_text(RECIPE)
        self.found: dict[str, Whole] = {}

    def __getitem__(self, name: str) -> Whole:
        if name not in self.found:
            run, words = self.recipe.with_name(name), (str(self.recipe), f"name={name}")
            started = time.monotonic()
            code, error = self.forks.train(*words, "--run", run).wait()
            assert code == 0, error
            self.found[name] = Whole(words, run, time.monotonic() - started)
        return self.found[name]


def outcome(run: Path) -> dict[str, Any]:
    """All that a run leaves, but for the time it took."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    found: dict[str, Any] = {"metrics": [json.loads(line) for line in lines]}
    for name in ("weights", "state"):
        tensors = load_file(run / f"{name}.safetensors")
        found |= {f"{name} {k}": v.numpy().tobytes() for k, v in tensors.items() if k != "seconds"}
    for path in (run / "arrays").iterdir():
        with np.load(path, allow_pickle=False) as arrays:
            # What pictures cost is seconds too, under the names of what was timed.
            times = ("score", "sample") if path.name.startswith("image_cost") else ("seconds",)
            found |= {f"{path.name} {k}": arrays[k].tobytes() for k in arrays.files if k not in times}
    return {**found, "result": {**json.loads((run / "result.json").read_text()), "seconds": None}}


@pytest.fixture(scope="session")
def wholes(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Wholes:
    return Wholes(tmp_path_factory.mktemp("kills"), forks)
