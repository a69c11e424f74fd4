"""Glow: invertible 1×1 convolutions in place of partitions that swap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch

from ...distributions.base import Normal
from ...errors import InputError
from ...nets.convnet import ConvNet
from ...nets.resnet import ResNet
from ...transforms.amortised import Amortised
from ...transforms.base import Chain, Inverse, Transform
from ...transforms.composed import Composed
from ...transforms.conditioned import Conditioned
from ...transforms.convolution import Conv1x1, Mixing
from ...transforms.coupling import Coupling
from ...transforms.elementwise import Affine, Elementwise, Shift
from ...transforms.factor_out import FactorOut
from ...transforms.mixtures import MixtureCDF, logistic_spread
from ...transforms.partitions import ChannelHalves
from ...transforms.reshape import Squeeze
from ..flow import Flow
from .amortised import context_net
from .shapes import check_scales, picture_shape


def glow(
    event_shape: Sequence[int],
    *,
    scales: int = 3,
    depth: int = 32,
    hidden: int = 512,
    blocks: int = 0,
    coupling: Literal["affine", "additive", "mixture"] = "affine",
    components: int = 8,
    mixing: Mixing = "lu",
    multiscale: bool = True,
    split_prior: bool = True,
    learned_prior: bool = False,
    bound: float | None = None,
    squash: bool = True,
    context_dim: int = 0,
) -> Flow:
    """Glow over pictures (C, H, W) of real numbers: ``scales`` squeezes, ``depth`` steps of flow at each, a standard normal base.

        step:  y = W ((x + b) · exp(s)),   z_A = y_A,   z_B = y_B · exp(s(y_A)) + t(y_A)

    Behind every scale but the last, half of the channels are latents, moved by what a convolution makes of the half that goes on. All
    latents keep the picture's shape. Wrap it for integers: ``Quantised(glow((3, 32, 32), depth=8), levels=256)``.

    Args:
        event_shape: (channels, height, width), height and width divisible by 2 once a scale.
        scales, depth, hidden: L, K and the filters of each coupling's network.
        blocks: 0 for Glow's network of three convolutions, see ``ConvNet``; n for the homework's with n residual blocks, see ``ResNet``.
        coupling: "affine"; "additive", which keeps volume and rebuilds its input with fewer roundings; or "mixture", the mixture of
            ``components`` logistics of Flow++ with an affine map behind it, which is not Glow's; a fifth of it is a straight line, so that
            pictures far from the data keep their digits, see ``MixtureCDF``.
        mixing: of the 1×1 convolutions, see ``Conv1x1``.
        multiscale: False lets every number pass all scales.
        split_prior: whether a latent's density depends on what goes on (a conditional affine), or is standard normal.
        learned_prior: mean and scale of the top latents' channels are trained; with a context they are what it says.
        bound: |s| ≤ bound of the affine couplings; None for 3/√(steps of flow in all). Every step mixes what the one before stretched: with
            a bound of 2 and 24 steps a float32 round trip 100 times further out than the data lost all but two digits (4.6e-2).
        squash: networks read 5·tanh(y/5), so that pictures far from the data meet nothing new, see ``squashed``.
        context_dim: (without blocks) features of a context, such as a class as zeros and a one; it shifts the first filters of every
            network and, with ``learned_prior``, the top latents.

    Raises ShapeError for sizes that cannot be halved so often, InputError for unknown names or numbers below 1.
    Source: Kingma & Dhariwal 2018 (arXiv:1807.03039). Differs: log-scales are bounded by tanh and not by a sigmoid; networks are
    weight-normalised in place of ActNorm; the split prior reads half as many channels as it moves in one convolution as there, and starts
    at the identity; classes reach every coupling.

    >>> import torch
    >>> glow((3, 8, 8), scales=2, depth=2, hidden=8).log_prob(torch.zeros(5, 3, 8, 8)).shape
    torch.Size([5])
    """
    shape = picture_shape(event_shape)
    check_scales(shape, scales)
    if depth < 1 or hidden < 1:
        raise InputError(f"depth, hidden: expected at least 1 each, got {depth} and {hidden}")
    if coupling not in ("affine", "additive", "mixture"):
        raise InputError(f"coupling: expected 'affine', 'additive' or 'mixture', got {coupling!r}")
    if blocks < 0 or (blocks and context_dim):
        raise InputError(
            f"blocks: expected at least 0, and 0 with a context, which a ResNet does not read, got {blocks}"
        )
    affine = Affine(3 / math.sqrt(scales * depth) if bound is None else bound)
    maps: dict[str, Elementwise] = {"affine": affine, "additive": Shift()}
    if coupling == "mixture":
        mixture = MixtureCDF(components, "logistic", spread=logistic_spread(components, 1.0), line=0.2)
        maps["mixture"] = Composed([mixture, affine])
    elementwise = maps[coupling]

    def step(channels: int) -> list[Transform]:
        part = ChannelHalves(channels)
        staying, moving = part.channels(channels)
        out = (moving, elementwise.num_params)
        net: ConvNet | ResNet
        if blocks:
            net = ResNet(staying, out, filters=hidden, blocks=blocks, squash=squash)
        else:
            net = ConvNet(staying, out, hidden=(hidden, hidden), context_dim=context_dim, squash=squash)
        return [Conv1x1(channels, mixing=mixing, actnorm=True), Coupling(part, elementwise, net)]

    def prior(channels: int) -> Coupling:
        part = ChannelHalves(channels, flip=True)
        staying, moving = part.channels(channels)
        return Coupling(part, affine, ConvNet(staying, (moving, 2), hidden=(), context_dim=context_dim, squash=squash))

    def scale(channels: int, left: int) -> Chain:
        """A squeeze, steps of flow, and what is left of the scales on the half that goes on; of the shape that came in."""
        channels *= 4
        parts: list[Transform] = [Squeeze()]
        for _ in range(depth):
            parts += step(channels)
        if left > 1 and multiscale:
            if split_prior:
                parts.append(prior(channels))
            part = ChannelHalves(channels)
            parts.append(FactorOut(part, scale(part.channels(channels)[1], left - 1)))
        elif left > 1:
            parts.append(scale(channels, left - 1))
        elif learned_prior:
            net = Amortised(torch.zeros(2 * channels), context_net(context_dim, 2 * channels, (), "relu"))
            parts.append(Conditioned(Affine(), net, (channels, 1, 1, 2)))
        return Chain([*parts, Inverse(Squeeze())])

    return Flow(Normal(shape), scale(shape[0], scales), context_dim=context_dim)
