"""Networks as one operator of a compiled graph: their values and gradients, and where they go through their layers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

import bijectory as bj
from bijectory.nets.convnet import ConvNet
from bijectory.nets.made import MADE
from bijectory.numerics import graphs, products
from bijectory.numerics.networks import plan_of

pytestmark = [
    pytest.mark.skipif(not products.AVX512, reason="no AVX-512 here: layers are called one by one"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*torch._prims_common.check:FutureWarning"),
]

Net = TypeVar("Net", bound=nn.Module)

#: Each with the count of its rows: panels that are full, that are not, and several.
NETS: dict[str, tuple[dict[str, Any], int]] = {
    "plain": ({"features": 21, "num_params": 2, "hidden": (128, 128)}, 192),
    "one layer": ({"features": 3, "num_params": 1, "hidden": (7,)}, 64),
    "three layers": ({"features": 5, "num_params": 3, "hidden": (9, 33, 17)}, 70),
    "reversed": ({"features": 8, "num_params": 23, "hidden": (40, 40), "order": tuple(range(7, -1, -1))}, 129),
    "shuffled": ({"features": 6, "num_params": 2, "hidden": (16, 16), "order": (4, 0, 5, 1, 3, 2)}, 33),
    "normalised": ({"features": 4, "num_params": 2, "hidden": (12, 12), "weight_norm": True}, 50),
    "squashed": ({"features": 4, "num_params": 2, "hidden": (12, 12), "squash": True}, 50),
    "angles": ({"features": 4, "num_params": 2, "hidden": (12, 12), "periodic": True, "order": (2, 0, 3, 1)}, 50),
    "context": ({"features": 4, "num_params": 2, "hidden": (12, 12), "context_dim": 3, "order": (3, 2, 1, 0)}, 50),
    "one number in a context": ({"features": 1, "num_params": 2, "hidden": (6, 6), "context_dim": 2}, 40),
}


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """No graph from the cache: it would not be lowered again."""
    torch.compiler.reset()
    with (
        torch._inductor.config.patch(fx_graph_cache=False),
        torch._functorch.config.patch(enable_autograd_cache=False),
    ):
        yield


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers that each call of the operator in a graph gives."""
    found: list[int] = []

    class Counted(graphs._Call):  # type: ignore[misc]
        def __init__(self, kernel: str, like: Tensor, *others: Any) -> None:
            super().__init__(kernel, like, *others)
            found.append(like.numel())

    monkeypatch.setattr(graphs, "_Call", Counted)
    return found


def own(function: Any) -> Any:
    """A graph of this package's own."""
    graph = torch.compile(function, fullgraph=True, dynamic=False, options=graphs.graph_options())

    def call(*given: Any) -> Any:
        with products.own_graph():
            return graph(*given)

    return call


def at_once(function: Any, *given: Any, own: bool = True) -> bool:
    """Whether a graph for it calls our operators. It is traced and not compiled, which would take seconds."""
    found: list[str] = []

    def stop(graph: torch.fx.GraphModule, _: Any) -> Any:
        found.append(str(graph.graph))
        raise RuntimeError("seen")

    with products.own_graph(own), pytest.raises(torch._dynamo.exc.BackendCompilerFailed):
        torch.compile(function, backend=stop, fullgraph=True, dynamic=False)(*given)
    return "bijectory" in found[0] or "differentiable" in found[0]


@torch.no_grad()
def moved(net: Net, by: float = 0.2) -> Net:
    """Every weight another, since networks at zero hide faults."""
    for weight in net.parameters():
        weight.add_(by * torch.randn(weight.shape))
    return net


def both() -> Iterator[int]:
    """With one thread, then with two."""
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            yield threads
    finally:
        torch.set_num_threads(before)


def agree_in_graph(function: Any, given: tuple[Any, ...]) -> None:
    expected, graph = function(*given), own(function)
    for threads in both():
        torch.testing.assert_close(
            graph(*given), expected, rtol=1e-4, atol=2e-5, msg=lambda told, n=threads: f"{n} threads: {told}"
        )


class Each(nn.Module):
    """What all nets give, each multiplied with numbers of its own and summed."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.nets = nn.ModuleList(moved(MADE(**settings)) for settings, _ in NETS.values())
        self.x = [torch.randn(rows, settings["features"]) for settings, rows in NETS.values()]
        # Of no numbers, where a net reads none.
        self.context = [torch.randn(rows, settings.get("context_dim", 0)) for settings, rows in NETS.values()]
        self.factors = [torch.randn(*x.shape, net.num_params) for net, x in zip(self.nets, self.x, strict=True)]

    def forward(self, x: list[Tensor], context: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        outs = [net(at, given if given.numel() else None) for net, at, given in zip(self.nets, x, context, strict=True)]
        return sum((out * factor).sum() for out, factor in zip(outs, self.factors, strict=True)), outs


def test_values_and_gradients_are_the_layers_own(calls: list[int]) -> None:
    """Gradients of every weight, of x and of the context, with one thread and with two."""
    each = Each()

    def of(weights: dict[str, Tensor], x: list[Tensor], context: list[Tensor]) -> Any:
        return torch.func.functional_call(each, weights, (x, context))

    given = ({name: weight.detach() for name, weight in each.named_parameters()}, each.x, each.context)
    agree_in_graph(torch.func.grad(of, argnums=(0, 1, 2), has_aux=True), given)
    # Each there and back, in a graph for each count of threads.
    assert len(calls) == 2 * 2 * len(NETS)


def test_masked_weights_have_no_gradient() -> None:
    net = moved(MADE(features=5, num_params=2, hidden=(16, 16)))
    x = torch.randn(64, 5)
    weights = {name: weight.detach() for name, weight in net.named_parameters()}
    found = own(torch.func.grad(lambda weights: torch.func.functional_call(net, weights, (x,)).square().sum()))(weights)
    for i, layer in enumerate(net._linears()):
        assert layer.mask is not None
        gradient = found[f"layers.{i}.weight"]
        assert bool((gradient[layer.mask == 0] == 0).all()) and bool((gradient != 0).any())


def test_what_is_not_a_number_stays_so_and_in_its_row(calls: list[int]) -> None:
    net = moved(MADE(features=5, num_params=2, hidden=(16, 16)))
    x = torch.randn(40, 5)
    x[7, 0], x[9, 1] = float("nan"), float("inf")
    with torch.no_grad():
        found, expected = own(net.forward)(x), net(x)
    assert len(calls) == 1
    assert bool(found[7, -1].isnan().all()) and not bool(found[9, -1].isfinite().all())
    rest = [i for i in range(40) if i not in (7, 9)]
    torch.testing.assert_close(found[rest], expected[rest], rtol=1e-5, atol=1e-5)


def test_batched_vectors_and_batched_weights(calls: list[int]) -> None:
    net = moved(MADE(features=4, num_params=2, hidden=(16, 16)))
    x = torch.randn(3, 40, 4)

    def of(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(net, weights, (x,))

    weights = {name: weight.detach() for name, weight in net.named_parameters()}
    several = {name: torch.stack([weight, -weight, 2 * weight]) for name, weight in weights.items()}
    for axes, given in (((None, 0), (weights, x)), ((0, None), (several, x[0])), ((0, 0), (several, x))):
        mapped = torch.func.vmap(of, in_dims=axes)
        torch.testing.assert_close(own(mapped)(*given), mapped(*given), rtol=1e-4, atol=1e-4)
    # All vectors at once; a network for each of three weights.
    assert len(calls) == 1 + 3 + 3


def test_a_frozen_models_graph_calls_it(calls: list[int]) -> None:
    """Its log-density, where gradients are recorded and where they are not, and with respect to x."""
    torch.manual_seed(0)
    ready = bj.frozen(moved(bj.maf(5, depth=2, hidden=(32, 32)), 0.1))
    log_prob, x = bj.compiled(ready.log_prob), torch.randn(100, 5)
    with torch.no_grad():
        torch.testing.assert_close(log_prob(x), ready.log_prob(x), rtol=1e-4, atol=1e-4)
    # Nothing is kept for a way back: what comes out is two parameters a number.
    assert calls == [1_000, 1_000]
    torch.testing.assert_close(log_prob(x), ready.log_prob(x), rtol=1e-4, atol=1e-4)
    ways = []
    for method in (log_prob, ready.log_prob):
        at = x.clone().requires_grad_()
        ways.append(torch.autograd.grad(method(at).sum(), at)[0])
    torch.testing.assert_close(*ways, rtol=1e-4, atol=1e-4)


def test_where_the_layers_are_called_one_by_one() -> None:
    """Outside graphs of the package's own, and where vectors are few, wide, or the network is another one."""
    settings: dict[str, Any] = {"features": 4, "num_params": 2, "hidden": (16, 16)}
    net, x = MADE(**settings), torch.randn(40, 4)
    with torch.no_grad():
        assert at_once(net.forward, x)
        assert not at_once(net.forward, x, own=False)
        assert not at_once(net.forward, x[:31])
        with torch.autocast("cpu", torch.bfloat16):
            assert not at_once(net.forward, x)
        assert not at_once(MADE(**settings).double().forward, x.double())
        assert not at_once(MADE(**settings, activation="tanh").forward, x)
        net.layers[1].register_forward_hook(lambda *_: None)
        assert not at_once(net.forward, x)


def test_a_mask_that_is_no_staircase_has_no_plan() -> None:
    stairs = [torch.tensor([[1, 0], [1, 0]]), torch.tensor([[0, 0], [1, 1]])]
    straight = torch.arange(2)
    assert plan_of(stairs, straight, straight) is not None
    assert plan_of([torch.tensor([[0, 1], [1, 1]]), stairs[1]], straight, straight) is None
    assert plan_of([torch.tensor([[1, 1], [1, 0]]), stairs[1]], straight, straight) is None


#: Inputs, hidden widths, outputs, count, height and width of pictures: full panels and not, one tile in a row and several.
CONVOLUTIONS = [
    (6, (64, 64), (6, 2), 32, 16, 16),
    (1, (7,), (1, 1), 16, 1, 1),
    (3, (5, 9, 6), (3, 3), 31, 5, 7),
    (5, (13, 4), (7, 1), 47, 3, 2),
]


class Pictures(nn.Module):
    """As ``Each``, of networks of convolutions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.nets = nn.ModuleList(
            moved(ConvNet(inputs, out, hidden=hidden, weight_norm=i % 2 == 0, gain=1.0))
            for i, (inputs, hidden, out, *_) in enumerate(CONVOLUTIONS)
        )
        self.x = [torch.randn(count, inputs, height, width) for inputs, _, _, count, height, width in CONVOLUTIONS]
        self.factors = [torch.randn(out.shape) for out in self(self.x, [1.0] * len(self.nets))[1]]

    def forward(self, x: list[Tensor], factors: list[Any] | None = None) -> tuple[Any, list[Tensor]]:
        outs = [net(at) for net, at in zip(self.nets, x, strict=True)]
        return sum((out * by).sum() for out, by in zip(outs, factors or self.factors, strict=True)), outs


def test_convolutions_and_their_gradients_are_the_layers_own(calls: list[int]) -> None:
    """Of every weight and of x, with one thread and with two."""
    each = Pictures()

    def of(weights: dict[str, Tensor], x: list[Tensor]) -> Any:
        return torch.func.functional_call(each, weights, (x,))

    given = ({name: weight.detach() for name, weight in each.named_parameters()}, each.x)
    agree_in_graph(torch.func.grad(of, argnums=(0, 1), has_aux=True), given)
    assert len(calls) == 2 * 2 * len(CONVOLUTIONS)


def test_what_is_no_number_stays_in_its_picture(calls: list[int]) -> None:
    """Where no gradient is wanted, so that nothing is kept; with one thread and with two."""
    each = Pictures()
    for x in each.x:
        x[3, 0, 0, 0], x[5] = float("nan"), float("inf")
    graph = own(lambda x: each(x)[1])
    with torch.no_grad():
        expected = each(each.x)[1]
        for threads in both():
            for found, true in zip(graph(each.x), expected, strict=True):
                rest = [i for i in range(len(found)) if i not in (3, 5)]
                torch.testing.assert_close(found[rest], true[rest], rtol=1e-4, atol=1e-5)
                assert bool(found[3, :, 0, 0].isnan().all()) and not bool(found[5].isfinite().any()), threads
    assert calls == 2 * [math.prod((*sizes, *out)) for _, _, out, *sizes in CONVOLUTIONS]


def test_batched_pictures_and_batched_convolutions(calls: list[int]) -> None:
    net = moved(ConvNet(4, (4, 2), hidden=(8, 8), weight_norm=False))
    x = torch.randn(2, 16, 4, 4, 4)

    def of(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(net, weights, (x,))

    weights = {name: weight.detach() for name, weight in net.named_parameters()}
    several = {name: torch.stack([weight, -2 * weight]) for name, weight in weights.items()}
    for axes, given in (((None, 0), (weights, x)), ((0, 0), (several, x))):
        mapped = torch.func.vmap(of, in_dims=axes)
        torch.testing.assert_close(own(mapped)(*given), mapped(*given), rtol=1e-4, atol=1e-4)
    assert len(calls) == 1 + 2


def test_where_convolutions_are_called_one_by_one() -> None:
    """With a context, half empty panels, other dtypes, hooks, and in other graphs."""
    net, x = ConvNet(4, (4, 2), hidden=(8, 8)), torch.randn(32, 4, 4, 4)
    with torch.no_grad():
        assert at_once(net.forward, x)
        assert not at_once(net.forward, x, own=False)
        assert not at_once(net.forward, x[:20])
        assert not at_once(ConvNet(4, (4, 2), hidden=(8, 8)).double().forward, x.double())
        assert not at_once(ConvNet(4, (4, 2), hidden=(8, 8), context_dim=2).forward, x, torch.ones(32, 2))
        assert not at_once(ConvNet(4, (4, 2), hidden=()).forward, x)
        with torch.autocast("cpu", torch.bfloat16):
            assert not at_once(net.forward, x)
        net.last.register_forward_hook(lambda *_: None)
        assert not at_once(net.forward, x)


def test_a_frozen_glow_samples_by_it(calls: list[int]) -> None:
    torch.manual_seed(0)
    flow = bj.glow((3, 8, 8), scales=2, depth=1, hidden=16)
    bj.initialise(flow, torch.rand(32, 3, 8, 8))
    decode, z = bj.frozen(moved(flow, 0.05)).decode, torch.randn(16, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(bj.compiled(decode)(z), decode(z), rtol=1e-4, atol=1e-5)
    assert len(calls) == 2
