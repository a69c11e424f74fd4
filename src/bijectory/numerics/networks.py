"""Whole networks as one operator of a compiled graph: MADE's masked layers, and the convolutions that Glow's couplings read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Size, Tensor

from . import products

#: Pictures go through the network 16 at a time, one in each lane of a register, MADE's vectors 64.
LANES = 16
#: Fewer vectors than these go through MADE's layers one by one: a panel takes as long half empty as full.
LEAST = 32

_library = torch.library.Library("bijectory", "FRAGMENT")


class Network:
    """Layers W h + b, or w ∗ h + b, with ReLU between them, as the operators ``name`` and, for the gradients, ``name``_back.

    What they give is flat: what the way back needs, then the output; the gradients of x and of each layer's weight and bias. They have
    no body: ``graphs`` has a compiled graph call C++ of ours. x has its features in dimension ``features``, batches of it stand side by
    side in dimension ``batch``, each feature takes ``room`` numbers on the way back, and ``worth`` says which x are worth it.
    """

    def __init__(
        self, name: str, *, features: int, batch: int, room: Callable[[Size], int], worth: Callable[[Size], bool]
    ) -> None:
        self.features, self.batch, self.room, self.worth = features, batch, room, worth
        _library.define(f"{name}(Tensor x, Tensor[] weights, Tensor[] biases, Tensor? plan, bool keep) -> Tensor")
        _library.define(f"{name}_back(Tensor g, Tensor[] weights, Tensor? plan, Tensor kept) -> Tensor")
        _library.impl(name, self._like, "Meta")
        _library.impl(f"{name}_back", self._back_like, "Meta")
        self.there, self.back = getattr(torch.ops.bijectory, name), getattr(torch.ops.bijectory, f"{name}_back")
        self.differentiable = _differentiable(self)

    def suits(self, x: Tensor, weights: Sequence[Tensor]) -> bool:
        """Whether the operator may take the network's place: in a graph of this package's own, for vectors or pictures enough."""
        # In this order: to ask for a count's size would bind an exported program to it.
        return products.own_kernels((x, *weights)) and self.worth(x.shape)

    def __call__(
        self, x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], plan: Tensor | None = None
    ) -> Tensor:
        """What comes out; the weights (outputs, …, inputs)."""
        wanted = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *weights, *biases))
        if wanted or torch._C._are_functorch_transforms_active():
            return self.differentiable(x, plan, *weights, *biases)
        return self.there(x, weights, biases, plan, False).view(self.sized(x, len(weights[-1])))

    def sized(self, x: Tensor, features: int) -> list[int]:
        """x's shape with another count of features."""
        shape = list(x.shape)
        shape[self.features] = features
        return shape

    def kept(self, x: Tensor, weights: Sequence[Tensor]) -> int:
        """Numbers that the way back needs: the inputs of all layers."""
        return self.room(x.shape) * sum(weight.shape[-1] for weight in weights)

    def _like(
        self, x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], plan: Tensor | None, keep: bool
    ) -> Tensor:
        return x.new_empty((self.kept(x, weights) if keep else 0) + math.prod(self.sized(x, len(weights[-1]))))

    def _back_like(self, g: Tensor, weights: Sequence[Tensor], plan: Tensor | None, kept: Tensor) -> Tensor:
        of_x = math.prod(self.sized(g, weights[0].shape[-1]))
        return g.new_empty(of_x + sum(weight.numel() + len(weight) for weight in weights))


def _differentiable(net: Network) -> Callable[..., Tensor]:
    """The network with its gradient, (x, plan, *weights, *biases) -> output."""

    class Whole(torch.autograd.Function):
        @staticmethod
        def forward(x: Tensor, plan: Tensor | None, *both: Tensor) -> tuple[Tensor, Tensor]:
            weights, biases = both[: len(both) // 2], both[len(both) // 2 :]
            whole = net.there(x, weights, biases, plan, True)
            return whole[net.kept(x, weights) :].view(net.sized(x, len(weights[-1]))), whole

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
            _, plan, *both = inputs
            ctx.save_for_backward(output[1], plan, *both[: len(both) // 2])
            ctx.mark_non_differentiable(output[1])

        @staticmethod
        def backward(ctx: Any, g: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
            whole, plan, *weights = ctx.saved_tensors
            shape = net.sized(g, weights[0].shape[-1])
            sizes = [math.prod(shape), *itertools.chain(*((w.numel(), len(w)) for w in weights))]
            at_x, *found = net.back(g, weights, plan, whole).split(sizes)
            at_weights = [part.view(weight.shape) for part, weight in zip(found[::2], weights, strict=True)]
            return at_x.view(shape), None, *at_weights, *found[1::2]

        @staticmethod
        def vmap(
            info: Any, axes: tuple[int | None, ...], x: Tensor, plan: Tensor | None, *both: Tensor
        ) -> tuple[Any, Any]:
            """Batches of x side by side; of batched weights, one network after the other."""
            (at, _, *others), side = axes, net.batch
            if at is not None and all(other is None for other in others):
                spread = x.movedim(at, side)
                out, whole = Whole.apply(spread.flatten(side, side + 1), plan, *both)
                return (out.unflatten(side, spread.shape[side : side + 2]), whole), (side, None)
            each = [
                [
                    t if t is None or axis is None else t.select(axis, i)
                    for t, axis in zip((x, plan, *both), axes, strict=True)
                ]
                for i in range(info.batch_size)
            ]
            outs, wholes = zip(*(Whole.apply(*given) for given in each), strict=True)
            return (torch.stack(outs), torch.stack(wholes)), (0, 0)

    def differentiable(x: Tensor, plan: Tensor | None, *both: Tensor) -> Tensor:
        return cast(Tensor, Whole.apply(x, plan, *both)[0])

    return differentiable


def _whole(count: int, panel: int) -> int:
    return -(-count // panel) * panel


#: MADE's network, (features, n) -> (outputs, n), with ``plan_of`` its masks.
masked = Network(
    "masked",
    features=0,
    batch=1,
    room=lambda shape: _whole(shape[1], 4 * LANES),
    worth=lambda shape: shape[1] >= LEAST,
)

#: Convolutions (n, H, W, inputs) -> (n, H, W, outputs), the first and the last 3 × 3, any between them 1 × 1; rows with a zero at each end.
#: Panels that are full, or nearly so: an empty lane takes as long as a full one.
convnet = Network(
    "convnet",
    features=-1,
    batch=0,
    room=lambda shape: _whole(shape[0], LANES) * shape[1] * (shape[2] + 2),
    worth=lambda shape: 8 * (_whole(shape[0], LANES) - shape[0]) <= shape[0] > 0,
)


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
