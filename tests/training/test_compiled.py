"""The compiled step against the eager one: equal numbers, the same gate, the same checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import bijectory
from bijectory.data.batches import Batch, Shuffled
from bijectory.data.splits import Rows
from bijectory.errors import InputError
from bijectory.training.compiled import CompiledStep
from bijectory.training.ema import EMA
from bijectory.training.fit import Budget, fit
from bijectory.training.joined import Joined
from bijectory.training.objectives.likelihood import NegativeLogLikelihood, maximum_likelihood
from bijectory.training.schedule import warmup_cosine
from bijectory.training.update import Update, apply

ROWS = Rows(torch.randn(200, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 + 1)
NAN = Batch(torch.full((32, 2), float("nan"), dtype=torch.float64), None, torch.arange(32))


@pytest.fixture(autouse=True)
def graphs_of_this_test() -> Iterator[None]:
    """Dynamo counts how often one function was compiled, and gives up after eight: here every test compiles its own."""
    yield
    torch.compiler.reset()


def made(**kwargs: Any) -> tuple[bijectory.Flow, Update]:
    torch.manual_seed(3)
    model = bijectory.realnvp(2, depth=2, hidden=(4,)).double()
    bijectory.initialise(model, ROWS.x)
    settings: dict[str, Any] = {"schedule": warmup_cosine(20, warmup=5), "clip": 0.5, "average": 0.9}
    (update,) = maximum_likelihood(model, rate=0.01, weight_decay=0.1, **{**settings, **kwargs})
    return model, update


# aot_eager runs the same graph without C++: the algebra is the same, the build takes a second instead of ten or twenty.
def step_of(update: Update) -> CompiledStep:
    step = CompiledStep(update)
    step._step = torch.compile(step._whole, fullgraph=True, dynamic=False, backend="aot_eager")
    return step


def apart(left: bijectory.Flow, right: bijectory.Flow) -> float:
    pairs = zip(left.parameters(), right.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


# inductor's own imports raise torch's deprecation warning
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("inductor", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_equals_apply_with_everything_switched_on(inductor: bool) -> None:
    (slow, a), (fast, b) = made(), made()
    batches, step = Shuffled(ROWS, 32, 0), (CompiledStep if inductor else step_of)(b)
    for number in range(20):
        left, right = apply(a, batches(number), number), step(batches(number), number)
        assert left.keys() == right.keys()
        assert all(abs(float(left[name].detach() - right[name])) < 1e-10 for name in left)
    assert apart(slow, fast) < 1e-10
    assert a.ema is not None
    assert b.ema is not None
    assert float((a.ema.shadow[0] - b.ema.shadow[0]).abs().max()) < 1e-10
    assert a.ema.count == b.ema.count == 20


def test_a_batch_that_is_not_finite_changes_nothing_but_the_average() -> None:
    (slow, a), (model, update) = made(), made()
    step, batches = step_of(update), Shuffled(ROWS, 32, 0)
    step(batches(0), 0)
    before = copy.deepcopy(model.state_dict())
    slots = copy.deepcopy(update.optimizer.state_dict()["state"][0])
    step(NAN, 1)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    after = update.optimizer.state_dict()["state"][0]
    assert all(torch.equal(slots[name], after[name]) for name in slots)
    assert update.take_lost() == [1]
    step(batches(2), 2)
    for number, batch in enumerate((batches(0), NAN, batches(2))):
        apply(a, batch, number)
    assert apart(slow, model) < 1e-10
    assert a.ema is not None
    assert update.ema is not None
    assert float((a.ema.shadow[0] - update.ema.shadow[0]).abs().max()) < 1e-10


@pytest.mark.parametrize("first", ["eager", "compiled"])
def test_each_continues_what_the_other_began(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bijectory.training.fit.CompiledStep", step_of)
    batches = Shuffled(ROWS, 32, 0)

    def run(steps: int, compiled: bool, resume: Any = None) -> tuple[bijectory.Flow, Any]:
        model, update = made(compiled=compiled)
        state = fit([update], batches, budget=Budget(steps=steps, batch=32), resume=resume)
        return model, state.tensors()

    whole, tensors = run(20, compiled=False)
    _, half = run(10, compiled=first == "compiled")
    resumed, again = run(20, compiled=first != "compiled", resume=half)
    assert apart(whole, resumed) < 1e-10
    assert {name: value.shape for name, value in tensors.items()} == {name: v.shape for name, v in again.items()}


def test_models_of_the_same_shapes_have_a_graph_each(monkeypatch: pytest.MonkeyPatch) -> None:
    build = torch.compile

    def quickly(function: Any, *, options: dict[str, Any], **rest: Any) -> Any:
        return build(function, backend="eager", options={"guard_filter_fn": options["guard_filter_fn"]}, **rest)

    monkeypatch.setattr(torch, "compile", quickly)
    batch = Shuffled(ROWS, 32, 0)(0)
    # Nor do they share the number of builds that dynamo allows a function.
    with torch._dynamo.config.patch(recompile_limit=1):
        for base in ("logistic", "normal", "logistic"):
            (update,) = maximum_likelihood(bijectory.realnvp(2, depth=2, hidden=(4,), base=base).double())  # type: ignore[arg-type]
            expected = update.loss(batch, 0).total.item()
            assert CompiledStep(update)(batch, 0)["nats"].item() == pytest.approx(expected, abs=1e-12)


def test_refuses_what_it_cannot_compile() -> None:
    model, update = made()
    loss = NegativeLogLikelihood(model)
    with pytest.raises(InputError, match="SGD"):
        CompiledStep(Update("u", loss, torch.optim.SGD(loss.parameters(), lr=0.1)))
    with pytest.raises(InputError, match="joined"):
        CompiledStep(Update("u", loss, torch.optim.AdamW(loss.parameters())))
    with pytest.raises(InputError, match="accumulate"):
        CompiledStep(made(accumulate=2)[1])
    assert CompiledStep(update).joined is update.joined


def test_joining_changes_no_number() -> None:
    (apart_model, _), (model, joined) = made(average=None), made(average=None)
    loss = NegativeLogLikelihood(apart_model)
    parameters = [nn.Parameter(p.detach().clone()) for p in apart_model.parameters()]
    for (owner, name), parameter in zip(_places(apart_model), parameters, strict=True):
        setattr(owner, name, parameter)  # the model's parameters before anything was joined
    optimizer = torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1, fused=True)
    separate = Update("u", loss, optimizer, warmup_cosine(20, warmup=5), clip=0.5, ema=EMA(parameters, 0.9))
    batches = Shuffled(ROWS, 32, 0)
    for number in range(10):
        apply(separate, batches(number), number)
        apply(joined, batches(number), number)
    assert apart(apart_model, model) < 1e-12


def _places(model: nn.Module) -> list[tuple[nn.Module, str]]:
    return [(owner, name) for owner in model.modules() for name, _ in owner.named_parameters(recurse=False)]


def test_parts_that_moved_are_tied_again() -> None:
    model, update = made(average=None)
    still, other = made(average=None)
    batches = Shuffled(ROWS, 32, 0)
    for number in range(4):
        apply(update, batches(number), number)
        apply(other, batches(number), number)
        for parameter in model.parameters():  # what .float() followed by .double() does
            parameter.data = parameter.data.clone()
    assert apart(model, still) == 0
    assert update.joined is not None
    model.float()
    with pytest.raises(InputError, match=r"torch\.float32"):
        apply(update, batches(4), 4)


def test_joined_refuses_several_dtypes() -> None:
    with pytest.raises(InputError, match=r"torch\.float32.*torch\.float64"):
        Joined([nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1, dtype=torch.float64))])
