"""Products by oneDNN: those of torch in value and gradient, however the matrices lie, and left to torch where they must be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import bijectory as bj
from bijectory.data.batches import Batch
from bijectory.numerics import graphs, products
from bijectory.numerics.products import product, quick
from bijectory.training.compiled import CompiledStep
from bijectory.training.objectives.likelihood import maximum_likelihood

AVX512 = pytest.mark.skipif(not products.AVX512, reason="no AVX-512 here: all products are torch's own")


def matrix(rows: int, columns: int, lies: str, seed: int) -> Tensor:
    """Of random numbers: in rows, in columns, or as a piece of a larger one in rows or in columns."""
    generator = torch.Generator().manual_seed(seed)
    if lies == "rows":
        return torch.randn(rows, columns, generator=generator)
    if lies == "columns":
        return torch.randn(columns, rows, generator=generator).t()
    if lies == "piece of rows":
        return torch.randn(rows + 3, columns + 5, generator=generator)[1 : rows + 1, 2 : columns + 2]
    return torch.randn(columns + 5, rows + 3, generator=generator)[2 : columns + 2, 1 : rows + 1].t()


LIES = ["rows", "columns", "piece of rows", "piece of columns"]


@pytest.fixture
def all_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small products go to oneDNN too."""
    monkeypatch.setattr(products, "WORTH", 0)
    monkeypatch.setattr(products, "WORTH_IN_GRAPH", 0)


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[int]]]:
    """The sizes of every product that a graph calls from its own code."""
    mkldnn_ir = graphs.mkldnn_ir
    found: list[list[int]] = []

    class Counted(mkldnn_ir.LinearUnary):  # type: ignore[misc, name-defined]
        def __init__(self, layout: Any, inputs: Any, constant_args: Any = ()) -> None:
            super().__init__(layout, inputs, constant_args)
            found.append([*inputs[0].get_size(), inputs[1].get_size()[0]])

    monkeypatch.setattr(mkldnn_ir, "LinearUnary", Counted)
    # A graph from the cache is not lowered again.
    with (
        torch._inductor.config.patch(fx_graph_cache=False),
        torch._functorch.config.patch(enable_autograd_cache=False),
    ):
        yield found


@AVX512
@pytest.mark.parametrize("second", LIES)
@pytest.mark.parametrize("first", LIES)
def test_values_and_gradients_are_torchs(first: str, second: str, all_worth: None) -> None:
    a, b = matrix(33, 47, first, 0).requires_grad_(), matrix(47, 29, second, 1).requires_grad_()
    g = matrix(33, 29, first, 2)
    assert quick(a, b, b.shape[1])
    ours = product(a, b)
    torch.testing.assert_close(ours, a @ b, rtol=1e-5, atol=1e-5)
    expected = torch.autograd.grad(a @ b, (a, b), g)
    for found, wanted in zip(torch.autograd.grad(ours, (a, b), g), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@AVX512
def test_gradients_have_gradients(all_worth: None) -> None:
    a, b = matrix(5, 7, "rows", 0).requires_grad_(), matrix(7, 3, "columns", 1).requires_grad_()

    def twice(times: object) -> tuple[Tensor, ...]:
        (once,) = torch.autograd.grad(times(a, b).square().sum(), a, create_graph=True)  # type: ignore[operator]
        return torch.autograd.grad(once.square().sum(), (a, b))

    for found, wanted in zip(twice(product), twice(torch.mm), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)


@AVX512
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_what_stays_torchs_own() -> None:
    a, b = torch.randn(300, 200), torch.randn(200, 400)
    assert quick(a, b, b.shape[1]) and quick(a.reshape(3, 100, 200), b, 400)
    assert not quick(a[:3], b, 400)
    assert not quick(a.double(), b.double(), 400) and not quick(a.bfloat16(), b.bfloat16(), 400)
    with torch.autocast("cpu", torch.bfloat16):
        assert not quick(a, b, b.shape[1]) and product(a, b).dtype is torch.bfloat16
    seen: list[bool] = []

    def watched(a: Tensor) -> Tensor:
        seen.append(quick(a, b, b.shape[1]))
        return product(a, b)

    expected = torch.stack([a, a]) @ b
    torch.testing.assert_close(torch.func.vmap(watched)(torch.stack([a, a])), expected, rtol=1e-4, atol=1e-3)
    torch.func.jvp(watched, (a,), (a,))
    assert seen == [False, False]


@AVX512
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_inside_compiled_graphs() -> None:
    """Where no gradient is recorded; torch.func loses the gradient of a function of one's own there, without a word."""
    a, b = torch.randn(300, 200), torch.randn(200, 400)
    both = torch.stack([a, -a])
    with torch.no_grad():
        found = torch.compile(product, fullgraph=True)(a, b)
        batched = torch.compile(torch.func.vmap(lambda a: product(a, b)), fullgraph=True)(both)
    torch.testing.assert_close(found, a @ b, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(batched, both @ b, rtol=1e-4, atol=1e-3)

    def summed(a: Tensor) -> Tensor:
        return product(a, b).square().mean()

    gradient = torch.func.grad(lambda a: (a @ b).square().mean())(a)
    assert gradient.norm() > 1
    found = torch.compile(torch.func.grad(summed), fullgraph=True)(a)
    torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        found = torch.compile(torch.func.grad(summed), fullgraph=True)(a)
    torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-5)


@AVX512
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_what_is_exported_needs_no_operator_of_ours() -> None:
    class Times(torch.nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return product(a, b)

    a, b = torch.randn(300, 200), torch.randn(200, 400)
    assert quick(a, b, b.shape[1])
    assert "bijectory" not in str(torch.export.export(Times(), (a, b)).graph)


@AVX512
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_compiled_step_is_the_same_by_either(
    all_worth: None, lowered: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And takes its products from oneDNN, those of its gradients too."""
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))

    def weights(onednn: bool) -> Tensor:
        monkeypatch.setattr(products, "AVX512", onednn)
        torch.compiler.reset()
        torch.manual_seed(0)
        flow = bj.realnvp(4, depth=1, hidden=(16, 16))
        with torch.no_grad():
            for weight in flow.parameters():
                weight.add_(0.1 * torch.randn(weight.shape))
        (update,) = maximum_likelihood(flow, rate=1e-2, average=None)
        step = CompiledStep(update)
        for i in range(2):
            step(Batch(x, None, torch.arange(64)), i)
        return torch.cat([weight.detach().flatten() for weight in flow.parameters()])

    torchs = weights(False)
    assert lowered == []
    ours = weights(True)
    torch.testing.assert_close(ours, torchs, rtol=1e-4, atol=1e-5)
    # Three layers: each layer's product, its weights' gradient, and its input's but for the first layer.
    assert len(lowered) == 3 + 3 + 2, lowered


@AVX512
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_called_from_a_graphs_own_code_however_the_matrices_lie(lowered: list[list[int]]) -> None:
    """As inputs and as what the graph itself makes."""
    pairs = [(matrix(33, 47, first, 0), matrix(47, 29, second, 1)) for first in LIES for second in LIES]

    def all_of(pairs: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        mm = torch.ops.bijectory.mm
        return [mm(mm(a, b + 1) * 2, b.t().exp()) for a, b in pairs]

    torch.compiler.reset()
    for found, (a, b) in zip(torch.compile(all_of, options={"cpp_wrapper": True})(pairs), pairs, strict=True):
        expected = (a @ (b + 1) * 2) @ b.t().exp()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    assert len(lowered) == 2 * len(pairs), lowered


@AVX512
@pytest.mark.parametrize("make", [bj.maf, bj.nsf])
def test_a_flow_is_the_same_by_either(make: object, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    flow = make(6, depth=2, hidden=(128, 128))  # type: ignore[operator]
    with torch.no_grad():
        for weight in flow.parameters():
            weight.add_(0.05 * torch.randn(weight.shape))
    x = torch.randn(600, 6)

    def found() -> list[Tensor]:
        flow.zero_grad()
        nats = flow.log_prob(x)
        nats.mean().backward()
        return [nats.detach(), *(weight.grad.clone() for weight in flow.parameters() if weight.grad is not None)]

    by_onednn = found()
    monkeypatch.setattr(products, "AVX512", False)
    for ours, torchs in zip(by_onednn, found(), strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-3, atol=2e-5)
