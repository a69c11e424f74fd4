"""RealNVP on MNIST: checkerboard and channel couplings with residual networks.

bijectory train mnist_realnvp preset=cpu
"""

from __future__ import annotations

from typing import Literal

from ..data.mnist import mnist_splits
from ..experiments.recipe import Expect, Recipe
from ..models.flows.realnvp_image import realnvp_image
from ..transforms.reversible import Memory
from ._pictures import Training, picture_recipe

#: What a preset chooses where a knob is none: filters, blocks, and how it trains.
PRESETS: dict[str, tuple[int, int, Training]] = {
    "cpu": (32, 1, Training(steps=4000, batch=32, rate=2e-3, warmup=200, decay=1.0)),
    "gpu": (128, 4, Training(steps=40_000, batch=128, rate=1e-3, warmup=500, decay=1.0)),
}


def mnist_realnvp(
    *,
    preset: Literal["cpu", "gpu"] = "cpu",
    filters: int | None = None,
    blocks: int | None = None,
    couplings: tuple[int, ...] = (3, 3, 3),
    alpha: float = 1e-3,
    memory: Memory = "plain",
    steps: int | None = None,
    batch: int | None = None,
    rate: float | None = None,
    weight_decay: float = 0.0,
    smoke: bool = False,
) -> Recipe:
    """RealNVP on MNIST's 28×28 digits of 256 levels.

    preset: cpu (20 minutes on two cores) or gpu; a knob left at none takes its value from here
    filters: channels inside the residual networks
    blocks: residual blocks of each network
    couplings: how many between checkerboard colours, channels, and checkerboard colours again
    alpha: margin of the logit
    memory: plain, or rebuild, which recomputes activations while it goes backwards
    steps: updates
    batch: pictures an update
    rate: Adam's learning rate at its highest
    weight_decay: AdamW's
    smoke: a run of seconds on generated pictures, to see that everything works
    """
    wide, deep, training = PRESETS[preset]
    kinds = ("checkerboard", "channel", "checkerboard")
    training = training._replace(
        steps=training.steps if steps is None else steps,
        batch=training.batch if batch is None else batch,
        rate=training.rate if rate is None else rate,
        weight_decay=weight_decay,
    )
    return picture_recipe(
        mnist_splits,
        lambda schema: realnvp_image(
            schema.event_shape,
            filters=4 if smoke else wide if filters is None else filters,
            blocks=deep if blocks is None else blocks,
            stages=tuple(zip(kinds, (1, 1, 1) if smoke else couplings, strict=True)),
        ),
        shape=(1, 28, 28),
        levels=256,
        training=training,
        alpha=alpha,
        memory=memory,
        look_rows=500,
        expect=Expect(
            metric="bits_per_dim",
            value=1.06,
            tolerance=0.05,
            source="RealNVP on MNIST as listed by Kobyzev, Prince & Brubaker 2020 (arXiv:1908.09257, table 5), multi-scale",
            hardware="one accelerator (preset=gpu)",
            minutes=20,
            measured="not measured",
        ),
        smoke=smoke,
    )
