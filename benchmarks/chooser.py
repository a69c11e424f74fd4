"""What `fit` chooses for a table by its rows and columns, against one fixed default, on the same rows.

    python benchmarks/chooser.py --data FOLDER              ten tables of 200 to 500,000 rows: a line of docs/tables.md each
    python benchmarks/chooser.py --data FOLDER wine bike    some of them

The fixed default is what the chooser gives for 20,000 rows of ten numbers. Both train on the same rows with the same seed; nats are of
the test rows, and differences are paired row by row.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bijectory.data.frame_files import write_frames
from bijectory.data.frames import Frame
from bijectory.data.kinds import Column
from bijectory.data.typed_tables import adult, california_housing
from bijectory.data.uci import table_frame
from bijectory.evaluation.likelihood import log_prob_rows
from bijectory.experiments import use
from bijectory.experiments.auto import choose_table
from bijectory.experiments.run import train


def _uci(name: str, rows: int | None = None) -> Callable[[Path], Frame]:
    return lambda folder: _some(table_frame(folder, name), rows)


def _anomalies(name: str, rows: int | None = None) -> Callable[[Path], Frame]:
    def read(folder: Path) -> Frame:
        with np.load(folder / "adbench.npz") as file:
            x = file[f"{name}/X"].astype(np.float64)
        return _some(
            Frame(tuple(f"x{i + 1}" for i in range(x.shape[1])), tuple(np.ascontiguousarray(c) for c in x.T)), rows
        )

    return read


def _some(frame: Frame, rows: int | None) -> Frame:
    if rows is None or rows >= len(frame):
        return frame
    return frame.select(np.random.default_rng(0).permutation(len(frame))[:rows])


TABLES: dict[str, Callable[[Path], Frame]] = {
    "concrete, 200 rows": _uci("concrete", 200),
    "energy": _uci("energy"),
    "wine": _uci("wine"),
    "airfoil": _uci("airfoil"),
    "parkinsons": _uci("parkinsons"),
    "california_housing": california_housing,
    "tamielectric": _uci("tamielectric"),
    "adult": adult,
    "cover": _anomalies("cover"),
    "donors, 500,000 rows": _anomalies("donors", 500_000),
}


def compare(name: str, frame: Frame, folder: Path) -> str:
    """One line of the table."""
    file = folder / "table.csv"
    write_frames(file, [frame])
    fixed = choose_table(20_000, [Column(f"x{i}", "real") for i in range(10)], minutes=3.0)
    nats, seconds, sizes = [], [], []
    for kind, knobs in (("chosen", []), ("fixed", [f"{k}={v}" for k, v in fixed._asdict().items()])):
        run = folder / f"{name}-{kind}".replace(" ", "")
        start = time.perf_counter()
        train("table", assignments=[f"data={file}", *knobs], run=run)
        seconds.append(time.perf_counter() - start)
        loaded = use.load(run)
        nats.append(log_prob_rows(loaded.model, loaded.splits().test.x.double()))
        k = loaded.record.settings["knobs"]
        sizes.append(f"{k['members']} × {k['blocks']} × {k['hidden']}, {k['steps']:,} of {k['batch']}")
    gain = nats[0] - nats[1]
    error = float(gain.std()) / math.sqrt(len(gain))
    return (
        f"| {name} | {len(frame):,} × {len(frame.names)} | {sizes[0]} | {-float(nats[0].mean()):.3f} | {seconds[0]:.0f} s | "
        f"{-float(nats[1].mean()):.3f} | {seconds[1]:.0f} s | {float(gain.mean()):+.3f} ± {error:.3f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", help="; ".join(TABLES))
    parser.add_argument("--data", type=Path, required=True, help="the folder of the tables")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| table | rows × columns | chosen: members × blocks × units, updates | nats | time | fixed: nats | time | chosen is better by |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in given.tables or TABLES:
        with tempfile.TemporaryDirectory() as folder:
            print(compare(name, TABLES[name](given.data), Path(folder)), flush=True)


if __name__ == "__main__":
    main()
