"""What recipes of Glow share: the sizes of its presets, and a smoke run of seconds."""

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
    size: Size,
    *,
    shape: Sequence[int],
    levels: int,
    alpha: float,
    coupling: Literal["affine", "additive", "mixture"],
    mixing: Literal["lu", "plain"],
    multiscale: bool,
    bound: float | None = None,
    memory: Memory,
    flips: bool = False,
    elsewhere: bool = False,
    expect: Expect | None,
    smoke: bool,
) -> Recipe:
    """Glow of that size behind dequantisation; ``bound`` is that of ``glow``."""
    depth, hidden = (1, 4) if smoke else (size.depth, size.hidden)
    return picture_recipe(
        data,
        lambda schema: glow(
            schema.event_shape,
            scales=size.scales,
            depth=depth,
            hidden=hidden,
            blocks=size.blocks,
            coupling=coupling,
            mixing=mixing,
            multiscale=multiscale,
            bound=bound,
        ),
        shape=shape,
        levels=levels,
        training=size.training,
        alpha=alpha,
        flips=flips,
        elsewhere=elsewhere,
        memory=memory,
        expect=expect,
        smoke=smoke,
    )


def chosen(
    preset: Size,
    *,
    scales: int | None = None,
    depth: int | None = None,
    hidden: int | None = None,
    blocks: int | None = None,
    steps: int | None = None,
    batch: int | None = None,
    rate: float | None = None,
    weight_decay: float = 0.0,
) -> Size:
    """The preset with what the person chose in its place."""
    training = preset.training
    return Size(
        preset.scales if scales is None else scales,
        preset.depth if depth is None else depth,
        preset.hidden if hidden is None else hidden,
        preset.blocks if blocks is None else blocks,
        training._replace(
            steps=training.steps if steps is None else steps,
            batch=training.batch if batch is None else batch,
            rate=training.rate if rate is None else rate,
            weight_decay=weight_decay,
        ),
    )
