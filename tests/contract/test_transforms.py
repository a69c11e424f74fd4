"""Every law of invertible maps over every transform of the zoo."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from zoo import MODELS, TRANSFORMS, Row, specimen

import bijectory as bj
from bijectory.errors import InputError
from bijectory.numerics.mixture import Kind, mixture_logit
from bijectory.numerics.spline import unconstrained_knots
from bijectory.testing import Check, check_transform, transform_laws
from bijectory.testing.checks import Law, hold
from bijectory.transforms import mixtures
from bijectory.transforms.elementwise import Elementwise
from bijectory.transforms.reversible import Memory


def laws(row: Row, **bounds: float) -> dict[str, Law]:
    thing = specimen(row)
    assert isinstance(thing.module, bj.Transform)
    return transform_laws(thing.module, thing.x, thing.context, **bounds)


HELD = [(row, law) for row in TRANSFORMS for law in laws(row) if law not in row.exceptions]
EXCEPTED = [(row, law) for row in TRANSFORMS for law in row.exceptions]
LOOSENED = [row for row in TRANSFORMS if row.tolerances]

PUBLIC = [
    kind
    for kind in (getattr(bj, name) for name in bj.__all__)
    if isinstance(kind, type) and issubclass(kind, (bj.Transform, Elementwise)) and kind is not bj.Transform
]

each_row = pytest.mark.parametrize("row", TRANSFORMS, ids=lambda row: row.id)


@pytest.mark.parametrize(("row", "law"), HELD, ids=[f"{row.id}: {law}" for row, law in HELD])
def test_law(row: Row, law: str) -> None:
    check = hold(law, laws(row, **row.bounds())[law])
    assert check.passed, str(check)


@pytest.mark.parametrize(("row", "law"), EXCEPTED, ids=[f"{row.id}: {law}" for row, law in EXCEPTED])
def test_an_exception_is_still_needed(row: Row, law: str) -> None:
    check = hold(law, laws(row)[law])
    assert not check.passed, f"{law} holds for {row.id}: drop the exception"


@pytest.mark.parametrize("row", LOOSENED, ids=lambda row: row.id)
def test_a_loosened_tolerance_is_still_needed(row: Row) -> None:
    failed = {law for law, check in laws(row).items() if not hold(law, check).passed} - set(row.exceptions)
    assert failed, f"{row.id} keeps the contract's own bounds: drop its tolerances"


@each_row
def test_a_map_survives_saving(row: Row) -> None:
    thing = specimen(row)
    fresh = row.make().eval()
    fresh.load_state_dict(load(save(thing.module.state_dict())), strict=True)
    with torch.no_grad():
        z, log_det = thing.module.forward_and_log_det(thing.x, thing.context)
        again, log_det_again = fresh.forward_and_log_det(thing.x, thing.context)
    assert torch.equal(z, again)
    assert torch.equal(log_det, log_det_again)


@pytest.mark.parametrize("backwards", [False, True], ids=["forward", "inverse"])
@each_row
def test_a_chain_that_rebuilds_it_has_the_same_gradient(row: Row, backwards: bool) -> None:
    thing = specimen(row)
    chain = bj.Chain([copy.deepcopy(thing.module).double()])  # type: ignore[list-item]
    if backwards and not chain.has_inverse:
        pytest.skip("no inverse")
    way, at = chain.forward_and_log_det, thing.x.double()
    given = [] if thing.context is None else [thing.context.double()]
    if backwards:
        way, at = chain.inverse_and_log_det, chain(at, *given).detach()

    def gradients(memory: Memory) -> list[Tensor]:
        bj.set_memory(chain, memory)
        leaves = [one.clone().requires_grad_() for one in (at, *given)]
        z, log_det = way(*leaves)
        weighted = (z * torch.linspace(-1, 2, z.numel(), dtype=z.dtype).view_as(z)).sum() + (log_det**2).sum()
        return list(torch.autograd.grad(weighted, [*leaves, *chain.parameters()], materialize_grads=True))

    for found, expected in zip(gradients("rebuild"), gradients("plain"), strict=True):
        # As shares of the largest number; a gradient of rounding size, such as that of a log-det that is 0, has no digits to compare.
        assert float((found - expected).abs().max()) <= 1e-10 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_every_public_map_stands_in_the_zoo(kind: type) -> None:
    parts = [part for row in [*TRANSFORMS, *MODELS] for part in specimen(row).module.modules()]
    parts += [part.elementwise for part in parts if isinstance(part, (bj.Coupling, bj.Autoregressive))]
    assert any(type(part) is kind for part in parts)


def test_ids_are_distinct() -> None:
    ids = [row.id for row in [*TRANSFORMS, *MODELS]]
    assert len(ids) == len(set(ids))


# Two inverses that are as exact as their dtype, and what that costs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_spline_of_any_steepness_loses_a_few_roundings(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    spline = bj.RationalQuadraticSpline()
    params = (3 * torch.randn(20_000, spline.num_params, generator=generator, dtype=torch.float64)).to(dtype)
    z = (10 * torch.rand(20_000, generator=generator, dtype=torch.float64) - 5).to(dtype)
    x, log_slope = spline.inverse(z, params)
    again, _ = spline.forward(x, params)
    # z and, times the slope, x are each rounded in units of the bound 5. b² − 4ac, as in the paper, loses a hundred units and more.
    unit = 5 * torch.finfo(dtype).eps * (1 + torch.exp(-log_slope))
    assert float(((again - z).abs() / unit).max()) < 4


def test_knots_are_as_exact_at_one_end_as_at_the_other() -> None:
    raw = 2 * torch.randn(20_000, 8, generator=torch.Generator().manual_seed(0))
    slopes = torch.zeros(20_000, 7)
    narrow, wide = (
        unconstrained_knots(*(v.to(t) for v in (raw, raw, slopes)), bound=5.0) for t in (torch.float32, torch.float64)
    )
    error = (narrow[0].double() - wide[0]).abs().amax(0) / (5 * torch.finfo(torch.float32).eps)
    # Summed from the left alone, the last knot is off by 5 to 7 roundings of the bound.
    assert float(error.max()) < 4


@pytest.mark.parametrize("kind", ["gaussian", "logistic"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_mixture_is_inverted_in_a_few_calls(dtype: torch.dtype, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    mixture = bj.MixtureCDF(8, kind)
    params = torch.randn(5000, mixture.num_params, generator=generator, dtype=torch.float64).to(dtype)
    z = bj.Logistic((5000,)).to(dtype).sample((), generator=generator)
    calls = []

    def counted(*arguments: Any) -> tuple[Tensor, Tensor]:
        calls.append(1)
        return mixture_logit(*arguments)

    monkeypatch.setattr(mixtures, "mixture_logit", counted)
    with torch.no_grad():
        x, log_slope = mixture.inverse(z, params)
    assert len(calls) <= 24  # halving down to the last bit took 68
    again, _ = mixture_logit(x, *mixture._split(params), kind)
    unit = torch.finfo(dtype).eps * (z.abs().clamp_min(1) + x.abs() * torch.exp(-log_slope))
    assert float(((again - z).abs() / unit).max()) < 8


# The check as a whole


class Swap(bj.Transform):
    """A map as a user writes it, with a parameter, in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.3))
        self.calls = 0

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.calls += 1
        return x.flip(-1) * self.scale.exp(), (self.scale * x.shape[-1]).expand(x.shape[:-1])

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z.flip(-1) * torch.exp(-self.scale), -(self.scale * z.shape[-1]).expand(z.shape[:-1])


def test_a_check_leaves_map_and_generator_as_they_were() -> None:
    swap, state = Swap().train(), torch.get_rng_state()
    checks = check_transform(swap, torch.randn(32, 3, generator=torch.Generator().manual_seed(0)))
    assert [str(check) for check in checks if not check.passed] == []
    assert (swap.training, swap.calls, swap.scale.grad, swap.scale.dtype) == (True, 0, None, torch.float32)
    assert torch.equal(state, torch.get_rng_state())


def test_laws_can_be_left_out() -> None:
    x = torch.randn(8, 2)
    every = [check.law for check in check_transform(bj.Permute((1, 0)), x)]
    fewer = [check.law for check in check_transform(bj.Permute((1, 0)), x, without=["shapes"])]
    assert "shapes" in every
    assert fewer == [law for law in every if law != "shapes"]
    with pytest.raises(InputError, match="names of laws that apply here"):
        check_transform(bj.Permute((1, 0)), x, without=["shape"])


@pytest.mark.parametrize(
    ("x", "context", "message"),
    [
        (torch.randn(8), None, "at least two rows"),
        (torch.randn(1, 2), None, "at least two rows"),
        (torch.ones(8, 2, dtype=torch.long), None, "floating-point"),
        (torch.tensor([[0.0, 1.0], [float("nan"), 0.0]]), None, "row 1"),
        (torch.randn(8, 2), torch.randn(7, 1), r"\(8, features\)"),
    ],
    ids=["no event", "one row", "integers", "not a number", "other rows of context"],
)
def test_rows_that_no_law_can_be_tried_on_are_refused(x: Tensor, context: Tensor | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_transform(bj.Permute((1, 0)), x, context)


def test_a_figure_that_is_no_number_never_passes() -> None:
    assert not Check("law", float("nan"), 1.0, True, "").passed


def test_a_law_that_raises_is_a_failed_check() -> None:
    def law() -> Check:
        raise RuntimeError("of some kind")

    check = hold("law", law)
    assert not check.passed
    assert "RuntimeError: of some kind" in check.note
