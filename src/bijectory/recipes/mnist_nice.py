"""NICE on MNIST, section 5 of the paper: dequantised digits, four additive couplings, a logistic prior.

    bijectory train mnist_nice preset=cpu

``preset=gpu`` has the paper's five hidden layers of 1,000 units; ``preset=cpu`` is made for twenty minutes on two cores.
"""

from __future__ import annotations

from typing import Literal

from ..data.mnist import mnist_splits
from ..experiments.recipe import Expect, Recipe
from ..models.flows.nice_image import nice_image
from ..transforms.reversible import Memory
from ._pictures import Training, picture_recipe

#: What a preset chooses where a knob is none: widths, and how it trains.
PRESETS: dict[str, tuple[tuple[int, ...], Training]] = {
    "cpu": ((1000, 1000), Training(steps=8000, batch=200, rate=2e-3, warmup=200, decay=1.0)),
    "gpu": ((1000,) * 5, Training(steps=100_000, batch=200, rate=1e-3, warmup=200, decay=0.5)),
}


def mnist_nice(
    *,
    preset: Literal["cpu", "gpu"] = "cpu",
    depth: int = 4,
    hidden: tuple[int, ...] | None = None,
    memory: Memory = "plain",
    steps: int | None = None,
    batch: int | None = None,
    rate: float | None = None,
    weight_decay: float = 0.1,
    smoke: bool = False,
) -> Recipe:
    """NICE on MNIST's 28×28 digits of 256 levels.

    preset: cpu (20 minutes on two cores) or gpu (the paper's network); a knob left at none takes its value from here
    depth: additive couplings
    hidden: widths of each coupling's network
    memory: plain, or rebuild, which recomputes activations while it goes backwards
    steps: updates
    batch: pictures an update
    rate: Adam's learning rate at its highest
    weight_decay: AdamW's
    smoke: a run of seconds on generated pictures, to see that everything works
    """
    widths, training = PRESETS[preset]
    training = training._replace(
        steps=training.steps if steps is None else steps,
        batch=training.batch if batch is None else batch,
        rate=training.rate if rate is None else rate,
        weight_decay=weight_decay,
    )
    return picture_recipe(
        mnist_splits,
        lambda schema: nice_image(
            schema.event_shape,
            depth=depth,
            hidden=(16,) if smoke else widths if hidden is None else hidden,
            standardise=True,
        ),
        shape=(1, 28, 28),
        levels=256,
        training=training,
        alpha=None,
        memory=memory,
        look_rows=5000,
        expect=Expect(
            metric="bits_per_dim",
            value=4.36,
            tolerance=0.1,
            source=(
                "Dinh, Krueger & Bengio 2014 (NICE, arXiv:1410.8516): 1980.50 nats on pixels in [0, 1], which is 8 − 1980.50/(784 log 2) = "
                "4.36 bits/dim; 50,000 training digits, one draw of noise"
            ),
            hardware="two CPU cores (preset=cpu)",
            minutes=20,
            measured=(
                "4.2077 ± 0.0106 bits/dim, one draw; 4.1877 ± 0.0106 with four; 32 epochs of 50,000 digits, two hidden layers of 1,000, "
                "standardised pixels, weight decay 0.1 (bijectory train mnist_nice preset=cpu, 17.8 minutes on one thread)"
            ),
        ),
        smoke=smoke,
    )
