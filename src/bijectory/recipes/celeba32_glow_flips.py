"""CS294-158 homework 2, part 2, bonus: Glow's 1×1 convolutions in the homework's RealNVP, checkerboards and swapped halves kept.

    bijectory train celeba32_glow_flips preset=cpu
    bijectory report runs/celeba32_glow runs/celeba32_glow_flips runs/celeba32_realnvp

The other side of the homework's question, for which celeba32_glow leaves both out.
"""

from __future__ import annotations

from typing import Literal

from ..experiments.recipe import Expect, Recipe
from ..transforms.reversible import Memory
from .celeba32_realnvp import faces

EXPECT = Expect(
    metric="bits_per_dim",
    value=0.5797,
    tolerance=0.05,
    source=(
        "a student's Glow without factoring out for CS294-158 2019, homework 2, question 2 (github.com/ikrets, tfevents): 0.5797 after "
        "19,000 steps on the course's own file of faces, which is another than this one"
    ),
    hardware="two CPU cores (preset=cpu)",
    minutes=20,
    measured=(
        "0.6831 ± 0.0011 bits/dim, one draw; 0.6711 ± 0.0011 with four; validation 0.6879 ± 0.0034 (bijectory train celeba32_glow_flips "
        "preset=cpu, on the stand-in file of faces; one thread beside other work, 22 minutes)"
    ),
)


def celeba32_glow_flips(
    *,
    preset: Literal["cpu", "gpu"] = "cpu",
    mixing: Literal["lu", "plain"] = "lu",
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
    """RealNVP on 2-bit faces with an invertible 1×1 convolution behind each coupling.

    preset: cpu or gpu, the sizes of celeba32_realnvp; a knob left at none takes its value from here
    mixing: of the 1×1 convolutions, lu or plain
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
    if preset == "cpu":
        # The minutes and the rate of celeba32_glow, beside which this run is set.
        steps, rate = 6_900 if steps is None else steps, 8e-3 if rate is None else rate
    return faces(
        "good",
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
        mixing,
    )
