"""What a flow's doors refuse: what is no tensor, another dtype, another shape; and a continuous flow that reads an embedded context."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import bijectory as bj
from bijectory.errors import InputError, ShapeError
from bijectory.recipes._tables import Size, estimated, vector_flow

MAKERS: dict[str, Callable[[], bj.Flow]] = {
    "no weights": lambda: bj.Flow(bj.Normal((2,)), bj.Permute((1, 0))),
    "maf": lambda: bj.maf(2, depth=1, hidden=(8,)),
    "nsf": lambda: bj.nsf(2, depth=1, hidden=(8,)),
    "mixture_cdf": lambda: bj.mixture_cdf(2, hidden=(8,)),
    "planar": lambda: bj.planar(2, depth=1),
    "residual_flow": lambda: bj.residual_flow(2, depth=1, hidden=(8,)),
    "ffjord": lambda: bj.ffjord(2, hidden=(8,)),
    "flow base": lambda: bj.nice(2, hidden=(8,), base=bj.maf(2, depth=1, hidden=(8,))),
}
each_flow = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


@each_flow
def test_every_flow_takes_its_own_dtype_and_no_other(make: Callable[[], bj.Flow]) -> None:
    flow, x = make(), torch.randn(3, 2)
    for dtype, other in ((torch.float32, torch.float64), (torch.float64, torch.float32), (torch.float64, torch.int64)):
        flow.to(dtype)
        assert flow.log_prob(x.to(dtype)).dtype is dtype
        assert flow.decode(flow.encode(x.to(dtype))).dtype is dtype
        assert flow.sample(3).dtype is dtype
        for name, call in (("x", flow.log_prob), ("x", flow.encode), ("z", flow.decode), ("x", flow.initialise)):
            with pytest.raises(InputError, match=rf"^{name}: expected {dtype}.*got {other}; convert with {name}\.to"):
                call(x.to(other))


def test_a_flow_of_double_precision_is_a_base_of_double_precision() -> None:
    flow = bj.Flow(bj.nice(2, hidden=(8,), base=bj.maf(2, depth=1, hidden=(8,)).double()).base, bj.Permute((1, 0)))
    assert flow.log_prob(flow.sample(3)).dtype is torch.float64


def test_a_context_of_another_dtype_is_refused() -> None:
    flow = bj.maf(2, depth=1, hidden=(8,), context_dim=3)
    for call in (flow.log_prob, flow.encode, flow.decode):
        with pytest.raises(InputError, match=r"^context: expected torch.float32.*got torch.float64"):
            call(torch.zeros(4, 2), torch.zeros(4, 3, dtype=torch.float64))
    with pytest.raises(InputError, match=r"^context: expected torch.float32"):
        flow.sample(4, torch.zeros(3, dtype=torch.float64))


@each_flow
def test_what_is_no_tensor_is_refused(make: Callable[[], bj.Flow]) -> None:
    flow = make()
    for rows in ([[0.0, 1.0]], torch.zeros(1, 2).numpy(), 1.0):
        for name, call in (("x", flow.log_prob), ("x", flow.encode), ("z", flow.decode)):
            with pytest.raises(InputError, match=rf"^{name}: expected a tensor, got .*torch.as_tensor"):
                call(rows)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"^z: expected shape"):
        flow.decode(torch.zeros(4, 3))
    conditional = bj.maf(2, depth=1, hidden=(8,), context_dim=1)
    with pytest.raises(InputError, match=r"^context: expected a tensor, got list"):
        conditional.log_prob(torch.zeros(1, 2), [[0.0]])  # type: ignore[arg-type]


def test_an_estimate_refuses_the_same() -> None:
    flow = bj.ffjord(2, hidden=(8,), trace="hutchinson")
    with pytest.raises(InputError, match=r"^x: expected torch.float32"):
        flow.log_prob_estimate(torch.zeros(4, 2, dtype=torch.float64))
    with pytest.raises(InputError, match=r"^x: expected a tensor"):
        flow.log_prob_estimate([[0.0, 1.0]])  # type: ignore[arg-type]


def test_a_continuous_flow_learns_by_an_estimate_through_its_standardised_context() -> None:
    generator = torch.Generator().manual_seed(0)
    flow = bj.standardised_context(vector_flow("ffjord", 2, Size(hidden=(8,), ode_steps=4), context_dim=3))
    x, context = torch.randn(6, 2, generator=generator), 1000 + 20 * torch.randn(6, 3, generator=generator)
    bj.initialise(flow, x, context)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    twin = estimated(flow)
    assert {id(p) for p in flow.parameters()} == {id(p) for p in twin.parameters()}
    with torch.no_grad():
        noise = twin.draw_noise((400, 6), generator=generator)
        draws = torch.stack([twin.log_prob_estimate(x, context, noise=one) for one in noise])
        exact = flow.log_prob(x, context)
    assert ((draws.mean(0) - exact).abs() < 4.5 * draws.std(0) / len(draws) ** 0.5 + 1e-5).all()
    standardised = bj.standardised_context(bj.ffjord(2, hidden=(8,), trace="hutchinson", context_dim=3))
    assert isinstance(standardised, bj.EstimatedFlow)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_no_part_is_initialised_from_what_is_no_number(bad: float) -> None:
    x = torch.randn(8, 2)
    x[3, 1] = bad
    for part in (bj.ActNorm((2,)), bj.Standardise((2,))):
        before = {name: value.clone() for name, value in part.state_dict().items()}
        with pytest.raises(InputError, match=r"finite"):
            part.initialise(x)
        assert all(torch.equal(value, before[name]) for name, value in part.state_dict().items())


def test_an_importer_says_what_it_is_handed() -> None:
    for state in ({}, {"weight": torch.zeros(2)}):
        with pytest.raises(InputError, match=r"tensors begin with '_transform\.', got no such tensors"):
            bj.from_nflows(state)
        with pytest.raises(InputError, match=r"tensors begin with 'transform\.', got no such tensors"):
            bj.from_zuko(state, kind="maf")
    for wrong in ({"weight": 1}, [torch.zeros(2)]):
        with pytest.raises(InputError, match="expected a flow, or its state_dict"):
            bj.from_nflows(wrong)  # type: ignore[arg-type]
