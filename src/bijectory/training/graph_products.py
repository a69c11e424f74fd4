"""Products by oneDNN inside a compiled step."""

from __future__ import annotations

import torch
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

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
        told = f"{products.WORTH} {products._HERE}".encode()
        return bytes(get_hash_for_files((__file__, products.__file__), told.decode()))
