"""Where a table's model starts: jointly Gaussian columns are theirs before any training, and nothing odd stops it."""

from __future__ import annotations

import math

import pytest
import torch

from bijectory.data.kinds import Column
from bijectory.models.table import TableModel


@pytest.mark.parametrize("components", [2, 4, 8])
def test_a_gaussian_is_itself_before_any_training(components: int) -> None:
    generator = torch.Generator().manual_seed(0)
    mix = torch.tensor([[1.0, 0.9, -2.0], [0.0, 0.2, 1.0], [0.0, 0.0, 0.1]], dtype=torch.float64)
    x, fresh = (torch.randn(n, 3, generator=generator, dtype=torch.float64) @ mix for n in (2000, 4000))
    model = TableModel([Column(name, "real") for name in "abc"], hidden=8, components=components).double()
    model.initialise(x)
    truth = -0.5 * torch.linalg.solve(mix.T, fresh.T).square().sum(0) - 1.5 * math.log(2 * math.pi)
    with torch.no_grad():
        lost = float((truth - torch.linalg.slogdet(mix)[1] - model.log_prob(fresh)).mean())
    # 9 parameters from 2,000 rows cost 0.002 nats, three mixtures of logistics at most 0.0025 each; independent columns would lose 4.
    assert -0.005 < lost < 0.02


def test_a_context_is_regressed_on_as_well() -> None:
    generator = torch.Generator().manual_seed(0)
    c = torch.randn(500, 2, generator=generator, dtype=torch.float64)
    y = c @ torch.tensor([[2.0], [-1.0]], dtype=torch.float64)
    y = y + 0.1 * torch.randn(500, 1, generator=generator, dtype=torch.float64)
    model = TableModel([Column("y", "real")], context_columns=[Column("a", "real"), Column("b", "real")], hidden=8)
    model.double().initialise(y, c)
    best = 0.5 * math.log(2 * math.pi * math.e * 0.01)
    with torch.no_grad():
        found = -float(model.log_prob(y, c).mean())
    assert found == pytest.approx(best, abs=0.05)


def test_columns_without_a_value_and_constant_ones_do_no_harm() -> None:
    nan = math.nan
    columns = [Column("a", "real", gaps=True), Column("b", "real"), Column("c", "real", gaps=True)]
    model = TableModel(columns, hidden=8).double()
    x = torch.tensor([[nan, 1.0, 0.5], [nan, 1.0, nan], [nan, 1.0, 2.0]], dtype=torch.float64)
    model.initialise(x)
    assert bool(torch.isfinite(model.log_prob(x)).all())
