"""What is solved rather than computed: differential equations, fixed points, traces, and the residuals they leave."""

from __future__ import annotations

import itertools
import math
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import bijectory as bj
from bijectory.errors import InputError, InverseError, MissingExtraError, NonFiniteError
from bijectory.nets.lipschitz import lip_swish, spectral_bound
from bijectory.numerics.fixed_point import fixed_point
from bijectory.numerics.ode import dopri5, rk4
from bijectory.numerics.residuals import listening
from bijectory.numerics.trace import exact_trace, hutchinson, jacobian, signs


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def moved(module: torch.nn.Module, noise: float, seed: int = 0) -> Any:
    """The module in float64 with its weights moved from where they start."""
    source = generator(seed)
    module = module.double()
    with torch.no_grad():
        for p in module.parameters():
            p.add_(noise * torch.randn(p.shape, generator=source, dtype=p.dtype))
    return module


# Differential equations


def spiral(t: Tensor, y: Tensor) -> Tensor:
    """y' = (i − cos t) y in the plane: y(t) = y(0) exp(i t − sin t)."""
    turned = torch.stack([-y[..., 1], y[..., 0]], -1)
    return turned - torch.cos(t) * y


def spiral_end(y: Tensor, t: float) -> Tensor:
    c, s, shrink = math.cos(t), math.sin(t), math.exp(-math.sin(t))
    return shrink * torch.stack([c * y[..., 0] - s * y[..., 1], s * y[..., 0] + c * y[..., 1]], -1)


def test_runge_kutta_is_of_order_four_and_five_there_and_back() -> None:
    y = rows(7, 2)
    out, back = [], []
    for steps in (8, 16, 32):
        end = rk4(spiral, y, 0.0, 1.0, steps)
        out.append(float((end - spiral_end(y, 1.0)).abs().max()))
        back.append(float((rk4(spiral, end, 1.0, 0.0, steps) - y).abs().max()))
    orders = [math.log2(a / b) for errors in (out, back) for a, b in itertools.pairwise(errors)]
    assert orders[0] == pytest.approx(4, abs=0.2) and orders[1] == pytest.approx(4, abs=0.2)
    assert orders[2] == pytest.approx(5, abs=0.3) and orders[3] == pytest.approx(5, abs=0.3)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-7, 1e-10])
def test_dormand_prince_keeps_about_its_tolerance(tolerance: float) -> None:
    y = rows(7, 2)
    end = dopri5(spiral, y, 0.0, 1.0, rtol=tolerance, atol=tolerance)
    assert float((end - spiral_end(y, 1.0)).abs().max()) < 10 * tolerance


def test_one_hard_row_among_many_keeps_the_tolerance_too() -> None:
    def stiff(t: Tensor, y: Tensor) -> Tensor:
        return y[..., 1:] * torch.cat([torch.cos(y[..., 1:] * t), torch.zeros_like(t.expand(*y.shape[:-1], 1))], -1)

    y = torch.zeros(4000, 2, dtype=torch.float64)
    y[:, 1], y[0, 1] = 0.01, 60.0
    end = dopri5(stiff, y, 0.0, 1.0, rtol=1e-6, atol=1e-6)
    assert abs(float(end[0, 0]) - math.sin(60.0)) < 1e-5


def test_tolerances_below_rounding_end_in_float32() -> None:
    y = rows(7, 2).float()
    end = dopri5(spiral, y, 0.0, 1.0, rtol=1e-14, atol=1e-14)
    assert float((end - spiral_end(y, 1.0)).abs().max()) < 1e-5


def test_a_field_that_is_not_finite_is_an_error_of_ours() -> None:
    with pytest.raises(NonFiniteError, match=r"dopri5: no solution from t = 0 to 1"):
        dopri5(lambda t, y: y * math.nan, rows(3, 2), 0.0, 1.0, rtol=1e-6, atol=1e-6)


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bijectory\[ode\]'"):
        bj.ffjord(2, solver="dopri5")
    assert bj.ffjord(2).sample(2).shape == (2, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps: expected at least one, got 0"),
        ({"trace": "exactly"}, "trace: expected 'exact' or 'hutchinson'"),
        ({"solver": "euler"}, "solver: expected one of rk4, dopri5, got 'euler'"),
        ({"rtol": 0.0}, "expected positive tolerances"),
        ({"activation": "relu"}, "expected a smooth one"),
        ({"hidden": (0,)}, "widths of at least 1"),
    ],
)
def test_settings_of_a_continuous_flow_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bj.ffjord(2, **settings)


def test_both_solvers_find_the_same_map() -> None:
    fixed = moved(bj.ffjord(2, hidden=(16,), steps=64), 0.2)
    adaptive = bj.ffjord(2, hidden=(16,), solver="dopri5", rtol=1e-9, atol=1e-9).double()
    adaptive.load_state_dict(fixed.state_dict())
    x = rows(50, 2)
    with torch.inference_mode():
        assert torch.allclose(fixed.log_prob(x), adaptive.log_prob(x), atol=1e-7, rtol=0)
        assert torch.allclose(fixed.encode(x), adaptive.encode(x), atol=1e-7, rtol=0)


def test_gradients_go_through_both_solvers() -> None:
    fixed = moved(bj.ffjord(2, hidden=(8,), steps=32), 0.2)
    adaptive = bj.ffjord(2, hidden=(8,), solver="dopri5", rtol=1e-8, atol=1e-8).double()
    adaptive.load_state_dict(fixed.state_dict())
    x = rows(20, 2)
    first, second = (torch.autograd.grad(m.log_prob(x).mean(), list(m.parameters())) for m in (fixed, adaptive))
    assert all(torch.allclose(a, b, atol=1e-5, rtol=1e-4) for a, b in zip(first, second, strict=True))


# Traces


def curved(x: Tensor) -> Tensor:
    return torch.stack([x[..., 0] * x[..., 1], torch.sin(x[..., 1]) + x[..., 2], x.square().sum(-1)], -1)


@pytest.mark.parametrize("batch", [(), (5,), (2, 3), (0,)])
def test_a_jacobian_and_its_trace(batch: tuple[int, ...]) -> None:
    x = rows(*batch, 3)
    value, whole = jacobian(curved, x)
    assert torch.equal(value, curved(x))
    assert whole.shape == (*batch, 3, 3)
    for row, found in zip(x.reshape(-1, 3), whole.reshape(-1, 3, 3), strict=True):
        assert torch.allclose(torch.autograd.functional.jacobian(curved, row), found)
    assert torch.allclose(exact_trace(curved, x)[1], whole.diagonal(dim1=-2, dim2=-1).sum(-1))


def test_the_mean_over_all_signs_is_the_trace() -> None:
    x = rows(4, 3)
    every = torch.cartesian_prod(*[torch.tensor([0.0, 0.5], dtype=torch.float64)] * 3)
    found = torch.stack([hutchinson(curved, x, signs(noise).expand(4, 3))[1] for noise in every])
    assert torch.allclose(found.mean(0), exact_trace(curved, x)[1])
    assert float(found.std(0).min()) > 0.1


# Lipschitz constants


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_bound_is_never_below_the_norm_and_close_above(dtype: torch.dtype) -> None:
    source = generator()
    for outputs, inputs in ((1, 1), (2, 2), (1, 64), (64, 3), (64, 64)):
        for scale in (1e-12, 1.0, 1e12):
            dense = torch.randn(outputs, inputs, generator=source, dtype=torch.float64)
            for weight in (dense, torch.outer(dense[:, 0], dense[0]), torch.eye(outputs, inputs, dtype=torch.float64)):
                weight = (scale * weight).to(dtype)
                ratio = float(spectral_bound(weight).double() / torch.linalg.matrix_norm(weight.double(), 2))
                assert 1 <= ratio < 1.012, (outputs, inputs, scale)
    assert float(spectral_bound(torch.zeros(3, 3, dtype=dtype))) >= 0


@pytest.mark.parametrize("noise", [0.0, 1.0, 100.0])
def test_a_net_keeps_its_constant_at_any_weights(noise: float) -> None:
    net = moved(bj.LipschitzMLP(4, hidden=(32, 32), lipschitz=0.9, context_dim=2, squash=True), noise)
    x, context = rows(500, 4), rows(500, 2, seed=1)
    with torch.no_grad():
        _, slopes = jacobian(lambda y: net(y, context), x)
        assert float(torch.linalg.matrix_norm(slopes, 2).max()) <= 0.9
        assert torch.equal(net.evaluated()(x, context), net(x, context))
        weights = [float(torch.linalg.matrix_norm(w, 2)) for w in net.weights()]
    assert max(weights) <= 0.9 ** (1 / 3)


def test_the_activation_has_slopes_of_at_most_one() -> None:
    x = torch.linspace(-20, 20, 4001, dtype=torch.float64).requires_grad_()
    for sharpness in (-5.0, 0.5, 5.0, 50.0):
        (slope,) = torch.autograd.grad(lip_swish(x, torch.tensor(sharpness, dtype=torch.float64)).sum(), x)
        assert float(slope.abs().max()) <= 1


@pytest.mark.parametrize("lipschitz", [0.0, 1.0, math.nan])
def test_a_constant_that_does_not_contract_is_refused(lipschitz: float) -> None:
    with pytest.raises(InputError, match="lipschitz: expected a constant between 0 and 1"):
        bj.LipschitzMLP(2, lipschitz=lipschitz)


# Fixed points


@pytest.mark.parametrize("log_det", ["exact", "estimate"])
def test_the_inverse_is_differentiated_implicitly(log_det: Any) -> None:
    net = moved(bj.LipschitzMLP(3, hidden=(16,), context_dim=1), 1.0)
    residual, z, context = (
        bj.Residual(net, log_det=log_det),
        rows(6, 3).requires_grad_(),
        rows(6, 1, seed=1).requires_grad_(),
    )
    inputs = [z, context, *net.parameters()]
    weights = rows(6, 3, seed=2)
    found = torch.autograd.grad((residual.inverse(z, context) * weights).sum(), inputs)
    # The same by going through every iteration, far more than it takes.
    x = z
    for _ in range(400):
        x = z - net(x, context)
    expected = torch.autograd.grad((x * weights).sum(), inputs)
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(found, expected, strict=True))


def test_what_is_no_contraction_is_an_error_and_no_answer() -> None:
    with pytest.raises(InverseError, match=r"doubled: 3 of 3 rows did not converge to 3\.6e-15"):
        fixed_point(lambda x: 1 - 2 * x, rows(3, 2), lipschitz=0.9, what="doubled")
    with pytest.raises(InverseError, match="1 of 2 rows"):
        fixed_point(lambda x: 0.5 * x, torch.tensor([[1.0], [math.nan]]), lipschitz=0.5, what="halved")


def test_a_residual_map_that_is_none_is_found_out() -> None:
    class Wild(torch.nn.Module):
        lipschitz = 0.5

        def evaluated(self) -> Any:
            return lambda x, context: -3 * x

    with pytest.raises(InverseError, match=r"Lipschitz bound \(0\.5\) does not hold"):
        bj.Residual(Wild()).inverse(rows(3, 2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"log_det": "roughly"}, "log_det: expected 'exact' or 'estimate'"),
        ({"terms": 0}, "terms: expected at least one"),
        ({"survival": 1.0}, "survival: expected a probability between 0 and 1"),
        ({"survival": 0.0}, "survival: expected a probability between 0 and 1"),
    ],
)
def test_settings_of_a_residual_flow_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bj.residual_flow(2, **settings)


def test_wide_noise_beside_one_ends_the_series_of_narrow_rows() -> None:
    residual = bj.Residual(bj.LipschitzMLP(2, hidden=(8,), zero=False), log_det="estimate")
    noise = torch.full((1, 3), 1 - 1e-12, dtype=torch.float64)  # 1 in float32, a series without end
    value, log_det = residual.forward_and_estimate(torch.ones(1, 2), None, noise)
    assert value.dtype == log_det.dtype == torch.float32
    assert bool(log_det.isfinite())


# Residuals


def test_every_numeric_inverse_says_what_it_left() -> None:
    mixture, residual = bj.mixture_cdf(2, hidden=(8,)).double(), moved(bj.residual_flow(2, depth=2, hidden=(8,)), 0.5)
    with torch.no_grad(), bj.residuals() as outer:
        mixture.decode(rows(20, 2))
        with bj.residuals() as inner:
            residual.decode(rows(20, 2))
        mixture.decode(rows(0, 2))
    assert [one.what for one in inner] == ["residual map"] * 2
    assert [one.what for one in outer] == ["root", "root", "residual map", "residual map"]
    assert all(one.residual <= one.tolerance and 1 <= one.iterations < 100 for one in outer)


@pytest.mark.parametrize(
    ("make", "solves"),
    [
        pytest.param(lambda: bj.planar(3, depth=2), 2, id="planar, one a layer"),
        pytest.param(lambda: bj.planar(3, depth=2, hidden=(8,), context_dim=1), 2, id="planar, context"),
        pytest.param(lambda: bj.sylvester(3, depth=2), 6, id="sylvester, one a term"),
        pytest.param(lambda: bj.sylvester(3, depth=2, terms=2), 4, id="sylvester, two terms"),
        pytest.param(lambda: bj.bnaf(3, depth=2, width=4), 6, id="bnaf, one a coordinate"),
        pytest.param(lambda: bj.naf(2, depth=1, layers=2, components=3, hidden=(8,)), 4, id="naf, one a mixture"),
    ],
)
def test_every_increasing_equation_says_what_it_left(make: Callable[[], bj.Flow], solves: int) -> None:
    flow = moved(make(), 0.5)
    z, context = rows(20, *flow.event_shape), rows(20, 1, seed=1) if flow.context_dim else None
    with bj.residuals() as found, torch.no_grad():
        x = flow.decode(z, context)
    assert [one.what for one in found] == ["root"] * solves
    assert all(one.residual <= one.tolerance and 1 <= one.iterations < 100 for one in found)
    # Nothing was there to solve at a map's start, the identity, whose first guess is the root.
    assert max(one.iterations for one in found) > 2
    with torch.no_grad():
        assert torch.allclose(flow.encode(x, context), z, rtol=0, atol=1e-12)


def test_nobody_listens_outside_the_block_and_in_other_threads() -> None:
    heard = []
    with bj.residuals() as found:
        assert listening()
        other = threading.Thread(target=lambda: heard.append(listening()))
        other.start()
        other.join()
    assert heard == [False]
    assert not listening()
    moved(bj.residual_flow(2, depth=1, hidden=(8,)), 0.5).decode(rows(3, 2))
    assert found == []


def test_a_block_that_ends_in_an_error_listens_no_longer() -> None:
    with pytest.raises(ZeroDivisionError), bj.residuals():
        raise ZeroDivisionError
    assert not listening()
