"""p(y | features) on four tables: our conditional flow, a linear Gaussian and a quantile forest, on the same rows in the same run.

    BIJECTORY_DATA=DIR python benchmarks/regression.py             tables, and results/regression.json; some five minutes on one thread
    BIJECTORY_DATA=DIR python benchmarks/regression.py --joint     the Gaussians that the recipe uci_density is held against

Of the test rows: nats of the target (less is better), CRPS in the target's unit (less is better), the share of rows inside central
intervals of 50, 80, 90 and 95 %, each ± its standard error; and the nats that each needs above ours, paired row by row. Below them the
PIT, u = F(y | features), which is uniform where a model is true: its counts in ten equal bins, the χ² test of these with 9 degrees of
freedom, and the Kolmogorov–Smirnov distance with its p-value. Everything that is chosen is chosen on the validation rows.

- flow: the recipe ``regression`` with its defaults.
- linear: least squares with an intercept; the deviation is the residuals', with the degrees of freedom taken off.
- forest: Meinshausen 2006: the weight of a training row is how often, over the trees, it shares the leaf of the row asked for, each leaf
  counting 1. Its distribution is that of the training targets under these weights: CRPS, intervals and PIT are those of it, without a
  density; where y is one of the targets, which has a weight of its own, u is drawn within the jump. Nats need a density: the weighted
  targets are convolved with a Gaussian, whose width is chosen together with the leaves' least size.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
TABLES = ("bike", "concrete", "energy", "wine")
LEVELS = (0.5, 0.8, 0.9, 0.95)
#: Equal bins of the PIT's histogram.
BINS = 10
#: Trees of a forest, the least leaf sizes that are tried, and the widths of its Gaussian in deviations of the target.
TREES, LEAVES = 200, (1, 3, 10)
WIDTHS = (0.003, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3)


class Rows(NamedTuple):
    """Features (n, k) and targets (n,) of a split, float64."""

    c: Any
    y: Any


class Predicted(NamedTuple):
    """What a model says of the test rows, each (n,) but for inside (levels, n); u is F(y | features)."""

    nats: Any
    crps: Any
    inside: Any
    u: Any
    words: str
    seconds: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("BIJECTORY_DATA"))
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument("--steps", type=int, help="updates of the flow; by default the recipe's")
    parser.add_argument("--joint", action="store_true", help="only the Gaussians of the joint tables")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("name the folder with uci_regression.npz by --data or BIJECTORY_DATA")
    if arguments.joint:
        return joint(Path(arguments.data))
    found = {table: measure(Path(arguments.data), table, arguments.steps) for table in arguments.tables}
    for table, models in found.items():
        print(f"\n{table}: {models['rows']} rows to train, {models['test']} to test; y = {models['target']}")
        print(render(only := {name: model for name, model in models.items() if isinstance(model, dict)}))
        print(render_pit(only, models["test"]))
    arguments.out.mkdir(parents=True, exist_ok=True)
    made = {"date": time.strftime("%Y-%m-%d"), "trees": TREES, "levels": LEVELS, "bins": BINS}
    (arguments.out / "regression.json").write_text(json.dumps({"made": made, **found}, indent=1) + "\n")


def measure(data: Path, table: str, steps: int | None) -> dict[str, Any]:
    """All three models on one table."""
    import numpy as np

    from bijectory.data.uci import regression_splits
    from bijectory.evaluation.regression import pit_test

    splits = regression_splits(data, table, 0)
    parts = [
        Rows(part.context.double().numpy(), part.x[:, 0].double().numpy())
        for part in (splits.train, splits.validation, splits.test)
    ]
    models = {
        "flow": flow(data, table, steps, parts[2]),
        "linear": linear(parts[0], parts[2]),
        "forest": forest(*parts),
    }
    ours = models["flow"].nats
    scores: dict[str, Any] = {"rows": len(parts[0].y), "test": len(parts[2].y), "target": splits.columns[0]}
    for name, model in models.items():
        pit = pit_test(model.u, BINS)
        scores[name] = {
            "nats": with_error(model.nats),
            "above the flow": with_error(model.nats - ours),
            "crps": with_error(model.crps),
            "coverage": [with_error(row.astype(np.float64)) for row in model.inside],
            "pit": {**asdict(pit), "counts": pit.counts.tolist()},
            "seconds": round(model.seconds, 1),
            "what": model.words,
        }
    return scores


def with_error(values: Any) -> tuple[float, float]:
    """Mean and standard error."""
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def flow(data: Path, table: str, steps: int | None, test: Rows) -> Predicted:
    """The recipe, trained as by the command line."""
    import numpy as np
    import torch

    from bijectory.evaluation.likelihood import log_prob_rows
    from bijectory.evaluation.regression import covered, crps_of_draws, pit_rows, predictive_draws
    from bijectory.experiments.run import train
    from bijectory.experiments.use import load

    begun = time.perf_counter()
    words = [f"table={table}", *([] if steps is None else [f"steps={steps}"])]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train("regression", assignments=words, run=run, data=data)
        model = load(run).model
    seconds = time.perf_counter() - begun
    y, c = torch.from_numpy(test.y)[:, None], torch.from_numpy(test.c)
    drawn = predictive_draws(model, c)
    u = pit_rows(model, y, c, drawn)
    return Predicted(
        -log_prob_rows(model, y, c).numpy(),
        crps_of_draws(drawn, y[:, 0]).numpy(),
        np.stack([covered(u, level).numpy() for level in LEVELS]),
        u.numpy(),
        f"bijectory train regression {' '.join(words)}; CRPS from {len(drawn)} draws a row",
        seconds,
    )


def linear(train: Rows, test: Rows) -> Predicted:
    """Least squares; nats and CRPS of a Gaussian in closed form (Gneiting & Raftery 2007)."""
    import numpy as np
    from scipy.stats import norm

    begun = time.perf_counter()
    mean, deviation = train.c.mean(0), train.c.std(0)
    deviation[deviation == 0] = 1

    def design(c: Any) -> Any:
        return np.column_stack([(c - mean) / deviation, np.ones(len(c))])

    weights, _, rank, _ = np.linalg.lstsq(design(train.c), train.y, rcond=None)
    residuals = train.y - design(train.c) @ weights
    s = math.sqrt((residuals**2).sum() / (len(train.y) - rank))
    z = (test.y - design(test.c) @ weights) / s
    crps = s * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))
    u = norm.cdf(z)
    inside = np.stack([np.abs(u - 0.5) <= level / 2 for level in LEVELS])
    return Predicted(-norm.logpdf(z) + math.log(s), crps, inside, u, "closed forms", time.perf_counter() - begun)


def forest(train: Rows, validation: Rows, test: Rows) -> Predicted:
    """A quantile forest; its leaves and the width of its Gaussian have the fewest nats on the validation rows."""
    from sklearn.ensemble import RandomForestRegressor

    begun = time.perf_counter()
    scale, best = train.y.std(), (math.inf, 0, 0.0, None)
    for leaf in LEAVES:
        grown = RandomForestRegressor(TREES, min_samples_leaf=leaf, max_features=1 / 3, random_state=0, n_jobs=1)
        grown.fit(train.c, train.y)
        weights = leaf_weights(grown, train.c, validation.c)
        for width in WIDTHS:
            nats = float(smoothed_nats(weights, train.y, validation.y, width * scale).mean())
            best = min(best, (nats, leaf, width, grown), key=lambda one: one[0])
    _, leaf, width, grown = best
    weights = leaf_weights(grown, train.c, test.c)
    crps, inside, u = weighted_scores(weights, train.y, test.y)
    nats = smoothed_nats(weights, train.y, test.y, width * scale)
    words = f"{TREES} trees, leaves of at least {leaf}, a third of the features a split, Gaussian of {width} deviations for nats"
    return Predicted(nats, crps, inside, u, words, time.perf_counter() - begun)


def leaf_weights(grown: Any, train: Any, asked: Any) -> Any:
    """Meinshausen's weights of the training rows for each row asked for, (asked, train), sparse; each row sums to 1."""
    import numpy as np
    from scipy.sparse import csr_matrix

    ours, theirs = grown.apply(train), grown.apply(asked)  # (rows, trees): the number of the leaf within its tree
    offsets = np.concatenate([[0], np.cumsum([tree.tree_.node_count for tree in grown.estimators_])])

    def shares(leaves: Any) -> Any:
        rows, trees = leaves.shape
        columns = (leaves + offsets[:-1]).ravel()
        return csr_matrix((np.ones(rows * trees), columns, np.arange(0, rows * trees + 1, trees)), (rows, offsets[-1]))

    held = shares(ours)
    size = np.maximum(1, np.asarray(held.sum(0)).ravel())
    return (shares(theirs).multiply(1 / (size * len(grown.estimators_)))).tocsr() @ held.T.tocsr()


def smoothed_nats(weights: Any, centres: Any, y: Any, width: float) -> Any:
    """−log Σ_i w_i N(y; y_i, width²) of each row, (rows,); in the tail-safe form, since a row may lie far from all centres."""
    import numpy as np
    from scipy.special import logsumexp

    found = np.empty(len(y))
    for row in range(len(y)):
        part = slice(weights.indptr[row], weights.indptr[row + 1])
        z = (y[row] - centres[weights.indices[part]]) / width
        found[row] = -logsumexp(-0.5 * z * z, b=weights.data[part])
    return found + math.log(width) + 0.5 * math.log(2 * math.pi)


def weighted_scores(weights: Any, centres: Any, y: Any) -> tuple[Any, Any, Any]:
    """CRPS (rows,) of the weighted training targets, which rows lie in their central intervals (levels, rows), and the PIT (rows,).

    u = F(y−) + v · (F(y) − F(y−)), v uniform: 0 below all targets that weigh, 1 above them.
    """
    import numpy as np

    crps, inside = np.empty(len(y)), np.zeros((len(LEVELS), len(y)), dtype=bool)
    u, v = np.empty(len(y)), np.random.default_rng(0).random(len(y))
    for row in range(len(y)):
        part = slice(weights.indptr[row], weights.indptr[row + 1])
        x, w = centres[weights.indices[part]], weights.data[part]
        order = np.argsort(x)
        x, w = x[order], w[order] / w.sum()
        below = np.cumsum(w)
        # ½ Σ_ij w_i w_j |x_i − x_j| = ∫ F (1 − F), a sum over the gaps between targets
        spread = float((below[:-1] * (1 - below[:-1]) * np.diff(x)).sum())
        crps[row] = float(w @ np.abs(x - y[row])) - spread
        for place, level in enumerate(LEVELS):
            ends = np.searchsorted(below, [(1 - level) / 2, (1 + level) / 2]).clip(0, len(x) - 1)
            inside[place, row] = x[ends[0]] <= y[row] <= x[ends[1]]
        # Weights of 200 trees add up to 1 + 4e-16, which is no probability.
        u[row] = min(1.0, w[x < y[row]].sum() + v[row] * w[x == y[row]].sum())
    return crps, inside, u


def render(models: dict[str, Any]) -> str:
    """The scores as a table for a terminal."""
    header = ["", "nats", "above the flow", "CRPS", *(f"inside {100 * level:.0f} %" for level in LEVELS), "seconds"]
    lines = [header]
    for name, model in models.items():
        cells = [f"{mean:.4f} ± {error:.4f}" for mean, error in (model[k] for k in ("nats", "above the flow", "crps"))]
        cells += [f"{100 * mean:.1f} ± {100 * error:.1f}" for mean, error in model["coverage"]]
        lines.append([name, *cells, f"{model['seconds']:.1f}"])
    return "\n".join([*columns(lines), *(f"  {name}: {model['what']}" for name, model in models.items())])


def render_pit(models: dict[str, Any], rows: int) -> str:
    """The histograms of the PIT and their tests as a table for a terminal."""
    lines = [["PIT", *(f"{i / BINS:g}–{(i + 1) / BINS:g}" for i in range(BINS)), "χ²", "p", "KS", "p"]]
    for name, model in models.items():
        pit = model["pit"]
        likely = [f"{p:.2g}" if p >= 1e-4 else "< 1e-4" for p in (pit["chi_square_p"], pit["distance_p"])]
        tests = [f"{pit['chi_square']:.1f}", likely[0], f"{pit['distance']:.3f}", likely[1]]
        lines.append([name, *map(str, pit["counts"]), *tests])
    return "\n".join([*columns(lines), f"  expected in each bin where a model is true: {rows / BINS:.1f}"])


def columns(lines: list[list[str]]) -> list[str]:
    """Cells padded to their columns' widths."""
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def joint(data: Path) -> None:
    """Nats a test row of a Gaussian with the training rows' mean and covariance, on each table of the recipe uci_density."""
    import numpy as np

    from bijectory.data.uci import joint_splits
    from bijectory.recipes.uci_density import COLUMNS

    for table in COLUMNS:
        splits = joint_splits(data, table, 0)
        train, test = splits.train.x.double().numpy(), splits.test.x.double().numpy()
        mean, deviation = train.mean(0), train.std(0)
        factor = np.linalg.cholesky(np.cov(((train - mean) / deviation).T))
        z = np.linalg.solve(factor, ((test - mean) / deviation).T)
        logs = np.log(np.diag(factor)).sum() + np.log(deviation).sum() + 0.5 * len(mean) * math.log(2 * math.pi)
        value, error = with_error(0.5 * (z**2).sum(0) + logs)
        print(f"{table}: {value:.4f} ± {error:.4f} nats, {len(mean)} columns, {len(test)} test rows")


if __name__ == "__main__":
    main()
