"""CS294-158 homework 2, part 2: the same RealNVP with partitions that are bad on purpose.

    bijectory train celeba32_bad_mask mask=top_bottom
    bijectory report runs/celeba32_realnvp runs/celeba32_bad_mask

Every partition is replaced by halves of the picture, whose pixels have most of their neighbours on their own side: what a partition is
for, seen in samples and in bits.
"""

from __future__ import annotations

from typing import Literal

from ..experiments.recipe import Expect, Recipe
from ..transforms.reversible import Memory
from .celeba32_realnvp import faces

EXPECT = Expect(
    metric="bits_per_dim",
    value=1.0045,
    tolerance=0.1,
    source=(
        "CS294-158 2020, official solution of homework 2, question 3b: 0.6963 nats/dim with upper and lower halves as the mask, on the "
        "course's own file of faces, which is another than this one"
    ),
    hardware="two CPU cores (preset=cpu)",
    minutes=23,
    measured=(
        "0.7257 ± 0.0012 bits/dim, one draw; 0.0480 ± 0.0003 above celeba32_realnvp, paired (bijectory train "
        "celeba32_bad_mask steps=11000, and the same of celeba32_realnvp, on the stand-in file of faces; one thread, 45 minutes "
        "beside other work)"
    ),
)


def celeba32_bad_mask(
    *,
    mask: Literal["top_bottom", "left_right", "block"] = "top_bottom",
    preset: Literal["cpu", "gpu"] = "cpu",
    form: Literal["2019", "2020"] = "2019",
    filters: int | None = None,
    blocks: int | None = None,
    couplings: tuple[int, ...] | None = None,
    actnorm: bool = True,
    gain: float = 0.0,
    alpha: float = 0.05,
    memory: Memory = "plain",
    steps: int | None = None,
    batch: int | None = None,
    rate: float | None = None,
    decay: float | None = None,
    weight_decay: float = 0.0,
    flips: bool = True,
    smoke: bool = False,
) -> Recipe:
    """RealNVP on 2-bit faces with one bad partition in place of all others.

    mask: top_bottom, left_right, or block (the lower right quarter and the rest)
    preset: cpu or gpu, as in celeba32_realnvp; a knob left at none takes its value from here
    form: the stages and filters of the homework of 2019 or of 2020
    filters: channels inside the residual networks
    blocks: residual blocks of each network
    couplings: how many in each stage of the form
    actnorm: a scale and a shift per channel after each coupling
    gain: deviation of the networks' outputs at the start; 0 starts every coupling at the identity
    alpha: margin of the logit
    memory: plain, or rebuild, which recomputes activations while it goes backwards
    steps: updates
    batch: pictures an update
    rate: Adam's learning rate at its highest, reached after 200 updates
    decay: the last part of training in which the rate falls to 0 as half a cosine
    weight_decay: AdamW's
    flips: mirror half of the training pictures
    smoke: a run of seconds on generated pictures, to see that everything works
    """
    return faces(
        mask,
        preset,
        form,
        filters,
        blocks,
        couplings,
        actnorm,
        gain,
        alpha,
        memory,
        steps,
        batch,
        rate,
        decay,
        weight_decay,
        flips,
        smoke,
        EXPECT,
    )
