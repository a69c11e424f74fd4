"""CS294-158 homework 2, part 1.2: RealNVP on the smiley.

    bijectory train smiley_realnvp

Affine couplings that take turns, ActNorm between them, and the homework's sigmoid at the end, taken as a logistic base: the same
density on the unit square, in which nothing saturates.
"""

from __future__ import annotations

from ..data.toy_splits import homework_splits
from ..evaluation.pictures import DensityPictures
from ..experiments.recipe import Expect, Recipe
from ..models.flows.realnvp import realnvp
from ..training.fit import Budget
from ..training.objectives.likelihood import maximum_likelihood
from ..training.schedule import warmup_cosine


def smiley_realnvp(
    *,
    depth: int = 16,
    hidden: tuple[int, ...] = (64, 64),
    activation: str = "relu",
    scale: float = 1.0,
    steps: int = 6000,
    batch: int = 1024,
    rate: float = 3e-3,
    smoke: bool = False,
) -> Recipe:
    """Affine couplings on the homework's smiley.

    depth: couplings
    hidden: widths of each coupling's MLP
    activation: relu, silu, gelu or tanh
    scale: bound on the log-scale of each coupling
    steps: updates
    batch: rows an update
    rate: Adam's learning rate at its highest; it falls as half a cosine
    smoke: a run of a second, to see that everything works
    """
    if smoke:
        steps, batch, depth = 20, 64, 4
    return Recipe(
        data=lambda folder, seed: homework_splits(seed, rows=2000 if smoke else None),
        model=lambda schema: realnvp(
            schema.event_shape, depth=depth, hidden=hidden, activation=activation, scale=scale
        ),
        objective=lambda model: maximum_likelihood(
            model, rate=rate, schedule=warmup_cosine(steps, warmup=min(100, steps // 10)), clip=1.0
        ),
        budget=Budget(steps=steps, batch=batch),
        evaluators=lambda model, splits: [DensityPictures(model, splits, max(10, steps // 48), small=smoke)],
        expect=Expect(
            metric="nats",
            value=1.3939,
            tolerance=0.02,
            source="CS294-158 2020, official solution of homework 2, question 1b, printed 'Final Test Loss' (joint nats; entropy 1.3339)",
            hardware="two CPU cores",
            minutes=1.5,
            measured="1.3330 ± 0.0091 nats, excess 0.00839 ± 0.00106 (bijectory train smiley_realnvp, 130 s on one core, commit cf2e728)",
        ),
    )
