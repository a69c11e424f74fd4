"""What every process of the benchmark shares: its start, its one core, the rows, and how a rate is read off step times."""

from __future__ import annotations

import json
import os
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


class Marks:
    """Wall time at chosen steps, in seconds."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}

    def __call__(self, step: int) -> None:
        self.at[step] = time.perf_counter()

    def rate(self, first: int, last: int) -> float:
        """Steps a second between two marks."""
        return (last - first) / (self.at[last] - self.at[first])


def answer(found: dict[str, Any]) -> None:
    """Hand the result to the parent: the last line of standard output."""
    print("\n" + json.dumps(found), flush=True)
