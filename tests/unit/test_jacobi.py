"""Jacobi iteration finds the inverse that positions one by one find, and says how many sweeps it took."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bijectory as bj
from bijectory.errors import InputError, NumericError
from bijectory.numerics.residuals import residuals
from bijectory.transforms.autoregressive import NaiveCausal

HIDDEN = (32, 32)
MAPS: dict[str, Callable[[], Any]] = {
    "affine": bj.Affine,
    "spline": bj.RationalQuadraticSpline,
    "mixture": lambda: bj.MixtureCDF(3),
}


def made(elementwise: Any, features: int = 6, context_dim: int = 0, order: tuple[int, ...] | None = None) -> Any:
    """An autoregression whose weights are moved, so that every position depends on those before it."""
    torch.manual_seed(0)
    net = bj.MADE(
        features, elementwise.num_params, hidden=HIDDEN, context_dim=context_dim, order=order, squash=True, zero=False
    )
    return bj.Autoregressive(elementwise, net).double()


def both(transform: nn.Module, z: Tensor, context: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
    """The inverse and its log-det, incremental and by Jacobi iteration."""
    found = []
    for how in ("incremental", "jacobi"):
        bj.set_sampling(transform, how)  # type: ignore[arg-type]
        found.append(transform.inverse_and_log_det(z, context))  # type: ignore[operator]
    return found


@pytest.mark.parametrize("context_dim", [0, 2])
@pytest.mark.parametrize("order", [None, (2, 0, 5, 1, 4, 3)])
@pytest.mark.parametrize("name", MAPS)
def test_the_inverse_is_the_incremental_one(name: str, order: tuple[int, ...] | None, context_dim: int) -> None:
    transform = made(MAPS[name](), context_dim=context_dim, order=order)
    z = 2 * torch.randn(3, 50, 6).double()
    context = torch.randn(3, 50, 2).double() if context_dim else None
    with torch.no_grad(), residuals() as solved:
        (x, log_det), (again, log_det_again) = both(transform, z, context)
    torch.testing.assert_close(again, x, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(log_det_again, log_det, rtol=1e-11, atol=1e-11)
    (one,) = [one for one in solved if one.what == "jacobi"]
    assert 2 <= one.iterations <= 6
    assert one.residual <= one.tolerance == 8 * torch.finfo(torch.float64).eps


@pytest.mark.parametrize("name", MAPS)
def test_in_float32(name: str) -> None:
    with torch.no_grad():
        (x, log_det), (again, log_det_again) = both(made(MAPS[name]()).float(), torch.randn(50, 6))
    torch.testing.assert_close(again, x, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(log_det_again, log_det, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MAPS)
def test_gradients_are_the_incremental_ones(name: str) -> None:
    transform = made(MAPS[name](), context_dim=2)
    z, context = torch.randn(20, 6).double().requires_grad_(), torch.randn(20, 2).double().requires_grad_()
    weight = torch.randn(20, 6).double()
    inputs = [z, context, *transform.parameters()]
    gradients = []
    for x, log_det in both(transform, z, context):
        gradients.append(torch.autograd.grad((x * weight).sum() + log_det.square().sum(), inputs))
    for found, expected in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


def test_only_what_is_asked_for_has_a_gradient() -> None:
    transform = made(bj.Affine()).requires_grad_(False)
    bj.set_sampling(transform, "jacobi")
    assert not transform.inverse(torch.randn(4, 6).double()).requires_grad
    single = made(bj.Affine(), features=1)
    bj.set_sampling(single, "jacobi")
    single.inverse(torch.randn(4, 1).double()).sum().backward()
    assert all(p.grad is not None for p in single.parameters())


def test_no_rows_have_a_gradient_too() -> None:
    transform = made(bj.Affine())
    bj.set_sampling(transform, "jacobi")
    transform.inverse(torch.zeros(0, 6).double()).sum().backward()
    assert all(p.grad is None or not bool(p.grad.any()) for p in transform.parameters())


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, at its first dual number
def test_second_derivatives_are_refused_and_functional_ones_are_right() -> None:
    transform = made(bj.Affine())
    z = torch.randn(6).double()
    bj.set_sampling(transform, "incremental")
    expected = torch.func.hessian(lambda z: transform.inverse(z).sum())(z)
    bj.set_sampling(transform, "jacobi")
    torch.testing.assert_close(torch.func.hessian(lambda z: transform.inverse(z).sum())(z), expected)
    at = z.clone().requires_grad_()
    with pytest.raises(NumericError, match="incremental"):
        torch.autograd.grad(transform.inverse(at).sum(), at, create_graph=True)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(z, torch.ones_like(z))
        tangent = torch.autograd.forward_ad.unpack_dual(transform.inverse(dual)).tangent
    torch.testing.assert_close(tangent, torch.func.jvp(transform.inverse, (z,), (torch.ones_like(z),))[1])


class Shifts(nn.Module):
    """x_i = z_i − Σ_j W_ij relu(1 − x_j): a net of one matrix, W strictly lower triangular."""

    event_dim = 1

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.tril(-1))
        self.order = tuple(range(len(weight)))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return F.linear(torch.relu(1 - x), self.weight).unsqueeze(-1)


def test_the_longest_dependence_takes_a_sweep_for_each_position_and_no_more() -> None:
    """Each position by the one before it: nothing is right early, and everything after D sweeps, whatever the tolerance says."""
    chain = bj.Autoregressive(bj.Shift(), NaiveCausal(Shifts(torch.ones(8, 8) - torch.ones(8, 8).tril(-2)))).double()  # type: ignore[arg-type]
    with torch.no_grad(), residuals() as solved:
        (x, _), (again, _) = both(chain, -torch.ones(2, 8).double())
    assert torch.equal(x, again)
    assert [one.iterations for one in solved] == [8] and solved[0].residual == 0


def test_a_position_may_overflow_until_its_turn_comes() -> None:
    """Read at the start, x = 0, the third value is −∞; times a zero of the net's matrix that is NaN, in the positions before it too."""
    weight = torch.zeros(3, 3)
    weight[2] = 3e38
    transform = bj.Autoregressive(bj.Shift(), NaiveCausal(Shifts(weight)), sampling="jacobi")  # type: ignore[arg-type]
    with torch.no_grad():
        assert transform.inverse(torch.tensor([2.0, 2.0, 5.0])).tolist() == [2.0, 2.0, 5.0]


def test_a_coarser_tolerance_takes_fewer_sweeps() -> None:
    transform = made(bj.Affine(), features=32)
    z = torch.randn(50, 32).double()
    counts, errors = [], []
    expected = transform.inverse(z)
    for tolerance in (None, 1e-3):
        bj.set_sampling(transform, "jacobi", tolerance=tolerance)
        with torch.no_grad(), residuals() as solved:
            errors.append((transform.inverse(z) - expected).abs().max().item())
        counts.append(solved[0].iterations)
    assert counts[1] < counts[0] <= 32
    assert errors[0] < 1e-12 < errors[1] < 1e-2


def test_a_whole_flow_and_its_state() -> None:
    torch.manual_seed(0)
    flow = bj.maf(5, depth=3, hidden=(16,), context_dim=1)
    for parameter in flow.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    names, context = list(flow.state_dict()), torch.randn(7, 1)
    torch.manual_seed(1)
    expected = flow.sample(10, context)
    bj.set_sampling(flow, "jacobi")
    torch.manual_seed(1)
    with residuals() as solved:
        x = flow.sample(10, context)
    torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-4)
    assert [one.what for one in solved] == ["jacobi"] * 3
    assert list(flow.state_dict()) == names
    again = bj.Inverse(flow.transform)
    torch.testing.assert_close(
        again.inverse(again.forward(expected, context.expand(10, 7, 1)), context.expand(10, 7, 1)),
        expected,
        rtol=1e-3,
        atol=1e-3,
    )


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="'incremental' or 'jacobi'"):
        bj.set_sampling(made(bj.Affine()), "fast")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="tolerance"):
        bj.Autoregressive(bj.Affine(), bj.MADE(3, 2), sampling="jacobi", tolerance=0.0)
