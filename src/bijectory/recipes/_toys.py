"""What recipes on exactly known densities share: data, pictures, a cosine to zero, and the entropy as the number to reach."""

from __future__ import annotations

from collections.abc import Callable

from ..data.splits import Schema
from ..data.toy_splits import toy_splits
from ..evaluation.pictures import DensityPictures
from ..experiments.recipe import Expect, Recipe
from ..models.flow import Flow
from ..training.fit import Budget
from ..training.objectives.likelihood import maximum_likelihood
from ..training.schedule import warmup_cosine


def toy_recipe(
    toy: str,
    model: Callable[[Schema], Flow],
    *,
    entropy: float,
    tolerance: float,
    minutes: float,
    measured: str,
    steps: int,
    batch: int,
    rate: float,
    smoke: bool,
) -> Recipe:
    """A recipe on 100,000 draws of ``toy``; what it should reach is the density's own entropy, in joint nats."""
    if smoke:
        steps, batch = 20, 64
    return Recipe(
        data=lambda folder, seed: toy_splits(toy, seed, rows=3000 if smoke else 100_000),
        model=model,
        objective=lambda model: maximum_likelihood(
            model, rate=rate, schedule=warmup_cosine(steps, warmup=min(100, steps // 10)), clip=1.0
        ),
        budget=Budget(steps=steps, batch=batch),
        evaluators=lambda model, splits: [DensityPictures(model, splits, max(10, steps // 48), small=smoke)],
        expect=Expect(
            metric="nats",
            value=entropy,
            tolerance=tolerance,
            source="the density's exact entropy by quadrature (joint nats): no model is expected below it",
            hardware="two CPU cores",
            minutes=minutes,
            measured=measured,
        ),
    )
