"""Gradients written by hand against autograd's: the same numbers, second derivatives, and nobody who watches a call is left out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.checkpoint import checkpoint
from zoo import MODELS, TRANSFORMS, Row, specimen

import bijectory as bj
from bijectory.data.batches import Batch
from bijectory.training.joined import Joined
from bijectory.training.objectives.likelihood import maximum_likelihood
from bijectory.training.precision import set_precision
from bijectory.training.update import apply
from bijectory.transforms.by_hand import by_hand, run_by_hand
from bijectory.transforms.reshape import Flatten

ROWS = 7


def moved(model: nn.Module) -> nn.Module:
    """In float64 and away from where it starts, where the last layers are zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.double().parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def rows(features: int) -> Tensor:
    return torch.randn(ROWS, features, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


FLOWS: dict[str, Callable[[], bj.Flow]] = {
    "default": lambda: bj.realnvp(2, depth=3, hidden=(8, 8)),
    "no squash, no actnorm, normal": lambda: bj.realnvp(
        2, depth=3, hidden=(8, 8), squash=False, actnorm=False, base="normal"
    ),
    "five features, scattered": lambda: bj.realnvp(5, depth=3, hidden=(8,)),
    "no hidden layer": lambda: bj.realnvp(3, depth=2, hidden=()),
    "three hidden layers": lambda: bj.realnvp(2, depth=2, hidden=(4, 5, 6)),
}


def gradients(model: nn.Module, x: Tensor, context: Tensor | None = None) -> tuple[list[Tensor], set[str]]:
    """Values and gradients of one loss that weighs every output, and the names of the graph's nodes."""
    x = x.clone().requires_grad_()
    flow = isinstance(model, bj.Flow)
    outputs = [model.log_prob(x, context)] if flow else list(model.forward_and_log_det(x, context))  # type: ignore[operator]
    loss = sum((out * torch.linspace(0.5, 1.5, out.numel(), dtype=x.dtype).view(out.shape)).sum() for out in outputs)
    assert isinstance(loss, Tensor)
    seen, left = set(), [loss.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            left += [following for following, _ in node.next_functions]
    found = torch.autograd.grad(loss, [x, *model.parameters()], allow_unused=True)
    return [*outputs, *(g for g in found if g is not None)], {type(node).__name__ for node in seen}


def assert_close(left: list[Tensor], right: list[Tensor]) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", FLOWS)
def test_equals_autograd(name: str) -> None:
    model = moved(FLOWS[name]())
    x = rows(model.event_shape[0])  # type: ignore[union-attr,index]
    plain, before = gradients(model, x)
    with by_hand():
        found, nodes = gradients(model, x)
    assert "_ByHandBackward" in nodes - before
    assert_close(found, plain)
    assert torch.equal(found[0], plain[0])


ZOO = [row for row in (*TRANSFORMS, *MODELS) if len(row.event_shape) == 1]


@pytest.mark.parametrize("row", ZOO, ids=lambda row: row.id)
def test_changes_nothing_in_the_zoo(row: Row) -> None:
    found = specimen(row)
    if not isinstance(found.module, bj.Flow | bj.Transform):
        pytest.skip("neither a flow nor a map")
    chain = found.module if isinstance(found.module, bj.Flow) else bj.Chain([found.module])
    model = copy.deepcopy(chain).double()
    x = found.x[:ROWS].double()
    context = None if found.context is None else found.context[:ROWS].double()
    plain, _ = gradients(model, x, context)
    with by_hand():
        again, _ = gradients(model, x, context)
    assert_close(again, plain)


def parts_of(model: bj.Flow) -> tuple[list[Any], list[Tensor]]:
    parts = [found for part in model.transform.transforms if (found := part.by_hand()) is not None]  # type: ignore[union-attr]
    return parts, [weight for weights, _ in parts for weight in weights]


def refilled(parts: list[Any], weights: tuple[Tensor, ...]) -> list[Any]:
    left = iter(weights)
    return [([next(left) for _ in held], run) for held, run in parts]


@pytest.mark.parametrize("squash", [False, True])
def test_first_and_second_derivatives_against_differences(squash: bool) -> None:
    model = moved(bj.realnvp(3, depth=2, hidden=(3,), squash=squash))
    assert isinstance(model, bj.Flow)
    parts, weights = parts_of(model)
    inputs = (rows(3)[:2].requires_grad_(), *(w.detach().clone().requires_grad_() for w in weights))

    def run(x: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        with by_hand():
            return run_by_hand(refilled(parts, weights), x)

    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


def test_weights_laid_in_one_tensor() -> None:
    model = moved(FLOWS["default"]())
    x = rows(2).requires_grad_()
    plain = torch.autograd.grad(model.log_prob(x).sum(), [x, *model.parameters()])  # type: ignore[operator]
    twice = torch.autograd.grad(_slope(model, x), [x, *model.parameters()])
    joined = Joined(model.parameters())
    with by_hand(joined):
        at_x, at_whole = torch.autograd.grad(model.log_prob(x).sum(), [x, joined.whole])  # type: ignore[operator]
        again = torch.autograd.grad(_slope(model, x), [x, joined.whole])
    assert_close([at_x, *_pieces(at_whole, joined)], list(plain))
    assert_close([again[0], *_pieces(again[1], joined)], list(twice))


def _slope(model: nn.Module, x: Tensor) -> Tensor:
    (slope,) = torch.autograd.grad(model.log_prob(x).sum(), x, create_graph=True)  # type: ignore[operator]
    return slope.square().sum()


def _pieces(whole: Tensor, joined: Joined) -> list[Tensor]:
    return [piece.view(shape) for piece, shape in zip(whole.split(joined.sizes), joined.shapes, strict=True)]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("case", ["one run", "two runs", "a part of its own", "a frozen weight", "a hook on a weight"])
def test_a_training_step_changes_the_weights_as_autograd_would(
    accumulate: int, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[Tensor] = []

    def trained() -> list[Tensor]:
        torch.manual_seed(0)
        model = moved(bj.realnvp(2, depth=3, hidden=(8,)))
        assert isinstance(model, bj.Flow)
        if case == "two runs":
            model.transform.transforms.insert(3, bj.Permute((1, 0)))  # type: ignore[union-attr,operator]
        if case == "a part of its own":
            model.transform.transforms[3].net.activation = torch.tanh  # type: ignore[union-attr,index]
        (update,) = maximum_likelihood(model, rate=0.01, clip=0.5, accumulate=accumulate)
        weight = model.transform.transforms[1].net.last.weight  # type: ignore[union-attr,index]
        weight.requires_grad_(case != "a frozen weight")
        if case == "a hook on a weight":
            weight.register_hook(lambda gradient: norms.append(gradient.norm()))
        terms = [apply(update, Batch(rows(2) + step, None, torch.arange(ROWS)), step) for step in range(4)]
        return [*(value.detach() for row in terms for value in row.values()), *(p.detach() for p in model.parameters())]

    found = trained()
    heard = norms.copy()
    norms.clear()
    monkeypatch.setattr("bijectory.transforms.base.wanted", lambda x, context: False)
    assert_close(found, trained())
    assert_close(heard, norms)
    assert len(norms) == (4 * accumulate if case == "a hook on a weight" else 0)


def test_a_hook_sees_its_module_called() -> None:
    model = bj.realnvp(2, depth=2, hidden=(4,))
    layer = model.transform.transforms[1].net.hidden_layers[0]  # type: ignore[union-attr,index]
    calls: list[str] = []
    for watched, name in ((layer, "layer"), (model.transform.transforms[3].net, "net")):  # type: ignore[union-attr,index]
        watched.register_forward_hook(lambda *_, name=name: calls.append(name))
    with by_hand():
        model.log_prob(torch.randn(5, 2)).sum().backward()
        assert calls == ["layer", "net"]
        calls.clear()
        everywhere = register_module_forward_hook(lambda *_: calls.append("any"))
        model.log_prob(torch.randn(5, 2))
        everywhere.remove()
    # Two couplings, each a net of two layers, beside the two hooks from before.
    assert calls.count("any") == 6


@pytest.mark.parametrize(
    "settings", [{"activation": "tanh"}, {"weight_norm": True}, {"context_dim": 3}], ids=lambda s: next(iter(s))
)
def test_other_networks_are_left_to_autograd(settings: dict[str, Any]) -> None:
    model = bj.realnvp(2, depth=2, hidden=(4,), actnorm=False, **settings)
    context = torch.randn(5, 3) if "context_dim" in settings else None
    with by_hand():
        assert "_ByHandBackward" not in gradients(model, torch.randn(5, 2), context)[1]


def test_only_plain_vectors_in_their_own_dtype() -> None:
    coupling = bj.realnvp(2, depth=1, hidden=(4,)).transform.transforms[1]  # type: ignore[union-attr,index]
    assert coupling.by_hand() is not None
    set_precision(coupling, torch.bfloat16)
    assert coupling.by_hand() is None
    assert bj.ActNorm((2,)).by_hand() is not None
    # One number for all coordinates counts once for each, pictures have no matrix products to write by hand.
    assert bj.ActNorm((1,)).by_hand() is None
    assert bj.ActNorm((2, 1, 1)).by_hand() is None
    pictures = bj.realnvp_image((1, 8, 8), filters=4, blocks=1).transform
    assert all(part.by_hand() is None for part in pictures.modules() if isinstance(part, bj.Transform))


def test_vectors_made_of_pictures() -> None:
    model = moved(bj.Chain([Flatten((2, 2)), *bj.realnvp(4, depth=1, hidden=(4,)).transform.transforms]))  # type: ignore[union-attr,misc]
    x = rows(4).view(ROWS, 2, 2)
    for batch, node in ((x, True), (x[0], False), (x.unsqueeze(0), False)):
        plain, _ = gradients(model, batch)
        with by_hand():
            found, nodes = gradients(model, batch)
        assert_close(found, plain)
        assert ("_ByHandBackward" in nodes) == node


def test_a_checkpoint_can_run_the_chain_again() -> None:
    model, x = moved(bj.realnvp(2, depth=2, hidden=(4,))), rows(2).requires_grad_()
    with by_hand():
        again = checkpoint(model.log_prob, x, use_reentrant=False)
    assert_close([*torch.autograd.grad(again.sum(), x)], [*torch.autograd.grad(model.log_prob(x).sum(), x)])  # type: ignore[operator]


# jvp's own imports raise torch's deprecation warning
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_torch_func_autocast_and_other_shapes_are_left_to_autograd() -> None:
    model = moved(FLOWS["default"]())
    assert isinstance(model, bj.Flow)
    x = rows(2)

    def one(row: Tensor) -> Tensor:
        return model.log_prob(row).sum()

    jacobian = torch.autograd.functional.jacobian(one, x)
    with by_hand():
        assert_close([torch.func.grad(one)(x)], [jacobian])
        assert_close([torch.vmap(torch.func.grad(one))(x.unsqueeze(1)).squeeze(1)], [jacobian])
        assert_close([torch.func.jvp(one, (x,), (torch.ones_like(x),))[1]], [jacobian.sum()])
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
            assert_close([torch.autograd.forward_ad.unpack_dual(one(dual)).tangent], [jacobian.sum()])
        assert "_ByHandBackward" not in gradients(model, x.view(ROWS, 1, 2))[1]
        with torch.autocast("cpu"):
            assert "_ByHandBackward" not in gradients(model.float(), x.float())[1]
        assert "_ByHandBackward" in gradients(model, x.float())[1]


def test_weights_changed_before_the_way_back_are_noticed() -> None:
    model = bj.realnvp(2, depth=2, hidden=(4,))
    with by_hand():
        loss = model.log_prob(torch.randn(5, 2)).sum()
    with torch.no_grad():
        next(model.transform.transforms[1].parameters()).add_(1)  # type: ignore[union-attr,index]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
