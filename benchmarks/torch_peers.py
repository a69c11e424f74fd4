"""The torch peers' flows for each row: the class a user of that library would reach for, at the sizes asked.

A builder returns a ``Peer``: the module to train, its log-density, and both directions, with the same meaning for every library
(``encode`` is data to latent and returns log|det ∂z/∂x| beside it). Nothing is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

HIDDEN = [64, 64]
COUPLINGS = 8


@dataclass
class Peer:
    """One library's flow, and what it was made of."""

    module: nn.Module
    log_prob: Callable[[Tensor], Tensor]
    encode: Callable[[Tensor], tuple[Tensor, Tensor]]
    decode: Callable[[Tensor], Tensor]
    made_of: str


def zuko_affine() -> Peer:
    """zuko's RealNVP: affine couplings with a softly clipped scale, mask (0, 1), (1, 0) in turn."""
    import zuko

    flow = zuko.flows.RealNVP(2, transforms=COUPLINGS, hidden_features=HIDDEN)
    return _zuko(flow, "flows.RealNVP(transforms=8, hidden_features=(64, 64))")


def zuko_spline() -> Peer:
    """zuko's neural spline flow over masked MLPs."""
    import zuko

    flow = zuko.flows.NSF(2, transforms=2, bins=16, hidden_features=HIDDEN)
    return _zuko(flow, "flows.NSF(transforms=2, bins=16, hidden_features=(64, 64))")


def _zuko(flow: Any, made_of: str) -> Peer:
    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return flow().transform.call_and_ladj(x)

    return Peer(flow, lambda x: flow().log_prob(x), encode, lambda z: flow().transform.inv(z), made_of)


def nflows_affine() -> Peer:
    """nflows' affine coupling with its own MLP; its couplings hand a context to the net, which that MLP does not take."""
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.nn.nets import MLP
    from nflows.transforms.base import CompositeTransform
    from nflows.transforms.coupling import AffineCouplingTransform

    class Net(MLP):
        def forward(self, inputs: Tensor, context: Tensor | None = None) -> Tensor:
            return super().forward(inputs)

    def layer(index: int) -> nn.Module:
        mask = torch.tensor([-1.0, 1.0] if index % 2 == 0 else [1.0, -1.0])
        return AffineCouplingTransform(mask, lambda inputs, outputs: Net([inputs], [outputs], HIDDEN))

    flow = Flow(CompositeTransform([layer(i) for i in range(COUPLINGS)]), StandardNormal([2]))
    return _nflows(flow, "8 AffineCouplingTransform, nets.MLP 64, 64")


def nflows_spline() -> Peer:
    """nflows' autoregressive rational-quadratic spline, linear tails, the order reversed between layers."""
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.transforms.autoregressive import MaskedPiecewiseRationalQuadraticAutoregressiveTransform
    from nflows.transforms.base import CompositeTransform
    from nflows.transforms.permutations import ReversePermutation

    parts: list[nn.Module] = []
    for _ in range(3):
        parts += [
            MaskedPiecewiseRationalQuadraticAutoregressiveTransform(
                2, 64, num_bins=16, tails="linear", tail_bound=5.0, num_blocks=1
            ),
            ReversePermutation(2),
        ]
    flow = Flow(CompositeTransform(parts), StandardNormal([2]))
    return _nflows(flow, "3 MaskedPiecewiseRationalQuadraticAutoregressiveTransform, 16 bins, 1 block of 64")


def _nflows(flow: Any, made_of: str) -> Peer:
    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return flow._transform(x)

    return Peer(flow, flow.log_prob, encode, lambda z: flow._transform.inverse(z)[0], made_of)


def normflows_affine() -> Peer:
    """normflows' AffineCouplingBlock and a swap, as in its RealNVP example."""
    import normflows as nf

    parts: list[nn.Module] = []
    for _ in range(COUPLINGS):
        parts += [
            nf.flows.AffineCouplingBlock(nf.nets.MLP([1, *HIDDEN, 2], init_zeros=True)),
            nf.flows.Permute(2, mode="swap"),
        ]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(2, trainable=False), parts)
    return _normflows(flow, "8 AffineCouplingBlock(MLP 1, 64, 64, 2) + Permute(swap)")


def normflows_spline() -> Peer:
    """normflows' autoregressive rational-quadratic spline with its permutation, as in its neural spline example."""
    import normflows as nf

    parts: list[nn.Module] = []
    for _ in range(3):
        parts += [
            nf.flows.AutoregressiveRationalQuadraticSpline(2, 1, 64, num_bins=16, tail_bound=5),
            nf.flows.Permute(2, mode="swap"),
        ]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(2, trainable=False), parts)
    return _normflows(flow, "3 AutoregressiveRationalQuadraticSpline, 16 bins, 1 block of 64")


def _normflows(flow: Any, made_of: str) -> Peer:
    return Peer(flow, flow.log_prob, flow.inverse_and_log_det, flow.forward, made_of)


def freia_affine() -> Peer:
    """FrEIA's GLOWCouplingBlock: both halves in turn with one net each, so four blocks are eight affine couplings."""
    import FrEIA.framework as ff
    import FrEIA.modules as fm

    def net(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs))

    flow = ff.SequenceINN(2)
    for _ in range(COUPLINGS // 2):
        flow.append(fm.GLOWCouplingBlock, subnet_constructor=net)
    return _freia(flow, "4 GLOWCouplingBlock (two affine couplings each)")


def freia_best() -> Peer:
    """FrEIA 0.2 has no spline on vectors: sixteen affine couplings, its best in the plane."""
    import FrEIA.framework as ff
    import FrEIA.modules as fm

    def net(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs))

    flow = ff.SequenceINN(2)
    for _ in range(8):
        flow.append(fm.GLOWCouplingBlock, subnet_constructor=net)
    return _freia(flow, "8 GLOWCouplingBlock (16 affine couplings)")


def _freia(flow: Any, made_of: str) -> Peer:
    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return flow(x)

    def log_prob(x: Tensor) -> Tensor:
        z, log_det = flow(x)
        return standard_normal(z) + log_det

    return Peer(flow, log_prob, encode, lambda z: flow(z, rev=True)[0], made_of)


def pyro_affine() -> Peer:
    """pyro's AffineCoupling with its DenseNN, and a swap."""
    from pyro.distributions.transforms import AffineCoupling, Permute
    from pyro.nn import DenseNN

    parts: list[Any] = []
    for _ in range(COUPLINGS):
        parts += [AffineCoupling(1, DenseNN(1, HIDDEN, [1, 1])), Permute(torch.tensor([1, 0]))]
    return _pyro(parts, "8 AffineCoupling(DenseNN 1, 64, 64, (1, 1)) + Permute")


def pyro_spline() -> Peer:
    """pyro's autoregressive linear-rational spline, and a swap."""
    from pyro.distributions.transforms import Permute, SplineAutoregressive
    from pyro.nn import AutoRegressiveNN

    parts: list[Any] = []
    for _ in range(3):
        bins = 16
        net = AutoRegressiveNN(2, HIDDEN, param_dims=[bins, bins, bins - 1, bins])
        parts += [SplineAutoregressive(2, net, count_bins=bins, bound=5.0), Permute(torch.tensor([1, 0]))]
    return _pyro(parts, "3 SplineAutoregressive(AutoRegressiveNN 64, 64), 16 bins + Permute")


def _pyro(parts: list[Any], made_of: str) -> Peer:
    import pyro.distributions as dist

    trained = nn.ModuleList(p for p in parts if isinstance(p, nn.Module))

    def flow() -> Any:
        # log_prob reads the transforms backwards, from data to base; a fresh base follows the dtype of the weights.
        like = next(trained.parameters())
        base = dist.Normal(like.new_zeros(2), like.new_ones(2)).to_event(1)
        return dist.TransformedDistribution(base, parts)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        total: Tensor | float = 0.0
        for part in reversed(parts):
            z = part.inv(x)
            value = part.log_abs_det_jacobian(z, x)
            total = total - (value if value.dim() < x.dim() else value.sum(-1))
            x = z
        return x, torch.as_tensor(total)

    def decode(z: Tensor) -> Tensor:
        for part in parts:
            z = part(z)
        return z

    return Peer(trained, lambda x: flow().log_prob(x), encode, decode, made_of)


def standard_normal(z: Tensor) -> Tensor:
    """Joint nats of a standard normal in the plane."""
    return -0.5 * (z * z).sum(-1) - 1.8378770664093453


AFFINE: dict[str, Callable[[], Peer]] = {
    "zuko": zuko_affine,
    "nflows": nflows_affine,
    "normflows": normflows_affine,
    "FrEIA": freia_affine,
    "pyro": pyro_affine,
}
BEST: dict[str, Callable[[], Peer]] = {
    "zuko": zuko_spline,
    "nflows": nflows_spline,
    "normflows": normflows_spline,
    "FrEIA": freia_best,
    "pyro": pyro_spline,
}
