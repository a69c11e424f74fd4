"""A model as a ``torch.distributions.Distribution``: what torch promises of one."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, TransformedDistribution, constraints, transforms

import bijectory as bj
from bijectory.distributions.mixture import Mixture
from bijectory.errors import DomainError, InputError, ShapeError

HIDDEN = (8,)
MODELS: dict[str, Callable[[int], bj.Flow]] = {
    "coupling": lambda c: bj.nsf(3, depth=2, hidden=HIDDEN, context_dim=c),
    "autoregressive": lambda c: bj.maf(3, depth=2, hidden=HIDDEN, context_dim=c),
    "numeric inverse": lambda c: bj.mixture_cdf(3, components=3, hidden=HIDDEN, context_dim=c),
}


def made(name: str, context_dim: int = 0) -> bj.Flow:
    """A flow whose weights are moved, so that context and coordinates matter."""
    torch.manual_seed(0)
    flow = MODELS[name](context_dim).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return flow


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("batch", [(), (4,), (2, 4)])
@pytest.mark.parametrize("shape", [(), (5,), (5, 1)])
def test_shapes_are_sample_batch_event(name: str, batch: tuple[int, ...], shape: tuple[int, ...]) -> None:
    q = bj.as_distribution(made(name, 2), torch.randn(*batch, 2).double())
    assert isinstance(q, Distribution)
    assert (q.batch_shape, q.event_shape, q.has_rsample) == (batch, (3,), True)
    for draw in (q.sample, q.rsample):
        x = draw(torch.Size(shape))
        assert x.shape == (*shape, *batch, 3)
        assert q.log_prob(x).shape == (*shape, *batch)
    assert f"batch_shape={batch}" in repr(q)


def test_log_prob_is_the_models_and_broadcasts(name: str) -> None:
    flow, context = made(name, 2), torch.randn(4, 2).double()
    q = bj.as_distribution(flow, context)
    x = torch.randn(4, 3).double()
    expected = flow.log_prob(x, context)
    torch.testing.assert_close(q.log_prob(x), expected, rtol=0, atol=0)
    # One point under every context; several points under each.
    torch.testing.assert_close(q.log_prob(x[0]), flow.log_prob(x[0].expand(4, 3), context), rtol=0, atol=0)
    torch.testing.assert_close(q.log_prob(x.expand(2, 4, 3)), expected.expand(2, 4), rtol=1e-12, atol=1e-12)
    one = bj.as_distribution(flow, context[0])
    torch.testing.assert_close(one.log_prob(x)[0], expected[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("context_dim", [0, 2])
def test_expand_repeats_the_batch(name: str, context_dim: int) -> None:
    flow = made(name, context_dim)
    context = torch.randn(1, 2).double() if context_dim else None
    q = bj.as_distribution(flow, context)
    wide = q.expand((5, 4))
    assert (wide.batch_shape, wide.event_shape) == ((5, 4), (3,))
    x = wide.sample((2,))
    assert x.shape == (2, 5, 4, 3)
    torch.testing.assert_close(wide.log_prob(x), q.expand((4,)).log_prob(x), rtol=1e-12, atol=1e-12)
    # Independent draws, and not one draw repeated.
    assert len(torch.unique(wide.sample()[..., 0])) == 20
    assert q.batch_shape == ((1,) if context_dim else ())


def test_expand_refuses_what_does_not_broadcast() -> None:
    with pytest.raises(RuntimeError, match="expand"):
        bj.as_distribution(made("coupling", 2), torch.zeros(3, 2).double()).expand((4,))


def test_a_samples_gradient_reaches_context_and_every_weight(name: str) -> None:
    flow, context = made(name, 2), torch.randn(64, 2).double().requires_grad_()
    q = bj.as_distribution(flow, context)
    assert not q.sample().requires_grad
    q.rsample((8,)).square().sum().backward()
    assert context.grad is not None and bool((context.grad != 0).all())
    assert [n for n, p in flow.named_parameters() if p.grad is None or not bool(p.grad.any())] == []


def test_a_samples_gradient_is_that_of_its_law(name: str) -> None:
    """x = f⁻¹(z; c) with z held fixed: the derivative by the context against differences."""
    flow, context = made(name, 2), torch.randn(6, 2).double()

    def drawn(context: Tensor) -> Tensor:
        torch.manual_seed(3)
        return bj.as_distribution(flow, context).rsample().sum()

    at = context.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(drawn(at), at)
    torch.testing.assert_close(torch.func.grad(drawn)(context), gradient)
    step = 1e-6
    for index in ((0, 0), (3, 1)):
        moved = torch.zeros_like(context)
        moved[index] = step
        slope = (drawn(context + moved) - drawn(context - moved)) / (2 * step)
        torch.testing.assert_close(slope.detach(), gradient[index], rtol=1e-5, atol=1e-7)


def test_sampling_follows_the_global_seed(name: str) -> None:
    q = bj.as_distribution(made(name))
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(q.sample((4,)))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    torch.manual_seed(1)
    # Not to the last bit: a numeric inverse makes one more step of Newton's where a gradient is recorded.
    torch.testing.assert_close(q.rsample((4,)).detach(), drawn[0], rtol=1e-12, atol=1e-12)


def test_inside_torchs_own_wrappers() -> None:
    flow, context = made("coupling", 2), torch.randn(5, 4, 2).double()
    q = bj.as_distribution(flow, context)
    joint = Independent(q, 1)
    x = joint.rsample((7,))
    assert (joint.batch_shape, joint.event_shape, joint.has_rsample) == ((5,), (4, 3), True)
    torch.testing.assert_close(joint.log_prob(x), q.log_prob(x).sum(-1))
    positive = TransformedDistribution(q, transforms.ExpTransform())
    y = positive.rsample((7,))
    assert y.shape == (7, 5, 4, 3) and bool((y > 0).all())
    torch.testing.assert_close(positive.log_prob(y), q.log_prob(y.log()) - y.log().sum(-1))
    torch.testing.assert_close(positive.expand((2, 5, 4)).log_prob(y[:2]), positive.log_prob(y[:2]))


def test_a_values_shape_and_support_are_validated() -> None:
    q = bj.as_distribution(made("coupling"))
    for value in (torch.zeros(2).double(), torch.full((3,), torch.nan).double()):
        with pytest.raises(ValueError, match=r"event|support"):
            q.log_prob(value)
    silent = bj.as_distribution(made("coupling"), validate_args=False)
    assert bool(silent.log_prob(torch.full((3,), torch.nan).double()).isnan())
    assert not bool(silent.expand((2,))._validate_args)
    x = torch.randn(4, 3).double()
    slopes = torch.func.vmap(torch.func.grad(silent.log_prob))(x)
    at = x.clone().requires_grad_()
    torch.testing.assert_close(slopes, torch.autograd.grad(silent.log_prob(at).sum(), at)[0])


def test_the_support_is_that_of_the_first_map() -> None:
    affine = bj.ActNorm((2,))
    cases = {
        "unit square": (bj.Chain([bj.logit(), affine]), 0.5, 1.5, constraints.unit_interval),
        "positive": (bj.Chain([bj.Inverse(bj.Exp()), affine]), 0.5, -0.5, constraints.positive),
        "plane": (bj.Chain([affine]), -7.0, float("nan"), constraints.real),
    }
    for name, (transform, inside, outside, expected) in cases.items():
        q = bj.as_distribution(bj.Flow(bj.Normal((2,)), transform))
        assert q.support.base_constraint is expected, name
        assert q.support.event_dim == 1
        assert bool(q.log_prob(torch.full((2,), inside)).isfinite()), name
        with pytest.raises(ValueError, match="support"):
            q.log_prob(torch.full((2,), outside))
    loose = bj.as_distribution(bj.Flow(bj.Normal((2,)), cases["positive"][0]), validate_args=False)
    with pytest.raises(DomainError):
        loose.log_prob(torch.full((2,), -0.5))
    circles = bj.as_distribution(bj.nsf(2, boundary="circular", depth=1, hidden=HIDDEN))
    assert bool(circles.support.check(circles.sample((50,))).all())
    assert not bool(circles.support.check(torch.tensor([0.0, 4.0])))
    given = bj.standardised_context(bj.nsf(2, boundary="circular", depth=1, hidden=HIDDEN, context_dim=1))
    assert not bool(bj.as_distribution(given, torch.zeros(1)).support.check(torch.tensor([0.0, 4.0])))
    # π of float32 lies 9e-8 beyond; the model takes it, and so does its support.
    seam = torch.full((2,), math.pi).double()
    assert bool(bj.as_distribution(circles.model.double()).log_prob(seam).isfinite())


MADE_IN = {"coupling": bj.nsf, "autoregressive": bj.maf, "bent": bj.planar, "residual": bj.residual_flow}


@pytest.mark.parametrize("name", MADE_IN)
def test_a_context_with_other_rows_than_x_is_refused(name: str) -> None:
    flow = MADE_IN[name](3, depth=1, hidden=HIDDEN, context_dim=2)
    x, context = torch.randn(5, 3), torch.randn(5, 2)
    assert flow.log_prob(x, context[:1]).shape == flow.log_prob(x, context[0]).shape == (5,)
    assert flow.log_prob(x.expand(4, 5, 3), context).shape == (4, 5)
    for rows, given in ((x, context[:4]), (x[0], context), (x, context[:, None])):
        for ask in (flow.log_prob, flow.encode, flow.decode):
            with pytest.raises(ShapeError, match="rows that broadcast"):
                ask(rows, given)
    bare = MADE_IN[name](3, depth=1, hidden=HIDDEN)
    for ask in (bare.log_prob, bare.encode, bare.decode):
        with pytest.raises(ShapeError, match="context: expected none"):
            ask(x, context)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_contexts_that_are_not_finite_set_no_constants(value: float) -> None:
    embed = bj.StandardisedContext(1)
    with pytest.raises(InputError, match="context: expected finite"):
        embed.initialise(torch.tensor([[1.0], [value]]))
    assert embed(torch.tensor([7.0])).item() == 7.0


def test_an_estimate_takes_a_context_of_its_rows_alone() -> None:
    flow = bj.residual_flow(3, depth=1, hidden=HIDDEN, context_dim=2, log_det="estimate")
    assert flow.log_prob_estimate(torch.zeros(5, 3), torch.zeros(1, 2)).shape == (5,)
    with pytest.raises(ShapeError, match="rows that broadcast"):
        flow.log_prob_estimate(torch.zeros(5, 3), torch.zeros(4, 2))


def test_models_without_an_exact_density_are_refused() -> None:
    with pytest.raises(InputError, match=r"bound.*take its \.model"):
        bj.as_distribution(bj.Quantised(made("coupling"), 4))
    with pytest.raises(ShapeError, match=r"expected shape .*2.*got none"):
        bj.as_distribution(made("coupling", 2))
    with pytest.raises(ShapeError, match=r"got \(5, 3\)"):
        bj.as_distribution(made("coupling", 2), torch.zeros(5, 3))
    with pytest.raises(ShapeError, match="context"):
        bj.as_distribution(made("coupling"), torch.zeros(5, 3))


def test_a_base_that_is_trained_gives_samples_without_gradient() -> None:
    """A mixture's weights are drawn in: the gradient of its samples is not that of its law."""
    flow = bj.Flow(Mixture((2,), 3), bj.ActNorm((2,)))
    q = bj.as_distribution(flow)
    assert not q.has_rsample
    assert q.sample((4,)).shape == (4, 2)
    with pytest.raises(NotImplementedError, match="use sample"):
        q.rsample()
    flow.base.requires_grad_(False)
    assert q.has_rsample
    nested = bj.Flow(bj.FlowBase(bj.maf(2, depth=1, hidden=HIDDEN)), bj.ActNorm((2,)))
    assert bj.as_distribution(nested).has_rsample


def test_a_divergence_is_an_average_of_ones_own() -> None:
    """torch's kl_divergence is exact or nothing; by samples it is a line, and agrees with the closed form where there is one."""
    wide = bj.Flow(bj.Normal((2,)), bj.ConstantAffine(torch.zeros(2), 2 * torch.ones(2)))
    p, q = bj.as_distribution(wide), Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    with pytest.raises(NotImplementedError):
        torch.distributions.kl_divergence(p, q)
    torch.manual_seed(0)
    x = p.sample((20_000,))
    each = p.log_prob(x) - q.log_prob(x)
    exact = torch.distributions.kl_divergence(Independent(Normal(torch.zeros(2), 2 * torch.ones(2)), 1), q)
    assert abs(each.mean() - exact) < 4 * each.std() / len(each) ** 0.5
