"""The torch peers' flows over longer vectors: NSF by couplings at D = 8, MAF at D = 21 and 64, five layers of two times 128 units.

Each is the class a user of that library would reach for. What differs in kind stands in ``made_of``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch_peers import Peer, _nflows, _normflows, _zuko

DEPTH, WIDTH, BINS, BOUND = 5, 128, 8, 5.0


def zuko_nsf(features: int) -> Peer:
    """zuko's NSF, passes=2, which makes its autoregressive layers couplings."""
    import zuko

    flow = zuko.flows.NSF(features, transforms=DEPTH, bins=BINS, hidden_features=[WIDTH] * 2, passes=2)
    return _zuko(flow, "flows.NSF(transforms=5, bins=8, hidden_features=(128, 128), passes=2)")


def zuko_maf(features: int) -> Peer:
    """zuko's MAF."""
    import zuko

    flow = zuko.flows.MAF(features, transforms=DEPTH, hidden_features=[WIDTH] * 2)
    return _zuko(flow, "flows.MAF(transforms=5, hidden_features=(128, 128))")


def nflows_nsf(features: int) -> Peer:
    """nflows' coupling spline with its own MLP; a coupling hands a context to the net, which that MLP does not take."""
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.nn.nets import MLP
    from nflows.transforms.base import CompositeTransform
    from nflows.transforms.coupling import PiecewiseRationalQuadraticCouplingTransform

    class Net(MLP):
        def forward(self, inputs: Tensor, context: Tensor | None = None) -> Tensor:
            return super().forward(inputs)

    def layer(index: int) -> nn.Module:
        mask = [1.0 if i % 2 == index % 2 else -1.0 for i in range(features)]
        return PiecewiseRationalQuadraticCouplingTransform(
            mask, lambda a, b: Net([a], [b], [WIDTH] * 2), num_bins=BINS, tails="linear", tail_bound=BOUND
        )

    flow = Flow(CompositeTransform([layer(i) for i in range(DEPTH)]), StandardNormal([features]))
    return _nflows(flow, "5 PiecewiseRationalQuadraticCouplingTransform, nets.MLP 128, 128")


def nflows_maf(features: int) -> Peer:
    """nflows' affine autoregression over its masked MLP, the order reversed between layers."""
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.transforms.autoregressive import MaskedAffineAutoregressiveTransform
    from nflows.transforms.base import CompositeTransform
    from nflows.transforms.permutations import ReversePermutation

    parts: list[nn.Module] = []
    for _ in range(DEPTH):
        # One plain block: with the first layer that makes two hidden layers.
        layer = MaskedAffineAutoregressiveTransform(features, WIDTH, num_blocks=1, use_residual_blocks=False)
        parts += [layer, ReversePermutation(features)]
    flow = Flow(CompositeTransform(parts), StandardNormal([features]))
    return _nflows(flow, "5 MaskedAffineAutoregressiveTransform(128, num_blocks=1, use_residual_blocks=False)")


def normflows_nsf(features: int) -> Peer:
    """normflows' coupling spline, whose net is residual: one block has two hidden layers after the first."""
    import normflows as nf

    parts = [
        nf.flows.CoupledRationalQuadraticSpline(
            features, 1, WIDTH, num_bins=BINS, tail_bound=BOUND, reverse_mask=i % 2 == 1
        )
        for i in range(DEPTH)
    ]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(features, trainable=False), parts)
    return _normflows(flow, "5 CoupledRationalQuadraticSpline(1 block of 128)")


def normflows_maf(features: int) -> Peer:
    """normflows' affine autoregression, plain blocks, the order reversed between layers."""
    import normflows as nf

    parts: list[nn.Module] = []
    for _ in range(DEPTH):
        layer = nf.flows.MaskedAffineAutoregressive(features, WIDTH, num_blocks=1, use_residual_blocks=False)
        # As it comes its one-pass direction is sampling, which makes it an IAF.
        parts += [nf.flows.Reverse(layer), nf.flows.Permute(features, mode="shuffle")]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(features, trainable=False), parts)
    return _normflows(flow, "5 Reverse(MaskedAffineAutoregressive(128, num_blocks=1, use_residual_blocks=False))")


def pyro_maf(features: int) -> Peer:
    """pyro's AffineAutoregressive with its own masked network and a random permutation."""
    import pyro.distributions as dist
    from pyro.distributions.transforms import AffineAutoregressive, Permute
    from pyro.nn import AutoRegressiveNN

    parts: list[Any] = []
    for _ in range(DEPTH):
        # stable=True bounds the scale; the default direction samples in one pass, so its inverse is the density's fast one
        parts += [AffineAutoregressive(AutoRegressiveNN(features, [WIDTH] * 2)).inv, Permute(torch.randperm(features))]
    trained = nn.ModuleList(p.inv for p in parts[::2])

    def flow() -> Any:
        like = next(trained.parameters())
        base = dist.Normal(like.new_zeros(features), like.new_ones(features)).to_event(1)
        return dist.TransformedDistribution(base, parts)

    def decode(z: Tensor) -> Tensor:
        for part in parts:
            z = part(z)
        return z

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    return Peer(trained, lambda x: flow().log_prob(x), encode, decode, "5 AffineAutoregressive.inv(AutoRegressiveNN)")


VECTORS: dict[str, dict[str, Callable[[int], Peer]]] = {
    "nsf": {"zuko": zuko_nsf, "nflows": nflows_nsf, "normflows": normflows_nsf},
    "maf": {"zuko": zuko_maf, "nflows": nflows_maf, "normflows": normflows_maf, "pyro": pyro_maf},
}
