"""The distribution of one column given others: its CDF and quantiles undo each other, and all is that of its samples."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bijectory.data.kinds import Column
from bijectory.errors import InputError
from bijectory.models.predictive import Predictive
from bijectory.models.table import TableModel

LEVELS = torch.tensor([0.02, 0.1, 0.35, 0.5, 0.77, 0.97], dtype=torch.float64)
COLUMNS = [
    Column("y", "real"),
    Column("y", "real", step=0.5),
    Column("y", "real", atoms=(1.0,)),
    Column("y", "positive"),
    Column("y", "positive", atoms=(0.0, 2.0)),
    Column("y", "positive", step=0.5),
    Column("y", "integer", low=0, step=1),
    Column("y", "integer", step=1),
    Column("y", "ordinal", categories=("s", "m", "l", "xl")),
    Column("y", "bounded", low=0, high=1),
    Column("y", "bounded", low=0, high=1, atoms=(0.0, 1.0)),
    Column("y", "bounded", low=0, high=1, step=0.1),
]


def made(column: Column) -> tuple[TableModel, Tensor]:
    """A model with weights by chance, in float64, and five contexts."""
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(300, generator=generator, dtype=torch.float64)
    y = {"positive": torch.exp(u), "integer": torch.floor(10 * u), "ordinal": torch.floor(4 * u)}.get(column.kind, u)
    if column.step:
        y = (torch.round(y / column.step) * column.step).clamp_min(column.step if column.kind == "positive" else 0)
    for atom in column.atoms:
        y[torch.rand(300, generator=generator) < 0.2] = atom
    c = torch.randn(300, 1, generator=generator, dtype=torch.float64)
    model = TableModel([column], context_columns=[Column("x", "real")], hidden=16, members=2, components=3, knots=4)
    model.double().initialise(y[:, None], c)
    for p in model.parameters():
        p.data.add_(0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return model, c[:5]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda c: f"{c.kind}-{c.step}-{c.atoms}")
def test_a_quantile_is_the_least_value_with_so_much_below(column: Column) -> None:
    model, c = made(column)
    y = Predictive(model, c)
    found = y.quantile(LEVELS)
    step = column.step or (1.0 if column.kind == "ordinal" else 0.0)
    assert bool((y.cdf(found) >= LEVELS - 1e-9).all())
    assert bool((y.cdf(found - (step or 1e-7)) < LEVELS + 1e-9).all())
    for atom in column.atoms:
        assert bool((found == atom).any())


@pytest.mark.parametrize("column", COLUMNS, ids=lambda c: f"{c.kind}-{c.step}-{c.atoms}")
def test_its_cdf_and_mean_are_its_samples(column: Column) -> None:
    model, c = made(column)
    y = Predictive(model, c)
    drawn = model.sample(20_000, c, generator=torch.Generator().manual_seed(1)).squeeze(-1).T
    at = y.quantile(LEVELS)
    shares = (drawn.unsqueeze(-1) <= at.unsqueeze(1)).double().mean(1)
    # Four standard errors of a share; of the mean, with what a cell's ends and a wide logistic's tail take from it.
    torch.testing.assert_close(shares, y.cdf(at), atol=0.015, rtol=0)
    own = y.sample(20_000, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close((own.unsqueeze(-1) <= at.unsqueeze(1)).double().mean(1), y.cdf(at), atol=0.015, rtol=0)
    error = drawn.std(1) / 20_000**0.5
    step = column.step or (1.0 if column.kind == "ordinal" else 0.0)
    assert bool(((y.mean() - drawn.mean(1)).abs() < 4 * error + 0.1 * step + 0.02 * drawn.std(1)).all())


def test_the_cdf_is_the_integral_of_the_density() -> None:
    model, c = made(Column("y", "positive", atoms=(0.0,)))
    y = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    held = y.clone().requires_grad_()
    slope = torch.autograd.functional.jacobian(lambda v: Predictive(model, c[:1]).cdf(v.unsqueeze(0))[0].sum(), held)
    density = model.log_prob(y.unsqueeze(-1), c[:1].expand(3, 1)).exp()
    torch.testing.assert_close(slope, density.detach(), rtol=1e-9, atol=0)


def test_outside_of_what_it_can_hold_the_cdf_is_0_or_1() -> None:
    y = Predictive(*made(Column("y", "bounded", low=0, high=1, atoms=(0.0, 1.0))))
    ends = torch.tensor([[-0.5, 0.0, 1.0, 1.5]], dtype=torch.float64).expand(5, 4)
    found = y.cdf(ends)
    assert bool((found[:, 0] == 0).all())
    assert bool((found[:, 1] > 0.05).all())
    torch.testing.assert_close(found[:, 2:], torch.ones(5, 2, dtype=torch.float64))


@pytest.mark.parametrize(
    "columns",
    [
        [Column("a", "real"), Column("b", "real")],
        [Column("a", "circular", low=0, high=1)],
        [Column("a", "real", gaps=True)],
    ],
)
def test_other_models_are_refused(columns: list[Column]) -> None:
    model = TableModel(columns, context_columns=[Column("x", "real")], hidden=8)
    with pytest.raises(InputError, match="expected one column of numbers on a line, without gaps"):
        Predictive(model, torch.zeros(2, 1))


def test_levels_are_probabilities() -> None:
    with pytest.raises(InputError, match="q: expected probabilities between 0 and 1"):
        Predictive(*made(Column("y", "real"))).quantile(torch.tensor([0.0]))
