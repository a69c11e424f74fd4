"""Products by oneDNN inside a compiled step."""

from __future__ import annotations

from typing import Any

import torch
from torch._inductor import ir, mkldnn_ir
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch._inductor.lowering import permute, register_lowering

from ..numerics import products


class QuickProducts(CustomGraphPass):
    """The pass over a step's graph, gradients in it, that gives oneDNN the products that suit it, see ``numerics.products``."""

    def __call__(self, graph: torch.fx.graph.Graph) -> None:
        for node in graph.find_nodes(op="call_function", target=torch.ops.aten.mm.default):
            a, b = (argument.meta["val"] for argument in node.args)
            if products.suits(a, b, b.shape[1]):
                node.target = torch.ops.bijectory.mm.default

    def uuid(self) -> bytes:
        """What tells its graphs from others where torch keeps them: this code, and what suits."""
        told = f"{products.WORTH_IN_STEP} {products._HERE}".encode()
        return bytes(get_hash_for_files((__file__, products.__file__), told.decode()))


@register_lowering(torch.ops.bijectory.mm.default, type_promotion_kind=None)
def _lowered(a: Any, b: Any) -> Any:
    """oneDNN's product called from the graph's own C++, where through Python each took 10 µs more.

    ``LinearUnary.create`` would copy every b that lies in rows.
    """
    kind = ir.ExternKernel
    first = kind.require_contiguous(kind.realize_input(a))
    rows = kind.realize_input(permute(b, (1, 0)))
    size, stride = rows.get_size(), rows.get_stride()
    # Neither dense in rows nor in columns it would go to oneDNN's reference code, see ``numerics.products``.
    if tuple(stride) not in ((size[1], 1), (1, size[0])):
        rows = kind.require_contiguous(rows)
    layout = ir.FixedLayout(torch.device("cpu"), torch.float32, [first.get_size()[0], size[0]])
    call = mkldnn_ir.LinearUnary(layout=layout, inputs=[first, rows], constant_args=[None, "none", [-1], ""])
    return ir.TensorBox.create(mkldnn_ir._create_output_node(call))
