"""Golden masks of MADE, from nflows, normflows, flowjax, TensorFlow Probability and zuko (Germain et al. 2015, arXiv:1502.03509).

nflows gives degrees and masks; the dependency of outputs on inputs is read from the network itself: with every weight
one, every bias zero and a positive point, ReLU passes all units and the Jacobian counts the paths from input to output.
normflows' layers are nflows', but take the inputs' degrees in any order; flowjax's count from 0 and give a context the degree −1; TFP's
are spread in another way, and come from the function that its network, which needs Keras, calls for them. zuko builds its masks another
way, so of its networks only the dependency is written down, for permuted orders.

    python tests/golden/make_made.py
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
import torch
from flowjax.bijections import Affine, MaskedAutoregressive
from nflows.transforms.made import MADE, MaskedLinear
from normflows.nets import made as normflows_made
from tensorflow_probability.substrates.numpy.bijectors import masked_autoregressive as tfp_made
from torch import Tensor, nn
from zuko.nn import MaskedMLP

PEERS = ("nflows", "normflows", "flowjax", "jax", "tensorflow-probability", "numpy", "zuko", "torch")

FEATURES = (1, 2, 3, 5, 8)
HIDDEN = (7, 11)
ORDERS = ((1, 0), (2, 0, 1), (3, 1, 4, 0, 2), (7, 0, 3, 5, 1, 6, 2, 4))


def path_counts(net: nn.Module, features: int) -> list[list[int]]:
    """The number of open paths from each input (column) to each output (row)."""
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    jacobian = torch.func.jacrev(net)(torch.ones(features))
    counts: list[list[int]] = jacobian.long().tolist()
    return counts


def chained(features: int, multiplier: int) -> dict[str, Any]:
    """nflows' own masked layers, chained to the hidden sizes 7 and 11 (its MADE class repeats a single size)."""
    layers: list[MaskedLinear] = []
    degrees = in_degrees = torch.arange(1, features + 1)
    sizes = (*HIDDEN, features * multiplier)
    for position, size in enumerate(sizes):
        layers.append(MaskedLinear(degrees, size, features, random_mask=False, is_output=position == len(HIDDEN)))
        degrees = layers[-1].degrees
    net = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
    return row(features, multiplier, "nflows MaskedLinear", in_degrees, layers, net)


def whole(features: int, width: int) -> dict[str, Any]:
    """nflows' MADE class, feed-forward, with two hidden layers of one width."""
    net = MADE(features, width, num_blocks=1, use_residual_blocks=False, random_mask=False)
    layers = [net.initial_layer, *(block.linear for block in net.blocks), net.final_layer]
    return row(features, 1, "nflows MADE", torch.arange(1, features + 1), layers, net)


def row(
    features: int, multiplier: int, source: str, in_degrees: Tensor, layers: list[MaskedLinear], net: nn.Module
) -> dict[str, Any]:
    return {
        "features": features,
        "multiplier": multiplier,
        "source": source,
        "hidden": [layer.out_features for layer in layers[:-1]],
        "in_degrees": in_degrees.tolist(),
        "hidden_degrees": [layer.degrees.tolist() for layer in layers[:-1]],
        "out_degrees": layers[-1].degrees.tolist(),
        "masks": [layer.mask.long().tolist() for layer in layers],
        "paths": path_counts(net, features),
    }


def permuted_normflows(order: tuple[int, ...], multiplier: int) -> dict[str, Any]:
    """normflows' layers behind inputs of that order, as its class chains them when it draws an order (``permute_mask``)."""
    features, layers = len(order), []
    degrees = in_degrees = torch.tensor(order) + 1
    for size in (*HIDDEN, features * multiplier):
        layer = normflows_made.MaskedLinear(
            degrees, size, features, False, is_output=len(layers) == len(HIDDEN), out_degrees_=in_degrees
        )
        layers.append(layer)
        degrees = layer.degrees
    net = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
    return row(features, multiplier, "normflows MaskedLinear", in_degrees, layers, net)


def whole_normflows(features: int, width: int) -> dict[str, Any]:
    """normflows' MADE class, feed-forward, with two hidden layers of one width."""
    net = normflows_made.MADE(features, width, num_blocks=1, use_residual_blocks=False)
    layers = [net.initial_layer, *(block.linear for block in net.blocks), net.final_layer]
    return row(features, 1, "normflows MADE", torch.arange(1, features + 1), layers, net)


def of_masks(
    source: str, multiplier: int, degrees: list[np.ndarray], out_degrees: np.ndarray, masks: list[np.ndarray]
) -> dict[str, Any]:
    """A row from masks (out, in) alone, whose product counts the paths."""
    paths = masks[0]
    for mask in masks[1:]:
        paths = mask @ paths
    return {
        "features": len(out_degrees) // multiplier,
        "multiplier": multiplier,
        "source": source,
        "hidden": [len(units) for units in degrees[1:]],
        "in_degrees": degrees[0].tolist(),
        "hidden_degrees": [units.tolist() for units in degrees[1:]],
        "out_degrees": out_degrees.tolist(),
        "masks": [mask.tolist() for mask in masks],
        "paths": paths.tolist(),
    }


def ranked_flowjax(features: int, width: int, context_dim: int | None) -> dict[str, Any]:
    """flowjax's class, its weights all one so that they are the masks; the ranks are those that its code gives the units."""
    flow = MaskedAutoregressive(
        jax.random.key(0), transformer=Affine(), dim=features, cond_dim=context_dim, nn_width=width, nn_depth=2
    )
    flow = jax.tree_util.tree_map(lambda leaf: jnp.ones_like(leaf) if eqx.is_inexact_array(leaf) else leaf, flow)
    layers = paramax.unwrap(flow).masked_autoregressive_mlp.layers
    masks = [np.asarray(layer.weight).astype(int) for layer in layers]
    inputs, units = np.arange(features), np.arange(width)
    if context_dim:
        inputs, hidden = np.append(inputs, np.full(context_dim, -1)), units % features - 1
    else:
        hidden = units % (features - 1)
    return of_masks("flowjax", 2, [inputs, hidden, hidden], np.repeat(np.arange(features), 2), masks)


def spread_tfp(order: tuple[int, ...], multiplier: int) -> dict[str, Any]:
    """TFP's masks, which it holds as (in, out)."""
    settings: dict[str, Any] = {"hidden_units": list(HIDDEN), "input_order": [rank + 1 for rank in order]}
    degrees = tfp_made._create_degrees(len(order), **settings)
    found = tfp_made._make_dense_autoregressive_masks(multiplier, len(order), **settings)
    masks = [np.asarray(mask).T.astype(int) for mask in found]
    return of_masks("tensorflow-probability", multiplier, degrees, np.repeat(degrees[0], multiplier), masks)


def permuted(order: tuple[int, ...]) -> dict[str, Any]:
    """zuko's masked MLP; entry i of `order` is the rank of feature i, and output i may see the inputs of lower rank."""
    rank = torch.tensor(order)
    paths = path_counts(MaskedMLP(rank[:, None] > rank, HIDDEN), len(order))
    return {
        "order": list(order),
        "hidden": list(HIDDEN),
        "dependency": [[int(count > 0) for count in counts] for counts in paths],
    }


def lines(name: str, rows: list[dict[str, Any]]) -> str:
    """One line a field, so that a changed mask shows as one changed line."""
    texts = []
    for fields in rows:
        texts.append("  {" + ",\n   ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in fields.items()) + "}")
    return f' "{name}": [\n' + ",\n".join(texts) + "\n ]"


def main() -> None:
    head = {
        "what": "MADE: degrees, masks (out, in), paths from inputs (columns) to outputs (rows)",
        "command": "python tests/golden/make_made.py",
        "versions": {name: importlib.metadata.version(name) for name in PEERS},
    }
    nflows = [chained(features, 1) for features in FEATURES] + [chained(3, 2)]
    nflows += [whole(features, width) for features in FEATURES for width in HIDDEN]
    normflows = [permuted_normflows(order, 2) for order in ORDERS] + [whole_normflows(5, 11)]
    flowjax = [ranked_flowjax(features, 11, None) for features in (2, 5)]
    flowjax += [ranked_flowjax(features, 7, 2) for features in (1, 4)]
    tfp = [spread_tfp(order, 2) for order in ((0,), *ORDERS)]
    top = "".join(f" {json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items())
    parts = {"nflows": nflows, "normflows": normflows, "flowjax": flowjax, "tensorflow-probability": tfp}
    parts["zuko"] = [permuted(order) for order in ORDERS]
    body = ",\n".join(lines(name, rows) for name, rows in parts.items())
    (Path(__file__).parent / "data" / "made.json").write_text("{\n" + top + body + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
