"""This package's operators inside compiled graphs, which call them from their own C++."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch._inductor import ir, mkldnn_ir
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch._inductor.lowering import permute, register_lowering
from torch._inductor.virtualized import V

from . import convnet, masked, products

_SHARED = Path(__file__).with_name("avx512.h")
_SOURCES = {name: Path(__file__).with_name(f"{name}.cpp") for name in ("masked", "convnet")}
_DECLARED = {
    "masked": """
extern "C" void masked_forward(const int*, long, const float*, const float* const*, const float* const*, float*, float*);
extern "C" void masked_backward(const int*, long, const float*, const float* const*, const float*, float*, float*);
""",
    "convnet": """
extern "C" void convnet_forward(const int*, int, long, int, int, const float*, const float* const*, const float* const*, float*);
""",
}


class QuickProducts(CustomGraphPass):
    """The pass over a graph, gradients in it, that gives oneDNN the products that suit it, see ``products``."""

    def __call__(self, graph: torch.fx.graph.Graph) -> None:
        for node in graph.find_nodes(op="call_function", target=torch.ops.aten.mm.default):
            a, b = (argument.meta["val"] for argument in node.args)
            if products.suits(a, b, b.shape[1]):
                node.target = torch.ops.bijectory.mm.default

    def uuid(self) -> bytes:
        """What tells its graphs from others where torch keeps them: this code, and what suits."""
        told = f"{products.WORTH_IN_GRAPH} {products.AVX512} {torch.__version__}".encode()
        files = (
            __file__,
            *(part.__file__ for part in (products, masked, convnet)),
            *map(str, (_SHARED, *_SOURCES.values())),
        )
        return bytes(get_hash_for_files(files, told.decode()))


def graph_options() -> dict[str, Any]:
    """What ``torch.compile`` is told for a graph on a processor.

    Its kernels are called from C++: from Python the calls alone took a fifth of a small flow's step.
    """
    return {"cpp_wrapper": True, "post_grad_custom_post_pass": QuickProducts()}


@register_lowering(torch.ops.bijectory.mm.default, type_promotion_kind=None)
def _mm(a: Any, b: Any) -> Any:
    """oneDNN's product, where through Python each took 10 µs more.

    ``LinearUnary.create`` would copy every b that lies in rows.
    """
    kind = ir.ExternKernel
    first = kind.require_contiguous(kind.realize_input(a))
    rows = kind.realize_input(permute(b, (1, 0)))
    size, stride = rows.get_size(), rows.get_stride()
    # Neither dense in rows nor in columns it would go to oneDNN's reference code, see ``products``.
    if tuple(stride) not in ((size[1], 1), (1, size[0])):
        rows = kind.require_contiguous(rows)
    layout = ir.FixedLayout(torch.device("cpu"), torch.float32, [first.get_size()[0], size[0]])
    call = mkldnn_ir.LinearUnary(layout=layout, inputs=[first, rows], constant_args=[None, "none", [-1], ""])
    return ir.TensorBox.create(mkldnn_ir._create_output_node(call))


class _Call(ir.ExternKernelOut):
    """A call of a kernel of our own, whose text becomes part of the graph's."""

    def __init__(self, kernel: str, like: torch.Tensor, inputs: Sequence[Any], written: Callable[..., str]) -> None:
        dense = [ir.ExternKernel.require_contiguous(ir.ExternKernel.realize_input(x)) for x in inputs]
        super().__init__(layout=ir.FixedLayout(torch.device("cpu"), torch.float32, list(like.shape)), inputs=dense)
        self.of, self.written = kernel, written

    def codegen(self, wrapper: Any) -> None:
        # A graph's text is made twice where its first pass is thrown away: it, not this class, remembers what it holds.
        held = wrapper.__dict__.setdefault("_bijectory", set())
        if not held:
            wrapper.define_kernel("avx512", _SHARED.read_text(), gpu=False, cpp_definition="")
        if self.of not in held:
            held.add(self.of)
            text = _SOURCES[self.of].read_text().replace(f'#include "{_SHARED.name}"', "")
            wrapper.define_kernel(self.of, text, gpu=False, cpp_definition=_DECLARED[self.of])
        wrapper.writeline(self.written(f"(float*)({self.get_name()}.data_ptr())", *self.inputs))


def _at(x: Any, kind: str = "float") -> str:
    """Where a buffer's numbers begin, in C++."""
    return f"(const {kind}*)({x.get_name()}.data_ptr()) + {x.get_layout().offset}"


def _all(parts: Sequence[Any]) -> str:
    """The same of several, as a list."""
    return "{" + ", ".join(map(_at, parts)) + "}"


@register_lowering(torch.ops.bijectory.masked.default, type_promotion_kind=None)
def _masked(x: Any, weights: Sequence[Any], biases: Sequence[Any], plan: Any, keep: bool) -> Any:
    like, layers = V.graph.current_node.meta["val"], len(weights)
    rows = x.get_size()[1]

    def written(to: str, x: Any, plan: Any, *both: Any) -> str:
        kept = f"{to}, {to} + {len(like) - rows * int(biases[-1].get_size()[0])}" if keep else f"nullptr, {to}"
        lists = f"const float *weights[] = {_all(both[:layers])}, *biases[] = {_all(both[layers:])};"
        return f"{{ {lists} masked_forward({_at(plan, 'int')}, {rows}, {_at(x)}, weights, biases, {kept}); }}"

    return ir.TensorBox.create(_Call("masked", like, [x, plan, *weights, *biases], written))


@register_lowering(torch.ops.bijectory.masked_back.default, type_promotion_kind=None)
def _masked_back(g: Any, weights: Sequence[Any], plan: Any, kept: Any) -> Any:
    like, rows = V.graph.current_node.meta["val"], g.get_size()[1]
    at_x = rows * weights[0].get_size()[1]

    def written(to: str, g: Any, plan: Any, kept: Any, *weights: Any) -> str:
        call = f"masked_backward({_at(plan, 'int')}, {rows}, {_at(g)}, weights, {_at(kept)}, {to}, {to} + {at_x});"
        return f"{{ const float *weights[] = {_all(weights)}; {call} }}"

    return ir.TensorBox.create(_Call("masked", like, [g, plan, kept, *weights], written))


@register_lowering(torch.ops.bijectory.convnet.default, type_promotion_kind=None)
def _convnet(x: Any, weights: Sequence[Any], biases: Sequence[Any]) -> Any:
    count, height, width, inputs = map(int, x.get_size())
    layers, widths = len(weights), [inputs, *(int(weight.get_size()[0]) for weight in weights)]

    def written(to: str, x: Any, *both: Any) -> str:
        lists = f"const float *weights[] = {_all(both[:layers])}, *biases[] = {_all(both[layers:])};"
        call = f"convnet_forward(widths, {layers}, {count}, {height}, {width}, {_at(x)}, weights, biases, {to});"
        return f"{{ const int widths[] = {{{', '.join(map(str, widths))}}}; {lists} {call} }}"

    return ir.TensorBox.create(_Call("convnet", V.graph.current_node.meta["val"], [x, *weights, *biases], written))
