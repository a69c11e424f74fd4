"""Anomalies of the 17 tables of adbench.npz: FlowAnomaly against isolation forest, KDE, one-class SVM, ECOD and a Gaussian mixture.

    BIJECTORY_DATA=DIR python benchmarks/adbench.py --seeds 0 1 2       results/adbench.csv, appended table by table, and the means
    python benchmarks/adbench.py --show                                 the table of what is in results/adbench.csv

Rows are split 70/30, stratified by label; of the training rows at most 10,000 are drawn, of the others at most 20,000 judged, the same for
every method. Labels stratify and judge, and nothing else: anomalies are among the training rows, and no choice sees them. AUROC and
average precision are scikit-learn's.

- flow: FlowAnomaly with its defaults, on the columns as they are.
- forest: IsolationForest with its defaults (100 trees).
- kde: a Gaussian kernel on standardised columns, its width by Scott's rule.
- svm: OneClassSVM with its defaults on standardised columns.
- ecod: Li et al. 2022 (arXiv:2201.00382).
- mixture: GaussianMixture of full covariances on standardised columns, of 1 to 16 components by BIC, a hundredth added to every variance.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TRAIN, TEST = 10_000, 20_000
#: Components that the mixture may have.
COMPONENTS = (1, 2, 3, 4, 6, 8, 12, 16)
FIELDS = ("table", "seed", "method", "rows", "columns", "auroc", "ap", "seconds")


def main() -> None:
    """Measure what is asked for, then print the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("BIJECTORY_DATA"))
    parser.add_argument("--tables", nargs="+")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "adbench.csv")
    parser.add_argument("--show", action="store_true", help="only print what was measured")
    arguments = parser.parse_args()
    if not arguments.show:
        if arguments.data is None:
            parser.error("name the folder with adbench.npz by --data or BIJECTORY_DATA")
        measure(Path(arguments.data) / "adbench.npz", arguments)
    print(render(list(csv.DictReader(arguments.out.open()))))


def measure(path: Path, arguments: argparse.Namespace) -> None:
    """Append a line for each table, seed and method; a run that is cut short has lost nothing."""
    import numpy as np

    held = np.load(path)
    names = arguments.tables or sorted({key.split("/")[0] for key in held.files}, key=str.lower)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    fresh = not arguments.out.exists()
    with arguments.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if fresh:
            writer.writeheader()
        for name in names:
            for seed in arguments.seeds:
                for row in scored(name, held[f"{name}/X"], held[f"{name}/y"], seed, arguments.methods):
                    writer.writerow(row)
                    file.flush()


def scored(name: str, X: Any, y: Any, seed: int, methods: list[str]) -> list[dict[str, Any]]:
    """Each method's scores on one split."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    train, test, labels = split(X, y, seed)
    found = []
    for method in methods:
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a mixture that did not converge is still judged by its BIC
            unusual = METHODS[method](train, test, seed)
        row = {"table": name, "seed": seed, "method": method, "rows": len(train), "columns": X.shape[1]}
        row |= {
            "auroc": round(roc_auc_score(labels, unusual), 5),
            "ap": round(average_precision_score(labels, unusual), 5),
        }
        found.append(row | {"seconds": round(time.perf_counter() - begun, 1)})
        print(*found[-1].values(), flush=True)
    return found


def split(X: Any, y: Any, seed: int) -> tuple[Any, Any, Any]:
    """Training rows, test rows, and the test rows' labels."""
    import numpy as np
    from sklearn.model_selection import train_test_split

    train, test, known, labels = train_test_split(X.astype(np.float64), y, test_size=0.3, stratify=y, random_state=seed)
    if len(train) > TRAIN:
        train = train_test_split(train, train_size=TRAIN, stratify=known, random_state=seed)[0]
    if len(test) > TEST:
        test, _, labels, _ = train_test_split(test, labels, train_size=TEST, stratify=labels, random_state=seed)
    return train, test, labels


def standardised(train: Any, test: Any) -> tuple[Any, Any]:
    """Both less the training rows' mean, over their deviation."""
    mean, deviation = train.mean(0), train.std(0)
    deviation[deviation == 0] = 1
    return (train - mean) / deviation, (test - mean) / deviation


def flow(train: Any, test: Any, seed: int) -> Any:
    """FlowAnomaly as it comes."""
    from bijectory.estimators.anomaly import FlowAnomaly

    return -FlowAnomaly(random_state=seed).fit(train).score_samples(test)


def forest(train: Any, test: Any, seed: int) -> Any:
    """Liu, Ting & Zhou 2008."""
    from sklearn.ensemble import IsolationForest

    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def kde(train: Any, test: Any, seed: int) -> Any:
    """A Gaussian kernel."""
    import numpy as np
    from sklearn.neighbors import KernelDensity

    train, test = standardised(train, test)
    width = len(train) ** (-1 / (train.shape[1] + 4))
    found = KernelDensity(bandwidth=width, rtol=1e-3).fit(train).score_samples(test)
    # Rows that no kernel reaches have a density of 0: they are the most unusual, and all alike.
    return -np.where(np.isfinite(found), found, found[np.isfinite(found)].min() - 1)


def svm(train: Any, test: Any, seed: int) -> Any:
    """Schölkopf et al. 2001."""
    from sklearn.svm import OneClassSVM

    train, test = standardised(train, test)
    return -OneClassSVM().fit(train).score_samples(test)


def ecod(train: Any, test: Any, seed: int) -> Any:
    """The largest of three sums over columns of −log tail probabilities: left, right, and that which each column's skewness points to."""
    import numpy as np
    from scipy.stats import skew

    n, columns = train.shape
    left, right = np.empty(test.shape), np.empty(test.shape)
    for i in range(columns):
        ordered = np.sort(train[:, i])
        # A row counts itself, as it does in theirs, where all rows are scored together: no tail is empty.
        left[:, i] = -np.log((np.searchsorted(ordered, test[:, i], "right") + 1) / (n + 1))
        right[:, i] = -np.log((n - np.searchsorted(ordered, test[:, i], "left") + 1) / (n + 1))
    pointed = np.where(np.nan_to_num(skew(train)) < 0, left, right)
    return np.maximum(np.maximum(left.sum(1), right.sum(1)), pointed.sum(1))


def mixture(train: Any, test: Any, seed: int) -> Any:
    """Full covariances; as many components as BIC says. Without the hundredth components shrink onto repeated values, which BIC rewards."""
    from sklearn.mixture import GaussianMixture

    train, test = standardised(train, test)
    fitted = [
        GaussianMixture(k, reg_covar=0.01, random_state=seed).fit(train) for k in COMPONENTS if k * 20 <= len(train)
    ]
    return -min(fitted, key=lambda one: one.bic(train)).score_samples(test)


METHODS: dict[str, Callable[[Any, Any, int], Any]] = {
    "flow": flow,
    "forest": forest,
    "kde": kde,
    "svm": svm,
    "ecod": ecod,
    "mixture": mixture,
}


def render(rows: list[dict[str, str]]) -> str:
    """AUROC and average precision of each table, the mean of its seeds, and of each method the mean of its tables."""
    import numpy as np

    tables, methods = (list(dict.fromkeys(row[key] for row in rows)) for key in ("table", "method"))
    lines = []
    for metric in ("auroc", "ap"):
        found = np.array(
            [
                [
                    np.mean([float(r[metric]) for r in rows if r["table"] == t and r["method"] == m] or [np.nan])
                    for m in methods
                ]
                for t in tables
            ]
        )
        lines.append("  ".join([metric.ljust(13), *(m.rjust(7) for m in methods)]))
        lines += ["  ".join([t.ljust(13), *(f"{v:7.3f}" for v in row)]) for t, row in zip(tables, found, strict=True)]
        whole = ~np.isnan(found).any(1)
        lines.append(
            "  ".join([f"mean of {whole.sum()}".ljust(13), *(f"{v:7.3f}" for v in found[whole].mean(0))]) + "\n"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
