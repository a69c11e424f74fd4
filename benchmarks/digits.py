"""Digits: a run's bits per dimension beside those of a full-covariance Gaussian and of a Gaussian mixture chosen by BIC, on the same rows.

    python benchmarks/digits.py runs/digits_realnvp runs/digits_nice

The baselines are densities of x + u, u uniform on [0, 1), as a dequantised flow is: fitted to ``COPIES`` dequantised copies of the training
digits, and judged on the test digits with the noise that the runs are judged with. All three are one-draw bounds.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
from sklearn.mixture import GaussianMixture

from bijectory.data.images import digits_splits
from bijectory.evaluation.likelihood import bits_per_dim
from bijectory.numerics.seeds import generator_for

#: Dequantised copies of each training digit; components and shapes among which BIC chooses.
COPIES, COMPONENTS, SHAPES = 10, (1, 2, 4, 6, 8, 10, 15, 20, 30), ("full", "diag")


def main() -> None:
    """Fit, judge, print a table."""
    import torch

    splits = digits_splits(0)
    train, test = (rows.x.flatten(1).double().numpy() for rows in (splits.train, splits.test))
    draws = np.random.default_rng(0)
    copies = np.concatenate([train + draws.random(train.shape) for _ in range(COPIES)])
    noise = [torch.rand(splits.test.x.shape[1:], generator=generator_for(0, "score", row)) for row in range(len(test))]
    judged = test + torch.stack(noise).flatten(1).double().numpy()
    table = []
    gaussian = GaussianMixture(1, random_state=0).fit(copies)
    table.append(("full-covariance Gaussian", *_bits(-gaussian.score_samples(judged))))
    tried = []
    for shape in SHAPES:
        for components in COMPONENTS:
            mixture = GaussianMixture(components, covariance_type=shape, random_state=0).fit(copies)
            # Ten copies of a digit are not ten digits: the penalty counts digits, and so does the likelihood.
            likelihood = len(train) * float(mixture.score(copies))
            tried.append((mixture._n_parameters() * math.log(len(train)) - 2 * likelihood, components, shape, mixture))
    _, components, shape, best = min(tried, key=lambda one: one[0])
    table.append((f"mixture of {components}, {shape}, by BIC", *_bits(-best.score_samples(judged))))
    for run in map(Path, sys.argv[1:]):
        scores = json.loads((run / "result.json").read_text())["scores"]
        (score,) = (s for s in scores if s["name"] == "bits_per_dim" and s["split"] == "test")
        table.append((str(run), score["value"], score["stderr"]))
    for name, value, error in table:
        print(f"{name:35}  {value:.4f} ± {error:.4f} bits/dim")


def _bits(nats: np.ndarray) -> tuple[float, float]:
    dims = 64
    return bits_per_dim(float(nats.mean()), dims), bits_per_dim(float(nats.std(ddof=1) / math.sqrt(len(nats))), dims)


if __name__ == "__main__":
    main()
