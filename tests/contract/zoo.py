"""One table of every transform and model, with its domain, its tolerances and its exceptions, each with a reason.

To add a map or a model, add a row; the laws of `bijectory.testing` that apply to it follow. Parameters are moved from where they start,
by seeded noise: with the zero-initialised last layers of a fresh model, a law would test the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

import bijectory as bj
from bijectory.models.importers.elementwise import PeerAffine, ZukoSpline
from bijectory.numerics.circle import wrap
from bijectory.numerics.seeds import generator_for
from bijectory.transforms.partitions import Block, ChannelHalves, Checkerboard, LeftRight, TopBottom
from bijectory.transforms.reshape import Flatten

Sampler = Callable[[tuple[int, ...], torch.Generator], Tensor]
ROWS = 96


@dataclass(frozen=True)
class Loosened:
    """A bound other than the contract's, and why."""

    bound: float
    reason: str


@dataclass(frozen=True, eq=False)
class Row:
    """A transform or a model: how to make it, what its data look like, and where the contract does not hold for it."""

    id: str
    make: Callable[[], nn.Module]
    event_shape: tuple[int, ...]
    context_dim: int = 0
    data: Sampler = field(default=lambda shape, g: torch.randn(shape, generator=g))
    noise: float = 0.1
    change: Callable[[nn.Module], None] | None = None
    tolerances: Mapping[str, Loosened] = field(default_factory=dict)
    exceptions: Mapping[str, str] = field(default_factory=dict)

    def bounds(self) -> dict[str, float]:
        """The row's own bounds, as keyword arguments of the contract."""
        return {name: loosened.bound for name, loosened in self.tolerances.items()}


@dataclass(frozen=True)
class Specimen:
    """A row's map or model with its parameters moved, rows of its domain, and their contexts."""

    module: nn.Module
    x: Tensor
    context: Tensor | None


@cache
def specimen(row: Row) -> Specimen:
    """The row made, once a session: laws work on copies."""
    generator = generator_for("zoo", row.id)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        module = row.make()
    x = row.data((ROWS, *row.event_shape), generator)
    context = torch.randn(ROWS, row.context_dim, generator=generator) if row.context_dim else None
    if isinstance(module, bj.SampleModel):
        bj.initialise(module, x, context)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(row.noise * torch.randn(parameter.shape, generator=generator))
        if row.change is not None:
            row.change(module)
    return Specimen(module.eval(), x, context)


# Where data live


def spread(low: float, high: float) -> Sampler:
    """Uniform between low and high."""
    return lambda shape, g: low + (high - low) * torch.rand(shape, generator=g)


def scaled(loc: float, scale: float) -> Sampler:
    """Normal, away from the origin and of another scale than 1."""
    return lambda shape, g: loc + scale * torch.randn(shape, generator=g)


def positive(shape: tuple[int, ...], g: torch.Generator) -> Tensor:
    """Log-normal."""
    return torch.exp(0.5 * torch.randn(shape, generator=g))


def angles(shape: tuple[int, ...], g: torch.Generator) -> Tensor:
    """Angles around 2.5, some of them past the seam at ±π."""
    return wrap(2.5 + 0.8 * torch.randn(shape, generator=g))


def crescent(shape: tuple[int, ...], g: torch.Generator) -> Tensor:
    """Two bent, correlated columns and, beyond them, sums of neighbours: dependence that no standardising removes."""
    x = torch.randn(shape, generator=g)
    for column in range(1, shape[-1]):
        x[..., column] = 0.5 * x[..., column] + 0.5 * (x[..., column - 1] ** 2 - 1)
    return 3 + 2 * x


def integers(levels: int) -> Sampler:
    """Integers 0 … levels − 1, neighbours alike."""

    def sampler(shape: tuple[int, ...], g: torch.Generator) -> Tensor:
        x = torch.randn(shape, generator=g)
        share = torch.sigmoid(0.8 * x + 0.8 * x.roll(1, -1))
        return (share * levels).floor().to(torch.uint8 if levels <= 256 else torch.int64)

    return sampler


# How parameters are moved


def biases(value: float) -> Callable[[nn.Module], None]:
    """Every bias of a last layer becomes ``value``."""

    def change(module: nn.Module) -> None:
        for part in module.modules():
            if isinstance(part, bj.MLP):
                part.last.bias.fill_(value)
            elif isinstance(part, bj.MADE):
                part.layers[-1].bias.fill_(value)

    return change


# Parts

HIDDEN = (16,)
PICTURE = (2, 4, 4)
SPLINE, SMALL_SPLINE = bj.RationalQuadraticSpline(), bj.RationalQuadraticSpline(2, 3.0)
CIRCULAR = bj.CircularSpline(4)
AFFINE, SIGMOID_AFFINE, SHIFT_FIRST = bj.Affine(), bj.SigmoidAffine(), bj.ShiftFirst()
# Nets hold what they read within ten deviations, as the models' do: see the row "coupling, net without input bound".
HELD: dict[str, Any] = {"hidden": HIDDEN, "squash": True}


def coupling(partition: bj.Partition, elementwise: Any, **settings: Any) -> bj.Coupling:
    out = (len(partition.moving), elementwise.num_params)
    return bj.Coupling(partition, elementwise, bj.MLP(len(partition.staying), out, **{**HELD, **settings}))


def autoregressive(features: int, elementwise: Any, **settings: Any) -> bj.Autoregressive:
    return bj.Autoregressive(elementwise, bj.MADE(features, elementwise.num_params, **{**HELD, **settings}))


def swept(elementwise: Any, **settings: Any) -> bj.Autoregressive:
    """Of four features, its inverse found by Jacobi iteration."""
    transform = autoregressive(4, elementwise, **settings)
    bj.set_sampling(transform, "jacobi")
    return transform


def halves(elementwise: Any, features: int = 4, **settings: Any) -> bj.Coupling:
    return coupling(bj.Partition.halves(features), elementwise, **settings)


def picture_coupling(partition: Any, elementwise: Any, channels: int = 2, **settings: Any) -> bj.Coupling:
    staying, moving = partition.channels(channels)
    learned = isinstance(elementwise, bj.ShiftFirst)
    out = (moving, elementwise.num_params)
    net = bj.ResNet(staying, out, filters=4, blocks=1, bounded=learned, **{"squash": True, **settings})
    return bj.Coupling(partition, elementwise, net)


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


def bad_map() -> nn.Module:
    return realnvp_image((1, 8, 8), partition="left_right").transform


def squeezed_and_back() -> bj.Chain:
    """One of each kind of picture's layer, from one channel to four and back to one."""
    board, channels = Checkerboard(), ChannelHalves(4, flip=True)
    return bj.Chain(
        [
            picture_coupling(board, SHIFT_FIRST, 1),
            bj.Squeeze(),
            bj.ActNorm((4, 1, 1)),
            picture_coupling(channels, AFFINE, 4),
            bj.Inverse(bj.Squeeze()),
            picture_coupling(board.flipped(), SHIFT_FIRST, 1),
        ]
    )


def small_channels(module: nn.Module) -> None:
    module.affine.set(torch.tensor([[[100.0]], [[-3.0]]]), torch.tensor([[[7.0]], [[0.1]]]))  # type: ignore[operator, union-attr]


def small_steps(module: nn.Module) -> None:
    module.affine.set(torch.full((3,), 100.0), torch.full((3,), 7.0))  # type: ignore[operator, union-attr]


ELEMENTWISE = {
    "shift": bj.Shift(),
    "affine": AFFINE,
    "sigmoid affine": SIGMOID_AFFINE,
    "spline": SPLINE,
    "gaussian mixture": bj.MixtureCDF(4, "gaussian"),
    "logistic mixture": bj.MixtureCDF(4, "logistic"),
    "composed": bj.Composed([bj.MixtureCDF(3, "logistic"), AFFINE]),
}
PARTITIONS = {
    "halves": bj.Partition.halves(5),
    "even and odd": bj.Partition.even_odd(5, flip=True),
    "index set": bj.Partition(5, (0, 1, 3)),
}
PICTURE_PARTITIONS = {
    "checkerboard": Checkerboard(),
    "flipped checkerboard": Checkerboard(flip=True),
    "channel halves": ChannelHalves(2),
    "top and bottom": TopBottom(flip=True),
    "left and right": LeftRight(),
    "block": Block(),
    "around a block": Block(flip=True),
}

STAYS = {"context": "one coupling leaves the part that stays as it is, whatever the context"}
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
    Row("constant affine image", lambda: bj.ConstantAffine(torch.zeros(2, 3, 3), 2 * torch.ones(2, 3, 3)), (2, 3, 3)),
    Row("standardise", lambda: bj.Standardise((3,)), (3,), data=scaled(100, 7), change=small_steps),
    Row("actnorm", lambda: bj.ActNorm((3,)), (3,), noise=1.0),
    Row("actnorm image", lambda: bj.ActNorm((2, 3, 3)), (2, 3, 3), noise=1.0),
    Row("diagonal scale", lambda: bj.DiagonalScale((3,)), (3,), noise=1.0),
    Row("standardise a channel", lambda: bj.Standardise((2, 1, 1)), PICTURE, change=small_channels),
    Row("actnorm a channel", lambda: bj.ActNorm((2, 1, 1)), PICTURE, noise=1.0),
    Row("diagonal scale a channel", lambda: bj.DiagonalScale((2, 1, 1)), PICTURE, noise=1.0),
    Row("squeeze", bj.Squeeze, PICTURE),
    Row("squeeze, one block", bj.Squeeze, (1, 2, 2)),
    Row("unsqueeze", lambda: bj.Inverse(bj.Squeeze()), (4, 2, 3)),
    Row("flatten", lambda: Flatten(PICTURE), PICTURE),
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
    *(
        Row(f"coupling, shift first, {where}", partial(picture_coupling, partition, SHIFT_FIRST), PICTURE)
        for where, partition in PICTURE_PARTITIONS.items()
    ),
    Row("coupling, shift, checkerboard", lambda: picture_coupling(Checkerboard(), bj.Shift()), PICTURE),
    Row("coupling, spline, checkerboard", lambda: picture_coupling(Checkerboard(), SPLINE), PICTURE),
    Row(
        "coupling, resnet without weight norm",
        lambda: picture_coupling(Checkerboard(), SHIFT_FIRST, weight_norm=False, gain=1.0),
        PICTURE,
    ),
    Row(
        "coupling, resnet that does not squash", lambda: picture_coupling(Checkerboard(), AFFINE, squash=False), PICTURE
    ),
    Row("chain of pictures' layers", squeezed_and_back, (1, 8, 4)),
    Row("realnvp_image's map", lambda: realnvp_image((1, 8, 8)).transform, (1, 8, 8), noise=0.05),
    Row("realnvp_image's map, left and right", bad_map, (1, 8, 8), noise=0.05),
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
    Row("autoregressive, context", lambda: autoregressive(3, AFFINE, context_dim=2), (3,), context_dim=2),
    Row("autoregressive, one feature, context", lambda: autoregressive(1, SPLINE, context_dim=1), (1,), context_dim=1),
    Row(
        "autoregressive, smallest scale",
        lambda: autoregressive(3, AFFINE),
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


def tripled(module: nn.Module) -> None:
    """Every weight three times as large: peers' densities were seen to lose their integral so (0.47, 0.0002)."""
    for parameter in module.parameters():
        parameter.mul_(3)


# A net that maps the context alone to what it adds to a map's own numbers.
def context_net(count: int) -> bj.MLP:
    return bj.MLP(2, (count,), hidden=HIDDEN)


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

# Maps that are solved rather than computed


def continuous(features: int, *, context_dim: int = 0, **settings: Any) -> bj.Continuous:
    return bj.Continuous(bj.TimeMLP(features, context_dim=context_dim, **HELD), **{"steps": 32, **settings})


def residual(features: int, *, context_dim: int = 0, lipschitz: float = 0.9, **settings: Any) -> bj.Residual:
    return bj.Residual(bj.LipschitzMLP(features, context_dim=context_dim, lipschitz=lipschitz, **HELD), **settings)


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


def unit_square() -> bj.Flow:
    """A density that ends at the sides of a square."""
    return bj.Flow(bj.Normal((2,)), bj.Chain([bj.logit(), halves(AFFINE, 2)]))


def half_line() -> bj.Flow:
    """A density of positive numbers, with a tail that falls like a power."""
    return bj.Flow(bj.Logistic((1,)), bj.Chain([bj.Inverse(bj.Exp()), bj.ActNorm((1,))]))


def positive_octant() -> bj.Flow:
    """A density of positive numbers in three dimensions, where no quadrature tells its support."""
    return bj.Flow(bj.Normal((3,)), bj.Chain([bj.Inverse(bj.Softplus()), autoregressive(3, AFFINE)]))


def image() -> bj.Flow:
    """A density over events of three dimensions."""
    shape = (2, 3, 3)
    return bj.Flow(bj.Normal(shape), bj.Chain([bj.Standardise(shape), bj.ActNorm(shape)]))


mixture_cdf = partial(bj.mixture_cdf, components=4, hidden=HIDDEN)
realnvp = partial(bj.realnvp, depth=4, hidden=HIDDEN)
nice = partial(bj.nice, depth=4, hidden=HIDDEN)
nsf = partial(bj.nsf, depth=3, hidden=HIDDEN)
maf = partial(bj.maf, depth=3, hidden=HIDDEN)
realnvp_image = partial(bj.realnvp_image, filters=4, blocks=1)
# Of sixteen numbers, so that importance sampling can tell what the density integrates to.
SMALL = (1, 4, 4)
SHORT = (("checkerboard", 2), ("channel", 2), ("checkerboard", 1))

MODELS = [
    Row("flow, normal", lambda: bj.Flow(bj.Normal((2,)), bj.Permute((1, 0))), (2,)),
    Row("flow, half line", half_line, (1,), data=positive),
    Row("flow, unit square", unit_square, (2,), data=spread(0.05, 0.95)),
    Row("flow, positive octant", positive_octant, (3,), data=positive),
    Row("flow, image", image, (2, 3, 3), data=scaled(1, 2)),
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
    Row("realnvp_image", lambda: realnvp_image(SMALL, stages=SHORT), SMALL, data=scaled(1, 2), noise=0.05),
    Row("realnvp_image, 2020", lambda: realnvp_image(SMALL, form="2020"), SMALL, data=scaled(0, 2), noise=0.05),
    Row(
        "realnvp_image, block, constant bound",
        lambda: realnvp_image(SMALL, stages=(("checkerboard", 4),), partition="block", scale=2.0),
        SMALL,
        noise=0.05,
    ),
    Row(
        "realnvp_image, no actnorm, no weight norm",
        lambda: realnvp_image(SMALL, stages=SHORT, actnorm=False, weight_norm=False, gain=0.1),
        SMALL,
        noise=0.02,
    ),
    Row("nice_image", lambda: bj.nice_image(SMALL, hidden=HIDDEN), SMALL, data=spread(0, 1)),
    Row("nice_image, normal", lambda: bj.nice_image(SMALL, hidden=HIDDEN, standardise=False, base="normal"), SMALL),
]

iaf = partial(bj.iaf, depth=3, hidden=HIDDEN)
naf = partial(bj.naf, components=3, hidden=HIDDEN)
flowpp = partial(bj.flowpp, depth=3, components=3, hidden=HIDDEN)
circular = partial(bj.nsf, depth=2, bins=4, hidden=HIDDEN, boundary="circular")


def box() -> bj.Flow:
    """Onto the unit square's uniform density."""
    return bj.Flow(bj.Uniform((2,)), bj.Chain([halves(AFFINE, 2), bj.Sigmoid()]))


def mixture_image() -> bj.Flow:
    """A mixture over events of three dimensions."""
    return bj.Flow(bj.Mixture((1, 2, 2), 2), bj.ActNorm((1, 2, 2)))


MODELS += [
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
    Row("flow, mixture of images", mixture_image, (1, 2, 2)),
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
]

planar = partial(bj.planar, depth=4, hidden=HIDDEN)
radial = partial(bj.radial, depth=4, hidden=HIDDEN)
sylvester = partial(bj.sylvester, depth=3, hidden=HIDDEN)
bnaf = partial(bj.bnaf, width=4)
BENDING = {"planar": planar, "radial": radial, "sylvester": sylvester, "bnaf": bnaf}

MODELS += [
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
    # With noise 0.05 three splines reach slopes of 1e8, and no quadrature follows the density.
    Row("nsf, tripled", lambda: nsf(2, linear="none"), (2,), data=crescent, noise=0.02, change=tripled),
    # With 0.02 and LU maps between them they are steep enough to lose float32 a digit more than the law allows: 1.2e-4.
    Row("nsf, LU, tripled", lambda: nsf(2), (2,), data=crescent, noise=0.01, change=tripled),
    Row("maf, tripled", lambda: maf(2), (2,), data=crescent, noise=0.05, change=tripled),
]

ffjord = partial(bj.ffjord, hidden=HIDDEN, steps=32)
residual_flow = partial(bj.residual_flow, depth=3, hidden=HIDDEN)

MODELS += [
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

quantised = bj.Quantised

BOUNDS = [
    Row("quantised, two bits", lambda: quantised(realnvp(2, base="normal"), 4), (2,), data=integers(4)),
    Row("quantised, no logit", lambda: quantised(realnvp(2), 4, alpha=None), (2,), data=integers(4)),
    Row("quantised, one number, small margin", lambda: quantised(nsf(1), 5, alpha=1e-4), (1,), data=integers(5)),
    Row("quantised, bits", lambda: quantised(maf(3), 2), (3,), data=integers(2)),
    Row("quantised, bytes", lambda: quantised(nsf(5), 256), (5,), data=integers(256), noise=0.05),
    Row("quantised, 16 bits", lambda: quantised(realnvp(3), 65_536), (3,), data=integers(65_536), noise=0.05),
    Row(
        "quantised, context",
        lambda: quantised(realnvp(2, context_dim=2), 6),
        (2,),
        context_dim=2,
        data=integers(6),
        noise=0.05,
    ),
    Row("quantised, pictures", lambda: quantised(image(), 17), (2, 3, 3), data=integers(17)),
    Row(
        "quantised, realnvp_image",
        lambda: quantised(realnvp_image((2, 12, 12), stages=SHORT), 4),
        (2, 12, 12),
        data=integers(4),
        noise=0.05,
    ),
    Row(
        "quantised, nice_image",
        lambda: quantised(bj.nice_image((1, 18, 18), hidden=HIDDEN), 16, alpha=None),
        (1, 18, 18),
        data=integers(16),
    ),
]
