"""Models whose density is estimated without bias, and models of integers whose density is bounded, a row each."""

from __future__ import annotations

from rows import Row, crescent, integers, scaled
from zoo_parts import (
    AFFINE,
    autoregressive,
    continuous,
    ffjord,
    maf,
    nsf,
    realnvp,
    residual,
    residual_flow,
    tripled,
)

import bijectory as bj


def series_then_probe() -> bj.EstimatedFlow:
    """Two ways of estimating and an exact map between them, one part read backwards."""
    backwards = bj.Inverse(residual(3, log_det="estimate"))
    last = continuous(3, steps=16, trace="hutchinson")
    return bj.EstimatedFlow(bj.Normal((3,)), bj.Chain([backwards, autoregressive(3, AFFINE), last]))


ESTIMATES = [
    Row("ffjord, one probe", lambda: ffjord(3, steps=16, trace="hutchinson"), (3,), data=crescent),
    Row(
        "ffjord, one probe, context",
        lambda: ffjord(2, steps=16, trace="hutchinson", context_dim=2),
        (2,),
        context_dim=2,
        data=scaled(50, 10),
    ),
    Row("residual_flow, series", lambda: residual_flow(3, log_det="estimate"), (3,), data=crescent, noise=0.3),
    Row(
        "residual_flow, series, tripled", lambda: residual_flow(2, log_det="estimate"), (2,), noise=0.3, change=tripled
    ),
    Row(
        "residual_flow, short series, context",
        lambda: residual_flow(3, log_det="estimate", terms=1, survival=0.85, context_dim=2),
        (3,),
        context_dim=2,
        noise=0.3,
    ),
    Row("series, then a probe", series_then_probe, (3,), noise=0.2),
]

BOUNDS = [
    Row("quantised, two bits", lambda: bj.Quantised(realnvp(2, base="normal"), 4), (2,), data=integers(4)),
    Row("quantised, no logit", lambda: bj.Quantised(realnvp(2), 4, alpha=None), (2,), data=integers(4)),
    Row("quantised, one number, small margin", lambda: bj.Quantised(nsf(1), 5, alpha=1e-4), (1,), data=integers(5)),
    Row("quantised, bits", lambda: bj.Quantised(maf(3), 2), (3,), data=integers(2)),
    Row("quantised, bytes", lambda: bj.Quantised(nsf(5), 256), (5,), data=integers(256), noise=0.05),
    Row("quantised, 16 bits", lambda: bj.Quantised(realnvp(3), 65_536), (3,), data=integers(65_536), noise=0.05),
    Row(
        "quantised, context",
        lambda: bj.Quantised(realnvp(2, context_dim=2), 6),
        (2,),
        context_dim=2,
        data=integers(6),
        noise=0.05,
    ),
]
