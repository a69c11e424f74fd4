"""This package's operators inside compiled graphs, which call them from their own C++."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch._inductor import ir, mkldnn_ir
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch._inductor.lowering import permute, register_lowering
from torch._inductor.virtualized import V

from . import networks, products

_SHARED = Path(__file__).with_name("avx512.h")
_NETWORKS = {"masked": networks.masked, "convnet": networks.convnet}
_SOURCES = {name: Path(__file__).with_name(f"{name}.cpp") for name in _NETWORKS}
_DECLARED = """
extern "C" void {}_forward(const int*, long, const float*, const float* const*, const float* const*, float*, float*);
extern "C" void {}_backward(const int*, long, const float*, const float* const*, const float*, float*, float*);
"""


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
            *(part.__file__ for part in (products, networks)),
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
            wrapper.define_kernel(self.of, text, gpu=False, cpp_definition=_DECLARED.format(self.of, self.of))
        wrapper.writeline(self.written(f"(float*)({self.get_name()}.data_ptr())", *self.inputs))


def _at(x: Any, kind: str = "float") -> str:
    """Where a buffer's numbers begin, in C++."""
    return f"(const {kind}*)({x.get_name()}.data_ptr()) + {x.get_layout().offset}"


def _all(parts: Sequence[Any]) -> str:
    """The same of several, as a list."""
    return "{" + ", ".join(map(_at, parts)) + "}"


def _plan(plan: Any, node: Any) -> str:
    """What the C++ has to know: the plan that was given, else the sizes of pictures and layers."""
    if plan:
        return f"const int* plan = {_at(plan[0], 'int')};"
    x, weights = node.args[0].meta["val"], [weight.meta["val"] for weight in node.args[1]]
    widths = [weights[0].shape[-1], *map(len, weights)]
    return f"const int plan[] = {{{', '.join(map(str, (len(weights), *x.shape[1:3], *widths)))}}};"


def _lower(name: str, net: networks.Network) -> None:
    # Seen by torch's compiler as one thing: what it makes of an ``autograd.Function`` it looks into loses gradients inside torch.func.grad.
    torch.compiler.allow_in_graph(net.differentiable)

    @register_lowering(net.there.default, type_promotion_kind=None)
    def there(x: Any, weights: Sequence[Any], biases: Sequence[Any], plan: Any, keep: bool) -> Any:
        node: Any = V.graph.current_node
        layers = len(weights)
        x_value, *weight_values = (part.meta["val"] for part in (node.args[0], *node.args[1]))

        def written(to: str, x: Any, *rest: Any) -> str:
            kept = f"{to}, {to} + {net.kept(x_value, weight_values)}" if keep else f"nullptr, {to}"
            lists = f"const float *weights[] = {_all(rest[:layers])}, *biases[] = {_all(rest[layers : 2 * layers])};"
            call = f"{name}_forward(plan, {x_value.shape[net.batch]}, {_at(x)}, weights, biases, {kept});"
            return f"{{ {_plan(rest[2 * layers :], node)} {lists} {call} }}"

        given = [x, *weights, *biases, *([] if plan is None else [plan])]
        return ir.TensorBox.create(_Call(name, node.meta["val"], given, written))

    @register_lowering(net.back.default, type_promotion_kind=None)
    def back(g: Any, weights: Sequence[Any], plan: Any, kept: Any) -> Any:
        node: Any = V.graph.current_node
        g_value, first = node.args[0].meta["val"], node.args[1][0].meta["val"]
        at_x = math.prod(net.sized(g_value, first.shape[-1]))

        def written(to: str, g: Any, kept: Any, *rest: Any) -> str:
            lists = f"const float* weights[] = {_all(rest[: len(weights)])};"
            call = f"{name}_backward(plan, {g_value.shape[net.batch]}, {_at(g)}, weights, {_at(kept)}, {to}, {to} + {at_x});"
            return f"{{ {_plan(rest[len(weights) :], node)} {lists} {call} }}"

        given = [g, kept, *weights, *([] if plan is None else [plan])]
        return ir.TensorBox.create(_Call(name, node.meta["val"], given, written))


for _name, _network in _NETWORKS.items():
    _lower(_name, _network)
