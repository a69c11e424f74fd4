"""Faults planted at five depths, eager and compiled: the bad update is not applied, the part and the rows are named."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import bijectory
from bijectory.data.batches import Shuffled
from bijectory.data.splits import Rows
from bijectory.errors import NonFiniteError
from bijectory.training.compiled import CompiledStep
from bijectory.training.doctor import Fault, diagnose
from bijectory.training.fit import Budget, fit
from bijectory.training.objectives.likelihood import maximum_likelihood
from bijectory.training.update import Update, apply

BAD = 37


def rows() -> Tensor:
    return torch.randn(96, 2, generator=torch.Generator().manual_seed(4))


def in_data(model: bijectory.Flow, x: Tensor) -> None:
    x[BAD, 1] = float("nan")


def in_weight(model: bijectory.Flow, x: Tensor) -> None:
    with torch.no_grad():
        model.transform.transforms[3].net.hidden_layers[0].weight[0, 0] = float("inf")  # type: ignore[index,union-attr]


class Poison(torch.nn.Module):
    """Wraps a net: for the bad row, an output that is not finite, or a gradient that is not."""

    def __init__(self, net: torch.nn.Module, gradient: bool) -> None:
        super().__init__()
        self.net, self.gradient = net, gradient

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        out = self.net(x, context)
        far = (x.abs().amax(-1) > 50)[:, None, None]
        if self.gradient:
            # √0 is 0 and its slope infinite: times an inner slope of 0, NaN that shows in the gradient alone. That 0 must come from the
            # data: inductor takes x * 0 for 0, and then the compiled gradient is finite and nothing is wrong with the step.
            return out + torch.sqrt(torch.where(far, out * ~far, torch.ones_like(out))) * 1e-3
        return torch.where(far, torch.log(out * 0), out)


def in_net(model: bijectory.Flow, x: Tensor) -> None:
    coupling = model.transform.transforms[3]  # type: ignore[index,union-attr]
    coupling.net = Poison(coupling.net, gradient=False)
    x[BAD] = 1e3


def in_gradient(model: bijectory.Flow, x: Tensor) -> None:
    coupling = model.transform.transforms[3]  # type: ignore[index,union-attr]
    coupling.net = Poison(coupling.net, gradient=True)
    x[BAD] = 1e3


def in_log_det(model: bijectory.Flow, x: Tensor) -> None:
    class Broken(bijectory.Transform):
        def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
            return x, torch.where(x.abs().amax(-1) > 50, -torch.inf, 0.0)

        def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
            raise AssertionError("not asked for")

    model.transform.transforms.insert(1, Broken())  # type: ignore[union-attr,operator]
    x[BAD] = 1e3


CASES = [
    (in_data, "the data", "value", (BAD,)),
    (in_weight, "transform.transforms.3.net.hidden_layers.0.weight", "weight", ()),
    (in_net, "transform.transforms.3.net", "value", (BAD,)),
    (in_gradient, "transform.transforms.3.net", "gradient", (BAD,)),
    (in_log_det, "transform.transforms.1", "value", (BAD,)),
]


# inductor's own imports raise torch's deprecation warning
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["eager", "compiled"])
@pytest.mark.parametrize(("plant", "part", "what", "named"), CASES, ids=lambda v: getattr(v, "__name__", None))
def test_planted_fault_is_found(
    plant: Callable[[Any, Tensor], None], part: str, what: str, named: tuple[int, ...], compiled: bool
) -> None:
    x = rows()
    torch.manual_seed(0)
    model = bijectory.realnvp(2, depth=3, hidden=(8,), squash=False)
    bijectory.initialise(model, x)
    plant(model, x)
    update = maximum_likelihood(model, clip=1.0)[0]
    before = copy.deepcopy(model.state_dict())
    batch = Shuffled(Rows(x), 96, 0)(5)
    (CompiledStep(update) if compiled else lambda b, s: apply(update, b, s))(batch, 5)
    assert update.take_lost() == [5]
    assert all(torch.equal(v.nan_to_num(), before[k].nan_to_num()) for k, v in model.state_dict().items())
    fault = diagnose(update, batch, 5)
    assert (fault.part, fault.rows) == (part, named)
    assert what in fault.what


def test_a_sound_step_has_no_fault_to_find() -> None:
    model = bijectory.realnvp(2, depth=2, hidden=(8,))
    update = maximum_likelihood(model)[0]
    assert "no longer" in diagnose(update, Shuffled(Rows(rows()), 32, 0)(0), 0).what


def test_training_completes_around_a_bad_row_and_names_it() -> None:
    x = rows()
    x[BAD, 0] = float("inf")
    model = bijectory.realnvp(2, depth=2, hidden=(8,))
    heard: list[Fault] = []
    state = fit(
        maximum_likelihood(model),
        Shuffled(Rows(x), 24, 0),
        budget=Budget(steps=12, batch=24, log_every=4),
        log=lambda step, terms, results: heard.extend(r for r in results if isinstance(r, Fault)),
    )
    assert state.updates[0].skipped == 3
    assert [fault.rows for fault in heard] == [(BAD,)] * 3
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_an_exploding_rate_ends_with_a_reason() -> None:
    model = bijectory.nsf(2, depth=2, hidden=(8,), squash=False)
    update: Update = maximum_likelihood(model, rate=1e30, average=None)[0]
    with pytest.raises(NonFiniteError, match="lower the learning rate"):
        fit([update], Shuffled(Rows(rows()), 32, 0), budget=Budget(steps=200, batch=32, skips=5), log=lambda *row: None)
