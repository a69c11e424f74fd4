"""Every map of vectors, a row each, with the exceptions and tolerances that it needs and why."""

from __future__ import annotations

from functools import partial

import torch
from rows import Loosened, Row, angles, positive, scaled, spread
from torch import nn
from zoo_parts import (
    AFFINE,
    CIRCULAR,
    SIGMOID_AFFINE,
    SMALL_SPLINE,
    SPLINE,
    STAYS,
    autoregressive,
    biases,
    context_net,
    continuous,
    coupling,
    halves,
    narrowed,
    residual,
    swept,
    tripled,
)

import bijectory as bj
from bijectory.models.importers.elementwise import PeerAffine, ZukoSpline


def two_couplings() -> bj.Chain:
    swap = bj.Permute((4, 3, 2, 1, 0))
    return bj.Chain([bj.Standardise((5,)), halves(AFFINE, 5), swap, halves(AFFINE, 5)])


def nested_chains() -> bj.Chain:
    inner = bj.Chain([bj.ActNorm((2,)), bj.Inverse(bj.Permute((1, 0)))])
    return bj.Chain([bj.logit(), inner, bj.Softplus()])


def many_features() -> bj.Chain:
    """One of each kind of layer, too large for its Jacobian to be formed whole."""
    size = 300
    net = bj.MADE(size, 2, hidden=(size,), activation="tanh", squash=True)
    return bj.Chain(
        [
            bj.Standardise((size,)),
            coupling(bj.Partition.even_odd(size), AFFINE),
            bj.Permute(tuple(range(size))[::-1]),
            bj.ActNorm((size,)),
            bj.Autoregressive(AFFINE, net),
            bj.Inverse(coupling(bj.Partition.halves(size), SPLINE)),
            bj.Chain([bj.Softplus(), bj.Inverse(bj.Softplus())]),
        ]
    )


def small_steps(module: nn.Module) -> None:
    module.affine.set(torch.full((3,), 100.0), torch.full((3,), 7.0))  # type: ignore[operator, union-attr]


ELEMENTWISE = {
    "shift": bj.Shift(),
    "affine": AFFINE,
    "sigmoid affine": SIGMOID_AFFINE,
    "spline": SPLINE,
    "gaussian mixture": bj.MixtureCDF(4, "gaussian"),
    "logistic mixture": bj.MixtureCDF(4, "logistic"),
    "logistic mixture, line": bj.MixtureCDF(4, "logistic", line=0.2),
    "composed": bj.Composed([bj.MixtureCDF(3, "logistic"), AFFINE]),
}
PARTITIONS = {
    "halves": bj.Partition.halves(5),
    "even and odd": bj.Partition.even_odd(5, flip=True),
    "index set": bj.Partition(5, (0, 1, 3)),
}

# The shift is 60 too, so that z = x/20 − 60 (x/100 − 60 for the sigmoid's floor): float32 rounds 60 by 2e-6, in x by 4e-5 (2e-4).
SMALLEST = {
    "round_trip_float32": Loosened(3e-4, "z = x/20 − 60 is rounded by 2e-6, which is 4e-5 in x; x/100 − 60 loses 2e-4")
}
FAR_AWAY = {
    "far": Loosened(1e-2, "what the net returns grows with x: 100 deviations out slopes fall to 1e-5, and 3e-3 is lost")
}

SIMPLE = [
    Row("permute", lambda: bj.Permute((2, 0, 1)), (3,)),
    Row("LU", lambda: bj.LULinear(5), (5,)),
    Row("LU two", lambda: bj.LULinear(2), (2,)),
    Row("permute one", lambda: bj.Permute((0,)), (1,)),
    Row("constant affine", lambda: bj.ConstantAffine(torch.tensor([1.0, -2.0]), torch.tensor([0.1, 30.0])), (2,)),
    Row("standardise", lambda: bj.Standardise((3,)), (3,), data=scaled(100, 7), change=small_steps),
    Row("actnorm", lambda: bj.ActNorm((3,)), (3,), noise=1.0),
    Row("diagonal scale", lambda: bj.DiagonalScale((3,)), (3,), noise=1.0),
    Row("exp", bj.Exp, (3,)),
    Row("exp of numbers", lambda: bj.Exp(event_dim=0), ()),
    Row("softplus", bj.Softplus, (3,)),
    Row("sigmoid", bj.Sigmoid, (3,)),
    Row("logit", bj.logit, (3,), data=spread(0.01, 0.99)),
    Row("log", lambda: bj.Inverse(bj.Exp()), (3,), data=positive),
    Row("inverse softplus", lambda: bj.Inverse(bj.Softplus()), (3,), data=positive),
    Row("chain", two_couplings, (5,)),
    Row("chain of chains", nested_chains, (2,), data=spread(0.05, 0.95)),
    Row("chain, 300 features", many_features, (300,), noise=0.02),
]

COUPLINGS = [
    *(
        Row(f"coupling, {name}, {where}", partial(coupling, partition, elementwise), (5,))
        for name, elementwise in ELEMENTWISE.items()
        for where, partition in PARTITIONS.items()
    ),
    Row("coupling, two features", lambda: halves(AFFINE, 2), (2,)),
    Row("coupling, weight norm", lambda: halves(AFFINE, weight_norm=True), (4,)),
    Row("coupling, context", lambda: halves(SPLINE, context_dim=2), (4,), context_dim=2, exceptions=STAYS),
    Row("coupling, largest scale", lambda: halves(AFFINE), (4,), change=biases(60.0)),
    Row("coupling, smallest scale", lambda: halves(AFFINE), (4,), change=biases(-60.0), tolerances=SMALLEST),
    Row("coupling, floor of scale", lambda: halves(SIGMOID_AFFINE), (4,), change=biases(-60.0), tolerances=SMALLEST),
    Row("coupling, spline of two bins", lambda: halves(SMALL_SPLINE, 3), (3,), noise=0.3),
    Row("coupling, deep net", lambda: halves(AFFINE, hidden=(8, 8, 8), activation="tanh"), (4,)),
    Row("coupling, net that does not squash", lambda: halves(SPLINE, squash=False), (4,), tolerances=FAR_AWAY),
]

AUTOREGRESSIVE = [
    *(
        Row(f"autoregressive, {name}", partial(autoregressive, 4, elementwise), (4,))
        for name, elementwise in ELEMENTWISE.items()
        if name not in ("shift", "sigmoid affine")
    ),
    Row("autoregressive, weight norm", lambda: autoregressive(3, AFFINE, weight_norm=True), (3,)),
    Row("autoregressive, permuted order", lambda: autoregressive(4, SPLINE, order=(2, 0, 3, 1)), (4,)),
    Row("autoregressive, two layers", lambda: autoregressive(3, bj.MixtureCDF(3), hidden=(16, 16)), (3,)),
    Row("autoregressive, one feature", lambda: autoregressive(1, bj.MixtureCDF(5)), (1,), noise=0.3),
    Row("autoregressive, mixture with a line", lambda: autoregressive(3, bj.MixtureCDF(3, line=0.3)), (3,)),
    Row("autoregressive, context", lambda: autoregressive(3, AFFINE, context_dim=2), (3,), context_dim=2),
    Row("autoregressive, one feature, context", lambda: autoregressive(1, SPLINE, context_dim=1), (1,), context_dim=1),
    Row(
        # What a number loses, times 20 and the network's slope, is added to the next one's: 2.5e-4 with hidden units that start within
        # 1/√(all inputs), 3.3e-4 with MADE's own start, and the bound is 3e-4.
        "autoregressive, smallest scale",
        lambda: narrowed(autoregressive(3, AFFINE)),
        (3,),
        change=biases(-60.0),
        tolerances=SMALLEST,
    ),
    Row("inverse autoregressive, affine", lambda: bj.Inverse(autoregressive(4, AFFINE)), (4,)),
    Row("inverse autoregressive, spline", lambda: bj.Inverse(autoregressive(4, SPLINE)), (4,)),
    Row("inverse autoregressive, mixture", lambda: bj.Inverse(autoregressive(3, bj.MixtureCDF(3))), (3,)),
    Row(
        "embedded, autoregressive",
        lambda: bj.Embedded(autoregressive(3, AFFINE, context_dim=2), nn.Linear(4, 2)),
        (3,),
        context_dim=4,
    ),
    Row(
        "inverse autoregressive, context",
        lambda: bj.Inverse(autoregressive(3, AFFINE, context_dim=2)),
        (3,),
        context_dim=2,
    ),
]

TURNED = bj.Rotate(2.0)


def on_circles(*parts: bj.Transform) -> bj.Chain:
    """Where a map of circles begins: numbers that are no angles are refused there."""
    return bj.Chain([bj.Angles(), *parts])


CIRCLES = [
    Row("rotate", lambda: on_circles(bj.Rotate(-40.0)), (3,), data=angles),
    Row("coupling, circular spline", lambda: on_circles(halves(CIRCULAR, 5, periodic=True)), (5,), data=angles),
    Row(
        "coupling, circular spline, context",
        lambda: on_circles(
            *(coupling(bj.Partition.alternating(3, i), CIRCULAR, periodic=True, context_dim=2) for i in (0, 1))
        ),
        (3,),
        context_dim=2,
        data=angles,
    ),
    Row(
        "autoregressive, circular spline",
        lambda: on_circles(autoregressive(4, CIRCULAR, periodic=True, order=(2, 0, 3, 1)), TURNED),
        (4,),
        data=angles,
    ),
    Row(
        "autoregressive, circular spline, no hidden layer",
        lambda: on_circles(autoregressive(3, CIRCULAR, periodic=True, hidden=())),
        (3,),
        data=angles,
    ),
    Row(
        "autoregressive, circular spline, context",
        lambda: on_circles(autoregressive(3, CIRCULAR, periodic=True, context_dim=2)),
        (3,),
        context_dim=2,
        data=angles,
    ),
    Row(
        "inverse autoregressive, circular spline",
        lambda: on_circles(bj.Inverse(autoregressive(3, CIRCULAR, periodic=True))),
        (3,),
        data=angles,
    ),
]


BENT = [
    Row("householder", lambda: bj.Householder(4, 4), (4,)),
    Row("householder, one reflection", lambda: bj.Householder(3, 1), (3,)),
    Row("householder, more than features", lambda: bj.Householder(2, 5), (2,), change=tripled),
    Row("orthogonal", lambda: bj.Orthogonal(4), (4,), noise=1.0),
    Row("orthogonal, two features, tripled", lambda: bj.Orthogonal(2), (2,), noise=1.0, change=tripled),
    *(
        Row(f"autoregressive, {scale} affine of a peer", partial(autoregressive, 3, PeerAffine(scale)), (3,))  # type: ignore[arg-type]
        for scale in ("softclip", "softplus", "sigmoid")
    ),
    Row("autoregressive, zuko's spline", partial(autoregressive, 3, ZukoSpline(4)), (3,)),
    Row("planar map", lambda: bj.Planar(3), (3,), noise=0.5),
    Row("planar map, one feature, tripled", lambda: bj.Planar(1), (1,), noise=0.5, change=tripled),
    Row("planar map, context", lambda: bj.Planar(3, context_net(7)), (3,), context_dim=2),
    Row("radial map", lambda: bj.Radial(3), (3,), noise=0.5),
    Row("radial map, one feature, tripled", lambda: bj.Radial(1), (1,), noise=0.5, change=tripled),
    Row("radial map, context", lambda: bj.Radial(3, context_net(5)), (3,), context_dim=2),
    Row("sylvester map", lambda: bj.Sylvester(4, 4), (4,), noise=0.5),
    Row("sylvester map, one term", lambda: bj.Sylvester(3, 1), (3,), noise=0.5),
    Row("sylvester map, tripled", lambda: bj.Sylvester(3, 2), (3,), change=tripled),
    Row("sylvester map, context", lambda: bj.Sylvester(3, 2, context_net(8)), (3,), context_dim=2),
    Row("block autoregressive", lambda: bj.BlockAutoregressive(3, width=4), (3,)),
    Row("block autoregressive, two layers", lambda: bj.BlockAutoregressive(3, width=3, layers=2), (3,)),
    Row("block autoregressive, tripled", lambda: bj.BlockAutoregressive(2, width=4), (2,), change=tripled),
    Row("block autoregressive, one feature", lambda: bj.BlockAutoregressive(1, width=4), (1,), noise=0.5),
    Row(
        "block autoregressive, context", lambda: bj.BlockAutoregressive(3, width=3, context_dim=2), (3,), context_dim=2
    ),
]

JACOBI = [
    Row("autoregressive, Jacobi, affine", lambda: swept(AFFINE), (4,)),
    Row("autoregressive, Jacobi, spline", lambda: swept(SPLINE, order=(2, 0, 3, 1)), (4,)),
    Row("autoregressive, Jacobi, mixture", lambda: swept(bj.MixtureCDF(3)), (4,)),
    Row("autoregressive, Jacobi, context", lambda: swept(AFFINE, context_dim=2), (4,), context_dim=2),
    Row("inverse autoregressive, Jacobi", lambda: bj.Inverse(swept(AFFINE)), (4,)),
]

SOLVED = [
    Row("continuous", lambda: continuous(3), (3,)),
    Row("continuous, one feature", lambda: continuous(1), (1,), noise=0.2),
    Row("continuous, context", lambda: continuous(3, context_dim=2), (3,), context_dim=2),
    # Rows share their steps: they are independent to about the tolerance, which the laws ask to be 1e-9.
    Row("continuous, dopri5", lambda: continuous(2, solver="dopri5", rtol=1e-11, atol=1e-11), (2,)),
    Row("inverse continuous", lambda: bj.Inverse(continuous(2)), (2,)),
    Row("residual", lambda: residual(4), (4,), noise=0.5),
    Row("residual, one feature", lambda: residual(1), (1,), noise=1.0),
    Row("residual, context", lambda: residual(3, context_dim=2), (3,), context_dim=2, noise=0.5),
    Row("residual, near its bound, tripled", lambda: residual(3, lipschitz=0.99), (3,), noise=1.0, change=tripled),
    Row("inverse residual", lambda: bj.Inverse(residual(3)), (3,), noise=0.5),
    Row("continuous, one probe", lambda: continuous(3, trace="hutchinson"), (3,)),
    Row("residual, a random series", lambda: residual(3, log_det="estimate"), (3,), noise=0.5),
]

TRANSFORMS = [*SIMPLE, *COUPLINGS, *AUTOREGRESSIVE, *JACOBI, *BENT, *CIRCLES, *SOLVED]
