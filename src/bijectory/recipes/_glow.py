"""What recipes of Glow share: how a preset and the knobs become a recipe, and the whole recipe of pictures as large as MNIST's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from ..data.splits import Splits
from ..experiments.recipe import Expect, Recipe
from ..models.flows.glow import glow
from ..transforms.reversible import Memory
from ._pictures import Training, picture_recipe


class Size(NamedTuple):
    """How large a Glow is, and how it trains."""

    scales: int
    depth: int
    hidden: int
    blocks: int
    training: Training


def glow_recipe(
    data: Callable[[Path | None, int], Splits],
    preset: Size,
    *,
    shape: Sequence[int],
    levels: int,
    scales: int | None = None,
    depth: int | None = None,
    hidden: int | None = None,
    blocks: int | None = None,
    coupling: Literal["affine", "additive", "mixture"],
    mixing: Literal["lu", "plain"],
    multiscale: bool,
    alpha: float,
    bound: float | None = None,
    memory: Memory,
    steps: int | None = None,
    batch: int | None = None,
    rate: float | None = None,
    weight_decay: float | None = None,
    flips: bool = False,
    elsewhere: bool = False,
    expect: Expect | None,
    smoke: bool,
) -> Recipe:
    """Glow behind dequantisation: the preset, with what the person chose in its place; ``bound`` is that of ``glow``."""
    training = preset.training
    deep, wide = (
        (1, 4) if smoke else (preset.depth if depth is None else depth, preset.hidden if hidden is None else hidden)
    )
    return picture_recipe(
        data,
        lambda schema: glow(
            schema.event_shape,
            scales=preset.scales if scales is None else scales,
            depth=deep,
            hidden=wide,
            blocks=preset.blocks if blocks is None else blocks,
            coupling=coupling,
            components=2 if smoke else 8,
            mixing=mixing,
            multiscale=multiscale,
            bound=bound,
        ),
        shape=shape,
        levels=levels,
        training=training._replace(
            steps=training.steps if steps is None else steps,
            # Who names updates wants them all.
            seconds=training.seconds if steps is None else None,
            batch=training.batch if batch is None else batch,
            rate=training.rate if rate is None else rate,
            weight_decay=training.weight_decay if weight_decay is None else weight_decay,
        ),
        alpha=alpha,
        flips=flips,
        elsewhere=elsewhere,
        memory=memory,
        expect=expect,
        smoke=smoke,
    )


#: What a preset of MNIST's size chooses where a knob is none: scales, steps of flow, filters, residual blocks, and how it trains.
MNIST_PRESETS = {
    "cpu": Size(2, 8, 64, 0, Training(steps=2_500, batch=32, rate=4e-3, warmup=200, decay=1.0)),
    "gpu": Size(2, 32, 256, 0, Training(steps=20_000, batch=128, rate=1e-3, warmup=500, decay=1.0, seconds=480)),
}


def mnist_sized(name: str, data: Callable[[Path | None, int], Splits], expect: Expect) -> Callable[..., Recipe]:
    """The recipe of that name for 28×28 pictures of 256 levels, which then scores the pictures of other sets too."""

    def recipe(
        *,
        preset: Literal["cpu", "gpu"] = "cpu",
        scales: int | None = None,
        depth: int | None = None,
        hidden: int | None = None,
        blocks: int | None = None,
        coupling: Literal["affine", "additive", "mixture"] = "affine",
        mixing: Literal["lu", "plain"] = "lu",
        multiscale: bool = True,
        alpha: float = 1e-3,
        memory: Memory = "plain",
        steps: int | None = None,
        batch: int | None = None,
        rate: float | None = None,
        weight_decay: float = 0.0,
        smoke: bool = False,
    ) -> Recipe:
        """Glow on 28×28 pictures of 256 levels.

        preset: cpu or gpu; a knob left at none takes its value from here
        scales: squeezes, each of which halves height and width
        depth: steps of flow at each scale
        hidden: filters of each coupling's network
        blocks: 0 for Glow's network of three convolutions, else the residual blocks of the homework's
        coupling: affine; additive; or mixture, Flow++'s in Glow's place
        mixing: of the 1×1 convolutions, lu or plain
        multiscale: factor half of the channels out behind every scale but the last
        alpha: margin of the logit
        memory: plain, or rebuild, which recomputes activations while it goes backwards
        steps: updates; left at none, preset=gpu ends after 20,000 or 8 minutes, whichever comes first
        batch: pictures an update
        rate: Adam's learning rate at its highest
        weight_decay: AdamW's
        smoke: a run of seconds on generated pictures, to see that everything works
        """
        return glow_recipe(
            data,
            MNIST_PRESETS[preset],
            shape=(1, 28, 28),
            levels=256,
            scales=scales,
            depth=depth,
            hidden=hidden,
            blocks=blocks,
            coupling=coupling,
            mixing=mixing,
            multiscale=multiscale,
            alpha=alpha,
            # Half of what 16 steps get by default: of MNIST's black corners and its strokes a float32 round trip 100 times further out than
            # the data kept two digits and a half (1.8e-3).
            bound=0.5,
            memory=memory,
            steps=steps,
            batch=batch,
            rate=rate,
            weight_decay=weight_decay,
            elsewhere=True,
            expect=expect,
            smoke=smoke,
        )

    # As if it were written in the file of that name: messages about its knobs name it, and what that file says of it is shown.
    recipe.__name__, recipe.__module__ = name, f"{__package__}.{name}"
    return recipe
