"""Questions to a density of columns: against sums over all words, quadrature of the density itself, and a known Gaussian."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from bijectory.data.kinds import Column
from bijectory.errors import InputError
from bijectory.experiments import queries
from bijectory.experiments.queries import comes_first, draw_given, fill, given_log_prob
from bijectory.models.table import TableModel

NAN = math.nan


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shaken(columns: list[Column], *, scale: float = 0.35, **sizes: object) -> TableModel:
    """A model of random weights, in which every column depends on all before it."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = TableModel(columns, **{"hidden": 16, "blocks": 1, **sizes}).double().eval()  # type: ignore[arg-type]
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(scale * torch.randn_like(parameter))
    return model


WORDS = [
    Column("a", "categorical", categories=("x", "y"), gaps=True),
    Column("b", "categorical", categories=("u", "v", "w"), gaps=True),
    Column("c", "categorical", categories=("0", "1")),
]


def every_row(*choices: tuple[float, ...]) -> Tensor:
    return torch.tensor(list(itertools.product(*choices)), dtype=torch.float64)


def table_of(model: TableModel, rows: Tensor) -> Tensor:
    with torch.no_grad():
        return model.log_prob(rows).exp()


def shares(rows: Tensor, among: Tensor) -> Tensor:
    """How often each of the rows ``among`` stands among ``rows``, gaps equal to gaps."""
    same = (rows[:, None].nan_to_num(-1.0) == among.nan_to_num(-1.0)).all(-1)
    assert bool(same.any(-1).all())
    return same.double().mean(0)


# ── words: everything can be summed ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(
    ("given", "first"), [({0: 1.0}, True), ({0: NAN, 1: 2.0}, True), ({2: 1.0}, False), ({1: NAN}, False)]
)
def test_draws_have_the_conditionals_frequencies(members: int, given: dict[int, float], first: bool) -> None:
    model = shaken(WORDS, members=members)
    x, known = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.bool)
    for place, value in given.items():
        x[place], known[place] = value, True
    choices = [(0.0, 1.0, NAN), (0.0, 1.0, 2.0, NAN), (0.0, 1.0)]
    among = every_row(*((given[i],) if i in given else each for i, each in enumerate(choices)))
    expected = table_of(model, among)
    expected = expected / expected.sum()
    n = 20_000
    drawn = draw_given(model, x, known, n, generator=seeded())
    assert drawn.kind == ("exact" if first else "estimate")
    assert bool(comes_first(model, known)) == first
    # Chosen ones are worth fewer than there are: their pool counts.
    error = torch.sqrt(expected * (1 - expected) / min(n, drawn.effective)) + 1e-4
    assert float(((shares(drawn.rows, among) - expected).abs() / error).max()) < 4.5


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(("known", "first"), [((0,), True), ((0, 1), True), ((2,), False), ((0, 2), False)])
def test_conditional_densities_are_ratios_of_sums(members: int, known: tuple[int, ...], first: bool) -> None:
    model = shaken(WORDS, members=members)
    rows = every_row((0.0, 1.0, NAN), (0.0, 1.0, 2.0, NAN), (0.0, 1.0))
    joint = table_of(model, rows)
    keys = rows[:, list(known)].nan_to_num(-1.0)
    same = (keys[:, None] == keys).all(-1)
    expected = torch.log(joint / (same * joint).sum(-1))
    mask = torch.tensor([i in known for i in range(3)])
    found = given_log_prob(model, rows, mask, draws=4_000, generator=seeded())
    if first:
        assert found.errors is None
        torch.testing.assert_close(found.values, expected, rtol=1e-9, atol=1e-9)
    else:
        assert found.errors is not None and float(found.errors.max()) < 0.05
        assert float(((found.values - expected).abs() / found.errors).max()) < 4.5


def test_a_quarter_of_the_draws_doubles_the_standard_error() -> None:
    model = shaken(WORDS)
    rows = every_row((0.0, 1.0), (0.0, 1.0, 2.0), (0.0, 1.0))
    mask = torch.tensor([False, False, True])
    few, many = (given_log_prob(model, rows, mask, draws=n, generator=seeded()).errors for n in (2_000, 8_000))
    assert few is not None and many is not None
    assert float((few / many).mean()) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("members", [1, 3])
def test_gaps_are_filled_by_the_conditionals_frequencies(members: int) -> None:
    model = shaken(WORDS, members=members)
    n = 3_000
    for row in ([1.0, NAN, 0.0], [NAN, 2.0, 1.0]):
        among = every_row(
            *((value,) if value == value else ((0.0, 1.0), (0.0, 1.0, 2.0))[i] for i, value in enumerate(row))
        )
        expected = table_of(model, among)
        expected = expected / expected.sum()
        rows = torch.tensor([row] * n, dtype=torch.float64)
        filled = fill(model, rows, generator=seeded())
        assert bool((filled.candidates == queries.CANDIDATES).all())
        error = torch.sqrt(expected * (1 - expected) / n) + 1 / queries.CANDIDATES / 10
        assert float(((shares(filled.rows[0], among) - expected).abs() / error).max()) < 4.5


def test_later_gaps_weigh_with_not_being_one() -> None:
    model = shaken(WORDS)
    with torch.no_grad():
        # b is missing more often the more of it hangs on a: draws of a that nearly always lose b are rare among whole rows.
        model.nets[0].last.weight *= 4  # type: ignore[operator, union-attr]
    among = every_row((0.0, 1.0), (0.0, 1.0, 2.0), (1.0,))
    expected = table_of(model, among)
    filled = fill(model, torch.tensor([[NAN, NAN, 1.0]] * 12_000, dtype=torch.float64), generator=seeded())
    # Standard errors are 0.004, and 64 candidates are not infinitely many; without these weights 0.031 is missing.
    torch.testing.assert_close(shares(filled.rows[0], among), expected / expected.sum(), rtol=0, atol=0.02)


def test_one_gap_behind_all_else_is_filled_exactly() -> None:
    columns = [*WORDS[::-1]]
    row = torch.tensor([[1.0, 2.0, NAN], [1.0, NAN, 0.0], [0.0, 1.0, 1.0], [1.0, NAN, NAN]], dtype=torch.float64)
    filled = fill(shaken(columns), row, draws=5, generator=seeded())
    assert filled.rows.shape == (5, 4, 3) and not bool(torch.isnan(filled.rows).any())
    assert filled.candidates.tolist() == [5, 5 * queries.CANDIDATES, 0, 5 * queries.CANDIDATES]
    assert filled.effective[0] == pytest.approx(5)
    # What was there is as it was.
    kept = ~torch.isnan(row)
    assert torch.equal(filled.rows[:, kept], row[kept].expand(5, -1))
    # Of an average the first draws are no draws of it: its members weigh.
    assert fill(shaken(columns, members=2), row, generator=seeded()).candidates.tolist() == [64, 64, 0, 64]


def test_copies_and_constants_stand_in_nobodys_way() -> None:
    columns = [
        Column("k", "categorical", categories=("only",)),
        WORDS[2],
        Column("b", "categorical", categories=("u", "v", "w")),
        Column("same", "copy", of="c"),
    ]
    model = shaken(columns, order=[0, 1, 2])
    for known, first in (([1], True), ([3], True), ([2], False), ([0, 2], False), ([2, 3], True), ([0], True)):
        mask = torch.tensor([i in known for i in range(4)])
        assert bool(comes_first(model, mask)) == first, known
    x = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    drawn = draw_given(model, x, torch.tensor([False, False, False, True]), 50, generator=seeded())
    assert drawn.kind == "exact" and bool((drawn.rows[:, [1, 3]] == 1).all())
    rows = torch.tensor([[0.0, 1.0, 2.0, 1.0]], dtype=torch.float64)
    by_copy, by_source = (given_log_prob(model, rows, torch.tensor([i == j for i in range(4)])).values for j in (3, 1))
    assert torch.equal(by_copy, by_source)


def test_what_cannot_be_is_refused() -> None:
    model = shaken(WORDS)
    with torch.no_grad():
        # The logits of b's words hang on its own bias alone, and 'w' has none.
        for name, parameter in model.named_parameters():
            if name.endswith("last.bias"):
                parameter[3 + 2] = -math.inf
    x, known = torch.tensor([0.0, 2.0, 0.0], dtype=torch.float64), torch.tensor([False, True, False])
    with pytest.raises(InputError, match="no probability"):
        draw_given(model, x, known, 5, generator=seeded())


# ── numbers: by quadrature, and a Gaussian ───────────────────────────────────────────────────────────────────────────

MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.0, 0.6, 0.5], [0.6, 2.0, -0.3], [0.5, -0.3, 1.5]], dtype=torch.float64)


@pytest.fixture(scope="module")
def gaussian() -> TableModel:
    """Three real columns, trained for some seconds on a Gaussian: (0, 1) before 2, the last with gaps that it never has."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rows = MEAN + torch.randn(20_000, 3, dtype=torch.float64) @ torch.linalg.cholesky(COVARIANCE).T
        model = TableModel(
            [Column("x", "real", gaps=True), Column("y", "real", gaps=True), Column("z", "real")],
            hidden=32,
            blocks=1,
            components=4,
            knots=0,
        )
        model.initialise(rows)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)
        for _ in range(500):
            optimizer.zero_grad()
            part = rows[torch.randint(len(rows), (512,))]
            (-model.log_prob(part).mean()).backward()
            optimizer.step()
            schedule.step()
    return model.double().eval()


def conditional(known: list[int], values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the Gaussian's other columns."""
    others = [i for i in range(3) if i not in known]
    gain = COVARIANCE[others][:, known] @ torch.linalg.inv(COVARIANCE[known][:, known])
    return MEAN[others] + gain @ (values - MEAN[known]), COVARIANCE[others][:, others] - gain @ COVARIANCE[known][
        :, others
    ]


def quadrature(model: TableModel, z: float) -> tuple[float, Tensor]:
    """log p(z) and the mean of (x, y) given z under the model itself, by a grid over x and y."""
    side = torch.linspace(-12, 12, 301, dtype=torch.float64)
    grid = torch.cartesian_prod(side + 1, side - 2)
    rows = torch.cat([grid, torch.full((len(grid), 1), z, dtype=torch.float64)], 1)
    with torch.no_grad():
        density = torch.cat([model.log_prob(part) for part in rows.split(8192)]).exp()
    total = density.sum() * float(side[1] - side[0]) ** 2
    return float(total.log()), (density[:, None] * grid).sum(0) / density.sum()


def test_draws_against_quadrature_and_the_gaussian(gaussian: TableModel) -> None:
    x, known = torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64), torch.tensor([False, False, True])
    drawn = draw_given(gaussian, x, known, 20_000, generator=seeded())
    assert drawn.kind == "estimate" and drawn.effective > 20_000
    assert bool((drawn.rows[:, 2] == 2.0).all())
    mean, covariance = conditional([2], torch.tensor([2.0], dtype=torch.float64))
    error = torch.sqrt(covariance.diag() * (1 / 20_000 + 1 / drawn.effective))
    assert float(((drawn.rows[:, :2].mean(0) - quadrature(gaussian, 2.0)[1]).abs() / error).max()) < 4.5
    # The model is not the Gaussian: some seconds of training leave a few hundredths.
    torch.testing.assert_close(drawn.rows[:, :2].mean(0), mean, rtol=0, atol=0.08)
    torch.testing.assert_close(torch.cov(drawn.rows[:, :2].T), covariance, rtol=0.1, atol=0.1)


def test_exact_draws_against_the_gaussian(gaussian: TableModel) -> None:
    x, known = torch.tensor([2.5, -1.0, 0.0], dtype=torch.float64), torch.tensor([True, True, False])
    drawn = draw_given(gaussian, x, known, 20_000, generator=seeded())
    mean, covariance = conditional([0, 1], x[:2])
    assert drawn.kind == "exact" and drawn.effective == 20_000
    assert float(drawn.rows[:, 2].mean()) == pytest.approx(float(mean), abs=0.08)
    assert float(drawn.rows[:, 2].var()) == pytest.approx(float(covariance), rel=0.1)


def test_densities_given_the_last_against_quadrature(gaussian: TableModel) -> None:
    rows = torch.tensor([[1.0, -2.0, 0.5], [2.0, -1.0, 2.5], [0.0, -4.0, -1.5]], dtype=torch.float64)
    found = given_log_prob(gaussian, rows, torch.tensor([False, False, True]), draws=4_000, generator=seeded())
    assert found.errors is not None and float(found.errors.max()) < 0.05
    with torch.no_grad():
        joint = gaussian.log_prob(rows)
    for row, total, value, error in zip(rows, joint, found.values, found.errors, strict=True):
        assert float((value - (total - quadrature(gaussian, float(row[2]))[0])).abs() / error) < 4.5
        mean, covariance = conditional([2], row[2:])
        true = torch.distributions.MultivariateNormal(mean, covariance).log_prob(row[:2])
        assert float(value) == pytest.approx(float(true), abs=0.2)


def test_densities_given_the_first_are_exact(gaussian: TableModel) -> None:
    rows = torch.tensor([[1.0, -2.0, 0.5], [2.0, -1.0, 2.5]], dtype=torch.float64)
    found = given_log_prob(gaussian, rows, torch.tensor([True, False, False]))
    grid = torch.linspace(-14, 14, 4001, dtype=torch.float64)
    assert found.errors is None
    for row, value in zip(rows, found.values, strict=True):
        # p(x) alone: p(x, y, z) / p(y, z | x), the latter summed over z at this y and over y.
        with torch.no_grad():
            line = gaussian.columns_log_prob(
                row.expand(len(grid), 3).clone().index_copy_(1, torch.tensor([1]), grid[:, None])
            )
            total = torch.exp(line[:, 1]).sum() * (grid[1] - grid[0])
            terms = gaussian.columns_log_prob(row)
        # "Missing" is the rest of what y may be.
        assert 0.99 < float(total) <= 1.0
        assert float(value) == pytest.approx(float(terms[1] + terms[2]), abs=1e-12)


def test_gaps_of_a_gaussian_are_filled_by_its_conditionals(gaussian: TableModel) -> None:
    n = 2_500
    for row, gap in (([NAN, -1.0, 2.0], [0]), ([NAN, NAN, 2.0], [0, 1])):
        known = [i for i in range(3) if i not in gap]
        filled = fill(gaussian, torch.tensor([row] * n, dtype=torch.float64), generator=seeded()).rows[0]
        mean, covariance = conditional(known, torch.tensor(row, dtype=torch.float64)[known])
        torch.testing.assert_close(filled[:, gap].mean(0), mean, rtol=0, atol=0.12)
        torch.testing.assert_close(
            torch.cov(filled[:, gap].T).reshape(covariance.shape), covariance, rtol=0.12, atol=0.15
        )
        assert torch.equal(filled[:, known], torch.tensor([row] * n, dtype=torch.float64)[:, known])


def test_each_context_has_its_own_conditional() -> None:
    model = shaken([*WORDS[:2]], context_columns=[WORDS[2]], scale=0.6)
    x, known = torch.tensor([0.0, 1.0], dtype=torch.float64), torch.tensor([False, True])
    for c in (0.0, 1.0):
        context = torch.tensor([c], dtype=torch.float64)
        among = every_row((0.0, 1.0, NAN), (1.0,))
        with torch.no_grad():
            expected = torch.softmax(model.log_prob(among, context.expand(3, 1)), 0)
        drawn = draw_given(model, x, known, 10_000, context, generator=seeded())
        error = torch.sqrt(expected * (1 - expected) / min(10_000, drawn.effective)) + 1e-4
        assert float(((shares(drawn.rows, among) - expected).abs() / error).max()) < 4.5
