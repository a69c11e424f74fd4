"""Neural spline flow: rational-quadratic splines in couplings or in autoregression."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from ...errors import InputError
from ...nets.made import MADE
from ...nets.mlp import MLP
from ...transforms.autoregressive import Autoregressive
from ...transforms.base import Chain, Transform
from ...transforms.circular import Angles, CircularSpline, Rotate
from ...transforms.coupling import Coupling, Partition
from ...transforms.elementwise import Elementwise
from ...transforms.normalise import Standardise
from ...transforms.splines import RationalQuadraticSpline
from ..base import as_shape
from ..flow import Flow
from .bases import BaseChoice, as_base, circular_base
from .mixing import LinearChoice, mixing
from .shapes import check_layers, vector_features


def nsf(
    event_shape: int | Sequence[int],
    *,
    depth: int = 5,
    bins: int = 8,
    hidden: Sequence[int] = (128, 128),
    activation: str = "relu",
    squash: bool = True,
    bound: float = 5.0,
    floor: float = 1e-3,
    structure: Literal["coupling", "autoregressive"] = "coupling",
    boundary: Literal["linear", "circular"] = "linear",
    linear: LinearChoice | None = None,
    base: BaseChoice | None = None,
    context_dim: int = 0,
) -> Flow:
    """``depth`` layers of rational-quadratic splines, the identity at the start and outside [−bound, bound].

    With ``boundary="circular"`` data are angles in [−π, π) and the flow goes on across the seam: splines on the circle, turned by phases
    of their own and by a constant between layers, from networks that read cos and sin. Nothing is standardised then, ``squash`` and
    ``bound`` are left aside, and other numbers are refused by DomainError. The base is normal where none is given, on circles uniform;
    another one for circles is a ``Uniform`` or a flow on the same circles.

    ``linear`` is the map that mixes the features before each layer: where none is given "lu", that of the paper, a fixed permutation and a
    trained LU map; "permutation", "householder", "orthogonal" and "none" are others. Angles cannot be mixed so, and are not.

    Source: Durkan et al. 2019 (arXiv:1906.04032); Rezende et al. 2020 (arXiv:2002.02428) for circles. Differs: partitions
    take turns and orders are reversed, as well as mixed; plain MLPs instead of residual nets; data are standardised first (call
    ``bijectory.initialise``).
    A single feature has nothing to couple with, so it is always autoregressive.

    >>> flow = nsf(2)
    >>> flow.sample(3).shape
    torch.Size([3, 2])
    """
    features = vector_features(event_shape)
    check_layers(depth, hidden)
    if structure not in ("coupling", "autoregressive"):
        raise InputError(f"structure: expected 'coupling' or 'autoregressive', got {structure!r}")
    shape = as_shape(features)
    if boundary not in ("linear", "circular"):
        raise InputError(f"boundary: expected 'linear' or 'circular', got {boundary!r}")
    circular = boundary == "circular"
    linear = ("none" if circular else "lu") if linear is None else linear
    if circular and linear != "none":
        raise InputError(f"linear: expected 'none' for angles, got {linear!r}; sums of angles jump where a turn ends")
    chosen = circular_base(base, shape) if circular else as_base("normal" if base is None else base, shape)
    elementwise: Elementwise = RationalQuadraticSpline(bins, bound, floor=floor)
    if circular:
        elementwise = CircularSpline(bins, floor=floor)
    transforms: list[Transform] = [Angles() if circular else Standardise(shape)]
    for layer in range(depth):
        transforms += mixing(linear, features, layer)
        if circular and layer:
            # The seam's knot, the one that is no parameter, comes elsewhere in every layer; the golden section never repeats.
            transforms.append(Rotate(math.pi * (math.sqrt(5) - 1)))
        if structure == "autoregressive" or features == 1:
            order = range(features) if layer % 2 == 0 else range(features - 1, -1, -1)
            made = MADE(
                features,
                elementwise.num_params,
                hidden=hidden,
                activation=activation,
                squash=squash,
                context_dim=context_dim,
                order=tuple(order),
                periodic=circular,
            )
            transforms.append(Autoregressive(elementwise, made))
        else:
            partition = Partition.alternating(features, layer)
            net = MLP(
                len(partition.staying),
                (len(partition.moving), elementwise.num_params),
                hidden=hidden,
                activation=activation,
                squash=squash,
                context_dim=context_dim,
                periodic=circular,
            )
            transforms.append(Coupling(partition, elementwise, net))
    return Flow(chosen, Chain(transforms), context_dim=context_dim)
