"""Golden log-densities of masked autoregressive flows, from zuko, nflows, normflows and flowjax (arXiv:1705.07057).

Every weight is a rounded sine of its position, so that a state is short, the same on every machine, and no random number is drawn.
x reaches eight deviations. nflows and normflows number their raw scale before the shift, zuko and flowjax behind it.

    python tests/golden/make_maf.py
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import nflows.flows
import nflows.transforms
import normflows.flows
import numpy as np
import paramax
import torch
import zuko.flows
from flowjax.bijections import Affine, MaskedAutoregressive
from nflows.distributions import StandardNormal
from torch import Tensor, nn
from zuko.distributions import DiagNormal
from zuko.lazy import UnconditionalDistribution

ROWS = 16
PEERS = ("zuko", "nflows", "normflows", "flowjax", "torch", "jax")


def sines(shape: tuple[int, ...], start: int, scale: float = 0.5) -> np.ndarray:
    """Rounded sines of the position, in float64."""
    count = int(np.prod(shape))
    return np.round(scale * np.sin(1.7 * np.arange(count) + 0.9 * start + 0.3), 3).reshape(shape)


def filled(module: nn.Module) -> nn.Module:
    """The module in float64, every parameter a sine; variances of batch normalisation positive."""
    module = module.double().eval()
    with torch.no_grad():
        for index, parameter in enumerate(module.parameters()):
            parameter.copy_(torch.from_numpy(sines(tuple(parameter.shape), index)))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.from_numpy(sines(tuple(buffer.shape), 7)))
            if name.endswith("running_var"):
                buffer.copy_(1 + torch.from_numpy(sines(tuple(buffer.shape), 8)))
    return module


def points(features: int, context_dim: int) -> tuple[Tensor, Tensor | None]:
    """x (rows, features), from the middle to eight deviations, and the context."""
    size = np.geomspace(0.3, 8.0, ROWS)[:, None]
    x = np.round(size * np.sin(2.3 * np.arange(ROWS * features) + 0.5).reshape(ROWS, features), 3)
    context = torch.from_numpy(sines((ROWS, context_dim), 3, 1.5)) if context_dim else None
    return torch.from_numpy(x), context


def plain(value: Tensor) -> Any:
    """A tensor as lists, bits as 0 and 1."""
    return value.int().tolist() if value.dtype == torch.bool else value.tolist()


def state_of(module: nn.Module) -> dict[str, Any]:
    """The state as lists; masks are 0 and 1, and integers where they are whole numbers held as floats."""
    state = {}
    for name, value in module.state_dict().items():
        state[name] = value.int().tolist() if name.endswith("mask") else plain(value)
    return state


def zuko_case(name: str, flow: nn.Module, features: int, context_dim: int = 0, **settings: Any) -> dict[str, Any]:
    """log p and z of a zuko flow."""
    filled(flow)
    x, context = points(features, context_dim)
    with torch.no_grad():
        distribution = flow(context)
        z, log_prob = distribution.transform(x), distribution.log_prob(x)
    return {
        "case": name,
        "peer": "zuko",
        "settings": settings,
        "context_dim": context_dim,
        "state": state_of(flow),
        "x": plain(x),
        "context": None if context is None else plain(context),
        "z": plain(z),
        "log_prob": plain(log_prob),
    }


def nflows_case(name: str, flow: nn.Module, features: int, context_dim: int = 0, **settings: Any) -> dict[str, Any]:
    """log p and z of an nflows flow."""
    filled(flow)
    x, context = points(features, context_dim)
    with torch.no_grad():
        z, log_prob = flow.transform_to_noise(x, context), flow.log_prob(x, context)
    return {
        "case": name,
        "peer": "nflows",
        "settings": settings,
        "context_dim": context_dim,
        "state": state_of(flow),
        "x": plain(x),
        "context": None if context is None else plain(context),
        "z": plain(z),
        "log_prob": plain(log_prob),
    }


def ordered_zuko(order: list[int]) -> nn.Module:
    """One affine transform of a given order, hidden units that no sorting makes ours, and a base that is not standard."""
    transform = zuko.flows.MaskedAutoregressiveTransform(len(order), order=torch.tensor(order), hidden_features=(7, 9))
    loc, scale = torch.from_numpy(sines((len(order),), 1)), 1 + torch.from_numpy(sines((len(order),), 2))
    return zuko.flows.Flow(transform, UnconditionalDistribution(DiagNormal, loc, scale, buffer=True))


def conditional_nflows() -> nn.Module:
    transform = nflows.transforms.MaskedAffineAutoregressiveTransform(3, 8, context_features=2, num_blocks=1)
    return nflows.flows.Flow(nflows.transforms.CompositeTransform([transform]), StandardNormal([3]))


def normflows_case() -> dict[str, Any]:
    """The map in its fast direction, whose inverse normflows' own density takes; its scale is σ(a + 2) + 1e-3."""
    flow = filled(normflows.flows.MaskedAffineAutoregressive(3, 8, num_blocks=2))
    x, _ = points(3, 0)
    with torch.no_grad():
        z, log_det = flow.forward(x)
    return {
        "case": "normflows, residual",
        "peer": "normflows",
        "settings": {},
        "context_dim": 0,
        "state": state_of(flow),
        "x": plain(x),
        "context": None,
        "z": plain(z),
        "log_det": plain(log_det),
    }


def flowjax_case() -> dict[str, Any]:
    """The map with a context; weights are written down with their masks applied, the affine's raw scale is softplus⁻¹(1) plus a."""
    bijection = MaskedAutoregressive(jax.random.key(0), transformer=Affine(), dim=3, cond_dim=2, nn_width=8, nn_depth=2)
    leaves, structure = jax.tree_util.tree_flatten(eqx.filter(bijection, eqx.is_inexact_array))
    arrays = [jnp.asarray(sines(leaf.shape, index), jnp.float64) for index, leaf in enumerate(leaves)]
    bijection = eqx.combine(jax.tree_util.tree_unflatten(structure, arrays), bijection)
    bijection = paramax.unwrap(bijection)
    x, context = points(3, 2)
    assert context is not None
    z, log_det = jax.vmap(bijection.transform_and_log_det)(jnp.asarray(x.numpy()), jnp.asarray(context.numpy()))
    layers = bijection.masked_autoregressive_mlp.layers
    assert z.dtype == jnp.float64
    return {
        "case": "flowjax, context",
        "peer": "flowjax",
        "settings": {},
        "context_dim": 2,
        "state": {
            f"{i}.{name}": getattr(layer, name).tolist()
            for i, layer in enumerate(layers)
            for name in ("weight", "bias")
        },
        "x": plain(x),
        "context": plain(context),
        "z": z.tolist(),
        "log_det": log_det.tolist(),
    }


def cases() -> list[dict[str, Any]]:
    flow = nflows.flows.MaskedAutoregressiveFlow
    maf = zuko.flows.MAF
    return [
        zuko_case("zuko", maf(3, transforms=2, hidden_features=(7, 8)), 3, kind="maf"),
        zuko_case("zuko, context", maf(3, 2, transforms=2, hidden_features=(6,)), 3, 2, kind="maf"),
        zuko_case("zuko, one feature, context", maf(1, 2, transforms=2, hidden_features=(5,)), 1, 2, kind="maf"),
        zuko_case("zuko, one feature", maf(1, transforms=1), 1, kind="maf"),
        zuko_case("zuko, residual", maf(3, 1, transforms=1, hidden_features=(6, 6), residual=True), 3, 1, kind="maf"),
        zuko_case("zuko, order and base", ordered_zuko([2, 0, 3, 1]), 4, kind="maf"),
        zuko_case(
            "zuko, tanh",
            maf(2, transforms=1, hidden_features=(5,), activation=nn.Tanh),
            2,
            kind="maf",
            activation="tanh",
        ),
        nflows_case("nflows, residual", flow(3, 8, 2, 2), 3),
        nflows_case(
            "nflows, plain, batch norm", flow(3, 8, 2, 1, use_residual_blocks=False, batch_norm_between_layers=True), 3
        ),
        nflows_case("nflows, context", conditional_nflows(), 3, 2),
        normflows_case(),
        flowjax_case(),
    ]


def lines(rows: list[dict[str, Any]]) -> str:
    """One line a field, the state's tensors each on one of its own."""
    texts = []
    for fields in rows:
        parts = []
        for key, value in fields.items():
            text = json.dumps(value, separators=(",", ":"))
            if key == "state":
                text = (
                    "{\n    "
                    + ",\n    ".join(
                        f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in value.items()
                    )
                    + "}"
                )
            parts.append(f"{json.dumps(key)}: {text}")
        texts.append("  {" + ",\n   ".join(parts) + "}")
    return ' "cases": [\n' + ",\n".join(texts) + "\n ]"


def write(name: str, what: str, peers: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """The file data/name.json."""
    head = {
        "what": what,
        "command": f"python tests/golden/make_{name}.py",
        "versions": {peer: importlib.metadata.version(peer) for peer in peers},
    }
    top = "".join(f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items())
    path = Path(__file__).parent / "data" / f"{name}.json"
    path.write_text("{\n" + top + lines(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    write(
        "maf",
        "masked autoregressive flows: state, x, z and log_prob, or log_det where the peer is a map",
        PEERS,
        cases(),
    )
