"""How good a conditional density of one number is as a prediction: CRPS, calibration, coverage of its intervals.

    PIT        u = F(y | c), uniform on [0, 1] where the model is true
    CRPS       E|X − y| − ½ E|X − X'|,   X, X' ~ p(· | c): in the units of y, 0 at best, |X − y| for a point
    coverage   the share of rows that lie in the central interval of probability a: |u − ½| ≤ a/2

The pictures, of the test rows:

    calibration  the end  counts (bins,); n; chi_square, freedom, chi_square_p; distance, distance_p: the histogram of u and its tests;
                          level, coverage, stderr (levels,)
    intervals    the end  y (k,), quantiles (5, k) at 5, 25, 50, 75, 95 %: of k rows in the order of their medians
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.splits import Rows, Splits
from ..errors import InputError, ShapeError
from ..models.base import ExactModel, LatentModel, SampleModel
from ..numerics.seeds import generator_for
from .likelihood import Score, mean_and_stderr
from .pictures import Picture, Pictures
from .uniformity import uniformity

#: Probabilities of the central intervals whose coverage is measured, and bins of the PIT's histogram.
LEVELS, BINS = (0.5, 0.8, 0.9, 0.95), 20
#: Draws for each row's CRPS, rows drawn for at once, and probabilities of the quantiles that are shown.
DRAWS, CHUNK, SHOWN = 100, 4096, (0.05, 0.25, 0.5, 0.75, 0.95)


def predicts_one_number(model: SampleModel) -> bool:
    """Whether the model is an exact conditional density of one number, which these scores are of."""
    return isinstance(model, ExactModel) and model.event_shape == (1,) and model.context_dim > 0


def crps_of_draws(draws: Tensor, y: Tensor) -> Tensor:
    """The CRPS of each row from m ≥ 2 draws of its prediction: draws (m, rows), y (rows,) -> (rows,), in the units of y.

        (1/m) Σ_i |x_i − y| − 1/(2m(m − 1)) Σ_ij |x_i − x_j|

    Fair: unbiased for the CRPS of what the draws come from, whatever m, and so at times below 0 for a row. Sorted, the double sum
    is one of 2m terms. Raises ShapeError for fewer than two draws or other shapes.
    Sources: Gneiting & Raftery 2007; the fair form, Ferro 2014.

    >>> import torch
    >>> crps_of_draws(torch.tensor([[0.0], [1.0]]), torch.tensor([3.0])).tolist()
    [2.0]
    """
    m = len(draws)
    if draws.dim() != 2 or m < 2 or draws.shape[1:] != y.shape:
        raise ShapeError(
            f"draws: expected (at least 2, {len(y)}), got {tuple(draws.shape)}; y has shape {tuple(y.shape)}"
        )
    ordered = draws.sort(0).values
    # Σ_ij |x_i − x_j| = 2 Σ_k (2k − m − 1) x_(k), k = 1 … m
    weights = 2 * torch.arange(1, m + 1, dtype=draws.dtype, device=draws.device) - m - 1
    return (draws - y).abs().mean(0) - (weights[:, None] * ordered).sum(0) / (m * (m - 1))


def predictive_draws(model: SampleModel, context: Tensor, draws: int = DRAWS, seed: int = 0) -> Tensor:
    """Draws of the target for each context (rows, features), the same for the same contexts and seed: (draws, rows)."""
    generator = generator_for(seed, "predictive draws", device=context.device)
    with torch.inference_mode():
        parts = [model.sample(draws, rows, generator=generator).squeeze(-1) for rows in context.split(CHUNK)]
    return torch.cat(parts, 1)


def pit_rows(model: SampleModel, y: Tensor, context: Tensor, draws: Tensor) -> Tensor:
    """u = F(y | c) of each row: y (rows, 1), context (rows, features), draws (m, rows) -> (rows,), float64 on the CPU.

    Exact for a flow, the base's CDF of the latent, mirrored where the map falls. Else the randomised rank of y among its draws, which is
    uniform for a true model too, and as coarse as 1/(m + 1).
    """
    if isinstance(model, LatentModel):
        ends = draws.amin(0), y[:, 0], draws.amax(0)
        with torch.inference_mode():
            low, u, high = (
                torch.cat(
                    [
                        model.latent_cdf(model.encode(rows[:, None], given)).squeeze(-1)
                        for rows, given in zip(points.split(CHUNK), context.split(CHUNK), strict=True)
                    ]
                )
                for points in ends
            )
        return torch.where(high >= low, u, 1 - u).double().cpu()
    below = (draws < y[:, 0]).sum(0).double().cpu()
    ties = (draws == y[:, 0]).sum(0).double().cpu()
    jitter = torch.rand(len(y), generator=generator_for(0, "pit"), dtype=torch.float64)
    return (below + jitter * (ties + 1)) / (len(draws) + 1)


@dataclass(frozen=True)
class PITTest:
    """How uniform PIT values are: their histogram with its χ² test, and the Kolmogorov–Smirnov distance with its p-value."""

    counts: NDArray[np.int64]
    chi_square: float
    chi_square_p: float
    distance: float
    distance_p: float


def pit_test(u: NDArray[np.floating], bins: int = BINS) -> PITTest:
    """Compare PIT values u (n,) with the uniform distribution.

        χ² = Σ_b (n_b − n/bins)² / (n/bins),   p from bins − 1 degrees of freedom

    p-values hold for rows that the model was not fitted to. Raises InputError where a number lies outside [0, 1], or there is none.
    """
    ks = uniformity(u)
    counts = np.histogram(u, bins, (0.0, 1.0))[0]
    expected = len(u) / bins
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    half = torch.tensor([(bins - 1) / 2, chi_square / 2], dtype=torch.float64)
    p = float(torch.special.gammaincc(half[0], half[1]))
    return PITTest(counts, chi_square, p, ks.distance, ks.p)


def covered(u: Tensor, level: float) -> Tensor:
    """1 for each row inside its central interval of probability ``level``, else 0: (rows,) float64."""
    return ((u - 0.5).abs() <= level / 2).double()


def regression_scores(
    model: SampleModel, rows: Rows, *, split: str, unit: str = "y", draws: int = DRAWS, seed: int = 0
) -> list[Score]:
    """CRPS in units of the target, named ``unit``, and coverage of the central intervals, of one split's rows.

    The CRPS is an unbiased estimate from ``draws`` a row, which its standard error covers; coverage is exact for a flow.
    Raises InputError for a model that is no exact conditional density of one number.
    """
    _check(model, rows)
    assert rows.context is not None
    drawn = predictive_draws(model, rows.context, draws, seed)
    return _scores(model, rows, drawn, pit_rows(model, rows.x, rows.context, drawn), split, unit)


def _scores(model: SampleModel, rows: Rows, drawn: Tensor, u: Tensor, split: str, unit: str) -> list[Score]:
    mean, error = mean_and_stderr(crps_of_draws(drawn, rows.x[:, 0]).double().cpu())
    scores = [Score("crps", split, mean, error, f"units of {unit}", "estimate")]
    for level in LEVELS:
        share, error = mean_and_stderr(covered(u, level))
        kind = "exact" if isinstance(model, LatentModel) else "estimate"
        scores.append(Score(f"coverage_{100 * level:.0f}", split, share, error, "share", kind))  # type: ignore[arg-type]
    return scores


def _check(model: SampleModel, rows: Rows) -> None:
    if not predicts_one_number(model) or rows.context is None:
        raise InputError(
            f"model: expected an exact conditional density of one number and rows with a context, got {type(model).__name__} of events "
            f"{tuple(model.event_shape)} with {model.context_dim} features of context; leave these scores out"
        )


class RegressionPictures(Pictures):
    """How a conditional density of one number predicts: CRPS and coverage of validation rows at every look, pictures of the test rows.

    A look takes ``look_rows`` rows and ``look_draws`` draws of each; the portrait ``shown`` rows with their intervals.
    Raises InputError for a model that is no exact conditional density of one number.
    """

    def __init__(
        self,
        model: SampleModel,
        splits: Splits,
        every: int,
        *,
        look_rows: int = 1000,
        look_draws: int = 20,
        shown: int = 60,
    ) -> None:
        _check(model, splits.test)
        self.model, self.splits, self.every = model, splits, max(1, every)
        self.look_rows, self.look_draws, self.shown = look_rows, look_draws, shown

    def __call__(self, step: int) -> Iterator[Score]:
        self.model.eval()
        some = self.splits.validation.select(slice(0, self.look_rows))
        yield from regression_scores(
            self.model, some, split="validation", unit=self.splits.columns[0], draws=self.look_draws
        )
        self.model.train()

    def portrait(self) -> Iterator[Picture]:
        """Calibration on all test rows, and the intervals of some."""
        self.model.eval()
        test = self.splits.test
        assert test.context is not None
        drawn = predictive_draws(self.model, test.context)
        u = pit_rows(self.model, test.x, test.context, drawn)
        found = pit_test(u.numpy())
        shares = [mean_and_stderr(covered(u, level)) for level in LEVELS]
        yield Picture(
            "calibration",
            {
                "counts": found.counts,
                "n": np.asarray(len(u)),
                "chi_square": np.asarray(found.chi_square),
                "chi_square_p": np.asarray(found.chi_square_p),
                "distance": np.asarray(found.distance),
                "distance_p": np.asarray(found.distance_p),
                "level": np.asarray(LEVELS),
                "coverage": np.asarray([share for share, _ in shares]),
                "stderr": np.asarray([error for _, error in shares]),
            },
        )
        some = torch.randperm(len(test), generator=generator_for(0, "intervals"))[: self.shown]
        at = torch.tensor(SHOWN, dtype=drawn.dtype, device=drawn.device)
        quantiles = drawn[:, some.to(drawn.device)].quantile(at, 0).cpu().numpy()
        order = np.argsort(quantiles[2], kind="stable")
        y = test.x[some.to(test.x.device), 0].cpu().numpy()
        yield Picture("intervals", {"y": y[order], "quantiles": quantiles[:, order]})
