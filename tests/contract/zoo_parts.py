"""The parts that rows are made of: couplings, autoregressions and what is solved, all with small nets, and how parameters are moved."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

import bijectory as bj

# How parameters are moved


def biases(value: float) -> Callable[[nn.Module], None]:
    """Every bias of a last layer becomes ``value``."""

    def change(module: nn.Module) -> None:
        for part in module.modules():
            if isinstance(part, bj.MLP):
                part.last.bias.fill_(value)
            elif isinstance(part, bj.MADE):
                part.layers[-1].bias.fill_(value)

    return change


def tripled(module: nn.Module) -> None:
    """Every weight three times as large: peers' densities were seen to lose their integral so (0.47, 0.0002)."""
    for parameter in module.parameters():
        parameter.mul_(3)


# Parts

HIDDEN = (16,)
SPLINE, SMALL_SPLINE = bj.RationalQuadraticSpline(), bj.RationalQuadraticSpline(2, 3.0)
CIRCULAR = bj.CircularSpline(4)
STAYS = {"context": "one coupling leaves the part that stays as it is, whatever the context"}
AFFINE, SIGMOID_AFFINE, SHIFT_FIRST = bj.Affine(), bj.SigmoidAffine(), bj.ShiftFirst()
# Nets hold what they read within ten deviations, as the models' do: see the row "coupling, net without input bound".
HELD: dict[str, Any] = {"hidden": HIDDEN, "squash": True}


def coupling(partition: bj.Partition, elementwise: Any, **settings: Any) -> bj.Coupling:
    out = (len(partition.moving), elementwise.num_params)
    return bj.Coupling(partition, elementwise, bj.MLP(len(partition.staying), out, **{**HELD, **settings}))


def autoregressive(features: int, elementwise: Any, **settings: Any) -> bj.Autoregressive:
    return bj.Autoregressive(elementwise, bj.MADE(features, elementwise.num_params, **{**HELD, **settings}))


def narrowed(transform: bj.Autoregressive) -> bj.Autoregressive:
    """With MADE's hidden units within 1/√(all inputs) at the start, in place of 1/√(those they see)."""
    assert isinstance(transform.net, bj.MADE)
    with torch.no_grad():
        for layer in list(transform.net.layers)[:-1]:
            share = (layer.mask.sum(1).clamp(min=1) / layer.mask.shape[1]).sqrt()
            layer.weight.mul_(share[:, None])
            layer.bias.mul_(share)
    return transform


def swept(elementwise: Any, **settings: Any) -> bj.Autoregressive:
    """Of four features, its inverse found by Jacobi iteration."""
    transform = autoregressive(4, elementwise, **settings)
    bj.set_sampling(transform, "jacobi")
    return transform


def halves(elementwise: Any, features: int = 4, **settings: Any) -> bj.Coupling:
    return coupling(bj.Partition.halves(features), elementwise, **settings)


# A net that maps the context alone to what it adds to a map's own numbers.
def context_net(count: int) -> bj.MLP:
    return bj.MLP(2, (count,), hidden=HIDDEN)


# Maps that are solved rather than computed


def continuous(features: int, *, context_dim: int = 0, **settings: Any) -> bj.Continuous:
    return bj.Continuous(bj.TimeMLP(features, context_dim=context_dim, **HELD), **{"steps": 32, **settings})


def residual(features: int, *, context_dim: int = 0, lipschitz: float = 0.9, **settings: Any) -> bj.Residual:
    return bj.Residual(bj.LipschitzMLP(features, context_dim=context_dim, lipschitz=lipschitz, **HELD), **settings)


# Models

mixture_cdf = partial(bj.mixture_cdf, components=4, hidden=HIDDEN)
realnvp = partial(bj.realnvp, depth=4, hidden=HIDDEN)
nice = partial(bj.nice, depth=4, hidden=HIDDEN)
nsf = partial(bj.nsf, depth=3, hidden=HIDDEN)
maf = partial(bj.maf, depth=3, hidden=HIDDEN)
iaf = partial(bj.iaf, depth=3, hidden=HIDDEN)
naf = partial(bj.naf, components=3, hidden=HIDDEN)
flowpp = partial(bj.flowpp, depth=3, components=3, hidden=HIDDEN)
circular = partial(bj.nsf, depth=2, bins=4, hidden=HIDDEN, boundary="circular")
planar = partial(bj.planar, depth=4, hidden=HIDDEN)
radial = partial(bj.radial, depth=4, hidden=HIDDEN)
sylvester = partial(bj.sylvester, depth=3, hidden=HIDDEN)
bnaf = partial(bj.bnaf, width=4)
ffjord = partial(bj.ffjord, hidden=HIDDEN, steps=32)
residual_flow = partial(bj.residual_flow, depth=3, hidden=HIDDEN)
