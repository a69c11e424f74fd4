"""A reverse KL finds densities known up to a constant, says how well, and resumes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal

import bijectory as bj
from bijectory.data.batches import Batch, Drawn, Shuffled
from bijectory.data.splits import Rows
from bijectory.distributions.mixture import Mixture
from bijectory.errors import InputError, ShapeError
from bijectory.evaluation.evidence import evidence
from bijectory.training.fit import Budget, State, fit
from bijectory.training.objectives.reverse_kl import ReverseKL, base_noise, reverse_kl
from bijectory.training.schedule import warmup_cosine
from bijectory.training.update import Update, apply


def flow(**settings: Any) -> bj.Flow:
    torch.manual_seed(0)
    return bj.iaf(2, **{"depth": 2, "hidden": (32,), "activation": "silu", **settings})


def bowl(x: Tensor) -> Tensor:
    return -0.5 * x.square().sum(-1)


class Regression:
    """y = X w + noise with known deviations: posterior and evidence in closed form."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(20, 2, generator=generator) @ torch.tensor([[1.0, 0.9], [0.0, 0.4]])
        self.y = self.x @ torch.tensor([1.0, -1.0]) + 0.5 * torch.randn(20, generator=generator)
        self.covariance = torch.linalg.inv(self.x.T @ self.x / 0.5**2 + torch.eye(2) / 2.0**2)
        self.mean = self.covariance @ self.x.T @ self.y / 0.5**2
        spread = 0.5**2 * torch.eye(20) + 2.0**2 * self.x @ self.x.T
        self.log_evidence = MultivariateNormal(torch.zeros(20), spread).log_prob(self.y).item()

    def log_joint(self, w: Tensor) -> Tensor:
        likelihood = Normal(w @ self.x.T, 0.5).log_prob(self.y).sum(-1)
        return likelihood + Normal(torch.tensor(0.0), 2.0).log_prob(w).sum(-1)


def trained(model: bj.Flow, update: Update, batches: Any, steps: int, **settings: Any) -> State:
    return fit([update], batches, budget=Budget(steps=steps, batch=256), **settings)


def test_a_posterior_known_in_closed_form() -> None:
    problem, model = Regression(), flow()
    schedule = warmup_cosine(400, warmup=20)
    (update,) = reverse_kl(model, problem.log_joint, rate=1e-2, schedule=schedule, average=None)
    trained(model, update, Drawn(base_noise(model), 256, seed=0), 400)
    found = evidence(model, problem.log_joint, draws=20_000)
    gap = problem.log_evidence - found.bound.value
    # A bound, and close: 0.003 nats below when written. The weighted one agrees within its error.
    assert -4 * found.bound.stderr < gap < 0.02
    assert abs(problem.log_evidence - found.weighted.value) < 4 * found.weighted.stderr + 1e-3
    assert found.effective > 0.9 and (found.bound.kind, found.bound.unit) == ("bound", "nats")
    torch.manual_seed(0)
    with torch.no_grad():
        w = model.sample(20_000)
    deviations = problem.covariance.diag().sqrt()
    assert ((w.mean(0) - problem.mean) / deviations).abs().max() < 0.05
    assert ((w.T.cov() - problem.covariance) / torch.outer(deviations, deviations)).abs().max() < 0.1


def test_a_conditional_model_learns_a_posterior_for_every_context() -> None:
    """p(x | c) = N(c, ½) without its constant: log Z = log π, whatever c."""
    torch.manual_seed(0)
    model = bj.realnvp(2, depth=4, hidden=(32,), base="normal", context_dim=2)
    context = torch.randn(2000, 2)
    batches = Shuffled(Rows(torch.zeros(2000, 0), context), 256, seed=0, noise=base_noise(model))

    def log_density(x: Tensor, c: Tensor) -> Tensor:
        return -(x - c).square().sum(-1)

    (update,) = reverse_kl(model, log_density, rate=1e-2, schedule=warmup_cosine(300, warmup=20), average=None)
    trained(model, update, batches, 300)
    for point in ((0.0, 0.0), (1.0, -1.0)):
        found = evidence(model, log_density, torch.tensor(point), draws=4000)
        assert abs(found.bound.value - math.log(math.pi)) < 0.05, point


def test_a_resumed_run_is_the_uninterrupted_one() -> None:
    def start() -> tuple[Update, Drawn]:
        model = flow()
        return reverse_kl(model, bowl)[0], Drawn(base_noise(model), 32, seed=3)

    (first, batches), (second, _), (third, _) = start(), start(), start()
    whole = trained(flow(), first, batches, 6).tensors()
    half = trained(flow(), second, batches, 3).tensors()
    resumed = trained(flow(), third, batches, 6, resume=half).tensors()
    weights = [name for name in whole if ".loss." in name]
    assert weights and all(torch.equal(whole[name], resumed[name]) for name in weights)
    assert not all(torch.equal(whole[name], half[name]) for name in weights)


def test_the_noise_is_a_function_of_seed_and_step_and_divides() -> None:
    draw = base_noise(flow())
    batches = Drawn(draw, 10, seed=0)
    seen = [batches(0), batches(1), Drawn(draw, 10, seed=1)(0)]
    assert torch.equal(seen[0].noise, batches(0).noise)  # type: ignore[arg-type]
    assert not torch.equal(seen[0].noise, seen[1].noise) and not torch.equal(seen[0].noise, seen[2].noise)  # type: ignore[arg-type]
    pieces = [Drawn(draw, 10, seed=0, part=i, parts=3)(0) for i in range(3)]
    assert torch.equal(torch.cat([p.noise for p in pieces]), seen[0].noise)  # type: ignore[misc,arg-type]
    assert sum(p.share for p in pieces) == pytest.approx(1)
    assert torch.cat([p.rows for p in pieces]).tolist() == list(range(10))
    with pytest.raises(InputError, match="size"):
        Drawn(draw, 2, seed=0, parts=3)


def test_accumulated_gradients_are_those_of_the_whole_batch() -> None:
    moved = []
    for accumulate in (1, 3):
        model = flow()
        (update,) = reverse_kl(model, lambda x: bowl(x - 1), accumulate=accumulate, average=None)
        apply(update, Drawn(base_noise(model), 30, seed=0)(0), 0)
        moved.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-5, atol=1e-6)


def test_the_loss_is_the_divergence() -> None:
    """Of two Gaussians known in closed form, with its terms."""
    model = bj.Flow(bj.Normal((2,)), bj.ActNorm((2,))).double()
    model.transform.log_scale.data.fill_(-math.log(2))  # x = 2 z
    loss = ReverseKL(model, lambda x: bowl(x) - math.log(2 * math.pi))
    found = loss(Drawn(base_noise(model), 200_000, seed=0)(0), 0)
    exact = torch.distributions.kl_divergence(Normal(0.0, torch.tensor(2.0)), Normal(0.0, torch.tensor(1.0))).item()
    # The integrand, 3/2 |z|² and a constant, has deviation 3.
    assert abs(found.total.item() - 2 * exact) < 4 * 3 / math.sqrt(200_000)
    assert found.terms["nats"].item() == pytest.approx(-(found.terms["entropy"] + found.terms["log_density"]).item())


def test_the_density_is_not_trained() -> None:
    """A density with weights: they are no part of the update's parameters, nor of its state."""

    class Density(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loc = nn.Parameter(torch.ones(2))

        def forward(self, x: Tensor) -> Tensor:
            return bowl(x - self.loc)

    density, model = Density(), flow()
    (update,) = reverse_kl(model, density)
    apply(update, Drawn(base_noise(model), 16, seed=0)(0), 0)
    assert density.loc.tolist() == [1, 1]
    assert [name for name in update.loss.state_dict() if "loc" in name and "affine" not in name] == []


def test_what_cannot_be_trained_this_way_is_refused() -> None:
    with pytest.raises(InputError, match="no map from latents"):
        reverse_kl(bj.Quantised(flow(), 4), bowl)
    with pytest.raises(InputError, match="base has weights"):
        reverse_kl(bj.Flow(Mixture((2,), 3), bj.ActNorm((2,))), bowl)
    with pytest.raises(InputError, match="no gradient"):
        reverse_kl(flow().requires_grad_(False), bowl)

    class OneWay(bj.Transform):
        has_inverse = False

        def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
            return x, x.sum(-1)

        def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
            raise AssertionError

    with pytest.raises(InputError, match="no inverse"):
        reverse_kl(bj.Flow(bj.Normal((2,)), OneWay()), bowl)


def test_a_numeric_inverse_has_a_gradient() -> None:
    torch.manual_seed(0)
    model = bj.mixture_cdf(2, components=2, hidden=(8,))
    (update,) = reverse_kl(model, bowl)
    losses = [apply(update, Drawn(base_noise(model), 64, seed=0)(0), step)["nats"].item() for step in range(5)]
    assert losses[-1] < losses[0]


def test_batches_and_densities_of_another_shape_are_refused() -> None:
    model = flow()
    loss = ReverseKL(model, lambda x: bowl(x).unsqueeze(-1))
    with pytest.raises(ShapeError, match=r"\(8,\).*got \(8, 1\)"):
        loss(Drawn(base_noise(model), 8, seed=0)(0), 0)
    with pytest.raises(InputError, match="Drawn"):
        loss(Batch(torch.zeros(8, 2), None, torch.arange(8)), 0)
    with pytest.raises(InputError, match=r"got \(100, 1\)"):
        evidence(model, lambda x: bowl(x).unsqueeze(-1), draws=100)
    with pytest.raises(InputError, match="draws"):
        evidence(model, bowl, draws=1)


def test_weights_tell_what_the_bound_does_not() -> None:
    """q = N(0, 1.25²) against a standard normal: the bound is loose by the divergence, and fewer samples are in effect."""
    model = bj.Flow(bj.Normal((1,)), bj.ConstantAffine(torch.zeros(1), 1.25 * torch.ones(1))).double()
    found = evidence(model, lambda x: bowl(x) - 0.5 * math.log(2 * math.pi), draws=40_000)
    exact = torch.distributions.kl_divergence(Normal(0.0, torch.tensor(1.25)), Normal(0.0, torch.tensor(1.0))).item()
    assert abs(found.bound.value + exact) < 4 * found.bound.stderr
    assert abs(found.weighted.value) < 4 * found.weighted.stderr
    # (E w)² / E w² of the two Gaussians: √(2 − s⁻²) / s with q's deviation s = 1.25, that is 0.933.
    assert found.effective == pytest.approx(math.sqrt(2 - 1 / 1.25**2) / 1.25, abs=0.01)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_compiled_step_is_the_eager_one() -> None:
    weights = []
    for compiled in (False, True):
        model = flow()
        (update,) = reverse_kl(model, bowl, compiled=compiled)
        trained(model, update, Drawn(base_noise(model), 64, seed=0), 5)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-5)
