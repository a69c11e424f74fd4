"""A pinwheel of five arms by a neural spline flow.

bijectory train pinwheel_nsf
"""

from __future__ import annotations

from ..experiments.recipe import Recipe
from ..models.flows.nsf import nsf
from ._toys import toy_recipe


def pinwheel_nsf(
    *,
    depth: int = 4,
    bins: int = 16,
    hidden: tuple[int, ...] = (128, 128),
    steps: int = 4000,
    batch: int = 1024,
    rate: float = 2e-3,
    smoke: bool = False,
) -> Recipe:
    """A pinwheel of five arms by a neural spline flow.

    depth: spline couplings
    bins: bins of each spline
    hidden: widths of each coupling's MLP
    steps: updates
    batch: rows an update
    rate: Adam's learning rate at its highest; it falls as half a cosine
    smoke: a run of a second, to see that everything works
    """
    return toy_recipe(
        "pinwheel",
        lambda schema: nsf(schema.event_shape, depth=2 if smoke else depth, bins=bins, hidden=hidden, linear="none"),
        entropy=2.3178,
        tolerance=0.03,
        minutes=4,
        measured="2.3247 ± 0.0069 nats, excess 0.00739 ± 0.00081 (bijectory train pinwheel_nsf, 102 s on one core, commit cf2e728)",
        steps=steps,
        batch=batch,
        rate=rate,
        smoke=smoke,
    )
