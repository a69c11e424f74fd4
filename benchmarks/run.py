"""The benchmark: every library in turn, round after round, each in a process of its own; raw numbers to a JSON file.

Rows B, C and D have all processes of a round stand side by side and work in turns of less than a second.

make bench                                   all rows, then the table and the plot
python benchmarks/run.py --threads 2         on two cores
python benchmarks/run.py --rows steps --rounds 7
python benchmarks/run.py --rows glow memory  Glow: pictures a second, and memory
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from clock import OURS, PEERS
from pictures import PEER_MODES

HERE = Path(__file__).parent
PACKAGES = ("torch", "jax", "zuko", "nflows", "normflows", "FrEIA", "pyro-ppl", "flowjax", "distrax", "optax", "numpy")
#: A library that took over this many times the best's seconds in the first round is timed to 2,000 steps, or to 0.02 nats, only once.
BEHIND = 1.4
ROWS = ("steps", "smiley", "guards", "nsf", "maf", "maf64", "glow", "memory")
#: Whom rows B and C find a class in. FrEIA has no splines on vectors and no autoregression, pyro no coupling of splines, distrax no nets.
VECTORS = {
    "nsf": ("zuko", "nflows", "normflows", "flowjax"),
    "maf": ("zuko", "nflows", "normflows", "pyro", "flowjax"),
}
#: Those with parts for Glow: zuko, pyro, flowjax and distrax have no 1×1 convolutions.
PICTURES = ("FrEIA", "normflows", "nflows")
#: Steps of flow at each scale, of which memory is measured.
DEPTHS = (4, 8, 16, 32)


def main() -> None:
    """All rows, in rounds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--cap", type=float, default=120.0, help="seconds a library gets on smiley")
    parser.add_argument(
        "--uncompiled", action="store_true", help="row glow: compile no peer, which takes some 20 s each and round"
    )
    arguments = parser.parse_args()
    target = HERE / "results" / f"threads{arguments.threads}.json"
    found: dict[str, Any] = json.loads(target.read_text()) if target.exists() else {}
    measured = found.get("made", {}).get("measured", {})
    found["made"] = _circumstances(arguments.threads)
    found["made"]["measured"] = measured
    with tempfile.TemporaryDirectory() as folder:
        _lay_out(Path(folder) / "rows.npz")
        for row in arguments.rows:
            turns = {"steps": _steps, "smiley": _smiley, "guards": _guards, "glow": _glow, "memory": _memory}
            turn = turns.get(row, partial(_vectors, row))
            started, load = time.monotonic(), [round(value, 2) for value in os.getloadavg()]
            found[row] = turn(Path(folder), arguments)
            minutes = round((time.monotonic() - started) / 60, 1)
            measured[row] = {
                "rounds": arguments.rounds,
                "date": time.strftime("%Y-%m-%d"),
                "load before": load,
                "minutes": minutes,
                "machine": _processor(),
            }
            target.parent.mkdir(exist_ok=True)
            target.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def _circumstances(threads: int) -> dict[str, Any]:
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {
        "threads": threads,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": versions,
    }


def _processor() -> str:
    """Its name where Linux tells it, and whether it has AVX-512: what a library makes of both differs."""
    told = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    fields: dict[str, str] = {}
    for line in told:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    wide = ", AVX-512" if "avx512f" in fields.get("flags", "").split() else ""
    return f"{fields.get('model name', platform.machine())}{wide}"


def _lay_out(path: Path) -> None:
    """The rows that every library trains on, standardised beforehand because most peers have no part for that."""
    import numpy as np
    import torch

    from bijectory.data.toys import homework_smiley, toy

    moons = toy("moons").sample(100_000, seed=0)[0]
    train, _, test, _ = homework_smiley()
    truth = toy("smiley").log_prob(torch.from_numpy(test)).numpy() + np.log(train.std(0)).sum()
    arrays = {
        "moons": (moons - moons.mean(0)) / moons.std(0),
        "smiley_train": (train - train.mean(0)) / train.std(0),
        "smiley_test": (test - train.mean(0)) / train.std(0),
    }
    np.savez(path, smiley_truth=truth, **{name: x.astype(np.float32) for name, x in arrays.items()})


def _start(folder: Path, *arguments: str, cache: str = "cold") -> dict[str, Any]:
    """One process; its answer, or the end of what it wrote where it failed."""
    done = subprocess.run(
        _command(arguments), env=_environment(folder, arguments, cache), capture_output=True, text=True, cwd=HERE
    )
    return _read(arguments, done.stdout, done.stderr)


def _together(folder: Path, *each: tuple[str, ...]) -> list[dict[str, Any]]:
    """Several processes that work one at a time, in turns: each until it is ready to be timed, then by windows of ``clock.WINDOW``."""
    told = ["" for _ in each]
    with ExitStack() as stack:
        errors = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in each]
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    _command(arguments),
                    env={**_environment(folder, arguments, "cold"), "BENCH_TURNS": "1"},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=error,
                    text=True,
                    cwd=HERE,
                )
            )
            for arguments, error in zip(each, errors, strict=True)
        ]
        going = dict(enumerate(processes))
        while going:
            for number, process in list(going.items()):
                # A process that has failed reads nothing any more.
                with suppress(BrokenPipeError):
                    print("go", file=process.stdin, flush=True)
                for line in process.stdout or ():
                    if line == "turn\n":
                        break
                    told[number] += line
                else:
                    del going[number]
        for error in errors:
            error.seek(0)
        return [_read(*of) for of in zip(each, told, (error.read() for error in errors), strict=True)]


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, str(HERE / "work.py"), *arguments]


def _environment(folder: Path, arguments: Sequence[str], cache: str) -> dict[str, str]:
    threads = arguments[arguments.index("--threads") + 1]
    return {
        **os.environ,
        "BENCH_ROWS": str(folder / "rows.npz"),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / cache),
        "JAX_PLATFORMS": "cpu",
        "BENCH_STARTED": str(time.time()),
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads),
    }


def _read(arguments: Sequence[str], stdout: str, stderr: str) -> dict[str, Any]:
    """What a process answered, shown in short."""
    try:
        found: dict[str, Any] = json.loads(stdout.strip().splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        found = {"failed": stderr[-2000:]}
    short = {
        key: value
        for key, value in found.items()
        if key
        in ("rate", "seconds", "build", "excess", "failed", "cost", "steps", "log_prob", "train", "mib", "ratios")
        or key.startswith("sample")
    }
    print(" ".join(arguments), short, flush=True)
    return found


def _steps(folder: Path, arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Rows A and G, and 2,000 steps from process start for all in the first round, then for those that were not far behind."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*OURS, *PEERS)}
    whole = set(found)
    for number in range(arguments.rounds):
        for name in found:
            flags = ["--threads", str(arguments.threads)]
            flags += ["--whole"] if name in whole else []
            flags += ["--check"] if number == 0 else []
            # The first round compiles with an empty cache, as a first run does; later ones find it filled.
            found[name].append(_start(folder, "steps", name, *flags))
        if number == 0:
            whole = _close(found, OURS) | _close(found, PEERS)
    return found


def _smiley(folder: Path, arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """0.02 excess nats for all in the first round, then for us and the peers that were not far behind the best of them."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ("ours", *PEERS)}
    going = set(found)
    for number in range(arguments.rounds):
        for name in (name for name in found if name in going):
            flags = ["--threads", str(arguments.threads), "--cap", str(arguments.cap)]
            found[name].append(_start(folder, "smiley", name, *flags))
        if number == 0:
            going = {"ours"} | _close(found, PEERS)
    return found


def _guards(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """What the loop's guards cost, in one process that takes its own rounds."""
    return _start(folder, "guards", "ours", "--threads", str(arguments.threads), "--rounds", str(arguments.rounds))


def _vectors(row: str, folder: Path, arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Rows B and C: every library in turns, round after round."""
    kind = row.removesuffix("64")
    ours = OURS if kind == row else ("eager",)
    names = (*ours, *VECTORS[kind])
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name, run in zip(
            names, _together(folder, *((row, name, *_threads(arguments)) for name in names)), strict=True
        ):
            found[name].append(run)
    return found


def _glow(folder: Path, arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Row D: every library in turns, a process for each way it is run, round after round; correct in the first."""
    modes = PEER_MODES[:2] if arguments.uncompiled else PEER_MODES
    each = [(name, None) for name in OURS] + [(name, mode) for name in PICTURES for mode in modes]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*OURS, *PICTURES)}
    for number in range(arguments.rounds):
        calls = []
        for name, mode in each:
            check = ["--check"] if number == 0 and mode in (None, modes[0]) else []
            calls.append(("glow", name, *_threads(arguments), *check, *(["--mode", mode] if mode else [])))
        runs: dict[str, dict[str, Any]] = {}
        for (name, _), run in zip(each, _together(folder, *calls), strict=True):
            whole = runs.setdefault(name, {})
            for key, value in run.items():
                whole[key] = {**whole.get(key, {}), **value} if isinstance(value, dict) else value
        for name, run in runs.items():
            found[name].append(run)
    return found


def _threads(arguments: argparse.Namespace) -> tuple[str, str]:
    return "--threads", str(arguments.threads)


def _memory(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Row E: bytes, which are the same in every round, and what rebuilding costs, in one process that takes its own rounds."""
    found: dict[str, Any] = {}
    for name in ("plain", "rebuild", *PICTURES):
        for depth in DEPTHS:
            flags = ["--threads", str(arguments.threads), "--depth", str(depth)]
            found.setdefault(name, {})[str(depth)] = _start(folder, "memory", name, *flags)
    flags = ["--threads", str(arguments.threads), "--rounds", str(arguments.rounds)]
    found["pace"] = _start(folder, "memory", "pace", *flags)
    return found


def _close(found: dict[str, list[dict[str, Any]]], names: tuple[str, ...]) -> set[str]:
    """Those whose first time was within ``BEHIND`` of the best's."""
    seconds = {name: found[name][0].get("seconds") for name in names}
    reached = {name: value for name, value in seconds.items() if value is not None}
    return {name for name, value in reached.items() if value <= BEHIND * min(reached.values())}


if __name__ == "__main__":
    main()
