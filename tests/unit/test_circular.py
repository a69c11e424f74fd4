"""Flows on circles: nothing happens at the seam, and nothing but angles is taken."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import bijectory as bj
from bijectory.errors import DomainError, InputError
from bijectory.numerics.circle import wrap

TURN = 2 * math.pi


def flow(features: int, structure: str, context_dim: int = 0) -> bj.Flow:
    model = bj.nsf(
        features,
        depth=3,
        bins=4,
        hidden=(16,),
        boundary="circular",
        structure=structure,  # type: ignore[arg-type]
        context_dim=context_dim,
    ).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return model


def angles(*shape: int) -> Tensor:
    return TURN * torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - math.pi


@pytest.mark.parametrize("structure", ["coupling", "autoregressive"])
@pytest.mark.parametrize("features", [1, 3])
def test_the_density_and_its_slope_go_on_across_the_seam(features: int, structure: str) -> None:
    model = flow(features, structure, context_dim=2)
    context = torch.randn(20, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for column in range(features):
        sides, slopes = [], []
        for side in (-math.pi, math.pi - 1e-12):
            x = angles(20, features)
            x[:, column] = side
            x.requires_grad_()
            log_prob = model.log_prob(x, context)
            sides.append(log_prob.detach())
            slopes.append(torch.autograd.grad(log_prob.sum(), x)[0][:, [i for i in range(features) if i != column]])
        assert torch.allclose(*sides, atol=1e-9)
        # A quadratic spline's slope is smooth along the others, whichever side of the seam this one is on.
        assert torch.allclose(*slopes, atol=1e-8)


def test_a_network_that_read_the_numbers_themselves_would_jump_at_the_seam() -> None:
    model = flow(2, "coupling")
    low, high = (torch.tensor([[side, 0.3], [0.3, side]], dtype=torch.float64) for side in (-math.pi, math.pi - 1e-12))
    assert torch.allclose(model.log_prob(low), model.log_prob(high), atol=1e-9)
    for part in model.modules():
        if isinstance(part, bj.MLP):
            part.periodic = False
            part.hidden_layers[0].weight.data = part.hidden_layers[0].weight.data[:, :1]  # type: ignore[union-attr, index]
    assert not torch.allclose(model.log_prob(low), model.log_prob(high), atol=1e-2)


def test_samples_are_angles_in_either_precision() -> None:
    for dtype in (torch.float32, torch.float64):
        model = flow(2, "autoregressive").to(dtype)
        x = model.sample(2000, generator=torch.Generator().manual_seed(0)).detach()
        assert x.dtype == dtype
        assert float(x.abs().max()) <= math.pi + 1e-7
        assert torch.isfinite(model.log_prob(x)).all()


def test_the_seam_itself_has_two_names() -> None:
    model = flow(2, "coupling")
    # atan2(±0, −1) in float32, and what it is in float64: 9e-8 more than π
    seam = torch.atan2(torch.tensor([0.0, -0.0]), torch.tensor([-1.0, -1.0]))
    for dtype in (torch.float32, torch.float64):
        x = torch.stack([seam.to(dtype), torch.full((2,), 0.5, dtype=dtype)], 1)
        first, second = model.to(dtype).log_prob(x).tolist()
        assert first == pytest.approx(second, abs=1e-4)


@pytest.mark.parametrize("value", [3.2, -3.2, 4.0, 1e30, math.inf, math.nan])
def test_what_is_no_angle_is_refused(value: float) -> None:
    with pytest.raises(DomainError, match=r"expected angles in \[−π, π\]"):
        flow(2, "coupling").log_prob(torch.tensor([[0.0, value]], dtype=torch.float64))


def test_wrapping_keeps_the_angle() -> None:
    generator = torch.Generator().manual_seed(0)
    for dtype, error in ((torch.float32, 2e-5), (torch.float64, 1e-13)):
        angle = (50 * torch.randn(10_000, generator=generator, dtype=torch.float64)).to(dtype)
        edges = torch.tensor([math.pi, -math.pi, 3 * math.pi, -3 * math.pi, 0.0], dtype=dtype)
        beside = torch.cat([torch.nextafter(edges, edges.new_tensor(end)) for end in (-math.inf, math.inf)])
        angle = torch.cat([angle, edges, beside])
        found = wrap(angle)
        assert bool(((found >= -math.pi) & (found < math.pi)).all())
        assert float((torch.cos(found) - torch.cos(angle)).abs().max()) < error
        assert float((torch.sin(found) - torch.sin(angle)).abs().max()) < error
        inside = angle[(angle >= -math.pi) & (angle < math.pi)]
        assert torch.equal(wrap(inside), inside)
    assert torch.isnan(wrap(torch.tensor(math.nan)))


@pytest.mark.parametrize(
    "make", [lambda: bj.CircularSpline(1), lambda: bj.CircularSpline(8, floor=0.2), lambda: bj.Rotate(math.inf)]
)
def test_circles_without_meaning_are_refused(make: type) -> None:
    with pytest.raises(InputError):
        make()


def test_zero_parameters_are_the_identity() -> None:
    spline, x = bj.CircularSpline(5), angles(50)
    params = spline.identity_params().double()
    z, log_slope = spline.forward(x, params.expand(50, -1))
    assert torch.allclose(z, x, atol=1e-14)
    assert torch.allclose(log_slope, torch.zeros_like(x), atol=1e-14)
