"""Bases by their own formulas: densities against samples and CDFs, flows as bases, and which base a model function gets."""

from __future__ import annotations

import math

import pytest
import scipy.stats  # type: ignore[import-untyped]
import torch
from torch import Tensor

import bijectory as bj
from bijectory.distributions.base import Base
from bijectory.errors import InputError, ShapeError
from bijectory.models.flows.bases import as_base, circular_base
from bijectory.numerics.student import log_gamma_half_step, student_t_cdf


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixture(shape: tuple[int, ...]) -> bj.Mixture:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base = bj.Mixture(shape, 3)
    with torch.no_grad():
        base.logits.copy_(torch.tensor([0.5, -1.0, 0.0]))
    return base


def inner_flow() -> bj.FlowBase:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        flow = bj.maf(3, depth=2, hidden=(8,))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=seeded(1)))
    return bj.FlowBase(flow)


BASES = {
    "normal": lambda: bj.Normal((3,)),
    "logistic": lambda: bj.Logistic((3,)),
    "uniform": lambda: bj.Uniform((3,), -2, 5),
    "student": lambda: bj.StudentT((3,), 3.5),
    "mixture": lambda: mixture((3,)),
    "mixture, picture": lambda: mixture((1, 2, 2)),
    "mixture, number": lambda: mixture(()),
    "uniform, number": lambda: bj.Uniform(()),
    "flow": inner_flow,
}


@pytest.mark.parametrize("name", BASES)
def test_the_cdf_of_samples_is_uniform_on_the_cube(name: str) -> None:
    base: Base = BASES[name]().double()
    with torch.no_grad():
        z = base.sample((20_000,), generator=seeded())
        u = base.cdf(z)
    assert z.shape == u.shape == (20_000, *base.event_shape)
    u = u.reshape(20_000, -1)
    for column in u.T:
        assert scipy.stats.kstest(column.numpy(), "uniform").pvalue > 1e-4
    # Uniform as a whole: a mixture's marginal CDFs would leave its coordinates correlated.
    if u.shape[1] > 1:
        products = torch.corrcoef(torch.cat([u, (u - 0.5).square()], 1).T) - torch.eye(2 * u.shape[1])
        assert float(products.abs().max()) < 5 / math.sqrt(20_000)


@pytest.mark.parametrize("name", BASES)
def test_a_generator_decides_the_samples(name: str) -> None:
    base: Base = BASES[name]().double()
    before = torch.get_rng_state()
    with torch.no_grad():
        first, again, other = (base.sample((4, 2), generator=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.dtype == torch.float64
    assert base.log_prob(first).shape == (4, 2)
    assert base.sample((0,), generator=seeded()).shape == (0, *base.event_shape)


@pytest.mark.parametrize("df", [2.01, 3, 5, 7.3, 200, 1e5])
def test_student_t_against_scipy(df: float) -> None:
    t = torch.cat([torch.linspace(-9, 9, 401), -torch.logspace(-8, 30, 96), torch.logspace(-8, 30, 96)]).double()
    t = torch.cat([t, torch.tensor([math.inf, -math.inf, 0.0]).double()])
    expected = torch.from_numpy(scipy.stats.t.cdf(t.numpy(), df))
    found = student_t_cdf(t, df)
    assert torch.allclose(found, expected, rtol=0, atol=1e-10)
    tail = (t < 0) & (expected > 1e-280)
    assert float((found[tail] / expected[tail] - 1).abs().max()) < 1e-9
    finite = t[torch.isfinite(t) & (t.abs() < 1e9)]
    log_prob = bj.StudentT((1,), df).double().log_prob(finite[:, None])
    assert torch.allclose(log_prob, torch.from_numpy(scipy.stats.t.logpdf(finite.numpy(), df)), rtol=1e-9, atol=1e-9)


def test_student_t_of_very_many_degrees_is_normal() -> None:
    t = torch.linspace(-6, 6, 25).double()[:, None]
    base = bj.StudentT((1,), 1e10)
    torch.testing.assert_close(base.log_prob(t), bj.Normal((1,)).log_prob(t), atol=1e-7, rtol=0)
    # 1e-10 is what tells the two apart; the rest is 1 − x of the fraction, where x = ν / (ν + t²) is 1 to nine digits.
    torch.testing.assert_close(base.cdf(t), bj.Normal((1,)).cdf(t), atol=3e-8, rtol=0)
    # Where the expansion takes over from the logarithms of Γ.
    for a in (100.0, 150.0):
        assert abs(log_gamma_half_step(a) - (math.lgamma(a + 0.5) - math.lgamma(a))) < 1e-12


def test_a_mixture_is_the_sum_of_its_components() -> None:
    base = mixture((1, 2, 2)).double()
    z = torch.randn(50, 1, 2, 2, generator=seeded(), dtype=torch.float64)
    scale = (base.bound * torch.tanh(base.raw_log_scale / base.bound)).exp()
    each = torch.distributions.Independent(torch.distributions.Normal(base.loc, scale), 3)
    whole = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=base.logits), each)
    assert torch.allclose(base.log_prob(z), whole.log_prob(z), atol=1e-12)


def test_a_uniform_is_zero_beside_its_box_and_where_nothing_is_known() -> None:
    z = torch.tensor([[0.0, 1.0], [0.5, 1.1], [-0.1, 0.5], [0.5, math.nan]])
    assert bj.Uniform((2,)).log_prob(z).tolist() == [0.0, -math.inf, -math.inf, -math.inf]
    assert bj.Uniform((2,), -1, 3).cdf(torch.tensor([-7.0, 1.0])).tolist() == [0.0, 0.5]


def test_a_flow_on_a_flow_is_the_chain_of_both() -> None:
    outer, inner = bj.maf(3, depth=1, hidden=(8,), base=inner_flow().flow), inner_flow().flow  # type: ignore[arg-type]
    whole = bj.Flow(inner.base, bj.Chain([outer.transform, inner.transform]))
    x = torch.randn(9, 3, generator=seeded())
    assert torch.allclose(outer.log_prob(x), whole.log_prob(x), atol=1e-5)
    assert torch.allclose(outer.latent_cdf(outer.encode(x)), whole.latent_cdf(whole.encode(x)), atol=1e-5)


@pytest.mark.parametrize("make", [bj.nice, bj.realnvp, bj.maf, bj.nsf, bj.mixture_cdf, bj.iaf, bj.naf, bj.flowpp])
def test_every_model_function_takes_any_base(make: type) -> None:
    kinds = [type(make(2, base=base).base) for base in ("normal", "logistic", "student_t", bj.Mixture((2,), 2))]  # type: ignore[call-arg]
    assert kinds == [bj.Normal, bj.Logistic, bj.StudentT, bj.Mixture]
    assert isinstance(make(2, base=bj.nsf(2, depth=1)).base, bj.FlowBase)  # type: ignore[call-arg]


def circular_flow(dim: int = 2) -> bj.Flow:
    return bj.nsf(dim, depth=1, boundary="circular")


def test_a_base_on_circles_has_no_mass_beyond_a_turn() -> None:
    assert isinstance(circular_base(None, 2), bj.Uniform)
    assert isinstance(circular_base(circular_flow(), 2), bj.FlowBase)
    assert isinstance(circular_base(bj.Uniform((2,), -math.pi, math.pi).float(), 2), bj.Uniform)
    boxes = [bj.Uniform((2,), low, high) for low, high in ((-4, 4), (-3.9, 3.9), (-10, 3), (3.3, 3.8))]
    for wrong in ("normal", bj.Mixture((2,), 2), *boxes, bj.maf(2)):
        with pytest.raises(InputError, match="beyond"):
            circular_base(wrong, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: as_base("cauchy", 2), "'student_t', a Base or a flow, got 'cauchy'"),  # type: ignore[arg-type]
        (lambda: as_base(None, 2), "got None"),  # type: ignore[arg-type]
        (lambda: as_base(bj.maf(2, context_dim=1), 2), "a flow without context"),
        (lambda: bj.StudentT((2,), 2.0), "above 2"),
        (lambda: bj.Uniform((2,), 1, 1), "low < high"),
        (lambda: bj.Mixture((2,), 1), "at least 2"),
        (lambda: bj.Mixture((2,), 2, bound=math.inf), "finite"),
        (lambda: bj.Affine(math.inf), "finite"),
        (lambda: bj.RationalQuadraticSpline(4, math.inf), "finite"),
        (lambda: bj.MixtureCDF(4, bound=math.inf), "finite"),
        (lambda: bj.MixtureCDF(4, spread=math.inf), "finite"),
        (lambda: bj.LULinear(2, bound=math.inf), "finite"),
        (lambda: bj.nsf(2, boundary="ring"), "'linear' or 'circular'"),  # type: ignore[arg-type]
        (lambda: bj.naf(2, layers=0), "at least one mixture CDF"),
        (lambda: bj.Composed([]), "at least one Elementwise"),
    ],
)
def test_what_no_base_can_be_is_refused(make: type, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_a_base_of_another_shape_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(2,\), got one over \(3,\)"):
        bj.maf(2, base=bj.Normal((3,)))


@pytest.mark.parametrize(
    "parts", [(bj.Affine(), bj.Shift()), (bj.Affine(), bj.MixtureCDF(2))], ids=["known", "unknown"]
)
def test_composed_maps_know_their_identity_where_all_parts_do(parts: tuple[bj.Affine, bj.Shift]) -> None:
    map_, x = bj.Composed(parts), torch.linspace(-2, 2, 7)
    params = map_.identity_params()
    assert (params is None) == (parts[1].identity_params() is None)
    if params is not None:
        z, log_slope = map_.forward(x, params.expand(7, -1))
        assert torch.equal(z, x)
        assert torch.equal(log_slope, torch.zeros_like(x))


def test_composed_is_one_map_behind_the_other() -> None:
    first, second, generator = bj.MixtureCDF(3, "logistic"), bj.Affine(), seeded()
    x = torch.randn(20, generator=generator, dtype=torch.float64)
    a = torch.randn(20, first.num_params, generator=generator, dtype=torch.float64)
    b = torch.randn(20, second.num_params, generator=generator, dtype=torch.float64)
    between, slope_a = first.forward(x, a)
    z, slope_b = second.forward(between, b)
    found, slope = bj.Composed([first, second]).forward(x, torch.cat([a, b], -1))
    assert torch.equal(found, z)
    assert torch.equal(slope, slope_a + slope_b)


def test_a_deep_sigmoidal_flow_is_a_mixture_cdf() -> None:
    """Huang et al. 2018, equation 8, written out, against the part that naf is made of."""
    generator = seeded()
    part = bj.MixtureCDF(4, "logistic", floor=0.0)
    params = torch.randn(30, part.num_params, generator=generator, dtype=torch.float64)
    x = torch.randn(30, generator=generator, dtype=torch.float64)
    logits, loc, log_scale = part._split(params)
    a = torch.exp(-log_scale)
    weight = torch.softmax(logits, -1)
    inner: Tensor = (weight * torch.sigmoid(a * x[:, None] - a * loc)).sum(-1)
    assert torch.allclose(part.forward(x, params)[0], torch.logit(inner), atol=1e-9)
