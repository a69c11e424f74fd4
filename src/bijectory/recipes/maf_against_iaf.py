"""A masked autoregressive flow and an inverse one: the same map, read in the two directions, and what each direction costs.

    bijectory train maf_against_iaf direction=maf
    bijectory train maf_against_iaf direction=iaf steps=300
    bijectory report runs/maf_against_iaf runs/maf_against_iaf-2

maf computes densities in one pass and samples coordinate by coordinate, iaf the other way round; both have the same networks. The page
shows the seconds of a training step, of densities and of samples of both, timed in turns after training.
"""

from __future__ import annotations

from typing import Literal

from ..data.generated_tables import generated_table
from ..data.splits import Splits
from ..data.uci import joint_splits
from ..evaluation.cost import CostPictures
from ..experiments.recipe import Expect, Recipe
from ..models.flow import Flow
from ..training.fit import Budget
from ._tables import Size, Training, objective, vector_flow
from .uci_density import COLUMNS, GAUSSIAN, Table

#: On parkinsons, with the defaults, one core.
MEASURED = {
    "maf": "-54.602 ± 0.714 nats (bijectory train maf_against_iaf, 14 s)",
    "iaf": "-54.192 ± 0.871 nats (bijectory train maf_against_iaf direction=iaf, 127 s)",
}


def maf_against_iaf(
    *,
    direction: Literal["maf", "iaf"] = "maf",
    table: Table = "parkinsons",
    depth: int = 5,
    hidden: tuple[int, ...] = (128, 128),
    steps: int = 2000,
    batch: int = 256,
    rate: float = 1e-3,
    smoke: bool = False,
) -> Recipe:
    """A masked autoregressive flow, or an inverse one, and what each direction of both costs.

    direction: which of the two is trained; both are timed
    table: parkinsons (21 columns), bike (16) or keggdirected (19)
    depth: autoregressive layers
    hidden: widths of each network
    steps: updates
    batch: rows an update
    rate: Adam's learning rate at its highest; it falls as half a cosine
    smoke: a run of seconds on generated rows of the same width, to see that everything works
    """
    if smoke:
        steps, batch, hidden, depth = 20, 64, (48,), 1
    size = Size(depth, hidden, linear="none")  # a map between layers would be another one read backwards

    def cost(model: Flow, splits: Splits) -> CostPictures:
        x = splits.test.x
        other = vector_flow("iaf" if direction == "maf" else "maf", x.shape[1], size).to(x.device)
        pair = {"maf": model, "iaf": other} if direction == "maf" else {"maf": other, "iaf": model}
        return CostPictures(pair, x, steps, rows=100 if smoke else 1000)

    return Recipe(
        data=lambda folder, seed: (
            generated_table(COLUMNS[table], 300, seed) if smoke else joint_splits(folder, table, seed)
        ),
        model=lambda schema: vector_flow(direction, schema.event_shape[0], size),
        objective=objective(Training(steps, batch, rate, weight_decay=0.01)),
        budget=Budget(steps=steps, batch=batch),
        evaluators=lambda model, splits: [cost(model, splits)],
        looks=10,
        # The rows of a smoke run are others: no figure is theirs.
        expect=None
        if smoke
        else Expect(
            metric="nats",
            value=GAUSSIAN[table],
            tolerance=1.0,
            source="a Gaussian with the training rows' mean and covariance on the same rows, seed 0 (benchmarks/regression.py --joint): "
            "a flow should need less",
            hardware="two CPU cores",
            minutes=3,
            measured=MEASURED[direction] if table == "parkinsons" else "not measured",
        ),
    )
