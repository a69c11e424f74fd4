"""p(y | X) on four tables: FlowRegressor as it comes against a linear Gaussian and a quantile forest, on the same rows.

    BIJECTORY_DATA=DIR python benchmarks/tables_regression.py

Nats and CRPS of the test rows (less is better), ± their standard errors, and each method's mean rank over the tables and both scores.
Rows, linear Gaussian and forest are those of benchmarks/regression.py: the forest chooses its leaves and the width of its Gaussian on the
validation rows, FlowRegressor sees the training rows alone and holds out some of them itself.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from regression import TABLES, Predicted, Rows, forest, linear, with_error

HERE = Path(__file__).parent
#: Draws of y for each test row's CRPS.
DRAWS = 200


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("BIJECTORY_DATA"))
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument("--out", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("name the folder with uci_regression.npz by --data or BIJECTORY_DATA")
    found = {table: measure(Path(arguments.data), table) for table in arguments.tables}
    ranks: dict[str, list[int]] = {}
    for scores in found.values():
        for metric in ("nats", "crps"):
            for rank, name in enumerate(sorted(scores, key=lambda m: scores[m][metric][0]), start=1):
                ranks.setdefault(name, []).append(rank)
    print("mean rank: " + ", ".join(f"{name} {sum(r) / len(r):.2f}" for name, r in ranks.items()))
    arguments.out.mkdir(parents=True, exist_ok=True)
    made = {"date": time.strftime("%Y-%m-%d"), "ranks": ranks}
    (arguments.out / "tables_regression.json").write_text(json.dumps({"made": made, **found}, indent=1) + "\n")


def measure(data: Path, table: str) -> dict[str, Any]:
    """The three on one table."""
    from bijectory.data.uci import regression_splits

    splits = regression_splits(data, table, 0)
    train, validation, test = (
        Rows(part.context.double().numpy(), part.x[:, 0].double().numpy())
        for part in (splits.train, splits.validation, splits.test)
    )
    models = {"flow": flow(train, test), "linear": linear(train, test), "forest": forest(train, validation, test)}
    scores = {}
    for name, model in models.items():
        scores[name] = {
            "nats": with_error(model.nats),
            "crps": with_error(model.crps),
            "seconds": round(model.seconds, 1),
        }
        (nats, nats_error), (crps, crps_error) = scores[name]["nats"], scores[name]["crps"]
        print(
            f"{table:10} {name:7} nats {nats:8.4f} ± {nats_error:.4f}   CRPS {crps:8.4f} ± {crps_error:.4f}   {model.seconds:5.1f} s",
            flush=True,
        )
    return scores


def flow(train: Rows, test: Rows) -> Predicted:
    """FlowRegressor with its defaults."""
    import numpy as np
    import torch

    from bijectory import FlowRegressor
    from bijectory.evaluation.regression import crps_of_draws

    begun = time.perf_counter()
    fitted = FlowRegressor(random_state=0).fit(train.c, train.y)
    seconds = time.perf_counter() - begun
    drawn = torch.from_numpy(fitted.sample(test.c, DRAWS, random_state=0).T)
    crps = crps_of_draws(drawn, torch.from_numpy(test.y)).numpy()
    return Predicted(-fitted.log_prob(test.c, test.y), crps, np.empty((0, len(crps))), str(fitted.target_), seconds)


if __name__ == "__main__":
    main()
