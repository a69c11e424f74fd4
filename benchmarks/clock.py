"""What every process of the benchmark shares: its start, its one core, the rows, and how a rate is read off step times."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

TORCH_PEERS = ("zuko", "nflows", "normflows", "FrEIA", "pyro")
JAX_PEERS = ("flowjax", "distrax")
OURS = ("eager", "compiled")
PEERS = TORCH_PEERS + JAX_PEERS

BATCH = 256
RATE = 1e-3
#: Steps before the clock runs, and steps that it counts.
WARM, COUNTED = 50, 250
#: Row F's length.
LONG = 2000
#: Seconds of a turn, where processes take turns.
WINDOW = 0.4


def since_start() -> float:
    """Seconds since the parent started this process: the interpreter and every import are inside."""
    return time.time() - float(os.environ["BENCH_STARTED"])


def hold(threads: int) -> None:
    """Keep this process on so many cores. XLA sizes its pools by the cores it sees, so a thread count alone would not bind it."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[-threads:])


def rows(name: str) -> Any:
    """An array that the parent laid out before the first round."""
    import numpy as np

    with np.load(Path(os.environ["BENCH_ROWS"])) as file:
        return file[name]


def first_turn() -> None:
    """Wait until it is this process's turn, where processes take turns."""
    if "BENCH_TURNS" in os.environ:
        sys.stdin.readline()


def next_turn() -> float:
    """Let the other processes of the round have theirs, where ``run.py`` has them take turns; seconds waited.

    A round of one process after the other lasts minutes, and a shared machine drifts by a quarter within them: ratios of rates that
    were taken minutes apart scattered by as much. Turns of less than a second put both under the same weather.
    """
    if "BENCH_TURNS" not in os.environ:
        return 0.0
    started = time.perf_counter()
    print("turn", flush=True)
    sys.stdin.readline()
    return time.perf_counter() - started


class Marks:
    """Seconds at chosen steps, less those that other processes had between them."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}
        self.waited, self.since = 0.0, time.perf_counter()

    def __call__(self, step: int) -> None:
        self.at[step] = time.perf_counter() - self.waited

    def hand_on(self, *, now: bool = False) -> None:
        """Give the others a turn where this one has lasted its time, or ``now``."""
        if now or time.perf_counter() - self.since > WINDOW:
            self.waited += next_turn()
            self.since = time.perf_counter()

    def rate(self, first: int, last: int) -> float:
        """Steps a second between two marks."""
        return (last - first) / (self.at[last] - self.at[first])


def answer(found: dict[str, Any]) -> None:
    """Hand the result to the parent: the last line of standard output."""
    print("\n" + json.dumps(found), flush=True)
