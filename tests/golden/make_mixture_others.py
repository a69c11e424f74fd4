"""Golden log-densities of mixtures from normflows and flowjax, and zuko's mixture CDF, which ends at a normal's quantile.

normflows and flowjax have densities of mixtures and no CDFs: parameters and points are those of data/mixture.json. zuko's components all
weigh the same, and its CDF is drawn in by 1e-6 at either end, so that it has parameters and points of its own.

    python tests/golden/make_mixture_others.py
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
import torch
from flowjax.distributions import Logistic, Normal, VmapMixture
from normflows.distributions import GaussianMixture
from zuko.transforms import GaussianizationTransform

DATA = Path(__file__).parent / "data"
PEERS = ("normflows", "torch", "flowjax", "jax", "numpy", "zuko")


def densities(case: dict[str, Any]) -> dict[str, Any]:
    """log p at the points of a case of mixture.json; normflows has Gaussian components alone."""
    x, loc = np.array(case["x"]), np.array(case["loc"])
    scale, logits = np.exp(case["log_scale"]), np.array(case["logits"])
    weights = np.exp(logits - logits.max())
    component = {"gaussian": Normal, "logistic": Logistic}[case["kind"]]
    mixture = VmapMixture(eqx.filter_vmap(component)(jnp.asarray(loc), jnp.asarray(scale)), jnp.asarray(weights))
    flowjax = mixture.log_prob(jnp.asarray(x))
    assert flowjax.dtype == jnp.float64
    found = {"case": case["case"], "kind": case["kind"], "flowjax": flowjax.tolist()}
    if case["kind"] == "gaussian":
        normflows = GaussianMixture(len(loc), 1, loc[:, None], scale[:, None], weights, trainable=False)
        values = normflows.log_prob(torch.from_numpy(x)[:, None])
        assert values.dtype == torch.float64
        found["normflows"] = values.tolist()
    return found


def cdf() -> dict[str, Any]:
    """y = Φ⁻¹ of the CDF, drawn in, and log dy/dx."""
    loc, log_scale = np.array([-1.5, -0.2, 0.4, 2.0]), np.array([-0.3, 0.0, 0.2, -1.1])
    x = np.round(np.linspace(-3.5, 4.5, 41), 4)
    scale = np.exp(-log_scale)
    transform = GaussianizationTransform(torch.from_numpy(-loc * scale), torch.from_numpy(-log_scale))
    y, log_slope = transform.call_and_ladj(torch.from_numpy(x))
    assert y.dtype == torch.float64
    return {
        "case": "zuko",
        "drawn_in": 1e-6,
        "loc": loc.tolist(),
        "log_scale": log_scale.tolist(),
        "x": x.tolist(),
        "y": y.tolist(),
        "log_slope": log_slope.tolist(),
    }


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    head = {
        "what": "mixtures of four components: log densities at the points of mixture.json, and one CDF behind a normal's quantile",
        "command": "python tests/golden/make_mixture_others.py",
        "versions": {name: importlib.metadata.version(name) for name in PEERS},
    }
    cases = json.loads((DATA / "mixture.json").read_text(encoding="utf-8"))["cases"]
    rows = [*map(densities, cases), cdf()]
    top = "".join(f" {json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items())
    body = ",\n".join(
        "  {" + ",\n   ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in r.items()) + "}" for r in rows
    )
    (DATA / "mixture_others.json").write_text("{\n" + top + ' "cases": [\n' + body + "\n ]\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
