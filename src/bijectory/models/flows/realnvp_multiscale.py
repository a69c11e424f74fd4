"""RealNVP as its paper has it: half of the numbers factored out at every scale."""

from __future__ import annotations

from collections.abc import Sequence

from ...distributions.base import Normal
from ...errors import InputError
from ...nets.resnet import ResNet
from ...transforms.base import Chain, Inverse, Transform
from ...transforms.coupling import Coupling
from ...transforms.elementwise import ShiftFirst
from ...transforms.factor_out import FactorOut
from ...transforms.normalise import ActNorm
from ...transforms.partitions import ChannelHalves, Checkerboard, PicturePartition
from ...transforms.reshape import Squeeze
from ..flow import Flow
from .shapes import check_scales, picture_shape


def realnvp_multiscale(
    event_shape: Sequence[int],
    *,
    scales: int = 3,
    filters: int = 64,
    blocks: int = 8,
    checkerboards: int = 3,
    channels: int = 3,
    last: int = 4,
    squash: bool = True,
) -> Flow:
    """Multi-scale RealNVP over pictures (C, H, W) of real numbers, with a standard normal base.

        scale:  checkerboard couplings; squeeze; channel couplings; half of the channels are latents, the rest goes to the next scale

    The last scale has ``last`` checkerboard couplings and nothing else. All latents keep the picture's shape; the maps and networks are
    those of ``realnvp_image``, with twice the filters at each further scale. Wrap it for integers in ``Quantised``.

    Args:
        event_shape: (channels, height, width), height and width divisible by 2 once a scale.
        scales: how many, the last among them; 3 for 32×32 in the paper.
        filters: of the first scale's residual networks.
        blocks: residual blocks of each network.
        checkerboards, channels: couplings of each kind at every scale but the last.
        last: checkerboard couplings of the last scale.
        squash: networks read 5·tanh(y/5), see ``squashed``.

    Raises ShapeError for sizes that cannot be halved so often, InputError for numbers below 1.
    Source: Dinh et al. 2016 (arXiv:1605.08803), section 3.6 and appendix. Differs: ActNorm where the paper has batch normalisation;
    half of the squeezed channels are factored out as they stand, without the paper's reordering of them.

    >>> import torch
    >>> realnvp_multiscale((3, 8, 8), scales=2, filters=4, blocks=1).log_prob(torch.zeros(5, 3, 8, 8)).shape
    torch.Size([5])
    """
    shape = picture_shape(event_shape)
    check_scales(shape, scales)
    if min(filters, checkerboards, channels, last) < 1 or blocks < 0:
        raise InputError(
            "filters, checkerboards, channels, last, blocks: expected at least 1, 1, 1, 1 and 0, got "
            f"{filters}, {checkerboards}, {channels}, {last} and {blocks}"
        )

    def couple(part: PicturePartition, total: int, width: int) -> list[Transform]:
        staying, moving = part.channels(total)
        net = ResNet(staying, (moving, 2), filters=width, blocks=blocks, bounded=True, squash=squash)
        return [Coupling(part, ShiftFirst(), net), ActNorm((total, 1, 1))]

    def scale(total: int, width: int, left: int) -> Chain:
        """What happens to pictures with so many channels from here to the last scale; of the shape that came in."""
        parts: list[Transform] = []
        for layer in range(checkerboards if left > 1 else last):
            parts += couple(Checkerboard(layer % 2 == 1), total, width)
        if left == 1:
            return Chain(parts)
        parts.append(Squeeze())
        for layer in range(channels):
            parts += couple(ChannelHalves(4 * total, layer % 2 == 1), 4 * total, width)
        half = ChannelHalves(4 * total)
        parts.append(FactorOut(half, scale(half.channels(4 * total)[1], 2 * width, left - 1)))
        return Chain([*parts, Inverse(Squeeze())])

    return Flow(Normal(shape), scale(shape[0], filters, scales))
