"""What stands in rows, a number of every vector in each, equals what stands in columns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bijectory.nets.conv import Conv2d
from bijectory.nets.made import MADE
from bijectory.nets.mlp import MLP, Linear
from bijectory.numerics.spline import rational_quadratic, spline_of_rows, unconstrained_knots
from bijectory.transforms.coupling import Coupling, Partition
from bijectory.transforms.splines import RationalQuadraticSpline


@pytest.mark.parametrize("bins", [2, 3, 8])
@pytest.mark.parametrize("inverse", [False, True])
def test_a_spline_written_out_bin_by_bin_is_the_spline_and_has_its_gradient(bins: int, inverse: bool) -> None:
    generator = torch.Generator().manual_seed(bins)
    # Inside, outside, at both ends and on a knot of the identity.
    x = torch.cat([torch.linspace(-7, 7, 57), torch.tensor([-5.0, 0.0, 5.0])]).double().requires_grad_()
    rows = (2 * torch.randn(3 * bins - 1, len(x), dtype=torch.float64, generator=generator)).requires_grad_()
    parts = rows.split([bins, bins, bins - 1])
    found = spline_of_rows(x, *parts, bound=5.0, floor=1e-3, inverse=inverse)
    knots = unconstrained_knots(*(part.movedim(0, -1) for part in parts), bound=5.0)
    expected = rational_quadratic(x, *knots, inverse=inverse)
    weights = torch.randn(2, len(x), dtype=torch.float64, generator=generator)
    # On a knot two formulas are right; the gradient of where they meet is compared beside it.
    at = (x.detach().abs() != 5) & (x.detach() != 0)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad((weights * torch.stack(pair) * at).sum(), (x, rows)) for pair in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("order", [range(21), range(20, -1, -1)])
def test_a_masked_product_without_its_empty_corner_is_the_same(order: range) -> None:
    net = MADE(21, 2, hidden=(128, 128), zero=False, order=tuple(order)).double()
    x = torch.randn(7, 21, dtype=torch.float64)
    cut = [layer for layer in net.layers if isinstance(layer, Linear) and layer._blocks is not None]
    assert len(cut) >= 2
    whole = net(x)
    with torch.no_grad():
        torch.testing.assert_close(net(x), whole.detach(), rtol=1e-12, atol=1e-13)
    for layer in cut:
        assert layer._blocks is not None and layer.mask is not None
        left_out = torch.ones_like(layer.mask)
        for first, last, seen in layer._blocks:
            left_out[first:last, :seen] = 0
        assert left_out.sum() >= 0.15 * left_out.numel()
        assert not bool((left_out * layer.mask).any())


def test_a_compiled_cut_product_and_its_gradient_are_the_whole_ones() -> None:
    torch.manual_seed(0)
    net = MADE(21, 2, hidden=(128, 128), zero=False).double()
    x, weights = torch.randn(7, 21, dtype=torch.float64), torch.randn(7, 21, 2, dtype=torch.float64)
    found = torch.compile(net, fullgraph=True, backend="aot_eager")(x)
    expected = net(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    gradients = [torch.autograd.grad((weights * out).sum(), list(net.parameters())) for out in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("net", "shape"), [(MADE(21, 2, hidden=(128, 128)), (7, 21)), (MLP(3, (2,)), (7, 3)), (Conv2d(3, 8), (2, 3, 4, 4))]
)
def test_under_autocast_a_compiled_layer_is_as_narrow_as_an_eager_one(net: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found, expected = torch.compile(net, fullgraph=True, backend="aot_eager")(x), net(x)
    assert found.dtype is expected.dtype is torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


def test_masks_without_an_empty_corner_are_left_whole() -> None:
    scattered = (torch.rand(64, 64, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    assert Linear(64, 64, mask=scattered)._blocks is None
    assert Linear(4, 4, mask=torch.tril(torch.ones(4, 4)))._blocks is None


def test_a_spline_coupling_compiles_to_what_it_is() -> None:
    torch.manual_seed(0)
    spline = RationalQuadraticSpline(3)
    net = MLP(3, (2, spline.num_params), hidden=(8,), zero=False, context_dim=2, squash=True)
    coupling = Coupling(Partition(5, (0, 3)), spline, net).double()
    x, context = torch.randn(6, 5, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    forward = torch.compile(coupling.forward_and_log_det, fullgraph=True, backend="aot_eager")
    inverse = torch.compile(coupling.inverse_and_log_det, fullgraph=True, backend="aot_eager")
    z, log_det = coupling.forward_and_log_det(x, context)
    for one, other in zip(forward(x, context), (z, log_det), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)
    for one, other in zip(inverse(z.detach(), context), (x, -log_det), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)
