"""CS294-158 homework 2, part 2: RealNVP on 2-bit 32×32 faces.

    bijectory train celeba32_realnvp preset=cpu

The homework's couplings, splits and residual networks; ``preset=cpu`` makes them narrow enough for 23 minutes on two cores,
``preset=gpu`` is the reference of 94 million parameters. The page shows the homework's deliverables.
"""

from __future__ import annotations

from typing import Literal

from ..data.images import celeba32_splits
from ..errors import InputError
from ..experiments.recipe import Expect, Recipe
from ..models.flows.realnvp_image import FORMS, realnvp_image
from ..transforms.reversible import Memory
from ._pictures import Training, picture_recipe

#: What a preset chooses where a knob is none: filters, blocks, couplings of each stage, and how it trains.
PRESETS: dict[str, tuple[int, int, tuple[int, ...], Training]] = {
    "cpu": (32, 2, (4, 3, 3, 3, 3), Training(steps=8_600, batch=16, rate=3e-3, warmup=200, decay=1.0)),
    "gpu": (256, 8, (4, 3, 3, 3, 3), Training(steps=20_000, batch=64, rate=5e-4, warmup=200, decay=0.0)),
}

EXPECT = Expect(
    metric="bits_per_dim",
    value=0.5865,
    tolerance=0.05,
    source=(
        "CS294-158 2020, official solution of homework 2, question 3a: 0.4065 nats/dim after 100 epochs (14.55 M parameters), on the "
        "course's own file of faces, which is another than this one; the homework of 2019 names 0.58 after two hours"
    ),
    hardware="two CPU cores (preset=cpu)",
    minutes=23,
    measured=(
        "0.6891 ± 0.0011 bits/dim, one draw; 0.6764 ± 0.0011 with four; validation 0.6938 ± 0.0033 (bijectory train celeba32_realnvp "
        "preset=cpu, on the stand-in file of faces; the last 3,600 steps, alone on two cores, at 0.160 s each: 23 minutes for all; after "
        "7,518, which is 20 minutes, validation on 500 faces 0.698 ± 0.005). With steps=11000: 0.6778 ± 0.0011"
    ),
)


def celeba32_realnvp(
    *,
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
    """RealNVP with checkerboard and channel couplings on 2-bit faces.

    preset: cpu (narrow, 23 minutes on two cores) or gpu (the reference); a knob left at none takes its value from here
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
    )


def faces(
    partition: Literal["good", "top_bottom", "left_right", "block"],
    preset: Literal["cpu", "gpu"],
    form: Literal["2019", "2020"],
    filters: int | None,
    blocks: int | None,
    couplings: tuple[int, ...] | None,
    actnorm: bool,
    gain: float,
    alpha: float,
    memory: Memory,
    steps: int | None,
    batch: int | None,
    rate: float | None,
    decay: float | None,
    weight_decay: float,
    flips: bool,
    smoke: bool,
    expect: Expect,
    mixing: Literal["lu", "plain"] | None = None,
) -> Recipe:
    """The recipe with one partition or another, and with 1×1 convolutions or without."""
    wide, deep, usual, training = PRESETS[preset]
    kinds = [kind for kind, _ in FORMS[form].stages]
    if form == "2020":
        wide, usual = (wide if preset == "cpu" else FORMS[form].filters), tuple(n for _, n in FORMS[form].stages)
    counts = usual if couplings is None else couplings
    if len(counts) != len(kinds):
        raise InputError(f"couplings: expected {len(kinds)} numbers, one for each stage of form {form}, got {counts}")
    training = training._replace(
        steps=training.steps if steps is None else steps,
        batch=training.batch if batch is None else batch,
        rate=training.rate if rate is None else rate,
        decay=training.decay if decay is None else decay,
        weight_decay=weight_decay,
    )
    if smoke:
        filters, blocks, counts = 4, 1, (1,) * len(kinds)
    return picture_recipe(
        celeba32_splits,
        lambda schema: realnvp_image(
            schema.event_shape,
            form=form,
            filters=wide if filters is None else filters,
            blocks=deep if blocks is None else blocks,
            stages=tuple(zip(kinds, counts, strict=True)),
            partition=partition,
            mixing=mixing,
            actnorm=actnorm,
            gain=gain,
        ),
        shape=(3, 32, 32),
        levels=4,
        training=training,
        alpha=alpha,
        flips=flips,
        memory=memory,
        expect=expect,
        smoke=smoke,
    )
