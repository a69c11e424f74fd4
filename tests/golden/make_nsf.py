"""Golden log-densities of neural spline flows, from zuko, nflows and normflows (arXiv:1906.04032).

Weights and points as in make_maf.py; the points reach beyond the splines' bounds.

    python tests/golden/make_nsf.py
"""

from __future__ import annotations

from typing import Any

import torch
import zuko.flows
from make_maf import filled, nflows_case, plain, points, state_of, write, zuko_case
from nflows.distributions import StandardNormal
from nflows.flows import Flow
from nflows.nn.nets import ResidualNet
from nflows.transforms import (
    ActNorm,
    CompositeTransform,
    LULinear,
    MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
    Permutation,
    PiecewiseRationalQuadraticCouplingTransform,
    PointwiseAffineTransform,
)
from normflows.flows import AutoregressiveRationalQuadraticSpline
from torch import nn

PEERS = ("zuko", "nflows", "normflows", "torch")


def coupling(mask: list[int], context: int | None) -> PiecewiseRationalQuadraticCouplingTransform:
    """A spline coupling as in the paper: residual nets, four bins, linear tails at 3."""

    def net(inputs: int, outputs: int) -> nn.Module:
        return ResidualNet(inputs, outputs, hidden_features=6, context_features=context, num_blocks=2)

    return PiecewiseRationalQuadraticCouplingTransform(mask, net, num_bins=4, tails="linear", tail_bound=3.0)


def couplings(context: int | None) -> nn.Module:
    transforms = [
        PointwiseAffineTransform(torch.tensor([0.2, -0.1, 0.4]), torch.tensor([0.5, 0.8, 1.3])),
        Permutation(torch.tensor([2, 0, 1])),
        LULinear(3),
        coupling([0, 1, 1], context),
        ActNorm(3),
        coupling([1, 0, 0], context),
    ]
    return Flow(CompositeTransform(transforms), StandardNormal([3]))


def autoregressive() -> nn.Module:
    spline = MaskedPiecewiseRationalQuadraticAutoregressiveTransform(
        3, 6, num_bins=4, tails="linear", tail_bound=3.0, num_blocks=1, use_residual_blocks=False
    )
    return Flow(CompositeTransform([spline]), StandardNormal([3]))


def normflows_case() -> dict[str, Any]:
    """The spline in normflows' data-to-latent direction, which it calls inverse."""
    flow = filled(AutoregressiveRationalQuadraticSpline(3, 1, 6, num_bins=4, tail_bound=3))
    x, _ = points(3, 0)
    with torch.no_grad():
        z, log_det = flow.inverse(x)
    return {
        "case": "normflows",
        "peer": "normflows",
        "settings": {"tail_bound": 3.0},
        "context_dim": 0,
        "state": state_of(flow),
        "x": plain(x),
        "context": None,
        "z": plain(z),
        "log_det": plain(log_det),
    }


def cases() -> list[dict[str, Any]]:
    nsf = zuko.flows.NSF
    two = {"bins": 4, "hidden_features": (6,)}
    return [
        zuko_case("zuko", nsf(3, transforms=2, **two), 3, kind="nsf"),
        zuko_case("zuko, two passes, context", nsf(3, 1, transforms=1, passes=2, **two), 3, 1, kind="nsf"),
        zuko_case(
            "zuko, one feature, context", nsf(1, 2, transforms=1, slope=1e-2, **two), 1, 2, kind="nsf", slope=1e-2
        ),
        nflows_case("nflows, couplings, linear maps", couplings(None), 3, tail_bound=3.0),
        nflows_case("nflows, couplings, context", couplings(2), 3, 2, tail_bound=3.0),
        nflows_case("nflows, autoregressive", autoregressive(), 3, tail_bound=3.0),
        normflows_case(),
    ]


if __name__ == "__main__":
    write("nsf", "neural spline flows: state, x, z and log_prob, or log_det where the peer is a map", PEERS, cases())
