"""nflows' masked autoregressive and neural spline flows, rebuilt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...transforms.autoregressive import Autoregressive
from ...transforms.base import Transform
from ...transforms.coupling import Coupling, Partition
from ...transforms.elementwise import Elementwise
from ...transforms.linear import LULinear, Permute
from ...transforms.normalise import ActNorm, ConstantAffine
from ...transforms.splines import RationalQuadraticSpline
from ..flow import Flow
from .elementwise import PeerAffine
from .nets import Activation, Layer, PeerNet, Skip, causal_net, known_activation
from .state import State, assembled, below, linear_layer, numbered, tensors

_KNOWN = (
    "CompositeTransform",
    "Permutation",
    "RandomPermutation",
    "ReversePermutation",
    "MaskedAffineAutoregressiveTransform",
    "MaskedPiecewiseRationalQuadraticAutoregressiveTransform",
    "AffineCouplingTransform",
    "PiecewiseRationalQuadraticCouplingTransform",
    "LULinear",
    "ActNorm",
    "BatchNorm",
    "PointwiseAffineTransform",
    "AffineTransform",
)


@dataclass(frozen=True)
class Settings:
    """What tensors of nflows do not tell: the defaults are nflows' own, but for ``tail_bound``, which has to be said."""

    activation: str = "relu"
    tail_bound: float | None = None
    floor: float = 1e-3
    eps: float | None = None


def from_nflows(
    flow: nn.Module | Mapping[str, Tensor],
    *,
    activation: str = "relu",
    tail_bound: float | None = None,
    floor: float = 1e-3,
) -> Flow:
    """An nflows ``Flow`` of masked autoregressive, coupling and linear transforms as a ``Flow`` of ours: equal log_prob, to rounding.

    ``flow`` is the nflows flow, from which its settings are read, or its state dictionary; then ``activation``, ``tail_bound`` (needed
    for splines) and ``floor`` (its three minima) say how it was made. Known are affine and rational-quadratic maps with linear tails,
    autoregressive and coupling, over its MADE and its ResidualNet, permutations, LULinear, ActNorm, BatchNorm and PointwiseAffineTransform,
    to StandardNormal. Dropout and batch normalisation are taken as in evaluation mode.

    Raises InputError for anything else, and for a conditional autoregressive flow: in nflows 0.14 the first feature's parameters do not
    depend on the context.

    >>> import torch
    >>> from_nflows({"_transform._transforms.0._permutation": torch.tensor([1, 0])}).encode(torch.tensor([1.0, 2.0])).tolist()
    [2.0, 1.0]
    """
    state = tensors(flow)
    if isinstance(flow, nn.Module) and not {"_transform", "_distribution", "_embedding_net"} <= set(
        dict(flow.named_children())
    ):
        raise InputError(f"flow: expected an nflows Flow, got {type(flow).__name__}")
    module: Any = flow if isinstance(flow, nn.Module) else None
    settings = Settings(known_activation(activation), tail_bound, floor)
    # StandardNormal keeps no tensors in its state; others that keep none show by their class alone.
    base = sorted(below(state, "_distribution")) if module is None else [type(module._distribution).__name__]
    if base not in ([], ["StandardNormal"]):
        raise InputError(f"flow: expected the base StandardNormal, got {', '.join(base)}")
    embedding = [name for name in state if name.startswith("_embedding_net.")]
    if embedding or (module is not None and type(module._embedding_net).__name__ != "Identity"):
        raise InputError(
            "flow: expected no embedding net; import the flow without it and wrap it as bijectory.Embedded"
        )
    layers = below(state, "_transform")
    if not layers:
        raise InputError("flow: expected an nflows Flow, whose tensors begin with '_transform.', got no such tensors")
    built = _converted(layers, settings, None if module is None else module._transform)
    features = next((part.features for part in built if part.features), None)
    if features is None:
        raise InputError("flow: expected at least one transform that tells the number of features, got none")
    return assembled([part.transform for part in built], features, max(part.context_dim for part in built))


@dataclass(frozen=True)
class _Part:
    """A transform of ours, the number of features where it tells, and of context features that it reads."""

    transform: Transform
    features: int | None
    context_dim: int = 0


def _converted(state: State, settings: Settings, module: Any) -> list[_Part]:
    """The transforms of one of nflows', several where it is a composite."""
    if module is not None:
        if type(module).__name__ not in _KNOWN:
            raise InputError(f"flow: expected transforms among {', '.join(_KNOWN)}, got {type(module).__name__}")
        settings = _read_settings(module, settings)
    if any(name.startswith("_transforms.") for name in state):
        parts = numbered(below(state, "_transforms"))
        modules = [None] * len(parts) if module is None else list(module._transforms)
        if len(modules) != len(parts):
            raise InputError(
                f"flow: expected every transform to have tensors, got {[type(m).__name__ for m in modules]}"
            )
        return [found for part, m in zip(parts, modules, strict=True) for found in _converted(part, settings, m)]
    if "_permutation" in state:
        order = state["_permutation"].tolist()
        return [_Part(Permute(order), len(order))]
    if "autoregressive_net.initial_layer.weight" in state:
        return [_autoregressive(below(state, "autoregressive_net"), settings)]
    if "identity_features" in state:
        return [_coupling(state, settings)]
    if "lower_entries" in state:
        return [lu_linear(state, 1e-3 if settings.eps is None else settings.eps)]
    if {"log_scale", "shift"} <= set(state):
        return [_actnorm(state["log_scale"], state["shift"] * torch.exp(-state["log_scale"]))]
    if "running_mean" in state:
        # BatchNorm in evaluation mode: (x − mean) / √(variance + eps) · weight + bias.
        eps = 1e-5 if settings.eps is None else settings.eps
        weight = nn.functional.softplus(state["unconstrained_weight"]) + eps
        log_scale = torch.log(weight) - 0.5 * torch.log(state["running_var"] + eps)
        return [_actnorm(log_scale, state["bias"] * torch.exp(-log_scale) - state["running_mean"])]
    if {"_scale", "_shift"} <= set(state):
        scale, shift = torch.broadcast_tensors(state["_scale"], state["_shift"])
        if scale.dim() != 1:
            raise InputError(
                f"flow: expected a PointwiseAffineTransform of one number a feature, got shape {tuple(scale.shape)}"
            )
        return [_Part(ConstantAffine(-shift / scale, 1 / scale), len(scale))]
    raise InputError(
        f"flow: expected transforms among {', '.join(_KNOWN)}, got one with the tensors {sorted(state)[:6]}"
    )


def _read_settings(module: Any, settings: Settings) -> Settings:
    net = getattr(module, "autoregressive_net", getattr(module, "transform_net", None))
    blocks = list(getattr(net, "blocks", []))
    function = getattr(blocks[0] if blocks else net, "activation", None)
    if function is not None:
        name = getattr(function, "__name__", type(function).__name__)
        settings = replace(settings, activation=known_activation(name))
    if hasattr(module, "tail_bound"):
        if module.tails != "linear":
            raise InputError(f"flow: expected splines with tails='linear', got {module.tails!r}")
        minima = {module.min_bin_width, module.min_bin_height, module.min_derivative}
        if len(minima) > 1:
            raise InputError(f"flow: expected one minimum for bins and derivatives, got {sorted(minima)}")
        settings = replace(settings, tail_bound=module.tail_bound, floor=minima.pop())
    if isinstance(getattr(module, "eps", None), float):
        settings = replace(settings, eps=module.eps)
    return settings


def _actnorm(log_scale: Tensor, shift: Tensor) -> _Part:
    part = ActNorm(log_scale.shape).to(log_scale)
    with torch.no_grad():
        part.log_scale.copy_(log_scale)
        part.shift.copy_(shift)
    return _Part(part, len(log_scale))


def lu_linear(state: State, eps: float = 1e-3) -> _Part:
    """nflows' LULinear (normflows' too): the diagonal log(1 + e^a) + eps becomes ours, whose bound is widened to hold it."""
    features = len(state["bias"])
    if features < 2:
        raise InputError("flow: expected LULinear of at least two features, got one")
    log_diagonal = torch.log(nn.functional.softplus(state["unconstrained_upper_diag"]) + eps)
    bound = max(3.0, 2 * float(log_diagonal.abs().max()))
    part = LULinear(features, bound=bound).to(log_diagonal)
    rows, columns = torch.tril_indices(features, features, -1)
    with torch.no_grad():
        part.lower[rows, columns] = state["lower_entries"]
        rows, columns = torch.triu_indices(features, features, 1)
        part.upper[rows, columns] = state["upper_entries"]
        part.log_diagonal.copy_(bound * torch.atanh(log_diagonal / bound))
        part.bias.copy_(state["bias"])
    return _Part(part, features)


def _elementwise(last: Layer, features: int, settings: Settings, shrink: float) -> tuple[Elementwise, Layer]:
    """The elementwise map for a network's last layer, and that layer with nflows' constants moved into its weights.

    nflows' spline is ours but for two: in couplings it divides raw widths and heights by the root of the hidden width (``shrink``), and
    it adds no offset to raw slopes, so that its zero parameters are not the identity.
    """
    num_params = len(last.bias) // features
    if (num_params + 1) % 3:
        raise InputError(
            f"flow: expected a spline with linear tails, 3·bins − 1 parameters a feature, got {num_params}"
        )
    if settings.tail_bound is None:
        raise InputError("tail_bound: expected the splines' bound with a state dictionary, got none")
    bins = (num_params + 1) // 3
    if bins < 2:
        raise InputError(f"flow: expected splines of at least 2 bins, got {bins}")
    offset = math.log(math.expm1(1 - settings.floor))
    factor = torch.ones(num_params, dtype=last.bias.dtype)
    factor[: 2 * bins] = shrink
    added = torch.zeros_like(factor)
    added[2 * bins :] = -offset
    factor, added = factor.repeat(features), added.repeat(features)
    moved = Layer(last.weight * factor[:, None], last.bias * factor + added, last.mask)
    return RationalQuadraticSpline(bins, settings.tail_bound, floor=settings.floor), moved


def _reordered(last: Layer, index: Tensor) -> Layer:
    return Layer(last.weight[index], last.bias[index], None if last.mask is None else last.mask[index])


def _refuse_batch_norm(state: State) -> None:
    if any("batch_norm" in name for name in state):
        raise InputError("flow: expected networks without batch normalisation within, got some")


def _autoregressive(state: State, settings: Settings) -> _Part:
    """A masked autoregressive transform, over nflows' MADE."""
    _refuse_batch_norm(state)
    first, last = linear_layer(state, "initial_layer"), linear_layer(state, "final_layer")
    features = first.weight.shape[1]
    num_params = len(last.bias) // features
    elementwise: Elementwise
    if num_params == 2:
        # Its raw scale stands before its shift.
        index = torch.arange(len(last.bias)).unflatten(0, (features, 2)).flip(1).flatten()
        elementwise, last = PeerAffine("softplus"), _reordered(last, index)
    else:
        elementwise, last = _elementwise(last, features, settings, 1.0)
    context_dim = 0
    if "context_layer.weight" in state:
        # Enters the first layer, through an activation; what matters here is which units it reaches, and that is all of them.
        context_dim = state["context_layer.weight"].shape[1]
        weight = torch.cat([first.weight, state["context_layer.weight"]], 1)
        opened = torch.cat([first.open(), torch.ones_like(state["context_layer.weight"], dtype=torch.bool)], 1)
        first = Layer(weight, first.bias, opened)
    steps: list[Layer | Sequence[Layer]] = [first]
    for block in numbered(below(state, "blocks")):
        if "linear.weight" in block:
            steps.append(linear_layer(block, "linear"))
        else:
            steps.append([linear_layer(block, f"linear_layers.{i}") for i in (0, 1)])
    net = causal_net([*steps, last], settings.activation, features=features, residual_first=True)
    if context_dim:
        raise InputError(
            "flow: expected no context in nflows' MADE, which no release carries to the first feature; got one"
        )
    return _Part(Autoregressive(elementwise, net), features)


def _coupling(state: State, settings: Settings) -> _Part:
    """A coupling over nflows' ResidualNet."""
    _refuse_batch_norm(state)
    if any(name.startswith("unconditional_transform.") for name in state):
        raise InputError("flow: expected couplings without an unconditional transform, got one")
    net = below(state, "transform_net")
    if "initial_layer.weight" not in net or "final_layer.weight" not in net:
        raise InputError(f"flow: expected nflows' ResidualNet in couplings, got a net with {sorted(net)[:6]}")
    staying, moving = state["identity_features"].tolist(), state["transform_features"].tolist()
    first, last = linear_layer(net, "initial_layer"), linear_layer(net, "final_layer")
    context_dim = first.weight.shape[1] - len(staying)
    num_params = len(last.bias) // len(moving)
    elementwise: Elementwise
    if num_params == 2:
        # All shifts stand before all raw scales.
        index = torch.arange(len(last.bias)).unflatten(0, (2, len(moving))).T.flatten()
        elementwise, last = PeerAffine("sigmoid"), _reordered(last, index)
    else:
        elementwise, last = _elementwise(last, len(moving), settings, 1 / math.sqrt(len(first.bias)))
    parts: list[nn.Module] = [first.module()]
    for block in numbered(below(net, "blocks")):
        one, two = linear_layer(block, "linear_layers.0").module(), linear_layer(block, "linear_layers.1").module()
        gate = linear_layer(block, "context_layer").module() if "context_layer.weight" in block else None
        parts.append(Skip([Activation(settings.activation), one, Activation(settings.activation), two], gate))
    out_shape = (len(moving), num_params)
    whole = PeerNet([*parts, last.module()], out_shape, context_dim)
    features = len(staying) + len(moving)
    return _Part(Coupling(Partition(features, moving), elementwise, whole), features, context_dim)
