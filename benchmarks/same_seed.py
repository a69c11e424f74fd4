"""How far two runs of one seed lie apart: python benchmarks/same_seed.py [row …] [--other PYTHON]; the table of docs/reproducibility.md.

Every row trains the same short job twice as a command of its own, the second time with one thing changed, and compares all weights of the
last step and the test nats. 0 means: the same bits, in weights.safetensors and state.safetensors alike.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOB = '''
from dataclasses import replace
from bijectory.recipes.smiley_realnvp import smiley_realnvp

def job(*, steps: int = 500, threads: int = 1, compiled: bool = False):
    """smiley_realnvp, shortened.

    steps: updates
    threads: of torch
    compiled: one graph a step
    """
    recipe = smiley_realnvp(steps=steps)
    def objective(model):
        return [replace(update, compiled=compiled) for update in recipe.objective(model)]
    return replace(recipe, objective=objective, threads=threads, budget=replace(recipe.budget, save_every=100), looks=5)
'''

#: What is changed, as (name, words of the first run, words of the second).
ROWS: dict[str, tuple[list[str], list[str]]] = {
    "again": ([], []),
    "killed": ([], []),
    "killed, two threads in the environment": ([], []),
    "tensorboard": ([], ["--tensorboard"]),
    "two threads": ([], ["threads=2"]),
    "two threads again": (["threads=2"], ["threads=2"]),
    "compiled": ([], ["compiled=true"]),
    "compiled again": (["compiled=true"], ["compiled=true"]),
    "compiled, killed": (["compiled=true"], ["compiled=true"]),
    "two processes": ([], []),
    "two processes again": ([], []),
    "another torch": ([], []),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", default=[], help=f"some of: {', '.join(ROWS)}")
    parser.add_argument("--other", help="the Python of an environment with another torch")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "job.py").write_text(JOB)
        made: dict[str, Path] = {}
        for row in options.rows or [row for row in ROWS if row != "another torch" or options.other]:
            first, second = ROWS[row]
            one = finished(folder, made, first, 2 if row == "two processes again" else 1)
            two = folder / f"run-{len(made)}-{row.replace(' ', '-').replace(',', '')}"
            command = words(folder, two, second, 2 if row.startswith("two processes") else 1)
            if row == "another torch":
                command[0] = options.other
            if "killed" in row:
                kill(command, two)
                command.append("--resume")
            run(command, {"OMP_NUM_THREADS": "2"} if "environment" in row else {})
            print(json.dumps({"row": row, **apart(one, two)}), flush=True)


def words(folder: Path, run: Path, more: list[str], processes: int) -> list[str]:
    job = ["bijectory", "train", str(folder / "job.py"), *more, "--run", str(run)]
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m", "--"]
    return [sys.executable, "-m", *(torchrun if processes > 1 else []), *job]


def run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)


def finished(folder: Path, made: dict[str, Path], more: list[str], processes: int) -> Path:
    """The run to compare with, made once."""
    key = f"{more} {processes}"
    if key not in made:
        made[key] = folder / f"first-{len(made)}"
        run(words(folder, made[key], more, processes), {})
    return made[key]


def kill(command: list[str], run: Path) -> None:
    """Start it, and kill it between its second and its last saved state."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (run / "state.previous.safetensors").exists():
        time.sleep(0.01)
        if process.poll() is not None:
            raise SystemExit("it ended before it could be killed")
    process.send_signal(signal.SIGKILL)
    process.wait()


def apart(one: Path, two: Path) -> dict[str, float | bool]:
    import torch
    from safetensors.torch import load_file

    pairs = []
    for file, prefix in (("state", "update.likelihood.loss."), ("weights", "model.")):
        a, b = (load_file(run / f"{file}.safetensors") for run in (one, two))
        names = [name for name in sorted(a) if name.startswith(prefix) and a[name].is_floating_point()]
        pairs.append([torch.cat([t[name].double().reshape(-1) for name in names]) for t in (a, b)])
    (a, b), (c, d) = pairs
    nats = [score(run) for run in (one, two)]
    return {
        "weights": float((a - b).norm() / a.norm()),
        "same_bits": torch.equal(a, b) and torch.equal(c, d),
        "same_files": (one / "weights.safetensors").read_bytes() == (two / "weights.safetensors").read_bytes(),
        "same_log": log(one) == log(two),
        "nats": abs(nats[0] - nats[1]),
    }


def score(run: Path) -> float:
    scores = json.loads((run / "result.json").read_text())["scores"]
    return next(s["value"] for s in scores if (s["name"], s["split"]) == ("nats", "test"))


def log(run: Path) -> list[object]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    main()
