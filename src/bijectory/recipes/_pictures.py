"""What recipes for pictures share: integers behind a flow, a bound to maximise, and what is looked at."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

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
from ..transforms.base import Transform
from ..transforms.reversible import Memory, set_memory


class Training(NamedTuple):
    """How long a recipe for pictures trains, and how fast it learns; ``seconds`` only caps, and the rate does not fall faster for it."""

    steps: int
    batch: int
    rate: float
    warmup: int
    decay: float
    average: float | None = 0.999
    weight_decay: float = 0.0
    seconds: float | None = None


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
    the backward pass, see ``set_memory``: of parts that are not rebuilt a note of the splits tells.
    """
    steps, batch = (20, 16) if smoke else (training.steps, training.batch)

    def read(folder: Path | None, seed: int) -> Splits:
        splits = generated_pictures(shape, levels, 60, seed) if smoke else data(folder, seed)
        if memory == "plain":
            return splits
        # Reading data must not move the stream that the model of the run is drawn from.
        with torch.random.fork_rng(devices=[]):
            notes = kept_note(model(splits.schema))
        return dataclasses.replace(splits, notes=(*splits.notes, *notes))

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
        budget=Budget(steps=steps, batch=batch, seconds=training.seconds, log_every=20, save_every=save_every),
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


def kept_note(model: nn.Module) -> list[str]:
    """What to tell of parts that keep their input under ``memory="rebuild"``, since their inverse is no bargain; nothing without any."""
    costly = [part for part in model.modules() if isinstance(part, Transform) and not part.rebuilds_x]
    # A chain of such a part is costly for its sake: named is what has no other of them within.
    least = [part for part in costly if not any(other in costly for other in part.modules() if other is not part)]
    if not least:
        return []
    names = ", ".join(
        f"{count} {name}" for name, count in sorted(Counter(type(part).__name__ for part in least).items())
    )
    return [
        f"memory=rebuild: kept are the inputs of {names}, from which they are passed again, since their inverse is found step by step; "
        "what lies between them is rebuilt"
    ]
