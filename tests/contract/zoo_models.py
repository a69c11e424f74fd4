"""Every flow of vectors, a row each, as it starts but for seeded noise and with its weights tripled."""

from __future__ import annotations

from functools import partial

from rows import Row, angles, crescent, positive, scaled, spread
from zoo_parts import (
    AFFINE,
    autoregressive,
    bnaf,
    circular,
    ffjord,
    flowpp,
    halves,
    iaf,
    maf,
    mixture_cdf,
    naf,
    nice,
    nsf,
    planar,
    radial,
    realnvp,
    residual_flow,
    sylvester,
    tripled,
)

import bijectory as bj


def unit_square() -> bj.Flow:
    """A density that ends at the sides of a square."""
    return bj.Flow(bj.Normal((2,)), bj.Chain([bj.logit(), halves(AFFINE, 2)]))


def half_line() -> bj.Flow:
    """A density of positive numbers, with a tail that falls like a power."""
    return bj.Flow(bj.Logistic((1,)), bj.Chain([bj.Inverse(bj.Exp()), bj.ActNorm((1,))]))


def positive_octant() -> bj.Flow:
    """A density of positive numbers in three dimensions, where no quadrature tells its support."""
    return bj.Flow(bj.Normal((3,)), bj.Chain([bj.Inverse(bj.Softplus()), autoregressive(3, AFFINE)]))


def box() -> bj.Flow:
    """Onto the unit square's uniform density."""
    return bj.Flow(bj.Uniform((2,)), bj.Chain([halves(AFFINE, 2), bj.Sigmoid()]))


BENDING = {"planar": planar, "radial": radial, "sylvester": sylvester, "bnaf": bnaf}

MODELS = [
    Row("flow, normal", lambda: bj.Flow(bj.Normal((2,)), bj.Permute((1, 0))), (2,)),
    Row("flow, half line", half_line, (1,), data=positive),
    Row("flow, unit square", unit_square, (2,), data=spread(0.05, 0.95)),
    Row("flow, positive octant", positive_octant, (3,), data=positive),
    Row("mixture_cdf", lambda: mixture_cdf(2), (2,), data=crescent),
    Row("mixture_cdf, logistic", lambda: mixture_cdf(2, kind="logistic"), (2,), data=crescent),
    Row("mixture_cdf, one feature", lambda: mixture_cdf(1), (1,), data=scaled(-4, 0.3), noise=0.3),
    Row("mixture_cdf, one feature, context", lambda: mixture_cdf(1, components=3, context_dim=2), (1,), context_dim=2),
    Row("mixture_cdf, three features", lambda: mixture_cdf(3, components=3, weight_norm=True), (3,), data=crescent),
    Row("realnvp", lambda: realnvp(2), (2,), data=crescent, noise=0.05),
    Row("realnvp, normal base", lambda: realnvp(2, base="normal", actnorm=False), (2,), data=crescent, noise=0.05),
    Row("realnvp, five features", lambda: realnvp(5, weight_norm=True), (5,), data=crescent, noise=0.05),
    Row("realnvp, context", lambda: realnvp(3, context_dim=2), (3,), context_dim=2, data=scaled(50, 10), noise=0.05),
    Row("nice", lambda: nice(2), (2,), data=crescent),
    Row("nice, context", lambda: nice(3, context_dim=1), (3,), context_dim=1, data=scaled(-20, 5)),
    Row("nsf", lambda: nsf(2), (2,), data=crescent, noise=0.05),
    Row("nsf, three features", lambda: nsf(3, depth=5), (3,), data=crescent, noise=0.05),
    Row("nsf, autoregressive", lambda: nsf(3, depth=2, structure="autoregressive"), (3,), data=crescent, noise=0.05),
    Row("nsf, one feature", lambda: nsf(1, depth=2), (1,), data=scaled(0, 1e-3), noise=0.3),
    Row("nsf, context", lambda: nsf(2, depth=2, context_dim=3), (2,), context_dim=3, data=crescent, noise=0.05),
    Row("nsf, one feature, context", lambda: nsf(1, depth=2, context_dim=1), (1,), context_dim=1),
    Row("maf", lambda: maf(2), (2,), data=crescent, noise=0.05),
    Row("maf, four features", lambda: maf(4), (4,), data=crescent, noise=0.05),
    Row("maf, context", lambda: maf(3, context_dim=2), (3,), context_dim=2, noise=0.05),
    Row("maf, one feature, context", lambda: maf(1, context_dim=1), (1,), context_dim=1, noise=0.05),
    Row(
        "nsf, one feature, standardised context",
        lambda: bj.standardised_context(nsf(1, depth=2, context_dim=3)),
        (1,),
        context_dim=3,
    ),
    Row(
        "maf, standardised context",
        lambda: bj.standardised_context(maf(3, context_dim=2)),
        (3,),
        context_dim=2,
        noise=0.05,
    ),
    Row("iaf", lambda: iaf(2), (2,), data=crescent, noise=0.05),
    Row("iaf, four features", lambda: iaf(4), (4,), data=crescent, noise=0.05),
    Row("iaf, context", lambda: iaf(3, context_dim=2), (3,), context_dim=2, noise=0.05),
    Row("iaf, one feature, context", lambda: iaf(1, context_dim=1), (1,), context_dim=1, noise=0.05),
    Row("naf", lambda: naf(2), (2,), data=crescent, noise=0.05),
    Row("naf, one feature", lambda: naf(1, layers=3), (1,), data=scaled(-4, 0.3), noise=0.1),
    Row("naf, three features", lambda: naf(3, layers=1, base="normal"), (3,), data=crescent, noise=0.05),
    Row("naf, context", lambda: naf(3, context_dim=2), (3,), context_dim=2, noise=0.05),
    Row("naf, one feature, context", lambda: naf(1, context_dim=1), (1,), context_dim=1, noise=0.05),
    Row("flowpp", lambda: flowpp(2), (2,), data=crescent, noise=0.05),
    Row("flowpp, five features", lambda: flowpp(5), (5,), data=crescent, noise=0.05),
    Row("flowpp, context", lambda: flowpp(3, context_dim=2), (3,), context_dim=2, data=scaled(50, 10), noise=0.05),
    Row("nsf, circular", lambda: circular(2), (2,), data=angles),
    Row("nsf, circular, one feature", lambda: circular(1), (1,), data=angles, noise=0.3),
    Row("nsf, circular, one feature, context", lambda: circular(1, context_dim=1), (1,), context_dim=1, data=angles),
    Row("nsf, circular, context", lambda: circular(3, context_dim=2), (3,), context_dim=2, data=angles),
    Row(
        "nsf, circular, autoregressive, context",
        lambda: circular(2, structure="autoregressive", context_dim=2),
        (2,),
        context_dim=2,
        data=angles,
    ),
    Row("nsf, circular, flow base", lambda: circular(2, base=circular(2, depth=1)), (2,), data=angles),
    Row("flow, uniform base", box, (2,)),
    Row("nice, student_t base", lambda: nice(2, base="student_t"), (2,), data=crescent),
    Row(
        "nsf, student_t base, context", lambda: nsf(2, base=bj.StudentT((2,), 3.5), context_dim=2), (2,), context_dim=2
    ),
    Row("maf, mixture base", lambda: maf(2, base=bj.Mixture((2,), 4)), (2,), data=crescent, noise=0.05),
    Row("maf, mixture base, three features", lambda: maf(3, base=bj.Mixture((3,), 2)), (3,), data=crescent, noise=0.05),
    Row("realnvp, flow base", lambda: realnvp(2, base=maf(2, depth=1)), (2,), data=crescent, noise=0.05),
    Row(
        "realnvp, mixture_cdf base, context",
        lambda: realnvp(3, base=mixture_cdf(3), context_dim=1),
        (3,),
        context_dim=1,
        noise=0.05,
    ),
    Row("mixture_cdf, normal base", lambda: mixture_cdf(2, base="normal"), (2,), data=crescent),
    *(
        Row(f"{name}, tripled", partial(make, features), (features,), data=data, noise=0.03, change=tripled)
        for name, make, features, data in (
            ("nice", nice, 2, crescent),
            ("realnvp", realnvp, 2, crescent),
            ("mixture_cdf", mixture_cdf, 2, crescent),
            ("mixture_cdf, one feature", mixture_cdf, 1, scaled(-4, 0.3)),
            ("iaf", iaf, 2, crescent),
            ("naf", naf, 2, crescent),
            ("naf, one feature", naf, 1, scaled(-4, 0.3)),
            ("flowpp", flowpp, 2, crescent),
            ("nsf, circular", circular, 2, angles),
            ("nsf, circular, one feature", circular, 1, angles),
            ("nsf, circular, autoregressive", partial(circular, structure="autoregressive"), 2, angles),
        )
    ),
    # Of one feature alone "coupling" and "autoregressive" are the same spline flow. The spread of 0.3 around −4 is standardised away.
    *(
        Row(f"{name}, one feature, tripled", partial(make, 1), (1,), data=scaled(-4, 0.3), change=tripled)
        for name, make in {"nsf": nsf, "maf": maf, "iaf": iaf, "residual_flow": residual_flow, **BENDING}.items()
    ),
    *(Row(name, partial(make, 2), (2,), data=crescent) for name, make in BENDING.items()),
    *(Row(f"{name}, tripled", partial(make, 2), (2,), data=crescent, change=tripled) for name, make in BENDING.items()),
    *(Row(f"{name}, four features", partial(make, 4), (4,), data=crescent) for name, make in BENDING.items()),
    *(
        Row(f"{name}, context", partial(make, 3, context_dim=2), (3,), context_dim=2, data=scaled(50, 10))
        for name, make in BENDING.items()
    ),
    *(
        Row(f"{name}, one feature, context", partial(make, 1, context_dim=1), (1,), context_dim=1)
        for name, make in BENDING.items()
    ),
    Row("sylvester, one term, student base", lambda: sylvester(3, terms=1, base="student_t"), (3,), data=crescent),
    *(
        Row(f"maf, {linear}", partial(maf, 3, linear=linear), (3,), data=crescent, noise=0.05)
        for linear in ("permutation", "lu", "householder", "orthogonal")
    ),
    *(
        Row(f"nsf, {linear}", partial(nsf, 2, linear=linear), (2,), data=crescent, noise=0.05)
        for linear in ("permutation", "lu", "householder", "orthogonal")
    ),
    # With noise 0.05 three splines reach slopes of 1e8: no quadrature follows the density (one adaptive integral inside another gave 0.958
    # with 3.4 million points and, the other way round, 0.981 with 4.7 million), and a float32 round trip loses every digit (0.7).
    Row("nsf, tripled", lambda: nsf(2, linear="none"), (2,), data=crescent, noise=0.02, change=tripled),
    # With 0.02 and LU maps between them they are steep enough to lose float32 a digit more than the law allows: 1.2e-4.
    Row("nsf, LU, tripled", lambda: nsf(2), (2,), data=crescent, noise=0.01, change=tripled),
    Row(
        "nsf, autoregressive, tripled",
        lambda: nsf(2, depth=2, structure="autoregressive"),
        (2,),
        data=crescent,
        noise=0.01,
        change=tripled,
    ),
    Row("maf, tripled", lambda: maf(2), (2,), data=crescent, noise=0.05, change=tripled),
    Row("ffjord", lambda: ffjord(2), (2,), data=crescent),
    Row("ffjord, tripled", lambda: ffjord(2, steps=64), (2,), data=crescent, noise=0.05, change=tripled),
    Row("ffjord, context, student base", lambda: ffjord(1, context_dim=1, base="student_t"), (1,), context_dim=1),
    Row("ffjord, three features, context", lambda: ffjord(3, context_dim=2), (3,), context_dim=2, data=scaled(50, 10)),
    Row("residual_flow", lambda: residual_flow(2), (2,), data=crescent, noise=0.3),
    Row("residual_flow, tripled", lambda: residual_flow(2), (2,), data=crescent, noise=0.3, change=tripled),
    Row("residual_flow, four features", lambda: residual_flow(4, actnorm=False), (4,), data=crescent, noise=0.3),
    Row("residual_flow, context", lambda: residual_flow(3, context_dim=2), (3,), context_dim=2, noise=0.3),
    Row("residual_flow, one feature, context", lambda: residual_flow(1, context_dim=1), (1,), context_dim=1, noise=0.3),
]
