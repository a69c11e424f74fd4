"""Laws of autoregressive networks: masks let nothing through from behind, all from before, and the cache changes nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..transforms.autoregressive import Autoregressive, CausalNet, NaiveCausal
from ..transforms.embedded import Embedded
from .checks import Check, at_most, exceeds, frozen_copy, listed
from .jacobians import row_jacobian

_POSITIONS = 256  # outputs whose dependences are looked at, evenly spaced
_STEPS = 64  # positions stepped through: the plain way costs a whole call each
_PLANE = (2, 2)  # height and width of the planes given to networks that read pictures, which take any


def causal_nets(module: nn.Module) -> list[tuple[str, CausalNet]]:
    """The networks of all Autoregressive parts of a module, by name."""
    return [(name or "net", part.net) for name, part in module.named_modules() if isinstance(part, Autoregressive)]


def _with_contexts(module: nn.Module, context: Tensor | None) -> list[tuple[str, CausalNet, Tensor | None]]:
    """The networks, each with the contexts that reach it: through the embeddings of all Embedded parts around it."""
    found = []
    for name, net in causal_nets(module):
        seen = None if context is None else context.detach().to("cpu", torch.float64)
        for outer, part in module.named_modules():
            if isinstance(part, Embedded) and seen is not None and (not outer or f"{name}.".startswith(f"{outer}.")):
                with torch.no_grad():
                    seen = part.embed(seen)
        found.append((name, net, seen))
    return found


def _inputs(net: CausalNet, context: Tensor | None, rows: int) -> tuple[Tensor, Tensor | None]:
    event = (len(net.order), *(_PLANE if net.event_dim == 3 else ()))
    x = torch.randn(rows, *event, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, None if context is None else context.detach()[torch.arange(rows) % len(context)].to("cpu", torch.float64)


def _dependence(net: CausalNet, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """|∂ params of i / ∂ x_j|, its largest of some rows, (outputs, length); whether j comes before i; the outputs' positions.

    Of planes, an output is one place's parameters, and x_j all places of a plane.
    """
    length = len(net.order)
    x, given = _inputs(net, context, 32 if length <= 16 else 8)
    with torch.no_grad():
        count = net(x[:1], None if given is None else given[:1]).shape[-1]
    # All parameters of a position in one random sum: zero only where each of them is.
    weights = torch.randn(count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = (
        row_jacobian(lambda v, i: net(v, None if given is None else given[i]) @ weights, x, limit=_POSITIONS)
        .abs()
        .amax(0)
    )
    places = x[0].numel() // length
    found = found.unflatten(1, (length, places)).amax(2)
    positions = torch.linspace(0, length * places - 1, len(found)).long() // places
    rank = torch.argsort(torch.tensor(net.order))
    return found, rank[None, :] < rank[positions, None], positions


def causality(module: nn.Module, context: Tensor | None = None) -> Check:
    """A network's i-th parameters depend on no x_j but those before i in its order: its Jacobian is strictly triangular, exactly."""
    faults = []
    nets = _with_contexts(frozen_copy(module), context)
    for name, net, given in nets:
        found, before, positions = _dependence(net, given)
        leaks = (~before & ~(found == 0)).nonzero().tolist()
        faults += [f"{name}: parameters {int(positions[i])} depend on x_{j}" for i, j in leaks]
    return at_most("causality", len(faults), 0, listed(faults, f"forbidden dependences in {len(nets)} nets"))


def causal_reach(module: nn.Module, context: Tensor | None = None) -> Check:
    """A network's i-th parameters depend on every x_j before i: no mask is closed that should be open."""
    faults = []
    nets = _with_contexts(frozen_copy(module), context)
    for name, net, given in nets:
        found, before, positions = _dependence(net, given)
        missing = (before & ~(found > 0)).nonzero().tolist()
        faults += [f"{name}: parameters {int(positions[i])} do not depend on x_{j}" for i, j in missing]
    return at_most("causal reach", len(faults), 0, listed(faults, f"missing dependences in {len(nets)} nets"))


def cached_steps(module: nn.Module, context: Tensor | None = None, *, bound: float = 1e-10) -> Check:
    """Stepping with a network's cache gives what a whole call for every position gives."""
    worst, where = 0.0, "every step"
    nets = _with_contexts(frozen_copy(module), context)
    for name, net, seen in nets:
        x, given = _inputs(net, seen, 4)
        plain = NaiveCausal(net)
        with torch.no_grad():
            values = x.unbind(-net.event_dim)
            cache, whole = net.start(values[0].shape, given), plain.start(values[0].shape, given)
            previous = None
            for step, position in enumerate(net.order[:_STEPS]):
                quick, cache = net.step(cache, previous)
                slow, whole = plain.step(whole, previous)
                previous = values[position]
                error = (
                    float(((quick - slow).abs() / slow.abs().clamp_min(1)).max())
                    if quick.shape == slow.shape
                    else math.nan
                )
                if exceeds(error, worst):
                    worst, where = error, f"step {step} of {name}"
    return at_most(
        "cached steps", worst, bound, f"largest change of a parameter relative to max(1, |parameter|): {where}, float64"
    )
