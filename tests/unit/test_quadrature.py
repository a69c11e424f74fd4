"""Quadrature against integrals known in closed form, and its refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bijectory.errors import InputError, NonFiniteError, NumericError, ShapeError
from bijectory.numerics import quadrature
from bijectory.numerics.quadrature import cell_masses, gauss_legendre, integrate, log_integral


def normal(x: Tensor) -> Tensor:
    return torch.exp(-0.5 * x.square().sum(-1)) / (2 * math.pi) ** (x.shape[-1] / 2)


def ridge(x: Tensor) -> Tensor:
    """A learned density gone sharp: x1 uniform on [0, 1], x2 = sin 6 x1 within a thousandth."""
    inside = (x[:, 0] >= 0) & (x[:, 0] <= 1)
    return (
        inside
        * torch.exp(-0.5 * ((x[:, 1] - torch.sin(6 * x[:, 0])) / 1e-3).square())
        / (1e-3 * math.sqrt(2 * math.pi))
    )


@pytest.mark.parametrize("nodes", [1, 2, 5, 16])
def test_the_rule_is_exact_to_its_degree_and_no_further(nodes: int) -> None:
    points, weights = gauss_legendre(nodes)
    assert points.dtype == weights.dtype == torch.float64
    highest = (weights * points ** (2 * nodes - 2)).sum()
    torch.testing.assert_close(highest, torch.tensor(2 / (2 * nodes - 1), dtype=torch.float64), rtol=1e-13, atol=0)
    beyond = (weights * points ** (2 * nodes)).sum()
    assert abs(float(beyond) - 2 / (2 * nodes + 1)) > 1e-12


def test_the_cached_rule_cannot_be_spoilt() -> None:
    gauss_legendre(4)[1].zero_()
    assert float(gauss_legendre(4)[1].sum()) == pytest.approx(2)


@pytest.mark.parametrize(
    ("fn", "low", "high", "truth"),
    [
        (normal, (-10.0,), (9.0,), 1.0),
        (normal, (-10.0, -8.0), (9.0, 12.0), 1.0),
        (lambda x: x[:, 0] ** 2 * x[:, 1] ** 3, (0.0, 1.0), (3.0, 2.0), 9.0 * 3.75),
        (lambda x: x[:, 0].sqrt(), (0.0,), (4.0,), 16 / 3),
    ],
    ids=["normal-1d", "normal-2d", "polynomial", "root"],
)
def test_integrals_known_in_closed_form(fn, low, high, truth: float) -> None:
    result = integrate(fn, low, high, tolerance=1e-6)
    assert result.error <= 1e-6
    assert abs(result.value - truth) <= 1e-6


def test_a_ridge_that_crosses_first_cells_between_their_nodes_is_followed() -> None:
    result = integrate(ridge, (0.0, -1.3), (1.0, 1.2), tolerance=1e-5)
    assert abs(result.value - 1) <= 1e-6


def test_an_island_between_the_first_nodes_is_found_where_points_say_so() -> None:
    """1e-3 wide, in an interval or square 20 wide."""

    def island(x: Tensor) -> Tensor:
        far = torch.tensor([4.5, 0.1][: x.shape[1]], dtype=torch.float64)
        return torch.exp(-0.5 * ((x - far) / 1e-3).square().sum(-1)) / (1e-3 * math.sqrt(2 * math.pi)) ** x.shape[1]

    def both(x: Tensor) -> Tensor:
        return 0.99 * normal(x) + 0.01 * island(x)

    generator = torch.Generator().manual_seed(0)
    for low, high in (((-10.0,), (10.0,)), ((-10.0, -10.0), (10.0, 10.0))):
        centre = torch.tensor([4.5, 0.1][: len(low)], dtype=torch.float64)
        near = centre + 1e-3 * torch.randn(40, len(low), generator=generator, dtype=torch.float64)
        outside = torch.full((9, len(low)), 11.0, dtype=torch.float64)
        blind = integrate(both, low, high, tolerance=1e-5)
        seeing = integrate(both, low, high, near=torch.cat([near, outside]), tolerance=1e-5)
        assert abs(blind.value - 0.99) < 1e-4 and blind.error < 1e-5
        assert abs(seeing.value - 1) < 1e-5 and seeing.error < 1e-5
    with pytest.raises(ShapeError, match=r"near: expected \(n, 2\) points, got \(40, 1\)"):
        integrate(both, (-1.0, -1.0), (1.0, 1.0), near=near[:, :1])
    many = integrate(normal, (-1.0,), (1.0,), near=torch.rand(9000, 1), max_evaluations=10_000, strict=False)
    assert many.evaluations <= 2500


def test_without_its_neighbours_the_ridge_is_lost_in_some_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quadrature, "_with_coarser_neighbours", lambda level, index, cut: cut)
    result = integrate(ridge, (0.0, -1.3), (1.0, 1.2), tolerance=1e-5)
    assert abs(result.value - 1) > 1e-4


def test_a_jump_costs_evaluations_but_not_truth() -> None:
    result = integrate(lambda x: (x.square().sum(-1) < 1).double(), (-1.5, -1.1), (1.1, 1.7), tolerance=1e-3)
    assert abs(result.value - math.pi) < 1e-3
    assert result.evaluations <= 4_000_000


def test_an_integral_out_of_evaluations_is_refused_or_says_so() -> None:
    with pytest.raises(NumericError, match=r"an error below 1e-07, got .* after \d+ evaluations.*strict=False"):
        integrate(ridge, (0.0, -1.3), (1.0, 1.2), max_evaluations=100_000)
    result = integrate(ridge, (0.0, -1.3), (1.0, 1.2), max_evaluations=100_000, strict=False)
    assert result.error > 1e-7
    assert 50_000 < result.evaluations <= 100_000


def test_evaluations_are_counted_and_come_in_bounded_calls() -> None:
    calls: list[int] = []

    def counted(x: Tensor) -> Tensor:
        calls.append(len(x))
        return ridge(x).float()

    result = integrate(counted, (0.0, -1.3), (1.0, 1.2), tolerance=1e-4)
    assert sum(calls) == result.evaluations
    assert max(calls) == 2**17


@pytest.mark.parametrize(
    ("fn", "low", "high", "error", "match"),
    [
        (normal, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), InputError, "one or two bounds each, got 3 and 3"),
        (normal, (0.0,), (1.0, 1.0), InputError, "got 1 and 2"),
        (normal, (1.0,), (1.0,), InputError, "finite low < high"),
        (normal, (-math.inf,), (1.0,), InputError, "finite low < high"),
        (lambda x: x, (0.0,), (1.0,), ShapeError, "one number a row"),
        (lambda x: torch.where(x[:, 0] > 0.5, math.nan, 1.0), (0.0,), (1.0,), NonFiniteError, r"got nan at \[0\.5"),
    ],
    ids=["three-dimensions", "unequal", "empty-box", "infinite-box", "shape", "nan"],
)
def test_refusals(fn, low, high, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        integrate(fn, low, high)


def test_too_few_evaluations_and_nodes_are_refused() -> None:
    with pytest.raises(InputError, match="max_evaluations: expected at least"):
        integrate(normal, (0.0,), (1.0,), max_evaluations=10)
    with pytest.raises(InputError, match="nodes: expected at least 1, got 0"):
        gauss_legendre(0)


def test_cell_masses_of_a_normal_are_products_of_its_distribution_function() -> None:
    first, second = torch.tensor([-9.0, -1.0, 0.5, 9.0]), torch.tensor([-2.0, 0.0, 0.25, 1.0, 3.0])
    masses = cell_masses(normal, [first, second], sub=4)
    truth = torch.outer(torch.special.ndtr(first.double()).diff(), torch.special.ndtr(second.double()).diff())
    torch.testing.assert_close(masses, truth, rtol=0, atol=1e-9)
    torch.testing.assert_close(
        cell_masses(normal, [second]), torch.special.ndtr(second.double()).diff(), rtol=0, atol=1e-9
    )


def test_subdivision_resolves_what_the_order_does_not() -> None:
    edges = [torch.tensor([-9.0, 9.0])]
    truth = torch.ones(1, dtype=torch.float64)
    assert float((cell_masses(normal, edges, order=4) - truth).abs()) > 1e-2
    torch.testing.assert_close(cell_masses(normal, edges, order=4, sub=20), truth, rtol=0, atol=1e-6)


@pytest.mark.parametrize("edges", [[torch.tensor([0.0, 0.0])], [torch.tensor([0.0])], [], [torch.zeros(2, 2)]])
def test_edges_that_are_no_grid_are_refused(edges: list[Tensor]) -> None:
    with pytest.raises(InputError, match="edges: expected one or two increasing"):
        cell_masses(normal, edges)


@pytest.mark.parametrize("deviation", [3.0, 0.1, 1e-3, 1e-7])
@pytest.mark.parametrize("depth", [0.0, -1e6])
def test_log_integrals_of_a_peak_of_any_width_at_any_depth(deviation: float, depth: float) -> None:
    centres = torch.linspace(-1.0, 1.0, 41, dtype=torch.float64)  # at the ends half of the peak is outside
    result = log_integral(
        lambda row, t: depth - 0.5 * ((t - centres[row, None]) / deviation).square(), len(centres), -1.0, 1.0
    )
    inside = torch.special.ndtr((1 - centres) / deviation) - torch.special.ndtr((-1 - centres) / deviation)
    truth = depth + inside.log() + math.log(deviation * math.sqrt(2 * math.pi))
    torch.testing.assert_close(result, truth, rtol=1e-15, atol=1e-8)


def test_a_log_integral_adds_up_two_equal_peaks_and_passes_gradients() -> None:
    centre = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)

    def two_peaks(row: Tensor, t: Tensor) -> Tensor:
        bump = -0.5 * ((t.abs() - 0.7) / 1e-4).square()
        return bump - 3 * centre[row, None].square()

    (result,) = log_integral(two_peaks, 1, -1.0, 1.0)
    assert result.item() == pytest.approx(math.log(2 * 1e-4 * math.sqrt(2 * math.pi)) - 3 * 0.49, abs=1e-8)
    result.backward()
    assert centre.grad is not None
    assert centre.grad.item() == pytest.approx(-6 * 0.7)


def test_a_log_integral_encloses_jumps_and_zeros() -> None:
    nothing = log_integral(lambda row, t: torch.full_like(t, -math.inf), 1, -0.5, 1.0)
    assert nothing.item() == -math.inf
    jump = log_integral(lambda row, t: torch.where(t < 0, -math.inf, -torch.exp(t)), 1, -0.51, 1.0)
    smooth = log_integral(lambda row, t: -torch.exp(t), 1, 0.0, 1.0)
    torch.testing.assert_close(jump, smooth, rtol=0, atol=1e-12)


def test_a_log_integral_refuses_nan() -> None:
    with pytest.raises(NonFiniteError, match=r"row 2 near 0\.9"):
        log_integral(lambda row, t: torch.where((row[:, None] == 2) & (t > 0.9), math.nan, t), 4, 0.0, 1.0)
