"""RealNVP over pictures, in the forms of the Berkeley course."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from ...distributions.base import Normal
from ...errors import InputError
from ...nets.resnet import ResNet
from ...transforms.base import Chain, Inverse, Transform
from ...transforms.convolution import Conv1x1, Mixing
from ...transforms.coupling import Coupling
from ...transforms.elementwise import Affine, Elementwise, ShiftFirst
from ...transforms.normalise import ActNorm
from ...transforms.partitions import Block, ChannelHalves, Checkerboard, LeftRight, PicturePartition, TopBottom
from ...transforms.reshape import Squeeze
from ..flow import Flow
from .shapes import check_stages, picture_shape

#: A kind of stage and how many couplings it has; "channel" squeezes its pictures first.
Stage = tuple[str, int]


class Form(NamedTuple):
    """What a form of the course fixes: its filters, its stages, and whether a squeeze is undone at the end of its stage."""

    filters: int
    stages: tuple[Stage, ...]
    unsqueeze: bool


FORMS = {
    "2019": Form(
        256,
        (("checkerboard", 4), ("channel", 3), ("checkerboard", 3), ("channel", 3), ("checkerboard", 3)),
        unsqueeze=False,
    ),
    "2020": Form(128, (("checkerboard", 4), ("channel", 3), ("checkerboard", 3)), unsqueeze=True),
}

BAD: dict[str, type[TopBottom] | type[LeftRight] | type[Block]] = {
    "top_bottom": TopBottom,
    "left_right": LeftRight,
    "block": Block,
}


def realnvp_image(
    event_shape: Sequence[int],
    *,
    form: Literal["2019", "2020"] = "2019",
    filters: int | None = None,
    blocks: int = 8,
    stages: Sequence[Stage] | None = None,
    partition: Literal["good", "top_bottom", "left_right", "block"] = "good",
    scale: float | None = None,
    actnorm: bool = True,
    mixing: Mixing | None = None,
    weight_norm: bool = True,
    gain: float = 0.0,
    squash: bool = True,
) -> Flow:
    """Affine couplings over pictures (C, H, W) of real numbers, by residual networks, with a standard normal base.

        z_B = (y_B + t(y_A)) · exp(s(y_A)),   s = α · tanh(a(y_A)) + β with α and β learned per channel

    Wrap it for integers: ``Quantised(realnvp_image((3, 32, 32)), levels=4)``. Latents have the picture's shape: squeezes are undone
    at the end. Any other even size, such as a crop, passes through the same maps.

    Args:
        event_shape: (channels, height, width), height and width divisible by 2 at each stage.
        form: which homework's stages and filters. "2019": checkerboard, 4 couplings; squeeze, channels, 3; checkerboard, 3; squeeze,
            channels, 3; checkerboard, 3, with 256 filters; for 3×32×32 94 million parameters and 20.3 GMAC a picture.
            "2020": checkerboard, 4; squeeze, channels, 3, unsqueeze; checkerboard, 3, with 128 filters; 14.55 million.
        filters, stages: in place of the form's; a stage is ("checkerboard" or "channel", couplings).
        blocks: residual blocks of each network.
        partition: "good", or the same bad one in place of every other, to see what partitions are for.
        scale: None for the learned bound above; a number for |s| ≤ scale, z_B = y_B · exp(s) + t, see ``Affine``. With ``mixing`` it is
            3/√couplings where it is None: every convolution mixes what couplings before it stretched, and with the learned bound a float32
            round trip 100 times further out than the faces lost all but three digits (1.5e-3).
        actnorm: a scale and a shift per channel after each coupling, at first from data.
        mixing: of an invertible 1×1 convolution behind each coupling of two channels or more, see ``Conv1x1``; None for none, as in the
            homework. Partitions then still swap: the homework's question is what is lost where they do not, see ``glow``.
        weight_norm: of every convolution.
        gain: the deviation at which ``initialise`` starts the networks' outputs; 0 starts every coupling at the identity.
        squash: networks read 5·tanh(y/5), so that pictures far from the data meet nothing new, see ``squashed``.

    The parts of a partition swap after each coupling. Raises ShapeError for sizes that cannot be halved as often as the stages ask,
    InputError for an unknown form, stage or partition.

    Source: Dinh et al. 2016 (RealNVP, arXiv:1605.08803); UC Berkeley CS294-158, homework 2 of 2019 and of 2020. Differs: as in the
    homework, every number passes all stages, where the paper factors half of them out, and there is no batch normalisation. With
    ``actnorm=False, squash=False`` the form of 2019 is the homework's; that of 2020 has ActNorm (Glow) and works on half-width
    checkerboards here (6.3 GMAC), on masked pictures there (11.5 GMAC).

    >>> import torch
    >>> realnvp_image((3, 8, 8), filters=4, blocks=1).log_prob(torch.zeros(5, 3, 8, 8)).shape
    torch.Size([5])
    """
    shape = picture_shape(event_shape)
    if form not in FORMS:
        raise InputError(f"form: expected one of {', '.join(FORMS)}, got {form!r}")
    if partition != "good" and partition not in BAD:
        raise InputError(f"partition: expected one of good, {', '.join(BAD)}, got {partition!r}")
    chosen = FORMS[form]
    stages = chosen.stages if stages is None else stages
    check_stages(shape, stages, unsqueeze=chosen.unsqueeze, spatial=partition != "good")
    if mixing is not None and scale is None:
        scale = 3 / math.sqrt(sum(couplings for _, couplings in stages))
    elementwise: Elementwise = ShiftFirst() if scale is None else Affine(scale)
    transforms: list[Transform] = []
    channels, squeezes = shape[0], 0
    for kind, couplings in stages:
        if kind == "channel":
            transforms.append(Squeeze())
            channels, squeezes = 4 * channels, squeezes + 1
        for layer in range(couplings):
            part = _partition(partition, kind, channels, flip=layer % 2 == 1)
            staying, moving = part.channels(channels)
            net = ResNet(
                staying,
                (moving, elementwise.num_params),
                filters=chosen.filters if filters is None else filters,
                blocks=blocks,
                weight_norm=weight_norm,
                gain=gain,
                bounded=scale is None,
                squash=squash,
            )
            transforms.append(Coupling(part, elementwise, net))
            if actnorm:
                transforms.append(ActNorm((channels, 1, 1)))
            if mixing is not None and channels > 1:
                transforms.append(Conv1x1(channels, mixing=mixing))
        if kind == "channel" and chosen.unsqueeze:
            transforms.append(Inverse(Squeeze()))
            channels, squeezes = channels // 4, squeezes - 1
    transforms += [Inverse(Squeeze()) for _ in range(squeezes)]
    return Flow(Normal(shape), Chain(transforms))


def _partition(name: str, kind: str, channels: int, *, flip: bool) -> PicturePartition:
    if name != "good":
        return BAD[name](flip)
    return Checkerboard(flip) if kind == "checkerboard" else ChannelHalves(channels, flip)
