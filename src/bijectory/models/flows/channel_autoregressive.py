"""Flows over pictures whose planes are autoregressions: each plane given all places of the planes before it, from coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ...distributions.base import Base, Logistic, Normal
from ...errors import InputError
from ...nets.channel_made import ChannelMADE
from ...nets.resnet import ResNet
from ...transforms.autoregressive import Autoregressive
from ...transforms.base import Chain, Inverse, Transform
from ...transforms.coupling import Coupling
from ...transforms.elementwise import Elementwise, ShiftFirst
from ...transforms.factor_out import FactorOut
from ...transforms.mixtures import MixtureCDF, logistic_spread
from ...transforms.normalise import ActNorm
from ...transforms.partitions import Checkerboard, Subgrid
from ...transforms.reshape import Squeeze
from ..flow import Flow
from .shapes import check_scales, picture_shape


def channel_autoregressive(
    event_shape: Sequence[int],
    *,
    elementwise: Literal["mixture", "affine"] = "mixture",
    components: int = 6,
    scales: int = 3,
    depth: int = 1,
    checkerboards: int = 0,
    filters: int = 64,
    blocks: int = 2,
    squash: bool = True,
    line: float = 0.0,
) -> Flow:
    """Autoregressions over the planes of squeezed pictures (C, H, W), from the whole picture to its ever coarser copies.

        scale:  squeeze to 4C planes;   z_c = elementwise(x_c; net(x_{<c})), plane by plane;   one pixel of each 2×2 block goes on

    Planes stand pixel by pixel, from the one that goes on to the others, and in each pixel colour by colour. So three of four pixels have
    a density given all around them that came before, as of a pyramid, and the next scale, a quarter of the work, takes care of the
    fourth. A mixture at the pixels themselves is what integers with noise want: their density is flat in boxes, which no affine map
    of a normal has. Wrap it for integers: ``Quantised(channel_autoregressive((3, 32, 32)), levels=4)``.

    Args:
        event_shape: (channels, height, width), height and width divisible by 2 once a scale.
        elementwise: "mixture", logit F of a mixture of logistics, with a logistic base: the density is the mixtures' own where depth
            is 1. "affine", z = (x + t) · exp(s) with s in the learned bound of ``realnvp_image`` and a normal base; wants more depth.
        components: of each mixture.
        scales: squeezes; the last one's pictures go nowhere.
        depth: autoregressions at each scale, their order reversed in turn, an ActNorm before each.
        checkerboards: affine couplings between the colours of a checkerboard behind them, at each scale, for what depends on
            neighbours in the same plane.
        filters, blocks: of the networks, masked ``ChannelMADE`` and, for checkerboards, ``ResNet``.
        squash: networks read 5·tanh(x/5), see ``squashed``.
        line: the share of a straight line in a mixture's map, see ``MixtureCDF``, below which dz/dx does not fall. With it z is no longer
            a mixture's own logit.

    Sampling takes 4C steps for each autoregression, together about the work of one pass. Raises ShapeError for sizes that cannot be
    halved so often, InputError for an unknown ``elementwise``, fewer filters than 4C − 1, or numbers below those that make a layer.

    Source: CS294-158, homework 2 (autoregressive flows over channels); Ho et al. 2019 (Flow++, arXiv:1902.00275), the mixture CDF; Dinh et
    al. 2016 (RealNVP, arXiv:1605.08803), squeezes and scales; the order from coarse to fine as in Reed et al. 2017 (parallel multiscale
    density estimation, arXiv:1703.03664). Differs: a quarter of the pixels goes on, not half of the numbers.

    >>> import torch
    >>> flow = channel_autoregressive((3, 8, 8), filters=12, blocks=1)
    >>> flow.log_prob(torch.zeros(5, 3, 8, 8)).shape, flow.sample(2).shape
    (torch.Size([5]), torch.Size([2, 3, 8, 8]))
    """
    shape = picture_shape(event_shape)
    check_scales(shape, scales)
    if elementwise not in ("mixture", "affine"):
        raise InputError(f"elementwise: expected 'mixture' or 'affine', got {elementwise!r}")
    if depth < 1 or checkerboards < 0:
        raise InputError(f"depth, checkerboards: expected at least 1 and 0, got {depth} and {checkerboards}")
    planes, mixture = 4 * shape[0], elementwise == "mixture"
    moves: Elementwise = ShiftFirst()
    if mixture:
        moves = MixtureCDF(components, "logistic", spread=logistic_spread(components, 1.0), line=line)

    # Squeeze puts the four pixels of a block side by side in each channel. The first, which goes on, is known first; then the one
    # across from it, whose four neighbours it is; then the two between them, all of whose neighbours are known.
    order = [4 * channel + pixel for pixel in (0, 3, 1, 2) for channel in range(shape[0])]

    def autoregression(layer: int) -> list[Transform]:
        net = ChannelMADE(
            planes,
            moves.num_params,
            filters=filters,
            blocks=blocks,
            order=order[::-1] if layer % 2 else order,
            bounded=not mixture,
            squash=squash,
        )
        return [ActNorm((planes, 1, 1)), Autoregressive(moves, net)]

    def coupling(layer: int) -> list[Transform]:
        net = ResNet(shape[0], (shape[0], 2), filters=filters, blocks=blocks, bounded=True, squash=squash)
        return [Coupling(Checkerboard(layer % 2 == 1), ShiftFirst(), net)]

    def scale(left: int) -> Chain:
        """What happens to pictures from here to the last scale; of the shape that came in."""
        parts: list[Transform] = [Squeeze()]
        for layer in range(depth):
            parts += autoregression(layer)
        parts.append(Inverse(Squeeze()))
        for layer in range(checkerboards):
            parts += coupling(layer)
        if left > 1:
            parts.append(FactorOut(Subgrid(), scale(left - 1)))
        return Chain(parts)

    base: Base = Logistic(shape) if mixture else Normal(shape)
    return Flow(base, scale(scales))
