"""Solvers where nobody can look at values: in torch's graphs and inside torch.func they find the same, and what has no answer is NaN."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import bijectory
from bijectory.errors import InverseError
from bijectory.numerics.fixed_point import fixed_point
from bijectory.numerics.loops import repeat
from bijectory.numerics.roots import solve_increasing

Solver = Callable[[Tensor], Tensor]
WAYS: dict[str, Callable[[Solver], Solver]] = {
    "vmap": torch.func.vmap,
    # Not inductor, which calls a C++ compiler: what it makes of loops the slow cells of tests/docs try.
    "compile": lambda solver: torch.compile(solver, fullgraph=True, backend="aot_eager"),
}


def bounded(target: Tensor) -> Tensor:
    """The root of sinh x up to 3, and of what ends at sinh 3: targets above have none."""

    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        inside = x.clamp(max=3.0)
        return torch.sinh(inside), torch.log(torch.cosh(inside))

    return solve_increasing(function, target, target - 1, target + 1, growth=20)[0]


def contraction(rows: Tensor) -> Tensor:
    """x = rows + cos(x) / 2; of rows past 100 a step that runs away."""

    def step(x: Tensor) -> Tensor:
        return torch.where(rows > 100, 2 * x + 1, rows + 0.5 * torch.cos(x))

    return fixed_point(step, rows, lipschitz=0.5, what="test")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()


# torch's own, of a node of its graphs that it calls a prototype.
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("way", WAYS)
def test_what_has_no_root_is_nan_and_the_others_are_found(way: str) -> None:
    targets = torch.tensor([-5.0, 0.0, 9.0, 11.0, 3.0], dtype=torch.float64)
    with pytest.raises(InverseError):
        bounded(targets)
    found = WAYS[way](bounded)(targets)
    assert found.isnan().tolist() == [False, False, False, True, False]
    reached = ~found.isnan()
    torch.testing.assert_close(found[reached], torch.asinh(targets)[reached], rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(found[reached], bounded(targets[reached]), rtol=1e-14, atol=1e-14)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("way", WAYS)
def test_rows_without_a_fixed_point_are_nan(way: str) -> None:
    rows = torch.tensor([[0.1, 2.0], [101.0, 101.0], [-3.0, 0.0]], dtype=torch.float64)
    with pytest.raises(InverseError):
        contraction(rows)
    found = WAYS[way](contraction)(rows)
    assert found.isnan().any(-1).tolist() == [False, True, False]
    torch.testing.assert_close(found[[0, 2]], contraction(rows[[0, 2]]), rtol=1e-14, atol=1e-14)


def test_a_loop_inside_vmap_goes_on_for_all_as_long_as_for_one() -> None:
    def rounds(x: Tensor) -> Tensor:
        return repeat(lambda x: x > 1, lambda x: (torch.where(x > 1, x / 2, x),), (x,))[0]

    x = torch.tensor([0.7, 5.0, 1e6])
    found = torch.func.vmap(rounds)(x)
    assert found.tolist() == [rounds(one).item() for one in x]
    assert found[0] == x[0]


def test_jacobi_sampling_is_jacobi_sampling_inside_vmap() -> None:
    flow = bijectory.maf(4, depth=2, hidden=(8,)).double()
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).double()
    expected = flow.decode(z)
    bijectory.set_sampling(flow, "jacobi")
    torch.testing.assert_close(torch.func.vmap(flow.decode)(z), expected)
