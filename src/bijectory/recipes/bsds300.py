"""BSDS300-style patches: 63 numbers of natural pictures by masked autoregressive flows, as in the MAF and the NSF paper.

    bijectory train bsds300
    bijectory train bsds300 flow=nsf
    bijectory train bsds300 flow=ffjord

Patches are drawn anew from the Berkeley pictures: like the rows of the papers' file, but not they.
"""

from __future__ import annotations

from typing import Literal

from ..data.patches import bsds300_splits
from ..experiments.recipe import Expect, Recipe
from ..training.fit import Budget
from ._tables import Size, Training, estimate_noise, objective, smoke_table, vector_flow

#: Mean test log-likelihoods of the papers, in nats, on a million rows.
PUBLISHED = {
    "maf": (155.69, "Papamakarios, Pavlakou & Murray 2017 (arXiv:1705.07057), MAF of 5 layers"),
    "nsf": (157.31, "Durkan, Bekasov, Murray & Papamakarios 2019 (arXiv:1906.04032), RQ-NSF (AR)"),
    "ffjord": (157.40, "Grathwohl et al. 2018 (arXiv:1810.01367)"),
}
#: What we measured, where we did.
MEASURED = {
    "maf": "-151.992 ± 0.504 nats, all laws hold (bijectory train bsds300 steps=3000, 59 s on one core)",
    "nsf": "-153.558 ± 0.503 nats, all laws hold (bijectory train bsds300 flow=nsf, 18 minutes on one core beside other runs)",
}


def bsds300(
    *,
    flow: Literal["maf", "nsf", "ffjord"] = "maf",
    depth: int = 5,
    hidden: tuple[int, ...] = (256, 256),
    bins: int = 8,
    floor: float | None = None,
    ode_steps: int = 8,
    rows: int = 100_000,
    steps: int = 6000,
    batch: int = 512,
    rate: float = 1e-3,
    smoke: bool = False,
) -> Recipe:
    """BSDS300-style patches of natural pictures.

    flow: maf (affine), nsf (splines, autoregressive), or ffjord (continuous)
    depth: layers of nsf and maf
    hidden: widths of each network
    bins: bins of each spline
    floor: least width, height and slope of a spline's bins, below 1/bins; none for 0.1, at most 0.9/bins
    ode_steps: Runge-Kutta steps of ffjord
    rows: training patches
    steps: updates
    batch: rows an update
    rate: Adam's learning rate at its highest; it falls as half a cosine
    smoke: a run of seconds on generated rows as wide (ffjord: of 3 columns), to see that everything works
    """
    if smoke:
        # A MADE needs a hidden unit for each of 63 columns; a field of 3 does not.
        steps, batch, hidden, depth, ode_steps = 20, 64, (16,) if flow == "ffjord" else (128,), 1, 2
    value, source = PUBLISHED[flow]
    # With 1e-3 float32 did not bring rows back from 100 times the data's scale (9.9e-3 of a row, where 1e-3 is the law).
    floor = floor if floor is not None else min(0.1, 0.9 / bins)
    # With log-scales of 3 inputs at 100 times their scale lost 2.5e-3 of a row in float32, with 2 2.4e-4; the law is 1e-3.
    size = Size(depth, hidden, bins, ode_steps=ode_steps, floor=floor, scale=2.0)
    return Recipe(
        data=lambda folder, seed: (
            smoke_table(flow, 63, seed, scale=0.1) if smoke else bsds300_splits(folder, seed, train=rows)
        ),
        model=lambda schema: vector_flow(flow, schema.event_shape[0], size),
        objective=objective(Training(steps, batch, rate)),
        budget=Budget(steps=steps, batch=batch),
        noise=estimate_noise if flow == "ffjord" else None,
        look_rows=2000,
        # Recorded as what it came to: a later version may choose otherwise.
        chosen={"floor": floor},
        # The rows of a smoke run are others: no figure is theirs.
        expect=None
        if smoke
        else Expect(
            metric="nats",
            value=-value,
            tolerance=5.0,
            source=f"{source}; theirs are other rows of the same kind, a million of them, and larger networks",
            hardware="two CPU cores",
            minutes=20,
            measured=MEASURED.get(flow, "not measured"),
        ),
    )
