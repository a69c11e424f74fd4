"""The laws are able to fail: a fault is planted in an installed class, and exactly the laws named beside it notice.

A law that is named by no fault proves nothing by passing; the last test finds such laws.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from test_bounds import QUANTISED_PLANE, exact_integers
from test_models import Steps, exact_steps
from torch import Tensor
from zoo import AFFINE, Row, autoregressive, halves, many_features, specimen

import bijectory as bj
from bijectory.nets import made
from bijectory.nets.mlp import Linear
from bijectory.testing import Check, check_bound, check_exact, check_transform

Method = Callable[..., Any]
PAIR = {"log-det", "inverse log-det"}
SPREAD = {"samples: latents", "samples: moments"}
# A density that is another than that of the samples and of their log-densities.
OTHER = {"latent density", "sample log-prob", "samples"}
# A size of cells that is another than that of the integers.
CELLS = {"dequantisation", "sums to one", "sample counts"}
FLOW = {"flow: log-det", "flow: inverse log-det", "flow: sample log-prob"}
FAR = {"far inputs 3x", "far inputs 10x", "far inputs 100x"}
FAR_OUT = {law.replace("inputs", "density") for law in FAR}
# A map that is no longer triangular is another map in each direction.
BROKEN = {*PAIR, "round trip float64", "round trip float32", *FAR}


@dataclass(frozen=True)
class Fault:
    """What is replaced, by what becomes of the original, in which subject, and the laws that fail for it."""

    id: str
    subject: Callable[[], list[Check]]
    owner: Any
    name: str
    wrong: Callable[[Method], Method]
    laws: set[str]


# Subjects, made after the fault is planted


def of(row: Row) -> Callable[[], list[Check]]:
    def checks() -> list[Check]:
        thing = specimen.__wrapped__(row)
        if isinstance(thing.module, bj.ExactModel):
            return check_exact(thing.module, thing.x, thing.context)
        return check_transform(thing.module, thing.x, thing.context)  # type: ignore[arg-type]

    return checks


SCALES = of(Row("scales", lambda: bj.DiagonalScale((3,)), (3,), noise=0.3))
COUPLING = of(Row("coupling", lambda: halves(AFFINE), (4,)))
NET = of(Row("net", lambda: autoregressive(3, AFFINE, context_dim=2), (3,), context_dim=2))
LARGE = of(Row("large", many_features, (300,), noise=0.02))
PLANE = of(Row("plane", lambda: bj.Flow(bj.Normal((2,)), halves(AFFINE, 2)), (2,)))
SPACE = of(
    Row("space", lambda: bj.Flow(bj.Normal((3,)), bj.Chain([bj.Standardise((3,)), autoregressive(3, AFFINE)])), (3,))
)
GIVEN = of(Row("given", lambda: bj.maf(2, depth=2, hidden=(16,), context_dim=1), (2,), context_dim=1))


def bound() -> list[Check]:
    model = Steps(0.5)
    x = model.sample(64, generator=torch.Generator().manual_seed(0))
    return check_bound(model, x, exact_steps(x))


def integers() -> list[Check]:
    """Two numbers of four levels, whose probabilities quadrature knows."""
    thing = specimen.__wrapped__(QUANTISED_PLANE)
    return check_bound(thing.module, thing.x, exact_integers(thing.module, thing.x))  # type: ignore[arg-type]


# Faults of a pair (value, log-det)


def log_det(change: Callable[[Tensor], Tensor]) -> Callable[[Method], Method]:
    """The second of what a method returns, changed."""

    def wrong(original: Method) -> Method:
        def method(self: Any, x: Tensor, *rest: Any, **named: Any) -> tuple[Tensor, Tensor]:
            value, slope = original(self, x, *rest, **named)
            return value, change(slope)

        return method

    return wrong


def value(change: Callable[[Tensor], Tensor]) -> Callable[[Method], Method]:
    """The first of what a method returns, changed; of a method that returns one thing, that."""

    def wrong(original: Method) -> Method:
        def method(self: Any, *rest: Any, **named: Any) -> Any:
            result = original(self, *rest, **named)
            return (change(result[0]), *result[1:]) if isinstance(result, tuple) else change(result)

        return method

    return wrong


def both_directions(original: Method) -> Method:
    """DiagonalScale's own Σ log_scale, off by a constant that cancels between forward and inverse."""
    return lambda self, x: original(self, x) + 0.1


def wrong_sign(original: Method) -> Method:
    return lambda self, x: -original(self, x)


def in_float32(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda values: change(values) if values.dtype == torch.float32 else values


def nan_beyond(edge: float) -> Callable[[Method], Method]:
    def wrong(original: Method) -> Method:
        def forward(self: Any, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
            z, slope = original(self, x, params)
            return z, torch.where(x.abs() > edge, math.nan, slope)

        return forward

    return wrong


def lone_row_differs(original: Method) -> Method:
    """As batch statistics do: a batch of one row is treated in another way."""

    def forward(self: Any, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, slope = original(self, x, context)
        return z, slope + (0.01 if x.shape[0] == 1 else 0.0)

    return forward


def detached(original: Method) -> Method:
    def effective_weight(self: Any) -> Tensor:
        return original(self).detach()

    return effective_weight


# Faults of networks


def context_misses_first(original: Method) -> Method:
    """As in nflows 0.14 and normflows 1.7.3: no hidden unit carries the context to the first position."""
    return lambda units, features, lowest: original(units, features, 1)


def leaking_masks(original: Method) -> Method:
    def masks(in_degrees: Tensor, hidden: Any, out_degrees: Tensor) -> list[Tensor]:
        *inner, last = original(in_degrees, hidden, out_degrees)
        return [*inner, torch.ones_like(last)]

    return masks


def strict_masks(original: Method) -> Method:
    """Hidden units see one degree too few, so that no position sees the one just before it."""
    return lambda in_degrees, hidden, out_degrees: original(in_degrees + 1, hidden, out_degrees)


def stale_cache(original: Method) -> Method:
    def step(self: Any, cache: Any, previous: Tensor | None) -> Any:
        params, cache = original(self, cache, previous)
        return params + (1e-6 if previous is not None else 0), cache

    return step


# Faults of models


def colder(original: Method) -> Method:
    return lambda self, *rest, **named: 0.9 * original(self, *rest, **named)


def one_dimension_dropped(original: Method) -> Method:
    def sample(self: Any, *rest: Any, **named: Any) -> Tensor:
        z = original(self, *rest, **named).clone()
        z[..., -1] = 0
        return z

    return sample


def dimensions_alike(original: Method) -> Method:
    def sample(self: Any, *rest: Any, **named: Any) -> Tensor:
        z = original(self, *rest, **named)
        return torch.cat([z[..., :1], z[..., :1], z[..., 2:]], -1)

    return sample


def own_generator(original: Method) -> Method:
    return lambda self, shape, context=None, *, generator=None: original(self, shape, context)


def one_batch_dimension(original: Method) -> Method:
    def sample(self: Any, *rest: Any, **named: Any) -> Tensor:
        return original(self, *rest, **named).reshape(-1, *self.event_shape)

    return sample


def never_a_scalar(original: Method) -> Method:
    return lambda self, *rest, **named: torch.atleast_1d(original(self, *rest, **named))


def log_det_added(original: Method) -> Method:
    def sample_and_log_prob(self: Any, *rest: Any, **named: Any) -> tuple[Tensor, Tensor]:
        x, _ = original(self, *rest, **named)
        z, slope = self.transform.forward_and_log_det(x)
        return x, self.base.log_prob(z) - slope

    return sample_and_log_prob


def context_of_others(original: Method) -> Method:
    def log_prob(self: Any, x: Tensor, context: Tensor | None = None) -> Tensor:
        return original(self, x, torch.ones_like(context))

    return log_prob


def impossible_below(edge: float) -> Callable[[Method], Method]:
    """A density that is rounded to zero, as by log(exp(·))."""
    return value(lambda p: torch.where(p < edge, -math.inf, p))


# Faults of bounds


def optimistic(original: Method) -> Method:
    def log_prob_bound(self: Any, *rest: Any, **named: Any) -> Any:
        value, terms = original(self, *rest, **named)
        return value + 1, {**terms, "one": torch.ones(())}

    return log_prob_bound


def terms_left_out(original: Method) -> Method:
    def log_prob_bound(self: Any, *rest: Any, **named: Any) -> Any:
        value, terms = original(self, *rest, **named)
        return value, {"reconstruction": terms["reconstruction"]}

    return log_prob_bound


def draws_summed_wrongly(original: Method) -> Method:
    def log_prob_bound(self: Any, *rest: Any, draws: int = 1, **named: Any) -> Any:
        value, terms = original(self, *rest, draws=draws, **named)
        return value - math.log(draws), {**terms, "rest": terms["rest"] - math.log(draws)}

    return log_prob_bound


def own_noise(original: Method) -> Method:
    """Noise that is handed in is not used."""

    def log_prob_bound(self: Any, *rest: Any, noise: Tensor | None = None, **named: Any) -> Any:
        generator = None if noise is None else torch.Generator().manual_seed(0)
        return original(self, *rest, **{"generator": generator, **named})

    return log_prob_bound


# Faults of integers


def cooler(original: Method) -> Method:
    def sample(self: Any, *rest: Any, **named: Any) -> Tensor:
        return original(self, *rest, **{**named, "temperature": 0.8})

    return sample


def rounded(original: Method) -> Method:
    """The nearest level instead of the one whose cell it is."""

    def to_integer(self: Any, y: Tensor) -> Tensor:
        share = (torch.sigmoid(y) - self.alpha) / (1 - 2 * self.alpha)
        return (share * self.levels).round().clamp(0, self.levels - 1).to(torch.uint8)

    return to_integer


FORWARD, INVERSE = "forward_and_log_det", "inverse_and_log_det"

FAULTS = [
    Fault("log-det off by a constant, both ways", SCALES, bj.DiagonalScale, "_log_det", both_directions, {"log-det"}),
    Fault("log-det of the wrong sign, both ways", SCALES, bj.DiagonalScale, "_log_det", wrong_sign, {"log-det"}),
    Fault("log-det of the wrong sign, forward", SCALES, bj.DiagonalScale, FORWARD, log_det(torch.neg), PAIR),
    Fault("log-det of the wrong sign, inverse", SCALES, bj.DiagonalScale, INVERSE, log_det(torch.neg), {"inverse log-det"}),
    Fault("log-det off by little, forward", COUPLING, bj.Coupling, FORWARD, log_det(lambda s: s + 1e-8), PAIR),
    Fault("log-det off, large coupling", LARGE, bj.Coupling, FORWARD, log_det(lambda s: s + 1e-6), PAIR),
    Fault("log-det off, large autoregression", LARGE, bj.Autoregressive, FORWARD, log_det(lambda s: s + 1e-6), PAIR),
    Fault("log-det off, large permutation", LARGE, bj.Permute, FORWARD, log_det(lambda s: s + 1e-6), PAIR),
    Fault("log-det off, large ActNorm", LARGE, bj.ActNorm, FORWARD, log_det(lambda s: s + 1e-6), PAIR),
    Fault("log-det with a dimension too many", COUPLING, bj.Coupling, FORWARD, log_det(lambda s: s[..., None]), {"shapes"}),
    Fault("inverse off", COUPLING, bj.Coupling, INVERSE, value(lambda x: x + 1e-6), {"round trip float64"}),
    Fault("inverse off in float32", COUPLING, bj.Coupling, INVERSE, value(in_float32(lambda x: x + 1e-4)), {"round trip float32"}),
    Fault("rows that depend on their batch", COUPLING, bj.Coupling, FORWARD, lone_row_differs, {"independent rows"}),
    Fault("log-det always in float64", SCALES, bj.DiagonalScale, FORWARD, log_det(torch.Tensor.double), {"precision"}),
    Fault("NaN far away", COUPLING, bj.Affine, "forward", nan_beyond(40), FAR - {"far inputs 3x", "far inputs 10x"}),
    Fault("NaN not so far away", COUPLING, bj.Affine, "forward", nan_beyond(6), FAR),
    Fault("weights that learn nothing", COUPLING, Linear, "effective_weight", detached, {"gradients"}),
    Fault("context misses the first number", NET, made, "hidden_degrees", context_misses_first, {"context"}),
    Fault("masks that leak", NET, made, "made_masks", leaking_masks, {"causality", "cached steps"} | BROKEN),
    Fault("masks too strict", NET, made, "made_masks", strict_masks, {"causal reach"}),
    Fault("cache that differs", NET, bj.MADE, "step", stale_cache, {"cached steps", "round trip float64", "inverse log-det"}),
    Fault("density not normalised, plane", PLANE, bj.Normal, "log_prob", value(lambda p: p + 0.01), {"integral"}),
    Fault("density not normalised, space", SPACE, bj.Normal, "log_prob", value(lambda p: p + 0.1), {"integral"}),
    Fault("log_prob off", PLANE, bj.Flow, "log_prob", value(lambda p: p + 0.01), {"integral", "latent density", "sample log-prob"}),
    Fault("log_prob off in float32", PLANE, bj.Normal, "log_prob", value(in_float32(lambda p: p + 0.1)), {"density precision"}),
    Fault("log_prob never a scalar", PLANE, bj.Flow, "log_prob", never_a_scalar, {"density shapes"}),
    Fault("zero density far away", PLANE, bj.Flow, "log_prob", impossible_below(-10_000), {"far density 100x"}),
    Fault("zero density not so far away", PLANE, bj.Flow, "log_prob", impossible_below(-25), FAR_OUT),
    Fault("samples too cold, plane", PLANE, bj.Normal, "sample", colder, {"samples"}),
    Fault("samples too cold, space", SPACE, bj.Normal, "sample", colder, SPREAD),
    Fault("samples without a dimension, plane", PLANE, bj.Normal, "sample", one_dimension_dropped, {"samples"}),
    Fault("samples without a dimension, space", SPACE, bj.Normal, "sample", one_dimension_dropped, SPREAD),
    Fault("samples with two dimensions alike", SPACE, bj.Normal, "sample", dimensions_alike, SPREAD),
    Fault("samples of the global generator", PLANE, bj.Normal, "sample", own_generator, {"seeded"}),
    Fault("samples in one batch dimension", PLANE, bj.Flow, "sample", one_batch_dimension, {"sample shapes"}),
    Fault("sample_and_log_prob adds the log-det", PLANE, bj.Flow, "sample_and_log_prob", log_det_added, {"sample log-prob"}),
    Fault("log_prob ignores its context", GIVEN, bj.Flow, "log_prob", context_of_others, {"density context"} | OTHER),
    Fault("a bound above the exact value", bound, Steps, "log_prob_bound", optimistic, {"bound"}),
    Fault("terms that are not the bound", bound, Steps, "log_prob_bound", terms_left_out, {"terms"}),
    Fault("a bound that falls with more draws", bound, Steps, "log_prob_bound", draws_summed_wrongly, {"more draws"}),
    Fault("a bound that is never a scalar", bound, Steps, "log_prob_bound", value(torch.atleast_1d), {"bound shapes"}),
    Fault("a bound with noise of its own", bound, Steps, "log_prob_bound", own_noise, {"noise"}),
    Fault("levels forgotten in the log-det", integers, bj.Quantised, "to_real", log_det(lambda s: s + 2 * math.log(4)), {"bound"} | CELLS),
    Fault("log-det of the wrong sign", integers, bj.Quantised, "to_real", log_det(torch.neg), CELLS),
    Fault("noise on half the cell", integers, bj.Quantised, "draw_noise", value(lambda u: u / 2), {"sums to one", "sample counts"}),
    Fault("integers rounded", integers, bj.Quantised, "to_integer", rounded, {"picture round trip", "dequantisation", "sample counts"}),
    Fault("latents off", integers, bj.Quantised, "encode", value(lambda z: z + 0.5), {"picture round trip"}),
    Fault("integers too cold", integers, bj.Quantised, "sample", cooler, {"samples of the flow", "sample counts"}),
    Fault("flow's log-det off", integers, bj.Coupling, FORWARD, log_det(lambda s: s + 1e-8), FLOW),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_exactly_these_laws_notice(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault.owner, fault.name, fault.wrong(getattr(fault.owner, fault.name)))
    failed = {check.law: str(check) for check in fault.subject() if not check.passed}
    assert set(failed) == fault.laws, "\n".join(failed.values())


@cache
def sound(subject: Callable[[], list[Check]]) -> list[Check]:
    return subject()


SUBJECTS = {
    "scales": SCALES,
    "coupling": COUPLING,
    "net": NET,
    "large": LARGE,
    "plane": PLANE,
    "space": SPACE,
    "given": GIVEN,
    "bound": bound,
    "integers": integers,
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_without_a_fault_no_law_fails(name: str) -> None:
    assert [str(check) for check in sound(SUBJECTS[name]) if not check.passed] == []


def test_every_law_is_named_by_a_fault() -> None:
    # The laws of the flow behind integers are those of flows, held by the same functions.
    laws = {check.law.removeprefix("flow: ") for subject in SUBJECTS.values() for check in sound(subject)}
    assert laws - {law for fault in FAULTS for law in fault.laws} == set()
