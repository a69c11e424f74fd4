"""Integers seen by a flow: what a flat density costs, how numbers go there and back, where samples go, and how bounds are scored."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

import bijectory as bj
from bijectory.data.batches import Batch
from bijectory.distributions.base import Base
from bijectory.errors import InputError, NonFiniteError, ShapeError
from bijectory.evaluation.likelihood import bits_of_rows, bound_rows, evaluate_model
from bijectory.training.objectives.bound import NegativeBound, maximum_bound
from bijectory.training.update import apply


class Flat(Base):
    """Uniform p on (α, 1 − α), seen on the logit scale; on (0, 1), with no logit, where α is None."""

    def __init__(self, event_shape: Sequence[int], alpha: float | None) -> None:
        super().__init__(event_shape)
        self.alpha = alpha

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        each = torch.zeros_like(z)
        if self.alpha is not None:
            logs = torch.nn.functional.logsigmoid(z) + torch.nn.functional.logsigmoid(-z)
            each = logs - math.log1p(-2 * self.alpha)
        return each.flatten(-len(self.event_shape)).sum(-1)

    def sample(
        self, shape: Sequence[int], context: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        p = torch.rand((*shape, *self.event_shape), generator=generator, dtype=self.like.dtype)
        return p if self.alpha is None else torch.logit(self.alpha + (1 - 2 * self.alpha) * p)

    def cdf(self, z: Tensor) -> Tensor:
        return z if self.alpha is None else (torch.sigmoid(z) - self.alpha) / (1 - 2 * self.alpha)


def same(event_dim: int) -> bj.Transform:
    return bj.Chain([bj.Exp(event_dim), bj.Inverse(bj.Exp(event_dim))])


def flat(levels: int, alpha: float | None, event_shape: tuple[int, ...] = (2, 3)) -> bj.Quantised:
    return bj.Quantised(bj.Flow(Flat(event_shape, alpha), same(len(event_shape))), levels, alpha=alpha)


def small(levels: int = 4, features: int = 3, **settings: object) -> bj.Quantised:
    """A flow that has been moved from where it starts."""
    torch.manual_seed(0)
    flow = bj.realnvp(features, depth=4, hidden=(16,), **{"base": "normal", **settings})  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return bj.Quantised(flow, levels)


def integers(levels: int, *shape: int) -> Tensor:
    x = torch.randint(levels, shape, generator=torch.Generator().manual_seed(1))
    return x.to(torch.uint8) if levels <= 256 else x


# What a flat density costs


@pytest.mark.parametrize("alpha", [None, 1e-6, 0.05, 0.3])
@pytest.mark.parametrize("levels", [2, 3, 4, 17, 256, 1000])
def test_a_flat_density_gives_exactly_log2_of_the_levels(levels: int, alpha: float | None) -> None:
    model = flat(levels, alpha).double()
    scores = {s.name: s for s in evaluate_model(model, integers(levels, 64, 2, 3), split="test", draws=4)}
    assert scores["bits_per_dim"].value == pytest.approx(math.log2(levels), rel=1e-12)
    assert scores["bits_per_dim_4_draws"].value == pytest.approx(math.log2(levels), rel=1e-12)
    assert scores["bits_per_dim"].stderr < 1e-9  # of each row, not only on average
    assert scores["bits_per_dim"].kind == "bound"
    assert bits_of_rows(model, integers(levels, 5, 2, 3)).tolist() == pytest.approx([math.log2(levels)] * 5, abs=1e-9)


@pytest.mark.parametrize("alpha", [None, 0.05])
def test_pictures_in_float32_lose_nothing_that_a_report_would_print(alpha: float | None) -> None:
    model = flat(256, alpha, (3, 32, 32))
    (bits,) = [
        s.value for s in evaluate_model(model, integers(256, 8, 3, 32, 32), split="test") if s.name == "bits_per_dim"
    ]
    assert bits == pytest.approx(8, abs=1e-5)


# There and back


@pytest.mark.parametrize("alpha", [1e-6, 0.05, 0.49])
@pytest.mark.parametrize("levels", [2, 256, 65_536])
def test_float32_agrees_with_float64_at_both_ends(levels: int, alpha: float) -> None:
    narrow, wide = flat(levels, alpha, (2,)), flat(levels, alpha, (2,)).double()
    x = torch.tensor([[0, levels - 1], [0, levels // 2], [1, levels - 1]])
    u = torch.tensor([[0.0, 1 - 2**-24], [0.5, 0.5], [2**-20, 0.25]])
    (y, log_det), (exact_y, exact_log_det) = narrow.to_real(x, u), wide.to_real(x, u)
    assert y.dtype == log_det.dtype == torch.float32
    torch.testing.assert_close(y.double(), exact_y, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(log_det.double(), exact_log_det, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("levels", [2, 17, 256, 257, 65_536])
@pytest.mark.parametrize("alpha", [None, 1e-4, 0.05])
def test_every_level_comes_back(levels: int, alpha: float | None) -> None:
    model = flat(levels, alpha, (1,))
    x = torch.arange(levels)[:, None]
    back = model.decode(model.encode(x))
    assert back.dtype == (torch.uint8 if levels <= 256 else torch.int64)
    assert torch.equal(back.long(), x)
    for u in (0.02, 0.98):
        assert torch.equal(model.decode(model.encode(x, u=u)).long(), x)


def test_integers_of_any_dtype_give_the_same_bound() -> None:
    model, x = small(), integers(4, 5, 2, 3)
    noise = model.draw_noise((5, 2), generator=torch.Generator().manual_seed(0))
    values = [model.log_prob_bound(x.to(dtype), noise=noise)[0] for dtype in (torch.uint8, torch.int64, torch.float32)]
    assert values[0].shape == (5, 2)
    assert all(torch.equal(values[0], value) for value in values[1:])
    assert values[0].dtype == torch.float32


def test_noise_is_drawn_like_rows_or_like_the_model() -> None:
    model = small().double()
    assert model.draw_noise((2, 3)).shape == (2, 3, 3)
    assert model.draw_noise((2,)).dtype == torch.float64
    assert model.draw_noise((2,), like=integers(4, 2, 3)).dtype == torch.float64
    assert model.draw_noise((2,), like=torch.zeros(1)).dtype == torch.float32


def test_the_context_is_passed_on() -> None:
    model, x = small(context_dim=2), integers(4, 6, 3)
    context = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    noise = model.draw_noise((6,), generator=torch.Generator().manual_seed(0))
    y, log_det = model.to_real(x, noise)
    value, terms = model.log_prob_bound(x, context, noise=noise)
    assert torch.equal(value, model.model.log_prob(y, context) + log_det)
    assert torch.equal(terms["log_density"], model.model.log_prob(y, context))
    assert torch.equal(model.encode(x, context, u=noise), model.model.encode(y, context))
    assert torch.equal(model.decode(model.encode(x, context), context), x)
    for temperature in (1.0, 0.7):
        assert model.sample((4,), context, temperature=temperature).shape == (4, 6, 3)


# Samples


def test_mass_beyond_the_cube_goes_to_the_edges() -> None:
    wide = bj.Flow(bj.Normal((1,)), bj.ConstantAffine(torch.zeros(1), torch.full((1,), 100.0)))
    drawn = bj.Quantised(wide, 4).sample(1000, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn.flatten().long(), minlength=4)
    # y between ±log(0.95 / 0.05) = ±2.94 has probability 0.023 where y has a deviation of 100.
    assert counts.tolist()[0] > 400 and counts.tolist()[3] > 400
    assert 5 < counts.tolist()[1] + counts.tolist()[2] < 60


def test_temperature_scales_the_latents() -> None:
    model = small(levels=256)
    z = model.model.base.sample((50,), generator=torch.Generator().manual_seed(3))
    cold = model.sample(50, generator=torch.Generator().manual_seed(3), temperature=0.5)
    assert torch.equal(cold, model.decode(0.5 * z))
    assert torch.equal(model.decode(z), model.sample(50, generator=torch.Generator().manual_seed(3)))
    assert not torch.equal(cold, model.decode(z))


@pytest.mark.parametrize(("base", "temperature"), [("logistic", 0.5), ("normal", 0.0), ("normal", math.inf)])
def test_a_temperature_that_means_nothing_is_refused(base: str, temperature: float) -> None:
    with pytest.raises(InputError, match="temperature: expected a positive factor for a Normal base"):
        small(base=base).sample(3, temperature=temperature)


def test_latents_that_are_not_numbers_are_refused() -> None:
    model = small()
    with pytest.raises(NonFiniteError, match="y: expected numbers, got NaN"):
        model.decode(torch.tensor([[0.0, math.nan, 0.0]]))
    assert model.to_integer(torch.tensor([-math.inf, math.inf])).tolist() == [0, 3]


# What is refused


@pytest.mark.parametrize("levels", [1, 0, -4, 65_537])
def test_other_numbers_of_levels_are_refused(levels: int) -> None:
    with pytest.raises(InputError, match="levels: expected 2 to 65536"):
        bj.Quantised(bj.realnvp(2, depth=1), levels)


@pytest.mark.parametrize("alpha", [0.0, 0.5, -0.1, math.nan])
def test_margins_without_a_logit_are_refused(alpha: float) -> None:
    with pytest.raises(InputError, match=r"alpha: expected a margin between 0 and 0\.5"):
        bj.Quantised(bj.realnvp(2, depth=1), 4, alpha=alpha)


@pytest.mark.parametrize("value", [4.0, -1.0, 1.5, math.nan, math.inf])
def test_what_is_no_level_is_refused_by_row(value: float) -> None:
    x = torch.zeros(2, 5, 3)
    x[1, 2, 1] = value
    with pytest.raises(InputError, match=r"faces: expected whole numbers from 0 to 3, got .* in row 7"):
        small().check_integers(x, "faces")
    with pytest.raises(InputError, match="in row 2"):
        bj.initialise(small(), x[1])
    with pytest.raises(InputError, match="in row 2"):
        bound_rows(small(), x[1])


def test_shapes_and_draws_are_checked() -> None:
    model, x = small(), integers(4, 5, 3)
    with pytest.raises(ShapeError, match="x: expected shape"):
        model.log_prob_bound(x[:, :2])
    with pytest.raises(ShapeError, match="x: expected shape"):
        model.encode(x[:, :2])
    for noise, draws in ((torch.rand(5, 2), 1), (torch.rand(5, 3), 2), (torch.rand(3, 5, 3), 2), (torch.rand(3), 1)):
        with pytest.raises(ShapeError, match="noise: expected shape"):
            model.log_prob_bound(x, draws=draws, noise=noise)
    with pytest.raises(InputError, match="draws: expected at least one"):
        model.log_prob_bound(x, draws=0)


# Scores


def test_a_row_keeps_its_number_whatever_stands_beside_it() -> None:
    model, x = small(), integers(4, 50, 3)
    whole = bound_rows(model, x, draws=3, seed=5)
    assert whole.dtype == torch.float64 and whole.shape == (50,)
    for values in (bound_rows(model, x, draws=3, seed=5, chunk=7), bound_rows(model, x, draws=3, seed=5, chunk=1)):
        torch.testing.assert_close(values, whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(bound_rows(model, x[:9], draws=3, seed=5), whole[:9], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(bound_rows(model, x, draws=3, seed=6), whole, atol=1e-3)
    # Equal rows at other places meet other noise.
    assert len(bound_rows(model, x[:1].expand(4, 3)).unique()) == 4
    assert bound_rows(model, x[:0]).shape == (0,)


def test_two_precisions_meet_the_same_noise() -> None:
    x = integers(4, 50, 3)
    torch.testing.assert_close(bound_rows(small(), x), bound_rows(small().double(), x), rtol=1e-4, atol=1e-4)


def test_one_draw_and_many_start_with_the_same_noise() -> None:
    model, x = small().double(), integers(4, 20, 3)
    one, two = bound_rows(model, x), bound_rows(model, x, draws=2)
    # log of the mean of two numbers, of which the first is known: the second can be solved for, and is a bound itself.
    second = torch.log(2 * torch.exp(two) - torch.exp(one))
    assert bool(torch.isfinite(second).all())
    assert not torch.allclose(second, one)


def test_more_draws_are_never_looser_in_expectation() -> None:
    model, x = small().double(), integers(4, 400, 3)
    by_draws = [bound_rows(model, x, draws=draws).mean() for draws in (1, 2, 8, 32)]
    assert by_draws == sorted(by_draws)
    scores = {s.name: s for s in evaluate_model(model, x, split="test", draws=8)}
    assert set(scores) == {"nats", "bits_per_dim", "nats_8_draws", "bits_per_dim_8_draws"}
    assert scores["nats"].value > scores["nats_8_draws"].value
    assert scores["nats"].value == pytest.approx(-float(by_draws[0]), abs=1e-9)
    assert 0 < scores["nats_8_draws"].stderr < scores["nats"].stderr
    assert {s.kind for s in scores.values()} == {"bound"}


def test_an_exact_model_has_no_draws() -> None:
    model = bj.realnvp(2, depth=1)
    x = torch.randn(8, 2)
    assert evaluate_model(model, x, split="test", draws=8, seed=3) == evaluate_model(model, x, split="test")
    with pytest.raises(InputError, match="model: expected a BoundModel, got Flow"):
        bound_rows(model, x)


# Training


def test_initialising_twice_gives_the_same_constants() -> None:
    x = integers(256, 200, 3)
    first, second = small(levels=256), small(levels=256)
    for model in (first, second):
        torch.rand(7)  # the global generator stands elsewhere each time
        bj.initialise(model, x)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    z = first.encode(x, u=torch.rand(x.shape, generator=torch.Generator().manual_seed(0)))
    assert float(z.detach().std()) == pytest.approx(1, abs=0.1)  # ActNorm at the end: it saw what the model will see


def test_the_bound_is_trained_on_the_noise_of_the_batch() -> None:
    model, x = small(), integers(4, 64, 3)
    noise = model.draw_noise((64,), generator=torch.Generator().manual_seed(0))
    batch = Batch(x, None, torch.arange(64), noise)
    loss = NegativeBound(model)(batch, 0)
    assert torch.equal(loss.total, -model.log_prob_bound(x, noise=noise)[0].mean())
    assert set(loss.terms) == {"nats"}
    (update,) = maximum_bound(model, rate=1e-2, average=None, accumulate=2)
    for step in range(30):
        apply(update, batch, step)
    assert NegativeBound(model)(batch, 0).total.item() < loss.total.item() - 0.5


def test_a_batch_without_noise_is_refused() -> None:
    with pytest.raises(InputError, match="batch: expected noise for a bound"):
        NegativeBound(small())(Batch(integers(4, 2, 3), None, torch.arange(2)), 0)


def test_a_rate_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="rate: expected a positive learning rate"):
        maximum_bound(small(), rate=0.0)
