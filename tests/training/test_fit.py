"""The loop, the update and the average: what is counted, what is skipped, what is kept."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bijectory
from bijectory.data.batches import Batch, Shuffled
from bijectory.data.splits import Rows
from bijectory.errors import InputError, NonFiniteError
from bijectory.training.best import KeepBest
from bijectory.training.ema import EMA
from bijectory.training.fit import Averaged, Budget, fit
from bijectory.training.objectives.likelihood import NegativeLogLikelihood, maximum_likelihood
from bijectory.training.schedule import warmup_cosine
from bijectory.training.update import Loss, Update, apply


def rows(n: int = 200) -> Rows:
    return Rows(torch.randn(n, 2, generator=torch.Generator().manual_seed(1)) * 2 + 1)


def flow() -> bijectory.Flow:
    torch.manual_seed(3)
    model = bijectory.realnvp(2, depth=2, hidden=(8,))
    bijectory.initialise(model, rows().x)
    return model


class Parabola(nn.Module):
    """loss = mean (w − x)²: its minimum is the mean, and its gradient is known by heart."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))

    def forward(self, batch: Batch, step: int) -> Loss:
        value = ((self.w - batch.x) ** 2).sum(-1).mean()
        return Loss(value, {"nats": value})


class Watch:
    """An evaluator that remembers when it was called."""

    def __init__(self, every: int, values: list[float] | None = None) -> None:
        self.every, self.calls, self.values = every, [], values

    def __call__(self, step: int) -> Iterator[Any]:
        self.calls.append(step)
        value = float(step) if self.values is None else self.values[len(self.calls) - 1]
        yield SimpleNamespace(name="nats", value=value)


def sgd(loss: nn.Module, **kwargs: Any) -> Update:
    return Update("u", loss, torch.optim.SGD(loss.parameters(), lr=0.1), **kwargs)


def test_batches_are_a_function_of_the_step() -> None:
    batches, again = Shuffled(rows(), 32, seed=5), Shuffled(rows(), 32, seed=5)
    late = again(17)
    assert all(torch.equal(a, b) for a, b in zip(batches(17)[:3:2], late[:3:2], strict=True))
    epoch = torch.cat([batches(step).rows for step in range(batches.per_epoch)])
    assert len(set(epoch.tolist())) == len(epoch) == batches.per_epoch * 32
    assert not torch.equal(batches(0).rows, batches(batches.per_epoch).rows)


def test_evaluators_are_called_on_time_and_at_the_end() -> None:
    watch = Watch(every=4)
    fit([sgd(Parabola())], Shuffled(rows(), 50, 0), budget=Budget(steps=10, batch=50), evaluators=[watch])
    assert watch.calls == [4, 8, 10]


def test_log_gets_means_of_terms() -> None:
    seen: list[tuple[int, dict[str, float]]] = []
    loss = Parabola()
    one = Shuffled(rows(50), 50, 0)
    expected = [float((one(0).x ** 2).sum(-1).mean())]  # w starts at 0
    fit([sgd(loss)], one, budget=Budget(steps=1, batch=50), log=lambda step, terms, results: seen.append((step, terms)))
    assert seen[0][0] == 1
    assert seen[0][1]["nats"] == pytest.approx(expected[0])


def test_every_runs_an_update_only_at_its_steps() -> None:
    loss = Parabola()
    update = sgd(loss, every=3)
    counted: list[int] = []
    loss.register_forward_hook(lambda *args: counted.append(1))
    fit([update], Shuffled(rows(), 50, 0), budget=Budget(steps=7, batch=50))
    assert len(counted) == 3


def test_accumulation_equals_the_whole_batch() -> None:
    whole, parts = flow(), flow()
    a = maximum_likelihood(whole, average=None)[0]
    b = maximum_likelihood(parts, average=None, accumulate=4)[0]
    batch = Shuffled(rows(), 30, 0)(0)
    left = {name: value.detach() for name, value in apply(a, batch, 0).items()}
    right = {name: value.detach() for name, value in apply(b, batch, 0).items()}
    assert float(left["nats"]) == pytest.approx(float(right["nats"]), rel=1e-5)
    assert float(left["gradient_norm"]) == pytest.approx(float(right["gradient_norm"]), rel=1e-4)


def test_clipping_bounds_the_step() -> None:
    loss = Parabola()
    batch = Batch(torch.full((4, 2), 100.0), None, torch.arange(4))
    apply(sgd(loss, clip=1.0), batch, 0)
    assert float(loss.w.detach().norm()) == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize("fused", [True, False])
def test_a_gradient_that_is_not_finite_changes_nothing(fused: bool) -> None:
    model = flow()
    loss = NegativeLogLikelihood(model)
    update = Update("u", loss, torch.optim.AdamW(loss.parameters(), lr=0.1, fused=fused), clip=1.0)
    apply(update, Shuffled(rows(), 30, 0)(0), 0)
    before, moments = copy.deepcopy(model.state_dict()), copy.deepcopy(update.optimizer.state_dict()["state"])
    poisoned = Batch(torch.full((5, 2), float("nan")), None, torch.arange(5))
    apply(update, poisoned, 1)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    for index, slots in update.optimizer.state_dict()["state"].items():
        assert all(torch.equal(moments[index][k], v) for k, v in slots.items())
    assert update.take_lost() == [1]
    assert update.skipped == 1


def test_too_many_lost_steps_end_training() -> None:
    bad = Rows(torch.full((8, 2), float("inf")))
    with pytest.raises(NonFiniteError, match="lower the learning rate"):
        fit(
            [sgd(Parabola())],
            Shuffled(bad, 4, 0),
            budget=Budget(steps=50, batch=4, skips=3, log_every=5),
            log=lambda *row: None,
        )


def test_average_is_what_it_says() -> None:
    weight = nn.Parameter(torch.zeros(1))
    average = EMA([weight], decay=0.5)
    for value, expected in ((1.0, 0.9), (2.0, 2 / 11 * 0.9 + 9 / 11 * 2.0)):
        with torch.no_grad():
            weight.fill_(value)
        average.update()
        assert float(average.shadow[0]) == pytest.approx(expected)
    with average.applied():
        assert float(weight.detach()) == pytest.approx(expected)
    assert float(weight.detach()) == 2.0


def test_best_weights_come_back() -> None:
    loss = Parabola()
    watch = Watch(every=1, values=[3.0, 1.0, 2.0])
    best = KeepBest(loss, watch, every=1)
    seen: dict[int, Tensor] = {}

    class Recorder:
        every = 1

        def __call__(self, step: int) -> list[Any]:
            seen[step] = loss.w.detach().clone()
            return []

    fit([sgd(loss)], Shuffled(rows(), 50, 0), budget=Budget(steps=3, batch=50), evaluators=[Recorder(), best])
    best.restore()
    assert (best.step, best.value) == (2, 1.0)
    assert torch.equal(loss.w.detach(), seen[2])


def test_a_metric_that_nobody_yields_is_named() -> None:
    best = KeepBest(Parabola(), Watch(every=1), metric="fid", every=1)
    with pytest.raises(InputError, match="'fid'"):
        best(1)


def test_warmup_and_decay() -> None:
    factor = warmup_cosine(1000, warmup=100, floor=0.1)
    assert factor(0) == pytest.approx(0.01)
    assert factor(99) == 1.0
    assert factor(550) == pytest.approx(0.55)
    assert factor(1000) == pytest.approx(0.1)
    with pytest.raises(InputError, match="warmup"):
        warmup_cosine(10, warmup=11)


@pytest.mark.parametrize("stop", [1, 7, 13, 19])
def test_resume_equals_the_uninterrupted_run_bit_for_bit(stop: int) -> None:
    def make() -> tuple[bijectory.Flow, list[Update], list[Any]]:
        model = flow()
        updates = maximum_likelihood(model, schedule=warmup_cosine(20, warmup=5), clip=1.0, average=0.9)
        best = KeepBest(model, Watch(every=3), every=3)
        return model, updates, [Averaged(updates, best)]

    def run(steps: int, resume: dict[str, Tensor] | None = None) -> tuple[dict[str, Tensor], list[Any]]:
        _model, updates, looks = make()
        log: list[Any] = []
        state = fit(
            updates,
            Shuffled(rows(), 32, 0),
            budget=Budget(steps=steps, batch=32, log_every=4),
            evaluators=looks,
            resume=resume,
            log=lambda step, terms, results: log.append((step, terms)),
        )
        return state.tensors(), log

    whole, log = run(20)
    first, _ = run_until(make, stop)
    second, tail = run(20, first)
    assert set(whole) == set(second)
    assert [k for k in whole if k != "seconds" and not torch.equal(whole[k], second[k])] == []
    assert tail == [row for row in log if row[0] > stop]


def run_until(make: Any, stop: int) -> tuple[dict[str, Tensor], None]:
    """The state after ``stop`` steps of a longer run, as a kill would leave it: no last evaluation, no last log row."""
    _model, updates, looks = make()
    kept: dict[str, Tensor] = {}

    class Killed(Exception):
        pass

    def save(state: Any) -> None:
        if state.step == stop:
            kept.update(state.tensors())
            raise Killed

    with pytest.raises(Killed):
        fit(
            updates,
            Shuffled(rows(), 32, 0),
            budget=Budget(steps=20, batch=32, log_every=4, save_every=1),
            evaluators=looks,
            save=save,
            log=lambda *row: None,
        )
    return kept, None
