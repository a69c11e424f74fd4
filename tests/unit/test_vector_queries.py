"""Questions to densities of plain rows: a Gaussian, whose conditionals are known, and a curve, whose conditional has two modes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bijectory.errors import NumericError
from bijectory.experiments.queries import ENOUGH, chosen, log_mean
from bijectory.experiments.vector_queries import Proposal
from bijectory.models.base import ExactModel, as_shape

COVARIANCE = torch.tensor([[1.0, 0.6, 0.5], [0.6, 2.0, -0.3], [0.5, -0.3, 1.5]], dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Gaussian(ExactModel):
    event_shape = (3,)

    def __init__(self, covariance: Tensor = COVARIANCE) -> None:
        super().__init__()
        self.root = covariance
        self.mean = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return torch.distributions.MultivariateNormal(self.mean, self.root).log_prob(x)

    def sample(self, shape=(), context=None, *, generator=None):  # type: ignore[no-untyped-def]
        z = torch.randn((*as_shape(shape), 3), generator=generator, dtype=torch.float64)
        values, vectors = torch.linalg.eigh(self.root)
        return self.mean + (z * values.clamp_min(0).sqrt()) @ vectors.T


class Curve(ExactModel):
    """x standard normal, y = x² + 0.5 · noise: given y = 2 there are two x."""

    event_shape = (2,)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        normal = -0.5 * x[..., 0] ** 2 - 0.5 * ((x[..., 1] - x[..., 0] ** 2) / 0.5) ** 2
        return normal - math.log(2 * math.pi * 0.5)

    def sample(self, shape=(), context=None, *, generator=None):  # type: ignore[no-untyped-def]
        z = torch.randn((*as_shape(shape), 2), generator=generator, dtype=torch.float64)
        return torch.stack([z[..., 0], z[..., 0] ** 2 + 0.5 * z[..., 1]], -1)


def drawn(proposal: Proposal, x: Tensor, n: int) -> tuple[Tensor, float]:
    generator = seeded(1)
    found = chosen(lambda size: proposal.draw(x.expand(size, len(x)), generator), n, generator)
    assert found.kind == "estimate" and found.effective >= ENOUGH * n
    return found.rows, found.effective


@pytest.mark.parametrize("known", [[0], [2], [0, 2]])
def test_a_gaussians_conditionals(known: list[int]) -> None:
    model = Gaussian()
    mask = torch.tensor([i in known for i in range(3)])
    others = [i for i in range(3) if i not in known]
    x = torch.tensor([2.0, 0.0, 1.5], dtype=torch.float64)
    gain = COVARIANCE[others][:, known] @ torch.linalg.inv(COVARIANCE[known][:, known])
    mean = model.mean[others] + gain @ (x[known] - model.mean[known])
    covariance = COVARIANCE[others][:, others] - gain @ COVARIANCE[known][:, others]
    proposal = Proposal(model, mask, seeded())
    n = 10_000
    rows, effective = drawn(proposal, x, n)
    assert torch.equal(rows[:, known], x[known].expand(n, -1))
    error = torch.sqrt(covariance.diag() * (1 / n + 1 / effective))
    assert float(((rows[:, others].mean(0) - mean).abs() / error).max()) < 4.5
    torch.testing.assert_close(torch.cov(rows[:, others].T).reshape(covariance.shape), covariance, rtol=0.06, atol=0.06)
    # The mean weight is the density of what is given.
    value, error = log_mean(proposal.draw(x.expand(20_000, 3), seeded(2))[1])
    true = torch.distributions.MultivariateNormal(model.mean[known], COVARIANCE[known][:, known]).log_prob(x[known])
    assert float((value - true).abs() / error) < 4.5 and float(error) < 0.02


def test_a_conditional_with_two_modes() -> None:
    model, x = Curve(), torch.tensor([0.0, 2.0], dtype=torch.float64)
    proposal = Proposal(model, torch.tensor([False, True]), seeded())
    rows, effective = drawn(proposal, x, 5_000)
    grid = torch.linspace(-6, 6, 4001, dtype=torch.float64)
    density = model.log_prob(torch.stack([grid, torch.full_like(grid, 2.0)], -1)).exp()
    total = float(density.sum() * (grid[1] - grid[0]))
    for power in (1, 2, 4):
        moment = float((density * grid**power).sum() / density.sum())
        scatter = float((density * grid ** (2 * power)).sum() / density.sum()) - moment**2
        found = float((rows[:, 0] ** power).mean())
        assert abs(found - moment) < 4.5 * math.sqrt(scatter * (1 / 5_000 + 1 / effective)), power
    value, error = log_mean(proposal.draw(x.expand(50_000, 2), seeded(2))[1])
    assert float((value - math.log(total)).abs() / error) < 4.5 and float(error) < 0.02


def test_what_does_not_scatter_is_refused() -> None:
    flat = Gaussian(torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64))
    with pytest.raises(NumericError, match="does not scatter"):
        Proposal(flat, torch.tensor([True, True, False]), seeded())
