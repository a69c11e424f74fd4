"""The joint density of a table of the UCI repository, the target among its columns: parkinsons, bike, keggdirected.

    bijectory train uci_density table=parkinsons flow=nsf
    bijectory train uci_density table=bike flow=maf
    bijectory train uci_density table=parkinsons flow=ffjord

Values that repeat have noise added, which the run's notes name: nats are those of the noisy rows, in the columns' units. A flow's
density in other units would be another number: compare on the same table only.
"""

from __future__ import annotations

from typing import Literal

from ..data.uci import joint_splits
from ..experiments.recipe import Expect, Recipe
from ..training.fit import Budget
from ._tables import Size, Training, estimate_noise, objective, smoke_table, vector_flow

Table = Literal["parkinsons", "bike", "keggdirected"]
COLUMNS = {"parkinsons": 21, "bike": 16, "keggdirected": 19}
#: Nats a test row of a Gaussian with the training rows' mean and covariance, on the rows of seed 0.
GAUSSIAN = {"parkinsons": -49.55, "bike": 24.54, "keggdirected": 16.38}
#: What we measured with the defaults, where we did.
MEASURED = {
    (
        "parkinsons",
        "maf",
    ): "-59.018 ± 0.424 nats, all laws hold (bijectory train uci_density table=parkinsons flow=maf, 77 s on one core)",
    ("bike", "maf"): "14.313 ± 0.052 nats, all laws hold (bijectory train uci_density table=bike flow=maf)",
    (
        "keggdirected",
        "maf",
    ): "-19.115 ± 0.172 nats, all laws hold (bijectory train uci_density table=keggdirected flow=maf)",
    (
        "parkinsons",
        "nsf",
    ): "-61.481 ± 0.332 nats, all laws hold (bijectory train uci_density, 202 s on one core); seed 1: -61.316 ± 0.293, whose float32 "
    "round trip is at its bound of 1e-5: kept by the run's own certificate, 1.2e-5 where verify draws other samples",
    ("bike", "nsf"): "12.564 ± 0.054 nats, all laws hold (bijectory train uci_density table=bike flow=nsf)",
    (
        "keggdirected",
        "nsf",
    ): "-20.714 ± 0.336 nats, all laws hold (bijectory train uci_density table=keggdirected flow=nsf)",
    (
        "parkinsons",
        "ffjord",
    ): "-51.902 ± 0.449 nats (bijectory train uci_density table=parkinsons flow=ffjord, 13 minutes on one core beside another run); "
    "log-det off by 7e-6, round trip by 1.3e-4 of 1e-3",
    (
        "bike",
        "ffjord",
    ): "16.912 ± 0.058 nats (bijectory train uci_density table=bike flow=ffjord, 13 minutes on one core beside another run); log-det "
    "off by 3e-5, round trip by 5e-5 of 1e-3",
    (
        "keggdirected",
        "ffjord",
    ): "-1.207 ± 1.487 nats (bijectory train uci_density table=keggdirected flow=ffjord, 21 minutes on one core beside other work); "
    "log-det off by 5e-6, round trip by 8e-5 of 1e-3",
}


def uci_density(
    *,
    table: Table = "parkinsons",
    flow: Literal["nsf", "maf", "ffjord"] = "nsf",
    depth: int = 5,
    hidden: tuple[int, ...] = (128, 128),
    bins: int | None = None,
    floor: float | None = None,
    scale: float = 2.0,
    ode_steps: int = 24,
    steps: int | None = None,
    batch: int = 512,
    rate: float = 1e-3,
    weight_decay: float = 0.01,
    smoke: bool = False,
) -> Recipe:
    """The joint density of a table of the UCI repository.

    table: parkinsons (21 columns), bike (16) or keggdirected (19)
    flow: nsf (splines, autoregressive), maf (affine), or ffjord (continuous)
    depth: layers of nsf and maf
    hidden: widths of each network
    bins: bins of each spline; none for 6 with parkinsons, 8 with the others
    floor: least width, height and slope of a spline's bins, below 1/bins; none for 0.15 with parkinsons, 0.1 else, at most 0.9/bins
    scale: bound on the log-scale of an affine map; with 3 rows 100 times as far out come back to 2.5e-3, with 2 to 1.2e-4
    ode_steps: Runge-Kutta steps of ffjord; with 8 what 6,000 updates learn is past its accuracy of 1e-3 (bike, round trip 1.9e-2)
    steps: updates; none for 3,000 of ffjord, 6,000 of the others
    batch: rows an update
    rate: Adam's learning rate at its highest; it falls as half a cosine
    weight_decay: AdamW's
    smoke: a run of seconds on generated rows as wide (ffjord: of 3 columns), to see that everything works
    """
    steps = steps if steps is not None else 3000 if flow == "ffjord" else 6000
    if smoke:
        steps, batch, hidden, depth, ode_steps = 20, 64, (48,), 1, 2
    # With a floor of 0.01 float32 does not bring far rows back; with 8 bins and 0.1, for 0.14 nats, it loses some of parkinsons' near ones
    # (3.6e-5, where 1e-5 is the law).
    bins = bins if bins is not None else 6 if table == "parkinsons" else 8
    floor = floor if floor is not None else min(0.15 if table == "parkinsons" else 0.1, 0.9 / bins)
    size = Size(depth, hidden, bins, ode_steps=ode_steps, floor=floor, scale=scale)
    return Recipe(
        data=lambda folder, seed: (
            smoke_table(flow, COLUMNS[table], seed) if smoke else joint_splits(folder, table, seed)
        ),
        model=lambda schema: vector_flow(flow, schema.event_shape[0], size),
        objective=objective(Training(steps, batch, rate, weight_decay)),
        budget=Budget(steps=steps, batch=batch),
        noise=estimate_noise if flow == "ffjord" else None,
        # Recorded as what they came to: a later version may choose otherwise.
        chosen={"bins": bins, "floor": floor, "steps": steps},
        # The rows of a smoke run are others: no figure is theirs.
        expect=None if smoke else _expect(table, flow),
    )


def _expect(table: str, flow: str) -> Expect:
    return Expect(
        metric="nats",
        value=GAUSSIAN[table],
        tolerance=1.0,
        source="a Gaussian with the training rows' mean and covariance on the same rows, seed 0 (benchmarks/regression.py --joint): "
        "a flow should need less",
        hardware="two CPU cores",
        minutes=10,
        measured=MEASURED.get((table, flow), "not measured"),
    )
