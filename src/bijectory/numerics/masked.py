"""MADE's network as one operator of a compiled graph: of its masked matrices, what is masked is not multiplied."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from . import products

#: Vectors that go through the network together: four registers wide.
PANEL = 64
#: Fewer vectors than these go through the layers one by one: a panel takes as long half empty as full.
LEAST = 32


def plan_of(masks: Sequence[Tensor], read: Tensor, written: Tensor) -> Tensor | None:
    """What ``masked.cpp`` has to know of a network: how many layers, their widths, which input and output is the first, second, …, and how
    many leading units of the layer below each unit sees.

    None where some unit sees others than the first ones of the layer below.
    """
    sorted_masks = list(masks)
    sorted_masks[0] = sorted_masks[0][:, read]
    sorted_masks[-1] = sorted_masks[-1][written]
    sees = [mask.sum(1) for mask in sorted_masks]
    for mask, count in zip(sorted_masks, sees, strict=True):
        leading = torch.arange(mask.shape[1]) < count[:, None]
        if not torch.equal(mask.bool(), leading) or bool((count[1:] < count[:-1]).any()):
            return None
    widths = [masks[0].shape[1], *(len(mask) for mask in masks)]
    return torch.cat([torch.tensor([len(masks)]), torch.tensor(widths), read, written, *sees]).int()


def suits(x: Tensor, weights: Sequence[Tensor]) -> bool:
    """Whether the operator may take the network's place: in a graph of this package's own, for vectors enough."""
    return x.shape[1] >= LEAST and products.own_kernels((x, *weights))


def masked_network(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], plan: Tensor) -> Tensor:
    """(inputs, n) -> (outputs, n): h ← relu(W h + b) through all layers but the last, then W h + b."""
    wanted = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *weights, *biases))
    if wanted or torch._C._are_functorch_transforms_active():
        return cast(Tensor, _differentiable(x, plan, *weights, *biases))
    return torch.ops.bijectory.masked(x, weights, biases, plan, False).view(-1, x.shape[1])


def _kept(weights: Sequence[Tensor], rows: int) -> int:
    """Numbers that the way back needs: the inputs of all layers, in panels."""
    return -(-rows // PANEL) * PANEL * sum(weight.shape[1] for weight in weights)


class _Masked(torch.autograd.Function):
    """The network and its gradient."""

    @staticmethod
    def forward(x: Tensor, plan: Tensor, *both: Tensor) -> tuple[Tensor, Tensor]:
        weights, biases = both[: len(both) // 2], both[len(both) // 2 :]
        whole = torch.ops.bijectory.masked(x, weights, biases, plan, True)
        return whole[_kept(weights, x.shape[1]) :].view(-1, x.shape[1]), whole

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        _, plan, *both = inputs
        ctx.save_for_backward(output[1], plan, *both[: len(both) // 2])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, g: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        whole, plan, *weights = ctx.saved_tensors
        sizes = [weights[0].shape[1] * g.shape[1], *itertools.chain(*((w.numel(), len(w)) for w in weights))]
        at_x, *found = torch.ops.bijectory.masked_back(g, weights, plan, whole).split(sizes)
        at_weights = [part.view(weight.shape) for part, weight in zip(found[::2], weights, strict=True)]
        return at_x.view(-1, g.shape[1]), None, *at_weights, *found[1::2]

    @staticmethod
    def vmap(info: Any, axes: tuple[int | None, ...], x: Tensor, plan: Tensor, *both: Tensor) -> tuple[Any, Any]:
        """Vectors of all batches side by side; of batched weights, one network after the other."""
        size, (at, _, *others) = info.batch_size, axes
        if at is not None and all(other is None for other in others):
            spread = x.movedim(at, 1)
            out, whole = _Masked.apply(spread.flatten(1), plan, *both)
            return (out.unflatten(1, spread.shape[1:]), whole), (1, None)
        parts = [
            [t if axis is None else t.select(axis, i) for t, axis in zip((x, plan, *both), axes, strict=True)]
            for i in range(size)
        ]
        outs, wholes = zip(*(_Masked.apply(*part) for part in parts), strict=True)
        return (torch.stack(outs), torch.stack(wholes)), (0, 0)


# Seen by torch's compiler as one thing: what it makes of an ``autograd.Function`` it looks into loses gradients inside torch.func.grad.
@torch.compiler.allow_in_graph  # type: ignore[untyped-decorator]
def _differentiable(x: Tensor, plan: Tensor, *both: Tensor) -> Tensor:
    return cast(Tensor, _Masked.apply(x, plan, *both)[0])


# Operators without a body: ``graphs`` has a compiled graph call ``masked.cpp``.
_library = torch.library.Library("bijectory", "FRAGMENT")
_library.define("masked(Tensor x, Tensor[] weights, Tensor[] biases, Tensor plan, bool keep) -> Tensor")
_library.define("masked_back(Tensor g, Tensor[] weights, Tensor plan, Tensor kept) -> Tensor")


def _masked_like(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], plan: Tensor, keep: bool) -> Tensor:
    rows = x.shape[1]
    return x.new_empty((_kept(weights, rows) if keep else 0) + len(weights[-1]) * rows)


def _back_like(g: Tensor, weights: Sequence[Tensor], plan: Tensor, kept: Tensor) -> Tensor:
    return g.new_empty(weights[0].shape[1] * g.shape[1] + sum(weight.numel() + len(weight) for weight in weights))


_library.impl("masked", _masked_like, "Meta")
_library.impl("masked_back", _back_like, "Meta")
