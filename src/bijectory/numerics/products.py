"""Products of matrices by oneDNN, where torch's own leave half of the processor unused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

#: Multiplications from which a product goes to oneDNN, which takes 5 µs more to call from Python, and with a gradient 15.
WORTH = 2_000_000
#: The same in a graph of this package's own, which calls it from C++.
WORTH_IN_GRAPH = 500_000
#: torch's own products are MKL's, which on processors that are not Intel's uses vectors half as wide as AVX-512's: 128 × 128 by 128 × 512
#: runs at 99 GFLOP/s there and at 200 here (one core of an AMD EPYC, torch 2.13). Narrower vectors have nothing to gain.
AVX512 = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
_linear = torch.ops.mkldnn._linear_pointwise.default if AVX512 else None
_library = torch.library.Library("bijectory", "DEF")
#: Whether a graph of this package's own, for a processor, runs or is being compiled at the moment.
in_graph = False


@contextmanager
def own_graph(on: bool = True) -> Iterator[None]:
    """Say so, while within, where ``on``."""
    global in_graph
    before, in_graph = in_graph, on
    try:
        yield
    finally:
        in_graph = before


def own_kernels(tensors: Sequence[Tensor]) -> bool:
    """Whether what is being compiled may call this package's own C++, see ``graphs``."""
    return (
        in_graph
        and torch.compiler.is_compiling()
        and AVX512
        and all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
        and not torch.is_autocast_enabled("cpu")
        and forward_ad._current_level < 0
    )


def suits(a: Any, b: Any, columns: int) -> bool:
    """Whether oneDNN is quicker with (*batch, k) times (k, columns): large ones, in float32, on a processor with AVX-512.

    Not in what is exported: others load it without this package, and it may hold for any count of rows.
    """
    # In this order: a small network asks some seventy times a step.
    if not AVX512 or torch.compiler.is_exporting() or a.numel() * columns < (WORTH_IN_GRAPH if in_graph else WORTH):
        return False
    return bool(a.device.type == "cpu" and a.dtype == b.dtype == torch.float32)


def quick(a: Tensor, b: Tensor, columns: int) -> bool:
    """Whether such a ``product`` goes to oneDNN: it suits, and nobody looks on who knows torch's own operators only.

    Those are torch.func, forward-mode gradients and autocast, whose product is a narrower one. Not a graph being compiled either where it
    records a gradient: torch 2.13 loses, without a word, the gradient of an ``autograd.Function`` inside ``torch.func.grad`` there.
    ``CompiledStep`` puts them in where gradients are operations like others.
    """
    return (
        suits(a, b, columns)
        and not (torch.compiler.is_compiling() and torch.is_grad_enabled())
        and not torch._C._are_functorch_transforms_active()
        and not torch.is_autocast_enabled("cpu")
        and forward_ad._current_level < 0
    )


def product(a: Tensor, b: Tensor) -> Tensor:
    """a b of two matrices, (n, k) and (k, m) -> (n, m).

    >>> import torch
    >>> a, b = torch.randn(300, 200), torch.randn(200, 400)
    >>> bool(torch.allclose(product(a, b), a @ b, atol=1e-4))
    True
    """
    if not quick(a, b, b.shape[1]):
        return a @ b
    if torch.is_grad_enabled():
        found: Tensor = _Product.apply(a, b)
        return found
    return torch.ops.bijectory.mm(a, b)


class _Product(torch.autograd.Function):
    """a b and its gradients g bᵀ and aᵀ g, each a product by the same choice."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return torch.ops.bijectory.mm(a, b)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        first, second = ctx.needs_input_grad
        return product(g, b.t()) if first else None, product(a.t(), g) if second else None


def _mm(a: Tensor, b: Tensor) -> Tensor:
    """a b as oneDNN's rows times rows, a and b as they lie."""
    rows = b.t()
    # Neither dense in rows nor in columns, a matrix is multiplied by oneDNN's reference code: 500 times slower.
    if not (rows.is_contiguous() or b.is_contiguous()):
        rows = rows.contiguous()
    assert _linear is not None
    found: Tensor = _linear(a, rows, None, "none", [], "")
    return found


# An operator of our own, because torch's compiler would make oneDNN's copy every matrix that does not lie in rows.
_library.define("mm(Tensor a, Tensor b) -> Tensor")
_library.impl("mm", _mm, "CPU")
_library.impl("mm", lambda a, b: a.new_empty(a.shape[0], b.shape[1]), "Meta")
