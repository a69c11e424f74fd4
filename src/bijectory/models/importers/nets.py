"""Networks of other libraries, from their weights: masked ones as they are or as our MADE, residual ones for couplings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import InputError
from ...nets.made import MADE
from ...nets.mlp import ACTIVATIONS, Linear, with_context
from ...transforms.autoregressive import CausalNet, NaiveCausal

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {**ACTIVATIONS, "elu": F.elu, "leaky_relu": F.leaky_relu}


def known_activation(name: str) -> str:
    """The activation's name in our spelling, from a function's or a class's name; raises InputError for others."""
    plain = {"leakyrelu": "leaky_relu"}.get(name.lower(), name.lower())
    if plain not in _ACTIVATIONS:
        raise InputError(f"activation: expected one of {', '.join(_ACTIVATIONS)}, got {name!r}")
    return plain


@dataclass(frozen=True)
class Layer:
    """A linear layer as a peer holds it: weight (out, in), bias (out), and which weights count (out, in) or None for all."""

    weight: Tensor
    bias: Tensor
    mask: Tensor | None = None

    def open(self) -> Tensor:
        """Which weights count, (out, in)."""
        return torch.ones_like(self.weight, dtype=torch.bool) if self.mask is None else self.mask.bool()

    def module(self) -> Linear:
        """The same as a module of ours."""
        outputs, inputs = self.weight.shape
        linear = Linear(inputs, outputs, mask=self.mask).to(self.weight)
        with torch.no_grad():
            linear.weight.copy_(self.weight)
            linear.bias.copy_(self.bias)
        return linear


class Activation(nn.Module):
    """One of the known activations as a module without weights."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = known_activation(name)

    def forward(self, h: Tensor) -> Tensor:
        return _ACTIVATIONS[self.name](h)

    def extra_repr(self) -> str:
        return self.name


class Skip(nn.Module):
    """h + parts(h), gated by what a linear map makes of the context where there is one: h + parts(h) · σ(gate(c))."""

    def __init__(self, parts: Sequence[nn.Module], gate: Linear | None = None) -> None:
        super().__init__()
        self.parts = nn.Sequential(*parts)
        self.gate = gate

    def forward(self, h: Tensor, context: Tensor | None = None) -> Tensor:
        moved = self.parts(h)
        if self.gate is not None:
            moved = moved * torch.sigmoid(self.gate(context))
        return h + moved


class PeerNet(nn.Module):
    """Layers one behind the other, the first of which reads x and behind it the context: (*batch, in) -> (*batch, *out_shape)."""

    def __init__(self, parts: Sequence[nn.Module], out_shape: Sequence[int], context_dim: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.out_shape, self.context_dim = tuple(out_shape), context_dim

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = with_context(x, context, self.context_dim)
        for part in self.parts:
            h = part(h, context) if isinstance(part, Skip) else part(h)
        return h.unflatten(-1, self.out_shape)


class _Ordered(PeerNet):
    """A masked net with the order that its masks leave."""

    event_dim = 1

    def __init__(
        self, parts: Sequence[nn.Module], out_shape: Sequence[int], context_dim: int, order: Sequence[int]
    ) -> None:
        super().__init__(parts, out_shape, context_dim)
        self.order = tuple(order)


def causal_net(
    steps: Sequence[Layer | Sequence[Layer]], activation: str, *, features: int, residual_first: bool = False
) -> CausalNet:
    """A masked network whose ``steps`` are layers, with activations between them, or residual blocks of two layers, without.

    It becomes our MADE, which samples with the work of about one call, where its units, sorted by how many features they see, have
    exactly MADE's masks; else it keeps its masks, and each position costs a call. ``residual_first`` says that a block's
    activation stands before both its layers, as in nflows, and not between them, as in zuko.

    Raises InputError where the masks allow no order, or where a context leaves some position's parameters alone.
    """
    layers = [layer for step in steps for layer in ([step] if isinstance(step, Layer) else step)]
    first, last = layers[0], layers[-1]
    context_dim, num_params = first.weight.shape[1] - features, last.weight.shape[0] // features
    reach = _reach(steps)
    seen = reach.unflatten(0, (features, num_params)).any(1)
    order = _order(seen[:, :features])
    if context_dim and not bool(seen[:, features:].all()):
        where = (~seen[:, features:].all(1)).nonzero().flatten().tolist()
        raise InputError(
            f"flow: the parameters of feature {where[0]} do not depend on the context at all, a fault of nflows' and normflows' MADE, "
            "whose first hidden degree is 1 (nflows #85): this is no conditional density of all its features, and is not imported; train "
            "it anew, as bijectory.maf(…, context_dim=…), say"
        )
    plain = [step for step in steps if isinstance(step, Layer)]
    if len(plain) == len(steps) and activation in ACTIVATIONS:
        made = _as_made(plain, activation, features, num_params, context_dim, order)
        if made is not None:
            return made
    parts: list[nn.Module] = []
    for step in steps:
        if isinstance(step, Layer):
            # Between two plain layers stands an activation; behind a block or before one stands none.
            if parts and isinstance(parts[-1], Linear):
                parts.append(Activation(activation))
            parts.append(step.module())
        else:
            one, two = (layer.module() for layer in step)
            between = [one, Activation(activation), two]
            parts.append(Skip([Activation(activation), *between] if residual_first else between))
    # NaiveCausal asks its net for a call and an order alone: it steps by itself.
    return NaiveCausal(cast("CausalNet", _Ordered(parts, (features, num_params), context_dim, order)))


def _reach(steps: Sequence[Layer | Sequence[Layer]]) -> Tensor:
    """Which outputs (rows) depend on which inputs (columns), by the paths that masks leave open."""
    reach: Tensor | None = None
    for step in steps:
        inner = reach
        for layer in [step] if isinstance(step, Layer) else step:
            inner = layer.open() if inner is None else (layer.open().double() @ inner.double()) > 0
        reach = inner if isinstance(step, Layer) or reach is None or inner is None else reach | inner
    assert reach is not None
    return reach


def _order(seen: Tensor) -> list[int]:
    """An order in which every feature comes behind those it sees."""
    order: list[int] = []
    while len(order) < len(seen):
        ready = [
            i for i in range(len(seen)) if i not in order and set(seen[i].nonzero().flatten().tolist()) <= set(order)
        ]
        if not ready:
            raise InputError("flow: the masks allow no order of the features; expected an autoregressive network")
        order += ready
    return order


def _as_made(
    layers: Sequence[Layer], activation: str, features: int, num_params: int, context_dim: int, order: Sequence[int]
) -> MADE | None:
    """Our MADE with those weights, its hidden units sorted; None where the masks are not MADE's."""
    hidden = [layer.weight.shape[0] for layer in layers[:-1]]
    try:
        made = MADE(
            features,
            num_params,
            hidden=hidden,
            activation=activation,
            context_dim=context_dim,
            order=order,
            zero=False,
        ).to(layers[0].weight)
    except InputError:  # fewer hidden units than degrees
        return None
    ours = [layer for layer in made.layers if isinstance(layer, Linear)]
    if len(ours) != len(layers):
        return None
    reach, rows, columns = layers[0].open()[:, :features], torch.arange(0), torch.arange(features)
    for index, (layer, target) in enumerate(zip(layers, ours, strict=True)):
        if index:
            reach = (layer.open().double() @ reach.double()) > 0
        final = index == len(layers) - 1
        rows = torch.arange(len(layer.bias)) if final else torch.argsort(reach.sum(1), stable=True)
        mask = layer.open()[rows]
        if not index and not bool(mask[:, features:].all()):
            return None
        assert target.mask is not None
        if not torch.equal(mask[:, columns], target.mask.bool()):
            return None
        with torch.no_grad():
            target.weight.copy_(layer.weight[rows][:, columns])
            target.bias.copy_(layer.bias[rows])
            if not index and made.context_layer is not None:
                made.context_layer.weight.copy_(layer.weight[rows][:, features:])
        columns = rows
    return made
