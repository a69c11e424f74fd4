"""Scores of predictions: each against its closed form, and each able to fail."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import bijectory as bj
from bijectory.data.splits import Rows, Splits
from bijectory.errors import InputError, ShapeError
from bijectory.evaluation.cost import CostPictures
from bijectory.evaluation.regression import (
    RegressionPictures,
    covered,
    crps_of_draws,
    pit_rows,
    pit_test,
    predicts_one_number,
    regression_scores,
)
from bijectory.models.base import ExactModel


class Shifted(ExactModel):
    """y = c + scale · e, e ~ N(0, 1): exact, without latents."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.event_shape, self.context_dim, self.scale = (1,), 1, scale

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        assert context is not None
        z = (x - context) / self.scale
        return (-0.5 * z * z).sum(-1) - math.log(self.scale * math.sqrt(2 * math.pi))

    def sample(self, shape=(), context=None, *, generator=None):  # type: ignore[no-untyped-def]
        size = (*((shape,) if isinstance(shape, int) else shape), *context.shape[:-1], 1)
        return context + self.scale * torch.randn(size, generator=generator, dtype=context.dtype)


class Opposed(bj.Transform):
    """z = (c − x) / scale: a map that falls."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        assert context is not None
        return (context - x) / self.scale, torch.full(x.shape[:-1], -math.log(self.scale), dtype=x.dtype)

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        assert context is not None
        return context - z * self.scale, torch.full(z.shape[:-1], math.log(self.scale), dtype=z.dtype)


def flow(scale: float) -> bj.Flow:
    return bj.Flow(bj.Normal((1,)), Opposed(scale), context_dim=1).double()


def rows(count: int = 4000, seed: int = 0) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    context = 5 * torch.randn(count, 1, generator=generator, dtype=torch.float64)
    return Rows(context + torch.randn(count, 1, generator=generator, dtype=torch.float64), context)


def test_crps_is_that_of_a_normal_and_fair_for_few_draws() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.tensor([0.0, 1.0, -2.5], dtype=torch.float64)
    normal = torch.distributions.Normal(0.0, 1.0)
    exact = y * (2 * normal.cdf(y) - 1) + 2 * normal.log_prob(y).exp() - 1 / math.sqrt(math.pi)
    for m in (2, 3, 20):
        draws = torch.randn(m, 60_000, 3, generator=generator, dtype=torch.float64)
        found = crps_of_draws(draws.reshape(m, -1), y.repeat(60_000)).reshape(-1, 3)
        error = found.std(0) / math.sqrt(len(found))
        assert ((found.mean(0) - exact).abs() < 4 * error).all(), m


def test_crps_equals_its_definition() -> None:
    draws, y = torch.randn(7, 5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    apart = (draws[:, None] - draws[None]).abs().sum((0, 1)) / (2 * 7 * 6)
    torch.testing.assert_close(crps_of_draws(draws, y), (draws - y).abs().mean(0) - apart)
    with pytest.raises(ShapeError, match="at least 2"):
        crps_of_draws(draws[:1], y)


@pytest.mark.parametrize("make", [flow, Shifted], ids=["flow", "draws"])
def test_a_true_model_is_calibrated_and_its_crps_is_known(make: type) -> None:
    some = rows()
    scores = {score.name: score for score in regression_scores(make(1.0), some, split="test", unit="mm")}
    assert scores["crps"].unit == "units of mm" and scores["crps"].kind == "estimate"
    # E|X − X'| / 2 of unit normals
    assert abs(scores["crps"].value - 1 / math.sqrt(math.pi)) < 4 * scores["crps"].stderr
    for level in (50, 80, 90, 95):
        score = scores[f"coverage_{level}"]
        assert abs(score.value - level / 100) < 4 * score.stderr
    drawn = make(1.0).sample(100, some.context)[..., 0]
    found = pit_test(pit_rows(make(1.0), some.x, some.context, drawn).numpy())
    assert found.chi_square_p > 1e-3 and found.distance_p > 1e-3


@pytest.mark.parametrize(("scale", "inside"), [(0.5, 0.589), (2.0, 0.99899)])
def test_predictions_too_narrow_or_too_wide_are_told(scale: float, inside: float) -> None:
    some = rows()
    scores = {score.name: score for score in regression_scores(flow(scale), some, split="test")}
    # P(|e| ≤ 1.6449 · scale) of the central 90 %
    assert scores["coverage_90"].value == pytest.approx(inside, abs=0.03)
    drawn = flow(scale).sample(50, some.context)[..., 0]
    found = pit_test(pit_rows(flow(scale), some.x, some.context, drawn).numpy())
    assert found.chi_square_p < 1e-9 and found.distance_p < 1e-9
    ends = (found.counts[0] + found.counts[-1]) / found.counts.sum()
    assert (ends > 0.2) if scale < 1 else (ends < 0.02)


def test_the_pit_of_a_map_that_falls_is_turned_round() -> None:
    context = torch.zeros(3, 1, dtype=torch.float64)
    y = torch.tensor([[-1.0], [0.0], [2.0]], dtype=torch.float64)
    drawn = flow(1.0).sample(20, context)[..., 0]
    torch.testing.assert_close(pit_rows(flow(1.0), y, context, drawn), torch.special.ndtr(y[:, 0]))


def test_chi_square_and_its_p_value() -> None:
    u = np.concatenate([np.full(30, 0.01), np.full(10, 0.99)])
    found = pit_test(u, bins=2)
    assert found.chi_square == 10.0 and found.counts.tolist() == [30, 10]
    assert found.chi_square_p == pytest.approx(0.0015654, rel=1e-4)


def test_covered_is_central() -> None:
    u = torch.tensor([0.0, 0.05, 0.5, 0.95, 0.951, 1.0], dtype=torch.float64)
    assert covered(u, 0.9 + 1e-9).tolist() == [0, 1, 1, 1, 0, 0]


def test_other_models_are_refused() -> None:
    plain = Rows(torch.zeros(5, 1))
    assert not predicts_one_number(bj.nsf(1)) and not predicts_one_number(bj.maf(2, context_dim=1))
    assert predicts_one_number(bj.nsf(1, context_dim=2))
    with pytest.raises(InputError, match="leave these scores out"):
        regression_scores(bj.nsf(1), plain, split="test")


def test_pictures_hold_what_they_say() -> None:
    part = rows(300)
    splits = Splits(part, part, part, ("y",))
    pictures = RegressionPictures(flow(1.0), splits, 5, shown=20)
    assert {score.split for score in pictures(5)} == {"validation"}
    found = {picture.name: picture.arrays for picture in pictures.portrait()}
    assert found["calibration"]["counts"].sum() == 300 and found["calibration"]["level"].tolist() == [
        0.5,
        0.8,
        0.9,
        0.95,
    ]
    quantiles = found["intervals"]["quantiles"]
    assert quantiles.shape == (5, 20) and (np.diff(quantiles, axis=0) > 0).all() and (np.diff(quantiles[2]) >= 0).all()


def test_cost_times_every_task_of_every_model_and_leaves_them_as_they_were() -> None:
    models = {"maf": bj.maf(3, depth=1, hidden=(8,)), "nsf": bj.nsf(3, depth=1, hidden=(8,))}
    before = [p.clone() for model in models.values() for p in model.parameters()]
    (picture,) = CostPictures(models, torch.randn(40, 3), 1, rows=30, batch=20, repeats=3).portrait()
    assert picture.arrays["seconds"].shape == (3, 2, 3) and (picture.arrays["seconds"] > 0).all()
    assert picture.arrays["rows"].tolist() == [20, 30, 30] and picture.arrays["models"].tolist() == ["maf", "nsf"]
    after = [p for model in models.values() for p in model.parameters()]
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, after, strict=True))
    with pytest.raises(InputError, match="at least one"):
        CostPictures({}, torch.zeros(2, 3), 1)
