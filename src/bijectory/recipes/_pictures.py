"""What recipes for pictures share: integers behind a flow, a bound to maximise, and what is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..data.generated import generated_pictures
from ..data.splits import Schema, Splits
from ..evaluation.elsewhere import Elsewhere
from ..evaluation.images import ImagePictures
from ..evaluation.pictures import Pictures
from ..experiments.recipe import Expect, Recipe
from ..models.flow import Flow
from ..models.quantised import Quantised
from ..training.fit import Budget
from ..training.objectives.bound import maximum_bound
from ..training.schedule import warmup_cosine
from ..transforms.reversible import Memory, set_memory


class Training(NamedTuple):
    """How long a recipe for pictures trains, and how fast it learns."""

    steps: int
    batch: int
    rate: float
    warmup: int
    decay: float
    average: float | None = 0.999
    weight_decay: float = 0.0


def picture_recipe(
    data: Callable[[Path | None, int], Splits],
    flow: Callable[[Schema], Flow],
    *,
    shape: Sequence[int],
    levels: int,
    training: Training,
    alpha: float | None,
    flips: bool = False,
    elsewhere: bool = False,
    memory: Memory = "plain",
    look_rows: int = 500,
    looks: int = 24,
    draws: int = 4,
    save_every: int = 500,
    expect: Expect | None,
    smoke: bool,
) -> Recipe:
    """A dequantised flow over pictures. With ``smoke``, twenty steps on generated pictures of the same ``shape`` and ``levels``.

    ``elsewhere`` has the finished model score pictures of other sets too, those that the data name; ``memory`` is what its chains keep for
    the backward pass, see ``set_memory``.
    """
    steps, batch = (20, 16) if smoke else (training.steps, training.batch)

    def read(folder: Path | None, seed: int) -> Splits:
        return generated_pictures(shape, levels, 60, seed) if smoke else data(folder, seed)

    def model(schema: Schema) -> Quantised:
        made = Quantised(flow(schema), schema.levels or levels, alpha=alpha)
        set_memory(made, memory)
        return made

    def looking(model: Quantised, splits: Splits) -> list[Pictures]:
        every = max(1, steps // (4 if smoke else 48))
        others = [Elsewhere(model, splits, every, small=smoke)] if elsewhere else []
        return [ImagePictures(model, splits, every, flips=flips, small=smoke), *others]

    return Recipe(
        data=read,
        model=model,
        objective=lambda model: maximum_bound(
            model,
            rate=training.rate,
            schedule=warmup_cosine(steps, warmup=min(training.warmup, steps // 10), decay=training.decay),
            clip=1.0,
            average=training.average,
            weight_decay=training.weight_decay,
        ),
        budget=Budget(steps=steps, batch=batch, log_every=20, save_every=save_every),
        evaluators=looking,
        expect=expect,
        looks=2 if smoke else looks,
        flips=flips,
        initial_rows=128,
        look_rows=look_rows,
        networks="bfloat16",
        judged_in="float32",
        draws=draws,
        threads=1 if smoke else None,
    )
