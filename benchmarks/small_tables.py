"""FlowDensity on 500 rows of 8 columns against a Gaussian mixture by BIC, on rows that neither saw.

    BIJECTORY_DATA=DIR python benchmarks/small_tables.py            a table; about a minute on one thread

Of bike, energy, concrete and california the eight columns with most values, and a correlated Gaussian; three draws of 500 rows each, judged
on at most 2,000 others. Seconds are a processor's, on a machine that has other work. Both densities are of the same columns: a value that
repeats is its cell. FlowDensity has the cells' exact probabilities, over their widths; the mixture, a density of real numbers, is
trained and judged on values spread over their cells by uniform noise, and so is judged by a bound that it could come near to with
narrower components than 500 rows allow.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path
from typing import Any

ROWS, TEST, COLUMNS, DRAWS = 500, 2_000, 8, 3
COMPONENTS = range(1, 11)


def main() -> None:
    """Measure and print."""
    import numpy as np

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("BIJECTORY_DATA"))
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("name the folder with the tables by --data or BIJECTORY_DATA")
    for name, X in tables(Path(arguments.data)).items():
        gains, seconds, parts = [], [], []
        for seed in range(DRAWS):
            gain, components, took = measure(X, seed)
            gains.append(gain)
            seconds.append(took)
            parts.append(components)
        each = ", ".join(f"{g.mean():+.3f} ± {g.std(ddof=1) / len(g) ** 0.5:.3f}" for g in gains)
        print(
            f"{name:10} {np.mean([g.mean() for g in gains]):+.3f} nats above the mixture ({each}); "
            f"{max(seconds):.1f} s of one core at most; components {parts}",
            flush=True,
        )


def tables(folder: Path) -> dict[str, Any]:
    """Each table's eight columns with most values, (rows, 8)."""
    import numpy as np

    from bijectory.data.typed_tables import california_housing

    held = np.load(folder / "uci_regression.npz")
    found = {name: held[name].astype(np.float64) for name in ("bike", "energy", "concrete")}
    frame = california_housing(folder)
    numbers = np.stack([c for c in frame.columns if isinstance(c, np.ndarray)], 1)
    found["california"] = numbers[~np.isnan(numbers).any(1)]
    rng = np.random.default_rng(7)
    mix = rng.normal(size=(COLUMNS, COLUMNS))
    found["gaussian"] = rng.normal(size=(3_000, COLUMNS)) @ mix
    for name, X in found.items():
        values = [len(np.unique(column)) for column in X.T]
        found[name] = X[:, sorted(np.argsort(values)[::-1][:COLUMNS])]
    return found


def measure(X: Any, seed: int) -> tuple[Any, int, float]:
    """Nats that FlowDensity has above the mixture on each test row, the mixture's components, and the seconds that the fit took."""
    import numpy as np

    from bijectory import FlowDensity

    order = np.random.default_rng(seed).permutation(len(X))
    train, test = X[order[:ROWS]], X[order[ROWS : ROWS + TEST]]
    # Cells are those of the whole table, so that neither side meets a value that it cannot hold.
    steps = np.array([cell(column) for column in X.T])
    kinds = {f"x{i + 1}": "real" for i in range(X.shape[1])}
    grid = np.where(steps > 0, steps, 1.0)
    snapped = [np.where(steps > 0, np.rint(part / grid) * grid, part) for part in (train, test)]
    begun = time.process_time()
    density = FlowDensity(kinds, random_state=seed).fit(snapped[0])
    seconds = time.process_time() - begun
    widths = np.array([kind.step or 0.0 for kind in density.kinds_])
    rng = np.random.default_rng(seed)
    noisy = [part + widths * rng.uniform(-0.5, 0.5, part.shape) for part in snapped]
    theirs, components = mixture(*noisy)
    return density.score_samples(snapped[1]) - theirs, components, seconds


def cell(column: Any) -> float:
    """The width of a value's cell: the middle gap of a column whose values repeat, 0 of others."""
    import numpy as np

    found = np.unique(column)
    return 0.0 if len(found) > 0.9 * len(column) else float(f"{np.median(np.diff(found)):.2g}")


def mixture(train: Any, test: Any) -> tuple[Any, int]:
    """log p of the test rows under full covariances, and how many BIC chose."""
    import numpy as np
    from sklearn.mixture import GaussianMixture

    mean, deviation = train.mean(0), train.std(0)
    z = (train - mean) / deviation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one that did not converge is still judged by its BIC
        best = min((GaussianMixture(k, random_state=0).fit(z) for k in COMPONENTS), key=lambda one: one.bic(z))
    return best.score_samples((test - mean) / deviation) - np.log(deviation).sum(), best.n_components


if __name__ == "__main__":
    main()
