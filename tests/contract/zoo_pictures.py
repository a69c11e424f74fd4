"""Every map, model and bound of pictures, a row each."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from rows import Row, integers, scaled, spread
from torch import nn
from zoo_parts import AFFINE, HIDDEN, SHIFT_FIRST, SPLINE, STAYS

import bijectory as bj
from bijectory.transforms.amortised import Amortised
from bijectory.transforms.partitions import Block, ChannelHalves, Checkerboard, LeftRight, Subgrid, TopBottom
from bijectory.transforms.reshape import Flatten

PICTURE = (2, 4, 4)
MIXTURE = bj.MixtureCDF(3, "logistic")
channel_autoregressive = partial(bj.channel_autoregressive, scales=2, filters=8, blocks=1, components=3)
realnvp_image = partial(bj.realnvp_image, filters=4, blocks=1)
realnvp_multiscale = partial(bj.realnvp_multiscale, scales=2, filters=4, blocks=1)
glow = partial(bj.glow, scales=2, depth=2, hidden=4)
# Of sixteen numbers, so that importance sampling can tell what the density integrates to.
SMALL = (1, 4, 4)
SHORT = (("checkerboard", 2), ("channel", 2), ("checkerboard", 1))


def picture_coupling(partition: Any, elementwise: Any, channels: int = 2, **settings: Any) -> bj.Coupling:
    staying, moving = partition.channels(channels)
    learned = isinstance(elementwise, bj.ShiftFirst)
    out = (moving, elementwise.num_params)
    net = bj.ResNet(staying, out, filters=4, blocks=1, bounded=learned, **{"squash": True, **settings})
    return bj.Coupling(partition, elementwise, net)


def planes(elementwise: Any, channels: int = 4, **settings: Any) -> bj.Autoregressive:
    learned = isinstance(elementwise, bj.ShiftFirst)
    settings = {"filters": 12, "blocks": 1, "bounded": learned, "squash": True, **settings}
    return bj.Autoregressive(elementwise, bj.ChannelMADE(channels, elementwise.num_params, **settings))


def swept_planes() -> bj.Autoregressive:
    """Its inverse found by Jacobi iteration, all planes at once."""
    transform = planes(AFFINE)
    bj.set_sampling(transform, "jacobi")
    return transform


def bad_map() -> nn.Module:
    return realnvp_image((1, 8, 8), partition="left_right").transform


def squeezed_and_back() -> bj.Chain:
    """One of each kind of picture's layer, from one channel to four and back to one."""
    board, channels = Checkerboard(), ChannelHalves(4, flip=True)
    return bj.Chain(
        [
            picture_coupling(board, SHIFT_FIRST, 1),
            bj.Squeeze(),
            bj.ActNorm((4, 1, 1)),
            picture_coupling(channels, AFFINE, 4),
            bj.Inverse(bj.Squeeze()),
            picture_coupling(board.flipped(), SHIFT_FIRST, 1),
        ]
    )


def small_channels(module: nn.Module) -> None:
    module.affine.set(torch.tensor([[[100.0]], [[-3.0]]]), torch.tensor([[[7.0]], [[0.1]]]))  # type: ignore[operator, union-attr]


def squeezed_convolution(channels: int) -> bj.Chain:
    return bj.Chain([bj.Squeeze(), bj.Conv1x1(4 * channels), bj.Inverse(bj.Squeeze())])


PICTURE_PARTITIONS = {
    "checkerboard": Checkerboard(),
    "flipped checkerboard": Checkerboard(flip=True),
    "channel halves": ChannelHalves(2),
    "subgrid": Subgrid(),
    "top and bottom": TopBottom(flip=True),
    "left and right": LeftRight(),
    "block": Block(),
    "around a block": Block(flip=True),
}


def image() -> bj.Flow:
    """A density over events of three dimensions."""
    shape = (2, 3, 3)
    return bj.Flow(bj.Normal(shape), bj.Chain([bj.Standardise(shape), bj.ActNorm(shape)]))


def mixture_image() -> bj.Flow:
    """A mixture over events of three dimensions."""
    return bj.Flow(bj.Mixture((1, 2, 2), 2), bj.ActNorm((1, 2, 2)))


def conv_coupling(context_dim: int = 0, **settings: Any) -> bj.Coupling:
    net = bj.ConvNet(1, (1, 2), context_dim=context_dim, squash=True, **{"hidden": (4, 4), **settings})
    return bj.Coupling(ChannelHalves(2), AFFINE, net)


def factored(transform: bj.Transform) -> bj.Chain:
    """Two of four channels are latents, moved by what goes on through ``transform``."""
    prior = bj.Coupling(ChannelHalves(4, flip=True), AFFINE, bj.ConvNet(2, (2, 2), hidden=(), squash=True))
    return bj.Chain([bj.Conv1x1(4), prior, bj.FactorOut(ChannelHalves(4), transform)])


def channel_constants(context_dim: int = 0) -> bj.Conditioned:
    net = bj.MLP(context_dim, (4,), hidden=()) if context_dim else None
    return bj.Conditioned(AFFINE, Amortised(torch.zeros(4), net), (2, 1, 1, 2))


TRANSFORMS = [
    Row("constant affine image", lambda: bj.ConstantAffine(torch.zeros(2, 3, 3), 2 * torch.ones(2, 3, 3)), (2, 3, 3)),
    Row("actnorm image", lambda: bj.ActNorm((2, 3, 3)), (2, 3, 3), noise=1.0),
    Row("standardise a channel", lambda: bj.Standardise((2, 1, 1)), PICTURE, change=small_channels),
    Row("actnorm a channel", lambda: bj.ActNorm((2, 1, 1)), PICTURE, noise=1.0),
    Row("diagonal scale a channel", lambda: bj.DiagonalScale((2, 1, 1)), PICTURE, noise=1.0),
    Row("squeeze", bj.Squeeze, PICTURE),
    Row("squeeze, one block", bj.Squeeze, (1, 2, 2)),
    Row("unsqueeze", lambda: bj.Inverse(bj.Squeeze()), (4, 2, 3)),
    Row("flatten", lambda: Flatten(PICTURE), PICTURE),
    *(
        Row(f"coupling, shift first, {where}", partial(picture_coupling, partition, SHIFT_FIRST), PICTURE)
        for where, partition in PICTURE_PARTITIONS.items()
    ),
    Row("coupling, shift, checkerboard", lambda: picture_coupling(Checkerboard(), bj.Shift()), PICTURE),
    Row("coupling, spline, checkerboard", lambda: picture_coupling(Checkerboard(), SPLINE), PICTURE),
    Row(
        "coupling, resnet without weight norm",
        lambda: picture_coupling(Checkerboard(), SHIFT_FIRST, weight_norm=False, gain=1.0),
        PICTURE,
    ),
    Row(
        "coupling, resnet that does not squash", lambda: picture_coupling(Checkerboard(), AFFINE, squash=False), PICTURE
    ),
    Row("coupling, convnet", conv_coupling, PICTURE),
    Row("coupling, one convolution", partial(conv_coupling, hidden=()), PICTURE),
    Row("coupling, convnet with context", partial(conv_coupling, 3), PICTURE, context_dim=3, exceptions=STAYS),
    Row("convolution 1x1, lu", lambda: bj.Conv1x1(4), (4, 2, 3), noise=0.3),
    Row("convolution 1x1, plain", lambda: bj.Conv1x1(4, mixing="plain"), (4, 2, 3), noise=0.05),
    Row("factor out", lambda: factored(bj.Conv1x1(2)), (4, 2, 4), noise=0.1),
    Row("factor out, squeezed again", lambda: factored(squeezed_convolution(2)), (4, 2, 4), noise=0.1),
    Row("constants a channel", channel_constants, PICTURE, noise=0.5),
    Row("constants a channel, of a context", partial(channel_constants, 3), PICTURE, context_dim=3, noise=0.5),
    Row("chain of pictures' layers", squeezed_and_back, (1, 8, 4)),
    *(
        Row(f"autoregressive planes, {name}", partial(planes, elementwise), (4, 2, 2))
        for name, elementwise in {
            "affine": AFFINE,
            "shift first": SHIFT_FIRST,
            "spline": SPLINE,
            "mixture": MIXTURE,
            "mixture, then affine": bj.Composed([MIXTURE, AFFINE]),
        }.items()
    ),
    Row("autoregressive planes, permuted order", lambda: planes(AFFINE, order=(2, 0, 3, 1), blocks=2), (4, 3, 2)),
    Row(
        "autoregressive planes, no weight norm, gain",
        lambda: planes(SHIFT_FIRST, 3, weight_norm=False, gain=0.5),
        (3, 2, 3),
    ),
    Row("autoregressive planes, no blocks", lambda: planes(AFFINE, 2, filters=4, blocks=0), (2, 3, 3)),
    Row("autoregressive planes, jacobi", swept_planes, (4, 2, 2)),
    Row("inverse autoregressive planes", lambda: bj.Inverse(planes(MIXTURE, 3)), (3, 2, 2)),
    Row("realnvp_image's map", lambda: realnvp_image((1, 8, 8)).transform, (1, 8, 8), noise=0.05),
    Row("realnvp_image's map, left and right", bad_map, (1, 8, 8), noise=0.05),
]

MODELS = [
    Row("flow, image", image, (2, 3, 3), data=scaled(1, 2)),
    Row("realnvp_image", lambda: realnvp_image(SMALL, stages=SHORT), SMALL, data=scaled(1, 2), noise=0.05),
    Row("realnvp_image, 2020", lambda: realnvp_image(SMALL, form="2020"), SMALL, data=scaled(0, 2), noise=0.05),
    Row(
        "realnvp_image, block, constant bound",
        lambda: realnvp_image(SMALL, stages=(("checkerboard", 4),), partition="block", scale=2.0),
        SMALL,
        noise=0.05,
    ),
    Row(
        "realnvp_image, no actnorm, no weight norm",
        lambda: realnvp_image(SMALL, stages=SHORT, actnorm=False, weight_norm=False, gain=0.1),
        SMALL,
        noise=0.02,
    ),
    Row("realnvp_image, 1x1 convolutions", lambda: realnvp_image(SMALL, stages=SHORT, mixing="lu"), SMALL, noise=0.02),
    Row("realnvp_multiscale", lambda: realnvp_multiscale(SMALL), SMALL, data=scaled(1, 2), noise=0.05),
    Row("glow", lambda: glow(SMALL), SMALL, data=scaled(1, 2), noise=0.02),
    Row("glow, three channels", lambda: glow((3, 2, 2), scales=1, mixing="plain"), (3, 2, 2), noise=0.02),
    Row("glow, additive", lambda: glow(SMALL, coupling="additive", split_prior=False), SMALL, noise=0.02),
    Row("glow, mixture", lambda: glow(SMALL, coupling="mixture", components=3), SMALL, data=scaled(1, 2), noise=0.02),
    Row("glow, one scale's latents", lambda: glow(SMALL, multiscale=False, learned_prior=True), SMALL, noise=0.02),
    Row("glow, classes", lambda: glow(SMALL, context_dim=3, learned_prior=True), SMALL, context_dim=3, noise=0.02),
    Row("nice_image", lambda: bj.nice_image(SMALL, hidden=HIDDEN), SMALL, data=spread(0, 1)),
    Row(
        "channel_autoregressive",
        lambda: channel_autoregressive(SMALL),
        SMALL,
        data=scaled(1, 2),
        noise=0.05,
    ),
    Row(
        "channel_autoregressive, line",
        lambda: channel_autoregressive(SMALL, line=0.1),
        SMALL,
        data=scaled(1, 2),
        noise=0.05,
    ),
    Row(
        "channel_autoregressive, affine",
        lambda: channel_autoregressive(SMALL, elementwise="affine", depth=2, checkerboards=2),
        SMALL,
        data=scaled(0, 2),
        noise=0.05,
    ),
    Row("nice_image, normal", lambda: bj.nice_image(SMALL, hidden=HIDDEN, standardise=False, base="normal"), SMALL),
    Row("flow, mixture of images", mixture_image, (1, 2, 2)),
]

BOUNDS = [
    Row("quantised, pictures", lambda: bj.Quantised(image(), 17), (2, 3, 3), data=integers(17)),
    Row(
        "quantised, realnvp_image",
        lambda: bj.Quantised(realnvp_image((2, 12, 12), stages=SHORT), 4),
        (2, 12, 12),
        data=integers(4),
        noise=0.05,
    ),
    Row("quantised, glow", lambda: bj.Quantised(glow((3, 8, 8)), 4), (3, 8, 8), data=integers(4), noise=0.02),
    Row(
        "quantised, channel_autoregressive",
        lambda: bj.Quantised(channel_autoregressive((2, 12, 12), checkerboards=1), 4),
        (2, 12, 12),
        data=integers(4),
        noise=0.05,
    ),
    Row(
        "quantised, nice_image",
        lambda: bj.Quantised(bj.nice_image((1, 18, 18), hidden=HIDDEN), 16, alpha=None),
        (1, 18, 18),
        data=integers(16),
    ),
]
