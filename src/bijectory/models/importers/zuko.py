"""zuko's masked autoregressive and neural spline flows, rebuilt."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...transforms.autoregressive import Autoregressive
from ...transforms.base import Transform
from ...transforms.elementwise import Elementwise
from ...transforms.normalise import ConstantAffine
from ..flow import Flow
from .elementwise import PeerAffine, ZukoSpline
from .nets import Layer, causal_net, known_activation
from .state import State, assembled, below, linear_layer, numbered, tensors

Kind = Literal["maf", "nsf"]


@dataclass(frozen=True)
class _Settings:
    """What a zuko transform's tensors do not tell."""

    kind: Kind
    activation: str
    slope: float
    bound: float
    total: int = 0


def from_zuko(
    flow: nn.Module | Mapping[str, Tensor],
    *,
    kind: Kind | None = None,
    activation: str = "relu",
    slope: float = 1e-3,
    bound: float = 5.0,
) -> Flow:
    """A zuko ``MAF`` or ``NSF`` as a ``Flow`` of ours: equal log_prob, to rounding.

    ``flow`` is the zuko flow, from which its settings are read, or its state dictionary; then ``kind`` says which of the two it is, and
    ``activation``, ``slope`` and ``bound`` how it was made. Contexts, any order, ``passes``, ``adjacency`` and residual networks are
    carried over; where zuko's masks are ours with the units in another order, the copy samples with the work of about one call.

    Raises InputError for other flows, bases and maps, and for a state dictionary without ``kind``.

    >>> import torch
    >>> state = {"transform.transforms.0.order": torch.tensor([0, 1]), "transform.transforms.0.hyper.0.bias": torch.zeros(4)}
    >>> state["transform.transforms.0.hyper.0.weight"] = torch.ones(4, 2)
    >>> state["transform.transforms.0.hyper.0.mask"] = torch.tensor([[0, 0], [0, 0], [1, 0], [1, 0]]).bool()
    >>> from_zuko(state, kind="maf").encode(torch.tensor([1.0, 2.0]))[0].item()
    1.0
    """
    state = tensors(flow)
    read = _read_flow(flow) if isinstance(flow, nn.Module) else None
    parts = below(state, "transform.transforms")
    layers = numbered(parts) if parts else [below(state, "transform")]
    if read is None:
        if kind not in ("maf", "nsf"):
            raise InputError(f"kind: expected 'maf' or 'nsf' with a state dictionary, got {kind!r}")
        settings = [_Settings(kind, known_activation(activation), slope, bound)] * len(layers)
    else:
        settings = read
    if not layers or not all(layers) or len(settings) != len(layers):
        raise InputError("flow: expected zuko's MAF or NSF, whose tensors begin with 'transform.', got no such tensors")
    built = [_transform(part, told) for part, told in zip(layers, settings, strict=True)]
    transforms: list[Transform] = [transform for transform, _, _ in built]
    features, context_dim = built[0][1], max(context for _, _, context in built)
    transforms += _base(below(state, "base"), features)
    return assembled(transforms, features, context_dim)


def _read_settings(module: Any) -> _Settings:
    name = type(module).__name__
    if name not in ("MaskedAutoregressiveTransform", "ElementWiseTransform"):
        raise InputError(f"flow: expected the masked autoregressive transforms of zuko's MAF and NSF, got {name}")
    univariate: Any = module.univariate
    told: dict[str, float] = {}
    if isinstance(univariate, functools.partial):
        univariate, told = univariate.func, dict(univariate.keywords)
    kinds: dict[str, Kind] = {"MonotonicAffineTransform": "maf", "MonotonicRQSTransform": "nsf"}
    named = getattr(univariate, "__name__", type(univariate).__name__)
    if named not in kinds or not set(told) <= {"slope", "bound"}:
        raise InputError(f"flow: expected {' or '.join(kinds)} with slope and bound, got {named}")
    activations = {
        type(part).__name__ for part in getattr(module, "hyper", nn.Identity()).modules() if not list(part.children())
    }
    activations -= {"MaskedLinear", "Linear", "Identity"}
    if len(activations) > 1:
        raise InputError(
            f"flow: expected one kind of activation and no normalisation in {name}, got {sorted(activations)}"
        )
    activation = known_activation(activations.pop()) if activations else "relu"
    slope, bound = told.get("slope", 1e-3), told.get("bound", 5.0)
    return _Settings(kinds[named], activation, slope, bound, module.total)


def _read_flow(flow: Any) -> list[_Settings]:
    """Settings of every transform; refuses another base than a diagonal normal."""
    if not hasattr(flow, "transform") or not hasattr(flow, "base"):
        raise InputError(f"flow: expected a zuko flow, got {type(flow).__name__}")
    settings = [_read_settings(module) for module in getattr(flow.transform, "transforms", [flow.transform])]
    made = getattr(flow.base, "f", None)
    if getattr(made, "__name__", None) != "DiagNormal":
        raise InputError(f"flow: expected the base DiagNormal, got {flow.base}")
    return settings


def _base(state: State, features: int) -> list[Transform]:
    """zuko's diagonal normal as a standard one behind one more map; none where it is standard already."""
    vectors = [value for value in state.values() if value.shape == (features,)]
    if len(vectors) != len(state) or len(state) not in (0, 2):
        raise InputError(f"flow: expected a base with loc and scale of {features} numbers, got {sorted(state)}")
    if not vectors or (bool((vectors[0] == 0).all()) and bool((vectors[1] == 1).all())):
        return []
    return [ConstantAffine(vectors[0], vectors[1])]


def _transform(state: State, settings: _Settings) -> tuple[Transform, int, int]:
    """One transform, its number of features and of context features."""
    if "phi.0" in state:  # one feature without context: numbers in place of a network
        phi = [state[f"phi.{i}"] for i in range(2 if settings.kind == "maf" else 3)]
        features = len(phi[0])
        bias = torch.cat([values.reshape(features, -1) for values in phi], 1).flatten()
        weight = bias.new_zeros(len(bias), features)
        steps: list[Layer | Sequence[Layer]] = [Layer(weight, bias, torch.zeros_like(weight, dtype=torch.bool))]
    else:
        steps, features = _steps(below(state, "hyper"), state.get("order"), settings)
    last = steps[-1]
    assert isinstance(last, Layer)
    num_params = len(last.bias) // features
    bins = (num_params + 1) // 3
    if (num_params != 2) if settings.kind == "maf" else (bins < 2 or num_params != 3 * bins - 1):
        raise InputError(
            f"kind: {settings.kind!r} does not go with {num_params} parameters a feature; an affine map has 2, a spline 3·bins − 1"
        )
    elementwise: Elementwise
    affine = settings.kind == "maf"
    elementwise = PeerAffine("softclip", settings.slope) if affine else ZukoSpline(bins, settings.bound, settings.slope)
    net = causal_net(steps, settings.activation, features=features)
    first = steps[0]
    assert isinstance(first, Layer)
    return Autoregressive(elementwise, net), features, first.weight.shape[1] - features


def _steps(state: State, order: Tensor | None, settings: _Settings) -> tuple[list[Layer | Sequence[Layer]], int]:
    """The network's layers and residual blocks, and how many features it is for."""
    steps: list[Layer | Sequence[Layer]] = []
    for index in sorted({int(name.split(".")[0]) for name in state}):
        if f"{index}.weight" in state:
            steps.append(linear_layer(state, str(index)))
        else:
            inner = sorted({int(name.split(".")[1]) for name in state if name.startswith(f"{index}.")})
            steps.append([linear_layer(state, f"{index}.{i}") for i in inner])
    first, last = steps[0], steps[-1]
    if not isinstance(first, Layer) or not isinstance(last, Layer):
        raise InputError("flow: expected a network that begins and ends with a linear layer")
    if first.mask is None:
        # One feature with a context: zuko's network reads the context alone. Ours reads x too, through weights that are closed.
        features = 1
        weight = torch.cat([first.weight.new_zeros(len(first.weight), 1), first.weight], 1)
        open_ = torch.ones_like(weight, dtype=torch.bool)
        open_[:, 0] = False
        steps[0] = Layer(weight, first.bias, open_)
    elif order is not None:
        features = len(order)
    elif settings.total:
        features = len(last.bias) // settings.total
    else:
        raise InputError("flow: a transform made with `adjacency` has no order in its state; hand in the flow itself")
    return steps, features
