"""Every law of exact densities over every model of the zoo, and the laws of bounds over models small enough to be known exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from zoo import MODELS, Row, specimen
from zoo_parts import tripled

import bijectory as bj
from bijectory.errors import InputError
from bijectory.models.base import as_shape
from bijectory.numerics.quadrature import cell_masses
from bijectory.numerics.seeds import generator_for
from bijectory.testing import check_bound, check_exact, model_laws
from bijectory.testing.checks import Law, hold
from bijectory.testing.densities import Box, Slice, box_around, integral_is_one, slices
from bijectory.testing.densities import _within_support as within_support

MODEL_FUNCTIONS = [name for name in bj.__all__ if getattr(bj, name).__module__.startswith("bijectory.models.flows.")]


def laws(row: Row, **bounds: float) -> dict[str, Law]:
    thing = specimen(row)
    assert isinstance(thing.module, bj.ExactModel)
    return model_laws(thing.module, thing.x, thing.context, **bounds)


HELD = [(row, law) for row in MODELS for law in laws(row) if law not in row.exceptions]
LOOSENED = [row for row in MODELS if row.tolerances or row.exceptions]


@pytest.mark.parametrize(("row", "law"), HELD, ids=[f"{row.id}: {law}" for row, law in HELD])
def test_law(row: Row, law: str) -> None:
    check = hold(law, laws(row, **row.bounds())[law])
    assert check.passed, str(check)
    assert "not decided" not in check.note


def test_no_model_needs_a_tolerance_or_an_exception() -> None:
    assert [row.id for row in LOOSENED] == []


@pytest.mark.parametrize(
    "row", [row for row in MODELS if math.prod(row.event_shape) <= 2 and row.change is None], ids=lambda row: row.id
)
def test_a_density_integrates_to_one_before_training(row: Row) -> None:
    thing = specimen(replace(row, noise=0.0))
    assert isinstance(thing.module, bj.ExactModel)
    check = integral_is_one(thing.module, thing.x, thing.context)
    assert check.passed, str(check)
    assert "not decided" not in check.note


def graded(edges: Tensor) -> Tensor:
    """Pieces halved until none is more than three times as wide as its neighbours: a narrow mode is led up to from both sides."""
    while True:
        width = edges.diff()
        cut = width > 3 * torch.minimum(torch.cat([width[:1], width[:-1]]), torch.cat([width[1:], width[-1:]]))
        if not bool(cut.any()):
            return edges
        edges = torch.cat([edges, (edges[:-1] + 0.5 * width)[cut]]).sort().values


def integral_in_pieces(part: Slice, x: Tensor, generator: torch.Generator) -> tuple[float, float]:
    """∫ of a density of one number, and the estimate of its error, over pieces that are short where the model's samples are close.

    Samples say nothing else here: over any pieces it is the same integral. The box reaches eight times their range to both sides.
    """
    found = torch.cat([part.sample(4096, generator), x.double()])
    reach = 8 * (found.max() - found.min())
    box = within_support(part, found, Box(found.amin(0) - reach, found.amax(0) + reach))
    quantiles = torch.quantile(found[:, 0], torch.linspace(0, 1, 257, dtype=torch.float64))
    edges = graded(torch.cat([box.low, quantiles, box.high]).unique())
    for _ in range(20):
        coarse, fine = (cell_masses(part.density, [edges], order=order) for order in (5, 8))
        rough = (coarse - fine).abs()
        if float(rough.sum()) < 1e-4:
            break
        edges = graded(torch.cat([edges, (0.5 * (edges[1:] + edges[:-1]))[rough > 1e-7]]).sort().values)
    return float(fine.sum()), float(rough.sum())


@pytest.mark.parametrize(
    "row", [row for row in MODELS if row.event_shape == (1,) and row.change is None], ids=lambda row: row.id
)
def test_a_density_of_one_feature_integrates_to_one_with_weights_tripled(row: Row) -> None:
    """With a context too, whose network is then steep: of one naf the law's own first points passed by a mode, 150 wide in 1e5 (0.9975)."""
    thing = specimen(replace(row, change=tripled))
    assert isinstance(thing.module, bj.ExactModel)
    for i, part in enumerate(slices(thing.module, thing.context)):
        value, error = integral_in_pieces(part, thing.x, generator_for(0, "pieces", i))
        assert error < 1e-4, "the pieces are too long for the density"
        assert value == pytest.approx(1, abs=1e-3)


def test_a_narrow_mode_in_a_wide_box_is_no_false_alarm() -> None:
    """One wide, between the law's first points, which lie 200 apart: samples say where to look."""
    base = bj.Mixture((1,), 2, bound=12.0)
    with torch.no_grad():
        base.logits.copy_(torch.tensor([math.log(0.99), math.log(0.01)]))
        base.loc.copy_(torch.tensor([[0.0], [450.0]]))
        base.raw_log_scale.copy_(12 * torch.atanh(torch.tensor([[math.log(1e4)], [0.0]]) / 12))
    model = bj.Flow(base, bj.DiagonalScale((1,)))
    x = model.sample(2048, generator=torch.Generator().manual_seed(0)).detach()
    check = integral_is_one(model, x)
    assert check.passed and check.figure < 1e-5, str(check)
    part = slices(model, None)[0]
    box = box_around(part, torch.cat([part.sample(2**13, generator_for(0, "integral", 0)), x.double()]))
    assert box.integral(part.density, 1e-4).value == pytest.approx(0.99, abs=1e-4), (
        "found without samples: this test shows nothing"
    )


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row.id)
def test_a_model_survives_saving(row: Row) -> None:
    thing = specimen(row)
    fresh = row.make().eval()
    fresh.load_state_dict(load(save(thing.module.state_dict())), strict=True)
    with torch.no_grad():
        assert torch.equal(thing.module.log_prob(thing.x, thing.context), fresh.log_prob(thing.x, thing.context))


@pytest.mark.parametrize("name", MODEL_FUNCTIONS)
def test_every_model_function_stands_in_the_zoo(name: str) -> None:
    assert any(row.id.split(",")[0] == name for row in MODELS)


def test_a_declared_accuracy_is_what_samples_are_held_to() -> None:
    torch.manual_seed(0)
    few, exact = (bj.ffjord(2, hidden=(16,), steps=2, accuracy=accuracy) for accuracy in (1e-3, 0.0))
    with torch.no_grad():
        for parameter in few.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    exact.load_state_dict(few.state_dict())
    x = torch.randn(32, 2)
    held, failed = (model_laws(model, x)["sample log-prob"]() for model in (few, exact))
    assert held.passed and not failed.passed and held.figure == failed.figure


# An exact model that is no flow


class Crosses(bj.ExactModel):
    """Half a normal around −2, half one around 2, in each of ``features`` dimensions."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.event_shape = (features,)
        self.centre = nn.Parameter(torch.tensor(2.0))

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        sides = torch.stack([x - self.centre, x + self.centre])
        constant = math.log(2) + 0.5 * math.log(2 * math.pi)
        return (torch.logsumexp(-0.5 * sides.square(), 0) - constant).sum(-1)

    def sample(
        self,
        shape: int | Sequence[int] = (),
        context: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        size = (*as_shape(shape), *self.event_shape)
        side = torch.randint(2, size, generator=generator, dtype=self.centre.dtype)
        return (2 * side - 1) * self.centre + torch.randn(size, generator=generator, dtype=self.centre.dtype)


@pytest.mark.parametrize("features", [1, 2, 3])
def test_an_exact_model_that_is_no_flow(features: int) -> None:
    model = Crosses(features)
    checks = check_exact(model, model.sample(128, generator=torch.Generator().manual_seed(0)).detach())
    assert [str(check) for check in checks if not check.passed] == []
    assert not {"log-det", "latent density"} & {check.law for check in checks}


def test_another_seed_gives_other_figures_and_the_same_seed_the_same() -> None:
    model, x = Crosses(1), torch.linspace(-3, 3, 32)[:, None]
    first, again, other = (check_exact(model, x, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_context_of_another_width_is_refused() -> None:
    with pytest.raises(InputError, match="expected 2 features, got none"):
        check_exact(bj.maf(3, context_dim=2), torch.randn(8, 3))


# Bounds


class Steps(bj.BoundModel):
    """A latent z ~ N(0, 1) and x | z ~ N(z, 1), so that x ~ N(0, 2); the bound's q(z | x) is off the posterior N(x/2, 1/2) by ``shift``.

    log p(x) >= E_q[log p(x|z) + log p(z) − log q(z|x)], and the mean of ``draws`` weights inside the logarithm comes closer.
    """

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.event_shape = (1,)
        self.shift = nn.Parameter(torch.tensor(shift))

    def sample(
        self,
        shape: int | Sequence[int] = (),
        context: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        size = (*as_shape(shape), 1)
        return math.sqrt(2) * torch.randn(size, generator=generator, dtype=self.shift.dtype)

    def draw_noise(
        self, shape: Sequence[int], *, generator: torch.Generator | None = None, like: Tensor | None = None
    ) -> Tensor:
        return torch.randn((*shape, 1), generator=generator, dtype=(self.shift if like is None else like).dtype)

    def log_prob_bound(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        draws: int = 1,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if noise is None:
            noise = self.draw_noise((draws, *x.shape[:-1]), generator=generator, like=x)
        noise = noise.reshape(draws, *x.shape)
        z = 0.5 * x + self.shift + math.sqrt(0.5) * noise

        def normal(u: Tensor, variance: float) -> Tensor:
            return (-0.5 * u.square() / variance - 0.5 * math.log(2 * math.pi * variance)).sum(-1)

        weight = normal(x - z, 1) + normal(z, 1) - normal(z - 0.5 * x - self.shift, 0.5)
        value = torch.logsumexp(weight, 0) - math.log(draws)
        reconstruction = normal(x - z, 1).mean(0)
        return value, {"reconstruction": reconstruction, "rest": value - reconstruction}


def exact_steps(x: Tensor) -> Tensor:
    return (-0.25 * x.double().square() - 0.5 * math.log(4 * math.pi)).sum(-1)


@pytest.mark.parametrize("shift", [0.0, 0.5], ids=["tight", "loose"])
def test_a_bound_keeps_its_laws(shift: float) -> None:
    model = Steps(shift)
    x = model.sample(64, generator=torch.Generator().manual_seed(0))
    checks = check_bound(model, x, exact_steps(x))
    assert [str(check) for check in checks if not check.passed] == []
    laws = ["sample shapes", "seeded", "bound shapes", "noise", "terms", "more draws", "gradients", "bound"]
    assert [check.law for check in checks] == laws


def test_a_bound_is_held_against_an_exact_model() -> None:
    model = Steps(0.5)
    truth = bj.Flow(bj.Normal((1,)), bj.ConstantAffine(torch.zeros(1), torch.full((1,), math.sqrt(2))))
    x = model.sample(64, generator=torch.Generator().manual_seed(0))
    by_model, by_numbers = check_bound(model, x, truth)[-1], check_bound(model, x, exact_steps(x))[-1]
    assert by_model.passed
    assert by_model.figure == pytest.approx(by_numbers.figure, abs=1e-6)


def test_without_an_exact_value_no_bound_is_held_against_it() -> None:
    model = Steps(0.0)
    assert "bound" not in {check.law for check in check_bound(model, torch.randn(8, 1))}
