"""The torch peers' Glow of each library's own parts: scales of squeeze, K steps of ActNorm, 1×1 convolution and affine coupling, split.

The networks are convolutions of 3, 1 and 3 with ReLU between, the last one zero at first, in all of them. Unconditional. What differs in
kind stands in ``made_of``: FrEIA's 1×1 convolutions are not trained, and none of them conditions what a scale factors out on what goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

SCALES, HIDDEN = 3, 64


@dataclass
class PicturePeer:
    """One library's flow over pictures; ``encode`` and ``decode`` have all latents in one row, whatever the library makes of them."""

    module: nn.Module
    log_prob: Callable[[Tensor], Tensor]
    sample: Callable[[int], Tensor]
    encode: Callable[[Tensor], tuple[Tensor, Tensor]]
    decode: Callable[[Tensor], Tensor]
    made_of: str


def convolutions(inputs: int, outputs: int) -> nn.Sequential:
    """3×3, ReLU, 1×1, ReLU, 3×3 from zero: Glow's network."""
    last = nn.Conv2d(HIDDEN, outputs, 3, padding=1)
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    parts = [nn.Conv2d(inputs, HIDDEN, 3, padding=1), nn.ReLU(), nn.Conv2d(HIDDEN, HIDDEN, 1), nn.ReLU(), last]
    return nn.Sequential(*parts)


def freia_glow(size: int, depth: int) -> PicturePeer:
    """FrEIA's graph of AllInOneBlock: an affine coupling, a scale and a shift per channel, a rotation of the channels that is not trained.

    ActNorm, Fixed1x1Conv and AffineCouplingOneSided in its place take a tenth longer; rotations trained as Householder reflections, the
    only trained ones that FrEIA has for pictures, a quarter.
    """
    import FrEIA.framework as ff
    import FrEIA.modules as fm

    start = ff.InputNode(3, size, size)
    nodes, ends, last = [start], [], start
    settings = {"subnet_constructor": convolutions, "permute_soft": True, "global_affine_type": "EXP"}
    for scale in range(SCALES):
        for part, chosen in [(fm.IRevNetDownsampling, {}), *[(fm.AllInOneBlock, settings)] * depth]:
            last = ff.Node(last, part, chosen)
            nodes.append(last)
        if scale < SCALES - 1:
            last = ff.Node(last, fm.Split, {})
            nodes.append(last)
            ends.append(ff.OutputNode(last.out1))
            last = last.out0
    ends.append(ff.OutputNode(last))
    flow = ff.GraphINN([*nodes, *ends], force_tuple_output=True)
    shapes = flow.global_out_shapes

    def log_prob(x: Tensor) -> Tensor:
        latents, log_det = flow(x)
        return sum((_standard_normal(z) for z in latents), log_det)

    def sample(count: int) -> Tensor:
        return flow([torch.randn(count, *shape) for shape in shapes], rev=True, jac=False)[0][0]

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        latents, log_det = flow(x)
        return _row(latents), log_det

    def decode(z: Tensor) -> Tensor:
        return flow(_cut(z, shapes), rev=True)[0][0]

    what = f"GraphINN of IRevNetDownsampling, {depth} × AllInOneBlock (rotations not trained), Split"
    return PicturePeer(flow, log_prob, sample, encode, decode, what)


def normflows_glow(size: int, depth: int) -> PicturePeer:
    """normflows' MultiscaleFlow as in its example for CIFAR-10, without classes, with its GlowBase."""
    import normflows as nf

    bases, flows, merges = [], [], []
    for i in range(SCALES):
        channels = 3 * 2 ** (SCALES + 1 - i)
        steps = [nf.flows.GlowBlock(channels, HIDDEN, split_mode="channel", scale=True) for _ in range(depth)]
        flows.append([*steps, nf.flows.Squeeze()])
        if i > 0:
            merges.append(nf.flows.Merge())
        latent, side = channels if i == 0 else channels // 2, size // 2 ** (SCALES - i)
        bases.append(nf.distributions.GlowBase((latent, side, side)))
    flow = nf.MultiscaleFlow(bases, flows, merges, class_cond=False)
    shapes = [base.shape for base in bases]

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        latents, log_det = flow.inverse_and_log_det(x)
        return _row(latents), log_det

    what = f"MultiscaleFlow of {depth} GlowBlock (LU) and Squeeze, Merge, GlowBase: a mean and a scale per channel"
    return PicturePeer(
        flow,
        lambda x: flow.log_prob(x, None),
        lambda count: flow.sample(count)[0],
        encode,
        lambda z: flow.forward_and_log_det(_cut(z, shapes))[0],
        what,
    )


def nflows_glow(size: int, depth: int) -> PicturePeer:
    """nflows' MultiscaleCompositeTransform as in the image experiments of its authors, with cached inverses when it samples."""
    from nflows import transforms
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow

    class Net(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.net = convolutions(inputs, outputs)

        def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
            return self.net(x)

    whole = transforms.MultiscaleCompositeTransform(SCALES)
    shape = (3, size, size)
    for _ in range(SCALES):
        squeeze = transforms.SqueezeTransform()
        channels, height, width = squeeze.get_output_shape(*shape)
        mask = torch.arange(channels) < channels // 2
        steps = [squeeze]
        for _ in range(depth):
            steps += [
                transforms.ActNorm(channels),
                transforms.OneByOneConvolution(channels, using_cache=True),
                transforms.AffineCouplingTransform(mask.float(), Net),
            ]
        shape = whole.add_transform(transforms.CompositeTransform(steps), (channels, height, width))
    flow = Flow(whole, StandardNormal([3 * size * size]))
    what = (
        f"MultiscaleCompositeTransform of SqueezeTransform, {depth} × (ActNorm, OneByOneConvolution: LU, "
        "AffineCouplingTransform), StandardNormal"
    )
    return PicturePeer(flow, flow.log_prob, flow.sample, whole, lambda z: whole.inverse(z)[0], what)


def _row(latents: Any) -> Tensor:
    return torch.cat([z.flatten(1) for z in latents], 1)


def _cut(z: Tensor, shapes: Any) -> list[Tensor]:
    pieces = z.split([math.prod(shape) for shape in shapes], 1)
    return [piece.reshape(len(z), *shape) for piece, shape in zip(pieces, shapes, strict=True)]


def _standard_normal(z: Tensor) -> Tensor:
    """Joint nats of a standard normal, all of an event."""
    row = z.flatten(1)
    return -0.5 * (row * row).sum(1) - 0.5 * math.log(2 * math.pi) * row.shape[1]


GLOW: dict[str, Callable[[int, int], PicturePeer]] = {
    "FrEIA": freia_glow,
    "normflows": normflows_glow,
    "nflows": nflows_glow,
}
