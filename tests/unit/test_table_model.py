"""The density of typed tables, held against sums, integrals and tables of counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bijectory.data.batches import Shuffled
from bijectory.data.kinds import Column
from bijectory.data.splits import Rows
from bijectory.errors import DomainError, InputError, ShapeError
from bijectory.models.table import TableModel
from bijectory.training.objectives.members import maximum_members_likelihood
from bijectory.training.schedule import warmup_cosine
from bijectory.training.update import apply


def trained(columns: tuple[Column, ...], x: Tensor, steps: int, **settings: object) -> TableModel:
    torch.manual_seed(0)
    model = TableModel(columns, hidden=32, blocks=1, knots=8, **settings)  # type: ignore[arg-type]
    model.initialise(x)
    updates = maximum_members_likelihood(model, rate=1e-2, schedule=warmup_cosine(steps), average=None)
    batches = Shuffled(Rows(x), 256, 0)
    for step in range(steps):
        apply(updates[0], batches(step), step)
    return model.double().eval()


def with_gaps(rows: int = 2_000) -> tuple[tuple[Column, ...], Tensor]:
    g = torch.Generator().manual_seed(0)
    word = torch.randint(3, (rows,), generator=g).double()
    real = 2 * word + torch.randn(rows, generator=g, dtype=torch.float64)
    word[torch.rand(rows, generator=g) < 0.2] = torch.nan
    real[torch.rand(rows, generator=g) < 0.3] = torch.nan
    columns = (Column("word", "categorical", categories=("a", "b", "c"), gaps=True), Column("real", "real", gaps=True))
    return columns, torch.stack([word, real], 1)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("members", [1, 3])
def test_one_number_and_one_word_with_gaps_integrate_to_one(order: tuple[int, int], members: int) -> None:
    columns, x = with_gaps()
    model = trained(columns, x, 60, order=order, members=members, components=4)
    grid = torch.linspace(-60, 60, 24_001, dtype=torch.float64)
    total = 0.0
    with torch.no_grad():
        for code in (0.0, 1.0, 2.0, math.nan):
            density = model.log_prob(torch.stack([torch.full_like(grid, code), grid], 1)).exp()
            total += float(torch.trapezoid(density, grid))
            total += float(model.log_prob(torch.tensor([[code, math.nan]], dtype=torch.float64)).exp())
    assert total == pytest.approx(1, abs=1e-5)


def test_what_is_missing_is_never_filled() -> None:
    columns, x = with_gaps()
    model = trained(columns, x, 60)
    gap = torch.tensor([[1.0, math.nan]], dtype=torch.float64)
    share = float(torch.isnan(x[:, 1]).double().mean())
    with torch.no_grad():
        words = model.columns_log_prob(gap)[0].tolist()
    # The number is missing in 30 % of the rows, whatever the word: that, and nothing of the number itself.
    assert math.exp(words[1]) == pytest.approx(share, abs=0.05)


def test_words_alone_reach_the_empirical_entropy() -> None:
    g = torch.Generator().manual_seed(0)
    first = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), 4_000, replacement=True, generator=g)
    second = (first + torch.randint(2, (4_000,), generator=g)) % 3
    third = (first * second) % 2
    x = torch.stack([first, second, third], 1).double()
    columns = tuple(
        Column(name, "categorical", categories=tuple("abc"[:k])) for name, k in (("x", 3), ("y", 3), ("z", 2))
    )
    model = trained(columns, x, 400)
    counts = torch.unique(x, dim=0, return_counts=True)[1].double()
    share = counts / counts.sum()
    entropy = float(-(share * share.log()).sum())
    with torch.no_grad():
        nats = float(-model.log_prob(x).mean())
    # No model of the rows' words can need less on the rows themselves.
    assert entropy - 1e-9 < nats < entropy + 0.005


@pytest.mark.parametrize("step", [None, 0.5])
def test_a_spike_does_not_raise_nats_without_limit(step: float | None) -> None:
    # The capped value of a third of the rows: as an atom it has a probability, as a cell too.
    g = torch.Generator().manual_seed(0)
    x = torch.randn(3_000, 1, generator=g, dtype=torch.float64).clamp_max(0.5)
    if step is None:
        column, capped = Column("x", "real", atoms=(0.5,)), x == 0.5
        density = -0.5 * x**2 - 0.5 * math.log(2 * math.pi)
        best = float(torch.where(capped, math.log(float(capped.double().mean())), density).mean())
    else:
        column, x = Column("x", "real", step=step), torch.round(x / step) * step
        share = torch.unique(x, return_counts=True)[1].double() / len(x)
        best = float((share * (share / step).log()).sum())
    models = [trained((column,), x, steps) for steps in (300, 600)]
    with torch.no_grad():
        short, long = (float(model.log_prob(x).mean()) for model in models)
    # Training twice as long comes nearer to what the values allow, and not beyond.
    assert best - 0.04 < short < long < best + 0.005


def test_a_copy_adds_nothing_and_follows_its_source() -> None:
    columns, x = with_gaps(500)
    both = (*columns, Column("twin", "copy", of="real", gaps=True))
    alone, model = trained(columns, x, 30), trained(both, torch.cat([x, x[:, 1:]], 1), 30)
    with torch.no_grad():
        assert torch.equal(alone.log_prob(x), model.log_prob(torch.cat([x, x[:, 1:]], 1)))
    drawn = model.sample(100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.nan_to_num(drawn[:, 1]), torch.nan_to_num(drawn[:, 2]))


@pytest.mark.parametrize("members", [1, 2])
def test_draws_given_a_later_column_follow_bayes(members: int) -> None:
    columns, x = with_gaps()
    model = trained(columns, x, 100, members=members)
    value = 2.3
    codes = torch.tensor([0.0, 1.0, 2.0, math.nan], dtype=torch.float64)
    with torch.no_grad():
        joint = model.log_prob(torch.stack([codes, torch.full_like(codes, value)], 1)).exp()
    rows = torch.tensor([0.0, value], dtype=torch.float64).expand(40_000, 2)
    drawn, weight = model.sample_given(rows, torch.tensor([False, True]), generator=torch.Generator().manual_seed(1))
    w = weight.exp()
    assert float(w.mean()) == pytest.approx(float(joint.sum()), rel=0.02)
    for code, p in zip(codes.tolist(), (joint / joint.sum()).tolist(), strict=True):
        here = torch.isnan(drawn[:, 0]) if math.isnan(code) else drawn[:, 0] == code
        assert float(w[here].sum() / w.sum()) == pytest.approx(p, abs=0.01)
    whole, _ = model.sample_given(rows, torch.tensor([False, True]), complete=True)
    assert not bool(torch.isnan(whole).any())


def test_counts_sum_to_one_and_a_bounded_score_too() -> None:
    columns = (Column("n", "integer", low=0, step=1), Column("s", "bounded", low=0, high=10, step=1))
    g = torch.Generator().manual_seed(0)
    x = torch.stack([torch.poisson(torch.full((500,), 3.0), generator=g), torch.randint(11, (500,), generator=g)], 1)
    model = trained(columns, x.double(), 30)
    grid = torch.cartesian_prod(torch.arange(3_000.0), torch.arange(11.0)).double()
    with torch.no_grad():
        assert float(model.log_prob(grid).exp().sum()) == pytest.approx(1, abs=1e-6)


def test_a_score_with_one_value_off_its_bounds_keeps_its_digits() -> None:
    # Halves of a share: only 0.5 has a finite t.
    x = torch.tensor([0.0, 0.5, 1.0] * 50, dtype=torch.float64)[:, None]
    model = trained((Column("x", "bounded", low=0, high=1, step=0.5),), x, 150)
    with torch.no_grad():
        share = 0.5 * model.log_prob(torch.tensor([[0.0], [0.5], [1.0]], dtype=torch.float64)).exp()
    assert float(share.sum()) == pytest.approx(1, abs=1e-9)
    assert share.tolist() == pytest.approx([1 / 3] * 3, abs=0.1)


def test_a_circle_has_no_seam() -> None:
    x = (24 + 2 * torch.randn(500, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)) % 24
    model = trained((Column("hour", "circular", low=0, high=24),), x, 50)
    ends = torch.tensor([[1e-9], [24 - 1e-9]], dtype=torch.float64)
    grid = torch.linspace(0, 24, 4_001, dtype=torch.float64)
    with torch.no_grad():
        low, high = model.log_prob(ends).tolist()
        assert low == pytest.approx(high, abs=1e-6)
        assert float(torch.trapezoid(model.log_prob(grid[:, None]).exp(), grid)) == pytest.approx(1, abs=1e-6)


def test_units_are_the_persons_own() -> None:
    g = np.random.default_rng(0)
    metres = torch.from_numpy(np.round(g.normal(1.7, 0.1, (1_000, 1)), 2))
    columns = (Column("x", "real", step=0.01),), (Column("x", "real", step=1.0),)
    one, other = trained(columns[0], metres, 50), trained(columns[1], 100 * metres, 50)
    with torch.no_grad():
        gap = one.log_prob(metres).mean() - other.log_prob(100 * metres).mean()
    # A density per metre is a hundred times one per centimetre.
    assert float(gap) == pytest.approx(math.log(100), abs=1e-3)


def test_refusals() -> None:
    columns = (Column("a", "positive"), Column("b", "real"))
    model = TableModel(columns)
    with pytest.raises(DomainError, match=r"'a'.*between 0 and inf"):
        model.log_prob(torch.tensor([[-1.0, 0.0]]))
    with pytest.raises(ShapeError, match="expected shape"):
        model.log_prob(torch.zeros(3, 3))
    with pytest.raises(ShapeError, match="encoded rows"):
        model.initialise(torch.zeros(2, 2, 2))
    with pytest.raises(InputError, match="order"):
        TableModel(columns, order=(0, 0))
    with pytest.raises(InputError, match="members: expected at least 1"):
        TableModel(columns, members=0)
    with pytest.raises(InputError, match="hidden: expected at least 2"):
        TableModel([*columns, Column("c", "real")], hidden=1)
