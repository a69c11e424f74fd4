"""Golden values of the rational-quadratic spline from flowjax and TensorFlow Probability, at knots and points of data/spline.json.

flowjax is handed the knots themselves; TFP is handed differences, which it sums again, so that its knots are off by roundings.

    python tests/golden/make_spline_others.py
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
import tensorflow_probability.substrates.numpy as tfp
from flowjax.bijections import RationalQuadraticSpline

DATA = Path(__file__).parent / "data"
PEERS = ("flowjax", "jax", "tensorflow-probability", "numpy")


def flowjax_case(case: dict[str, Any]) -> dict[str, Any]:
    """y and log-det forwards, x backwards."""
    bound = float(case["bound"])
    spline = paramax.unwrap(RationalQuadraticSpline(knots=len(case["xk"]) - 2, interval=bound))
    knots = tuple(jnp.asarray(case[name], jnp.float64) for name in ("xk", "yk", "dk"))
    spline = eqx.tree_at(lambda s: (s.x_pos, s.y_pos, s.derivatives), spline, knots)
    y, log_det = jax.vmap(spline.transform_and_log_det)(jnp.asarray(case["x"], jnp.float64))
    x, _ = jax.vmap(spline.inverse_and_log_det)(jnp.asarray(case["y_inverse"], jnp.float64))
    assert y.dtype == jnp.float64
    return {"y": y.tolist(), "log_det": log_det.tolist(), "inverse": x.tolist()}


def tfp_case(case: dict[str, Any]) -> dict[str, Any]:
    """The same from TFP, whose slopes are those of the inner knots."""
    xk, yk, dk = (np.array(case[name]) for name in ("xk", "yk", "dk"))
    spline = tfp.bijectors.RationalQuadraticSpline(np.diff(xk), np.diff(yk), dk[1:-1], range_min=xk[0])
    x, y = np.array(case["x"]), np.array(case["y_inverse"])
    return {
        "y": np.asarray(spline.forward(x)).tolist(),
        "log_det": np.asarray(spline.forward_log_det_jacobian(x, event_ndims=0)).tolist(),
        "inverse": np.asarray(spline.inverse(y)).tolist(),
    }


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    head = {
        "what": "rational-quadratic splines at the knots and points of spline.json",
        "command": "python tests/golden/make_spline_others.py",
        "versions": {name: importlib.metadata.version(name) for name in PEERS},
    }
    top = "".join(f" {json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items())
    rows = []
    for case in json.loads((DATA / "spline.json").read_text(encoding="utf-8"))["cases"]:
        found = {"case": case["case"], "flowjax": flowjax_case(case), "tensorflow-probability": tfp_case(case)}
        fields = ",\n   ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items())
        rows.append("  {" + fields + "}")
    text = "{\n" + top + ' "cases": [\n' + ",\n".join(rows) + "\n ]\n}\n"
    (DATA / "spline_others.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
