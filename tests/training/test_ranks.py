"""Several processes: what they compute is what one computes, and the end of one is the end of all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bijectory.data.batches import Shuffled
from bijectory.data.splits import Rows
from bijectory.errors import InputError, RankLostError
from bijectory.training.interrupt import Interruption
from bijectory.training.ranks import ALONE, Ranks, joined_ranks

RECIPE = '''
from dataclasses import replace
from bijectory.recipes.smiley_realnvp import smiley_realnvp
from bijectory.training.fit import Budget
from bijectory.training.objectives.likelihood import maximum_likelihood

def job(*, steps: int = 50, parts: int = 1, compiled: bool = False):
    """A short run.

    steps: updates
    parts: pieces of an accumulated gradient
    compiled: ask for a compiled step, which several processes cannot have
    """
    recipe = smiley_realnvp(hidden=(16,), smoke=True)
    return replace(
        recipe,
        objective=lambda model: maximum_likelihood(model, rate=1e-3, clip=1.0, accumulate=parts, compiled=compiled),
        budget=Budget(steps=steps, batch=65, log_every=7, save_every=11),
        looks=5,
    )
'''


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ranks") / "job.py"
    path.write_text(RECIPE)
    return path


def words(processes: int, recipe: Path, run: Path, *more: str) -> list[str]:
    job = ["bijectory", "train", str(recipe), "--run", str(run), *more]
    if processes == 1:
        return [sys.executable, "-m", *job]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*torchrun, "-m", "--", *job]


def finish(processes: int, recipe: Path, run: Path, *more: str) -> None:
    done = subprocess.run(
        words(processes, recipe, run, *more), capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr


def weights(run: Path) -> torch.Tensor:
    tensors = load_file(run / "state.safetensors")
    found = {n: t for n, t in tensors.items() if n.startswith("update.likelihood.loss.") and t.is_floating_point()}
    return torch.cat([found[name].reshape(-1).double() for name in sorted(found)])


def difference(one: Path, two: Path) -> float:
    a, b = weights(one), weights(two)
    return float((a - b).norm() / a.norm())


@pytest.fixture(scope="module")
def alone(recipe: Path) -> Path:
    finish(1, recipe, recipe.parent / "alone")
    return recipe.parent / "alone"


def test_two_processes_equal_one(recipe: Path, alone: Path, tmp_path: Path) -> None:
    finish(2, recipe, tmp_path / "two")
    # 65 rows do not divide by two: the pieces' unequal shares are counted, or the gradient would be wrong by a 65th.
    assert 0 < difference(alone, tmp_path / "two") < 1e-5
    rows = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == sorted({row["step"] for row in rows}), "two processes wrote"
    named = set().union(*(row["train"] for row in rows))
    assert {"gradient_norm", "update_ratio", "log_scale_low", "log_scale_high"} <= named


def test_accumulated_and_compiled_too(recipe: Path, alone: Path, tmp_path: Path) -> None:
    finish(2, recipe, tmp_path / "two", "parts=3", "compiled=true")
    assert 0 < difference(alone, tmp_path / "two") < 1e-5


def children(process: subprocess.Popen[str]) -> list[int]:
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in found if b"bijectory" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def start_until_saved(recipe: Path, run: Path) -> subprocess.Popen[str]:
    command = words(2, recipe, run, "steps=100000")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    while not (run / "state.safetensors").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.05)
    return process


def shorten(run: Path, steps: int) -> None:
    """Let an interrupted run end soon: its budget is a knob, and the seal goes with it."""
    from bijectory.experiments.record import sealed, write_json

    settings = json.loads((run / "settings.json").read_text())
    settings["knobs"]["steps"] = steps
    write_json(run / "settings.json", sealed(settings))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
def test_a_dead_process_ends_the_job_and_one_resumes_it(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "killed"
    process = start_until_saved(recipe, run)
    first, second = children(process)
    os.kill(second, signal.SIGKILL)
    _, error = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "another process of this job has ended" in error and "--resume" in error
    assert not Path(f"/proc/{first}").exists()
    done = int(load_file(run / "state.safetensors")["step"])
    shorten(run, done + 30)
    finish(1, recipe, run, "--resume")
    assert json.loads((run / "result.json").read_text())["steps"] == done + 30


def test_what_happened_is_said_before_the_signal_of_torchrun_is_obeyed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(RankLostError), Interruption():
            raise RankLostError("another process of this job has ended")
        # Within a tenth of a second, and before the command line has printed the error.
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_signal_stops_all_after_the_same_step_and_two_resume(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "stopped"
    process = start_until_saved(recipe, run)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=120)
    assert process.returncode != 0 and "stopped by SIGTERM" in error and "saved" in error
    done = int(load_file(run / "state.safetensors")["step"])
    shorten(run, done + 30)
    finish(2, recipe, run, "--resume")
    assert json.loads((run / "result.json").read_text())["steps"] == done + 30


def test_pieces_make_up_the_batch() -> None:
    torch.manual_seed(0)
    pictures = Rows(torch.randint(0, 255, (50, 1, 3, 4), dtype=torch.uint8))

    def noise(rows: int, generator: torch.Generator) -> torch.Tensor:
        return torch.rand((rows, 1, 3, 4), generator=generator)

    alone = Shuffled(pictures, 11, 3, noise=noise, flips=True)
    pieces = [Shuffled(pictures, 11, 3, noise=noise, flips=True, part=i, parts=3) for i in range(3)]
    for step in range(9):
        whole, parts = alone(step), [piece(step) for piece in pieces]
        assert all(torch.equal(w, torch.cat(p)) for w, *p in zip(whole[:1], *(part[:1] for part in parts), strict=True))
        assert torch.equal(whole.rows, torch.cat([part.rows for part in parts]))
        assert whole.noise is not None
        assert torch.equal(whole.noise, torch.cat([part.noise for part in parts if part.noise is not None]))
        assert sum(part.share for part in parts) == pytest.approx(1.0) and whole.share == 1.0
        assert torch.equal(pieces[1].whole(step).x, whole.x)
    flipped = [(alone(s).x != pictures.x[alone(s).rows]).flatten(1).any(1).float().mean() for s in range(9)]
    assert 0.2 < torch.stack(flipped).mean() < 0.8
    epoch = torch.cat([piece(step).rows for piece in pieces for step in range(alone.per_epoch)])
    assert len(set(epoch.tolist())) == len(epoch)
    with pytest.raises(InputError, match="4 processes"):
        Shuffled(pictures, 3, 0, parts=4)


def test_alone_nothing_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(3)
    assert ALONE.sum_(x) is x and ALONE.largest(4) == 4 and ALONE.writes
    assert not Ranks(1, 2).writes
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="RANK"), joined_ranks(torch.device("cpu")):
        pass
