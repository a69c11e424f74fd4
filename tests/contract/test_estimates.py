"""Every law of unbiased estimates over every EstimateModel of the zoo, and faults that exactly these laws notice."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor
from zoo import ESTIMATES, HIDDEN, Row, specimen

import bijectory as bj
from bijectory.errors import InputError, ShapeError
from bijectory.evaluation.likelihood import estimate_draws, estimate_rows, evaluate_model, log_prob_rows
from bijectory.models import estimated
from bijectory.testing import estimate_laws
from bijectory.testing.checks import Law, hold
from bijectory.transforms import continuous as continuous_module
from bijectory.transforms import residual as residual_module

Method = Callable[..., Any]


@cache
def laws(row: Row) -> dict[str, Law]:
    thing = specimen(row)
    assert isinstance(thing.module, bj.EstimateModel)
    return estimate_laws(thing.module, thing.x, None, thing.context, **row.bounds())


HELD = [(row, law) for row in ESTIMATES for law in laws(row) if law not in row.exceptions]
each_row = pytest.mark.parametrize("row", ESTIMATES, ids=lambda row: row.id)


@pytest.mark.parametrize(("row", "law"), HELD, ids=[f"{row.id}: {law}" for row, law in HELD])
def test_law(row: Row, law: str) -> None:
    check = hold(law, laws(row)[law])
    assert check.passed, str(check)
    assert check.law == law


def test_no_estimate_needs_a_tolerance_or_an_exception() -> None:
    assert [row.id for row in ESTIMATES if row.tolerances or row.exceptions] == []


@each_row
def test_an_estimate_survives_saving(row: Row) -> None:
    thing = specimen(row)
    fresh = row.make().eval()
    fresh.load_state_dict(load(save(thing.module.state_dict())), strict=True)
    with torch.no_grad():
        noise = thing.module.draw_noise((len(thing.x),))
        first, again = (m.log_prob_estimate(thing.x, thing.context, noise=noise) for m in (thing.module, fresh))
    assert torch.equal(first, again)


# Faults, each with the laws that notice it


def probe_of_ones(original: Method) -> Method:
    """No probe at all: the sum of the Jacobian's entries instead of its trace."""
    return torch.ones_like


def series_cut(original: Method) -> Method:
    """The series ends after its first term, and is off by all that would follow."""

    def series(g: Any, x: Tensor, noise: Tensor, terms: int, survival: float) -> tuple[Tensor, Tensor]:
        certain = torch.cat([noise[..., :-1], torch.zeros_like(noise[..., -1:])], -1)
        return original(g, x, certain, 1, survival)

    return series


def no_gradient(original: Method) -> Method:
    """Right values whose gradient is left out."""

    def series(*rest: Any) -> tuple[Tensor, Tensor]:
        value, total = original(*rest)
        return value, total.detach()

    return series


def shared_noise(original: Method) -> Method:
    """The first row's noise for all rows."""

    def one(self: Any, x: Tensor, context: Tensor | None, noise: Tensor) -> Tensor:
        return original(self, x, context, noise[..., :1, :].expand_as(noise) if noise.dim() > 1 else noise)

    return one


def noise_of_its_own(original: Method) -> Method:
    """Noise that is handed in is not used."""

    def log_prob_estimate(self: Any, *rest: Any, noise: Tensor | None = None, **named: Any) -> Tensor:
        generator = None if noise is None else torch.Generator().manual_seed(0)
        return original(self, *rest, **{"generator": generator, **named})

    return log_prob_estimate


def never_a_scalar(original: Method) -> Method:
    return lambda self, *rest, **named: torch.atleast_1d(original(self, *rest, **named))


PROBE, SERIES = ESTIMATES[0], next(row for row in ESTIMATES if "series, tripled" in row.id)
RIGHT = {"estimate", "estimate gradient"}

FAULTS: list[tuple[str, Row, Any, str, Callable[[Method], Method], set[str]]] = [
    ("a probe of ones", PROBE, continuous_module, "signs", probe_of_ones, RIGHT),
    ("a series cut short", SERIES, residual_module, "_series", series_cut, RIGHT),
    ("a gradient left out", SERIES, residual_module, "_series", no_gradient, {"estimate gradient"}),
    ("one noise for all rows", PROBE, bj.EstimatedFlow, "_one", shared_noise, {"own noise"}),
    ("noise of its own", PROBE, bj.EstimatedFlow, "log_prob_estimate", noise_of_its_own, {"noise", "own noise"}),
    ("an estimate that is never a scalar", PROBE, bj.EstimatedFlow, "log_prob_estimate", never_a_scalar, {"estimate shapes"}),
]  # fmt: skip

NEW = ("estimate shapes", "noise", "own noise", "estimate", "estimate gradient")


@pytest.mark.parametrize(("name", "row", "owner", "method", "wrong", "noticed"), FAULTS, ids=[f[0] for f in FAULTS])
def test_exactly_these_laws_notice(
    name: str,
    row: Row,
    owner: Any,
    method: str,
    wrong: Callable[[Method], Method],
    noticed: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owner, method, wrong(getattr(owner, method)))
    failed = {law: str(check) for law in NEW if not (check := hold(law, laws(row)[law])).passed}
    assert set(failed) == noticed, "\n".join(failed.values())


def test_every_law_of_estimates_is_named_by_a_fault() -> None:
    assert set(NEW) == {law for fault in FAULTS for law in fault[-1]}
    # What is left are laws of samples, maps and gradients, whose faults stand in test_faults.py.
    others = set(laws(PROBE)) - set(NEW)
    assert {"sample shapes", "seeded", "gradients", "shapes", "round trip float64"} <= others
    assert not [law for law in others if "estimate" in law]


# Estimates against the exact twin of the same weights


def twins(trace: str = "hutchinson") -> tuple[bj.EstimatedFlow, bj.Flow, Tensor]:
    row = ESTIMATES[0]
    thing = specimen(row)
    assert isinstance(thing.module, bj.EstimatedFlow)
    exact = bj.ffjord(3, hidden=HIDDEN, steps=16)
    exact.load_state_dict(thing.module.state_dict())
    return thing.module, exact.eval(), thing.x


def test_an_exact_twin_serves_as_the_truth() -> None:
    model, exact, x = twins()
    assert estimate_laws(model, x, exact)["estimate"]().passed
    assert not estimate_laws(model, x, log_prob_rows(exact, x) + 0.05)["estimate"]().passed
    with pytest.raises(InputError, match=r"exact: expected shape \(96,\)"):
        estimate_laws(model, x, torch.zeros(3))["estimate"]()


def test_scores_are_estimates_with_an_error_that_holds_their_scatter() -> None:
    model, exact, x = twins()
    truth = -float(log_prob_rows(exact, x).mean())
    one, many = (evaluate_model(model, x, split="test", draws=draws)[0] for draws in (1, 16))
    assert (one.name, one.kind, many.name) == ("nats", "estimate", "nats")
    assert [score.name for score in evaluate_model(model, x, split="test", draws=2)] == ["nats", "bits_per_dim"]
    rows = estimate_draws(model, x, draws=16)
    assert one.value == pytest.approx(-float(rows[:, 0].mean()), abs=1e-12)
    assert many.value == pytest.approx(-float(rows.mean()), abs=1e-12)
    scatter = float(rows.std(1).square().mean())
    of_one = float(rows.std(0).square().mean()) / len(x)
    assert of_one - many.stderr**2 == pytest.approx(scatter / len(x) * (1 - 1 / 16), rel=0.2)
    # The same rows: what is left of the difference is the estimator's own.
    assert abs(many.value - truth) < 4 * math.sqrt(scatter / 16 / len(x)) + 1e-5


def test_scoring_noise_belongs_to_the_row() -> None:
    model, _, x = twins()
    whole = estimate_draws(model, x, draws=2)
    assert torch.equal(whole, estimate_draws(model, x, draws=2, chunk=len(x)))
    assert torch.allclose(whole, estimate_draws(model, x, draws=2, chunk=7), atol=1e-6)
    assert torch.allclose(whole[:5], estimate_draws(model, x[:5], draws=2), atol=1e-6)
    assert torch.allclose(whole.mean(1), estimate_rows(model, x, draws=2))
    assert not torch.allclose(whole, estimate_draws(model, x, draws=2, seed=1), atol=1e-3)
    with pytest.raises(InputError, match="expected an EstimateModel"):
        estimate_draws(bj.maf(3), x)


# What is refused


def test_an_exact_map_is_refused() -> None:
    with pytest.raises(InputError, match="make a Flow"):
        bj.EstimatedFlow(bj.Normal((2,)), bj.Permute((1, 0)))
    with pytest.raises(InputError, match="estimates its log-det"):
        bj.Flow(bj.Normal((2,)), bj.Continuous(bj.TimeMLP(2), trace="hutchinson"))


def test_noise_of_another_shape_is_refused() -> None:
    model, _, x = twins()
    with pytest.raises(ShapeError, match=r"noise: expected shape \(1, 96, 3\), got \(1, 96, 2\)"):
        model.log_prob_estimate(x, noise=torch.zeros(96, 2))
    with pytest.raises(InputError, match="draws: expected at least one"):
        model.log_prob_estimate(x, draws=0)


def test_a_map_that_does_not_say_what_noise_it_consumes_is_refused() -> None:
    class Rough(bj.Permute):
        exact_log_det = False

    with pytest.raises(InputError, match="does not say what noise"):
        bj.EstimatedFlow(bj.Normal((2,)), Rough((1, 0)))


def test_parts_consume_noise_of_their_own() -> None:
    row = ESTIMATES[-1]
    thing = specimen(row)
    model = thing.module
    assert isinstance(model, bj.EstimatedFlow)
    # A series takes a sign for each number and one more, a probe a sign for each.
    assert model.noise_size == 4 + 3
    assert [type(part).__name__ for part, _, _ in estimated._walk(model.transform, None)] == [
        "Residual",
        "Autoregressive",
        "Continuous",
    ]
    noise = model.draw_noise((len(thing.x),), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model.log_prob_estimate(thing.x, noise=noise)
        for number in range(7):
            other = noise.clone()
            other[:, number] = (other[:, number] + 0.5) % 1
            assert not torch.equal(before, model.log_prob_estimate(thing.x, noise=other)), number
