"""The distribution of one column given others: its CDF and quantiles undo each other, and all is that of its samples."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import bijectory
from bijectory.data.kinds import Column
from bijectory.errors import InputError, InverseError
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


@pytest.mark.parametrize("level", [0.0, 1.0, float("nan")])
def test_levels_are_probabilities(level: float) -> None:
    with pytest.raises(InputError, match="q: expected probabilities between 0 and 1"):
        Predictive(*made(Column("y", "real"))).quantile(torch.tensor([level]))


@pytest.mark.parametrize(
    "column",
    [Column("y", "real"), Column("y", "real", atoms=(1.0,)), Column("y", "positive", atoms=(2.0,))],
    ids=lambda c: f"{c.kind}-{c.atoms}",
)
def test_quantiles_many_scales_out_are_found(column: Column) -> None:
    """A bracket of 40 scales ends where σ is e^−40 = 4e-18, and its end was returned for every level beyond."""
    y = Predictive(*made(column))
    far = torch.tensor([1e-300, 1e-60, 1e-25, 1e-18], dtype=torch.float64)
    torch.testing.assert_close(y.cdf(y.quantile(far)), far.expand(5, 4), rtol=1e-9, atol=0)


def test_a_single_logistics_quantiles_are_those_of_its_closed_form() -> None:
    torch.manual_seed(0)
    model = TableModel([Column("y", "real")], context_columns=[Column("x", "real")], hidden=8, components=1).double()
    y = Predictive(model, torch.randn(5, 1, dtype=torch.float64))
    q = torch.tensor([1e-100, 1e-12, 0.5, 1 - 1e-12, 1 - 2**-53], dtype=torch.float64)
    torch.testing.assert_close(y.quantile(q), y.loc + y.scale * (q.log() - (-q).log1p()), rtol=1e-13, atol=1e-13)


def test_levels_next_to_one_are_found_in_float32_too() -> None:
    """Float32's weights add up to 1 − 6e-8, say: F ended there, and a level above it gave the end of the bracket."""
    model, _ = made(Column("y", "real"))
    y = Predictive(model.float(), torch.linspace(-2, 2, 50).unsqueeze(-1))
    torch.testing.assert_close(
        y.cdf(torch.full((50, 1), 1e9)), torch.ones(50, 1, dtype=torch.float64), rtol=0, atol=1e-15
    )
    # 1 − F has the digits of F, 1e-16, of which 1e-9 keeps seven.
    above = 1 - y.cdf(y.quantile(torch.tensor([1 - 1e-9], dtype=torch.float64)))
    torch.testing.assert_close(above, torch.full_like(above, 1e-9), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "column",
    [*(c for c in COLUMNS if c.atoms), Column("y", "real", atoms=(0.7, 0.2))],
    ids=lambda c: f"{c.kind}-{c.atoms}",
)
def test_between_atoms_every_level_has_its_place(column: Column) -> None:
    y = Predictive(*made(column))
    levels = torch.arange(1, 1000, dtype=torch.float64) / 1000
    found = y.quantile(levels)
    jump = torch.stack([(found == atom) for atom in column.atoms]).any(0)
    assert bool((y.cdf(found) >= levels - 1e-12).all())
    torch.testing.assert_close(y.cdf(found)[~jump], levels.expand_as(found)[~jump], rtol=0, atol=1e-12)
    # As many levels at each atom as it has thousandths of the probability.
    shares = torch.stack([(found == atom).double().mean(-1) for atom in sorted(column.atoms)], -1)
    torch.testing.assert_close(shares, y.of_atoms, rtol=0, atol=2e-3)


def test_neighbouring_levels_never_cross() -> None:
    y = Predictive(*made(Column("y", "real", atoms=(1.0,))))
    levels = 0.3 + torch.arange(2000, dtype=torch.float64) * 2**-54
    assert bool((y.quantile(levels).diff() >= 0).all())
    torch.testing.assert_close(y.quantile(levels.flip(0)), y.quantile(levels).flip(-1), rtol=0, atol=0)


def test_what_is_left_of_a_quantiles_equation_is_reported() -> None:
    y = Predictive(*made(Column("y", "positive", atoms=(2.0,))))
    with bijectory.residuals() as solved:
        y.quantile(LEVELS)
    assert [one.what for one in solved] == ["root"]
    assert solved[0].residual <= solved[0].tolerance < 1e-15


def test_parameters_that_are_not_finite_give_no_quantile() -> None:
    model, c = made(Column("y", "real"))
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    with pytest.raises(InverseError, match="did not converge"):
        Predictive(model, c).quantile(LEVELS)


def test_quantiles_beyond_the_largest_exponential_are_refused() -> None:
    model, c = made(Column("y", "positive"))
    model.values.centre.fill_(699.0)
    y = Predictive(model, c)
    assert bool(torch.isfinite(y.quantile(torch.tensor([0.01]))).all())
    with pytest.raises(InverseError, match=r"q: the quantile at 0\.99\d* is beyond e\^700"):
        y.quantile(torch.tensor([0.01, 1 - 1e-12], dtype=torch.float64))
