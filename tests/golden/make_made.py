"""Golden masks of MADE, from nflows and zuko (Germain et al. 2015, arXiv:1502.03509).

nflows gives degrees and masks; the dependency of outputs on inputs is read from the network itself: with every weight
one, every bias zero and a positive point, ReLU passes all units and the Jacobian counts the paths from input to output.
zuko builds its masks another way, so of its networks only the dependency is written down, for permuted orders.

    python tests/golden/make_made.py
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import torch
from nflows.transforms.made import MADE, MaskedLinear
from torch import Tensor, nn
from zuko.nn import MaskedMLP

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
    return row(features, multiplier, "MaskedLinear", in_degrees, layers, net)


def whole(features: int, width: int) -> dict[str, Any]:
    """nflows' MADE class, feed-forward, with two hidden layers of one width."""
    net = MADE(features, width, num_blocks=1, use_residual_blocks=False, random_mask=False)
    layers = [net.initial_layer, *(block.linear for block in net.blocks), net.final_layer]
    return row(features, 1, "MADE", torch.arange(1, features + 1), layers, net)


def row(
    features: int, multiplier: int, source: str, in_degrees: Tensor, layers: list[MaskedLinear], net: nn.Module
) -> dict[str, Any]:
    return {
        "features": features,
        "multiplier": multiplier,
        "source": f"nflows {source}",
        "hidden": [layer.out_features for layer in layers[:-1]],
        "in_degrees": in_degrees.tolist(),
        "hidden_degrees": [layer.degrees.tolist() for layer in layers[:-1]],
        "out_degrees": layers[-1].degrees.tolist(),
        "masks": [layer.mask.long().tolist() for layer in layers],
        "paths": path_counts(net, features),
    }


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
        "versions": {name: importlib.metadata.version(name) for name in ("nflows", "zuko", "torch")},
    }
    nflows = [chained(features, 1) for features in FEATURES] + [chained(3, 2)]
    nflows += [whole(features, width) for features in FEATURES for width in HIDDEN]
    top = "".join(f" {json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items())
    body = lines("nflows", nflows) + ",\n" + lines("zuko", [permuted(order) for order in ORDERS])
    (Path(__file__).parent / "data" / "made.json").write_text("{\n" + top + body + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
