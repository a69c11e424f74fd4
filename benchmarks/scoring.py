"""Scoring a table of ten million rows: time beside the bare model's, and memory.

    python benchmarks/scoring.py                          # ten million rows: some minutes
    python benchmarks/scoring.py --rows 1000000 --rounds 1

A table of ten columns of all kinds (`data.typed_tables.generated_frame`) is written as Parquet, and `bijectory score` of it to Parquet is
timed in a process of its own, whose peak of memory is that of reading, encoding, scoring and writing. Beside it, turn by turn in one
process, the same work on some of the rows (``--raw``) and `log_prob` alone on the encoded matrix of these rows, which lies in memory, in
pieces of the same size. The model has the size that `bijectory fit` takes for such a table; its training is cut short, which changes no
time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CHUNK, SAMPLE = 200_000, 20_000


def write(path: Path, rows: int, start: int = 0) -> None:
    """``rows`` rows, in pieces: none is ever there whole."""
    from bijectory.data.frame_files import write_frames
    from bijectory.data.frames import Frame
    from bijectory.data.typed_tables import generated_frame

    def frames() -> Iterator[Frame]:
        for seed, first in enumerate(range(0, rows, CHUNK), start):
            yield generated_frame(min(CHUNK, rows - first), seed)

    write_frames(path, frames())


def fitted(folder: Path) -> Path:
    """A run of the default size for 20,000 rows of this kind, after 20 updates."""
    from bijectory.experiments.run import train

    write(folder / "some.parquet", SAMPLE, start=1_000)
    made = train(
        "table",
        assignments=[f"data={folder / 'some.parquet'}", "kinds=hour=circular(0,24)", "steps=20"],
        run=folder / "run",
    )
    assert made is not None
    return made


def whole(run: Path, table: Path, output: Path) -> dict[str, float]:
    """`bijectory score` in a process of its own: seconds and its peak of memory."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "bijectory", "score", str(run), str(table), "-o", str(output)], check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": time.perf_counter() - started,
        "processor seconds": used.ru_utime + used.ru_stime,
        "peak GB": used.ru_maxrss * 1024 / 1e9,
    }


def paces(run: Path, table: Path, output: Path, rounds: int) -> dict[str, list[float]]:
    """Processor seconds of scoring the file and of the model alone, turn by turn."""
    import torch

    from bijectory.data.frame_files import write_frames
    from bijectory.evaluation.likelihood import log_prob_rows
    from bijectory.experiments.answers import score_typed
    from bijectory.experiments.queries import PASS
    from bijectory.experiments.typed import Reading, load_typed, read_typed

    loaded, model = load_typed(run)
    x = torch.cat([part.x for part in read_typed(loaded, table, Reading())])
    found: dict[str, list[float]] = {"file": [], "model": []}
    for _ in range(rounds):
        started = time.process_time()
        log_prob_rows(model, x, chunk=PASS)
        found["model"].append(time.process_time() - started)
        started = time.process_time()
        write_frames(output, score_typed(run, table, Reading()))
        found["file"].append(time.process_time() - started)
    return found


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rows", type=int, default=10_000_000)
    words.add_argument("--raw", type=int, default=500_000, help="rows of the comparison with the model alone")
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--folder", type=Path, help="where the table goes; default: a temporary folder")
    asked = words.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        run = fitted(folder)
        write(folder / "raw.parquet", asked.raw)
        write(folder / "table.parquet", asked.rows)
        print(
            f"{asked.rows:,} rows of 10 columns: {(folder / 'table.parquet').stat().st_size / 1e6:,.0f} MB of Parquet",
            flush=True,
        )
        turns = paces(run, folder / "raw.parquet", folder / "raw-scores.parquet", asked.rounds)
        ratios = [a / b for a, b in zip(turns["file"], turns["model"], strict=True)]
        middle = statistics.median(turns["model"])
        print(f"{asked.raw:,} rows, log_prob alone: {middle:.1f} processor seconds, {asked.raw / middle:,.0f} rows/s")
        print(
            f"the same from file to file: {statistics.median(ratios):.3f} of that ({', '.join(f'{r:.3f}' for r in ratios)})",
            flush=True,
        )
        # Children's peak is that of the largest: this process has had none before.
        result = whole(run, folder / "table.parquet", folder / "scores.parquet")
        result["of the model alone, extrapolated"] = result["processor seconds"] / (middle * asked.rows / asked.raw)
    print(json.dumps({"rows": asked.rows, "threads": os.environ.get("OMP_NUM_THREADS"), **result}, indent=2))


if __name__ == "__main__":
    main()
