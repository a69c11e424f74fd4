"""`bijectory fit` on a table against Gaussians and Gaussian mixtures, on the same rows and in the same measure.

    python benchmarks/tables.py --data FOLDER california_housing
    python benchmarks/tables.py --data FOLDER adult parkinsons bike

Complete rows are written to a CSV and given to `bijectory fit` with its defaults, timed from the command to its end. The baselines see what
the run saw: its training rows, and its test rows for the difference, row by row. Where a column has steps (integers, rounded decimals), the
baselines are fitted to rows with uniform noise as wide as the step, and their density at a test row is the mean over 8 such rows: log of
an average over the cell, as ours is. Words: a Gaussian (mixture) for each word times the word's frequency where one column holds words,
else the words' own frequencies, column by column, times one Gaussian (mixture) of all numbers.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from bijectory.data.frame_files import write_frames
from bijectory.data.frames import Frame, Text
from bijectory.data.kinds import Column
from bijectory.evaluation.likelihood import log_prob_rows
from bijectory.experiments import use
from bijectory.recipes.typed_table import READ

SIZES = (1, 2, 3, 5, 8, 12, 16, 24, 32)
DRAWS = 8
Array = NDArray[np.float64]


def complete(frame: Frame) -> Frame:
    """The rows without a gap."""
    whole = np.ones(len(frame), bool)
    for column in frame.columns:
        whole &= column.codes >= 0 if isinstance(column, Text) else ~np.isnan(column)
    return frame.select(np.flatnonzero(whole))


def mixture(x: Array, *, most: int) -> GaussianMixture:
    """The Gaussian mixture with full covariances that BIC prefers, of those with at least 20 rows a component."""
    fits = [
        GaussianMixture(k, random_state=0, reg_covar=1e-6).fit(x)
        for k in SIZES
        if k <= most and (k == 1 or 20 * k <= len(x))
    ]
    return min(fits, key=lambda fit: fit.bic(x))


def baseline(
    train: Array, test: Array, kinds: tuple[Column, ...], fit: Callable[[Array], GaussianMixture], seed: int
) -> Array:
    """log density of each test row in own units: words by frequency, numbers by ``fit``, averaged over each cell."""
    words = [i for i, kind in enumerate(kinds) if kind.kind == "categorical"]
    numbers = [i for i, kind in enumerate(kinds) if kind.kind not in ("categorical", "copy")]
    steps = np.array([kinds[i].step or 0.0 for i in numbers])
    g = np.random.default_rng(seed)

    def noisy(rows: Array) -> Array:
        return rows[:, numbers] + steps * (g.random((len(rows), len(numbers))) - 0.5)

    seen = noisy(train)
    centre, spread = seen.mean(0), seen.std(0)
    value = np.zeros(len(test))
    for i in words:
        share = np.bincount(train[:, i].astype(int), minlength=len(kinds[i].categories)) + 0.5
        value += np.log(share / share.sum())[test[:, i].astype(int)]
    groups = (
        [np.ones(len(test), bool)]
        if len(words) != 1
        else [test[:, words[0]] == k for k in np.unique(test[:, words[0]])]
    )
    for group in groups:
        mine = train if len(words) != 1 else train[:, words[0]] == test[group][0, words[0]]
        rows = (seen if len(words) != 1 else seen[mine]) - centre
        # A word with fewer rows than a covariance has numbers is described by all rows.
        model = fit((rows if len(rows) > 5 * len(numbers) else seen - centre) / spread)
        each = [model.score_samples((noisy(test[group]) - centre) / spread) for _ in range(DRAWS)]
        value[group] += np.logaddexp.reduce(each, 0) - math.log(DRAWS) - np.log(spread).sum()
    return value


def against(run: Path, seed: int = 0) -> None:
    """Print a run's nats beside those of the baselines on its own rows."""
    loaded = use.load(run)
    splits = loaded.splits()
    ours = log_prob_rows(loaded.model, splits.test.x.double()).numpy()
    train, test = splits.train.x.numpy(), splits.test.x.numpy()
    print(f"{run.name}: {len(train):,} training rows, {len(test):,} test rows; ours {-ours.mean():.4f} nats")
    for name, most in (("Gaussian, full covariance", 1), ("Gaussian mixture by BIC", SIZES[-1])):
        start = time.perf_counter()
        theirs = baseline(train, test, splits.kinds, lambda x, most=most: mixture(x, most=most), seed)  # type: ignore[misc]
        gain = ours - theirs
        error = gain.std(ddof=1) / math.sqrt(len(gain))
        print(
            f"  {name}: {-theirs.mean():.4f} nats ({time.perf_counter() - start:.0f} s); ours better by {gain.mean():.4f} ± {error:.4f}, "
            f"{gain.mean() / error:.0f} standard errors",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", default=["california_housing"], help=", ".join(READ))
    parser.add_argument("--data", type=Path, help="the folder of the tables")
    parser.add_argument(
        "--runs", type=Path, nargs="*", default=[], help="runs that are there already, instead of tables"
    )
    parser.add_argument("--rows", type=int, help="only so many rows, drawn at random")
    given = parser.parse_args()
    for run in given.runs:
        against(run)
    for name in [] if given.runs else given.tables:
        with tempfile.TemporaryDirectory() as folder:
            frame = complete(READ[name](given.data))
            if given.rows:
                frame = frame.select(np.random.default_rng(0).permutation(len(frame))[: given.rows])
            file, run = Path(folder) / f"{name}.csv", Path(folder) / name
            write_frames(file, [frame])
            start = time.perf_counter()
            words = [sys.executable, "-m", "bijectory", "fit", str(file), "--run", str(run)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            print(f"bijectory fit {name}.csv: {time.perf_counter() - start:.1f} s, {done.stdout.splitlines()[-1]}")
            if done.returncode > 1:
                sys.exit(done.stderr)
            against(run)


if __name__ == "__main__":
    main()
