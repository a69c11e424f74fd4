"""Golden log-density, log-CDF and log-survival of mixtures, from TensorFlow Probability and from mpmath at 50 digits.

The points reach 60 scales of the widest component to both sides. In the upper tail TFP takes the log-survival from one
minus the CDF, which ends at -inf or at the last bit (-37.43), and the log-CDF from a sum that rounds to 1. In the lower
tail its Normal uses a short series (log-CDF off by 1e-9). Each function's `tfp_lost` lists the positions in x at which
TFP's relative error passes 1e-12; there the mpmath column is the only reference.

    python tests/golden/make_mixture.py
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import tensorflow_probability.substrates.numpy as tfp

PEERS = ("tensorflow-probability", "mpmath", "numpy", "scipy")
FUNCTIONS = {"log_pdf": "log_prob", "log_cdf": "log_cdf", "log_sf": "log_survival_function"}
POINTS, REACH, DIGITS, KEPT = 41, 60.0, 50, 1e-12
PARAMETERS = {
    "even": {"logits": [0.3, -0.4, 1.1, 0.0], "loc": [-1.5, -0.2, 0.4, 2.0], "log_scale": [-0.3, 0.0, 0.2, -0.1]},
    # One component holds e^-8 of the weight and e^-3.2 of the widest scale; the logits' common shift must cancel.
    "uneven": {"logits": [52.0, 49.5, 44.0, 50.7], "loc": [-6.0, 0.25, 3.0, 7.5], "log_scale": [0.1, -1.8, -2.0, 1.2]},
}


def spread(scale: float) -> np.ndarray:
    """Points that stand close together near zero and reach 60 scales to both sides, rounded to be readable."""
    u = np.linspace(-1.0, 1.0, POINTS)
    points: np.ndarray = np.round(scale * REACH * np.sinh(4.0 * u) / np.sinh(4.0), 4)
    return points


def exact(
    x: float, logits: list[float], loc: list[float], log_scale: list[float], kind: str
) -> tuple[float, float, float]:
    """log pdf, log CDF and log survival at one point; of CDF and survival the larger is log1p of minus the smaller."""
    mpf, exp, log = mpmath.mpf, mpmath.exp, mpmath.log
    total = sum(exp(mpf(v)) for v in logits)
    pdf = cdf = sf = mpf(0)
    for logit, centre, log_s in zip(logits, loc, log_scale, strict=True):
        weight, scale = exp(mpf(logit)) / total, exp(mpf(log_s))
        z = (mpf(x) - mpf(centre)) / scale
        if kind == "gaussian":
            density = exp(-z * z / 2) / mpmath.sqrt(2 * mpmath.pi)
            below, above = mpmath.erfc(-z / mpmath.sqrt(2)) / 2, mpmath.erfc(z / mpmath.sqrt(2)) / 2
        else:
            below, above = 1 / (1 + exp(-z)), 1 / (1 + exp(z))
            density = below * above
        pdf, cdf, sf = pdf + weight * density / scale, cdf + weight * below, sf + weight * above
    log_cdf = log(cdf) if cdf < 0.5 else mpmath.log1p(-sf)
    log_sf = log(sf) if sf < 0.5 else mpmath.log1p(-cdf)
    return float(log(pdf)), float(log_cdf), float(log_sf)


def make(name: str, kind: str) -> dict[str, Any]:
    parameters = PARAMETERS[name]
    logits, loc, log_scale = (np.array(parameters[key], dtype=np.float64) for key in ("logits", "loc", "log_scale"))
    x = spread(float(np.exp(log_scale).max()))

    tfd = tfp.distributions
    component = {"gaussian": tfd.Normal, "logistic": tfd.Logistic}[kind](loc, np.exp(log_scale))
    mixture = tfd.MixtureSameFamily(tfd.Categorical(logits=logits), component)
    fields: dict[str, Any] = {"case": f"{kind}_{name}", "kind": kind, **parameters, "x": x.tolist()}
    columns = zip(*(exact(float(v), **parameters, kind=kind) for v in x), strict=True)
    for (ours, theirs), column in zip(FUNCTIONS.items(), columns, strict=True):
        with np.errstate(divide="ignore", over="ignore"):
            values = np.asarray(getattr(mixture, theirs)(x))
        assert values.dtype == np.float64, values.dtype
        reference = np.array(column)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            # Where the reference itself underflows to zero, an error below the least normal number is none.
            error = np.abs(values - reference) / np.maximum(np.abs(reference), np.finfo(np.float64).tiny)
        kept = error <= KEPT
        fields[ours] = {
            "tfp": [float(v) if np.isfinite(v) else str(float(v)) for v in values],  # JSON has no infinity: "-inf"
            "mpmath": reference.tolist(),
            "tfp_lost": np.flatnonzero(~kept).tolist(),
            "tfp_error_where_kept": float(error[kept].max()),
        }
        print(f"{fields['case']} {ours}: TFP loses {(~kept).sum()} of {POINTS}, infinite {np.isinf(values).sum()}")
    return fields


def nested(value: object) -> str:
    """A dictionary with one line an entry, anything else on one line."""
    if not isinstance(value, dict):
        return json.dumps(value, allow_nan=False)
    return "{\n    " + ",\n    ".join(f"{json.dumps(k)}: {nested(v)}" for k, v in value.items()) + "}"


def main() -> None:
    mpmath.mp.dps = DIGITS
    head = {
        "what": "mixtures of four components; log_pdf, log_cdf, log_sf",
        "command": "python tests/golden/make_mixture.py",
        "versions": {name: importlib.metadata.version(name) for name in PEERS},
        "substrate": "numpy",
        "lost_means": f"relative error of tfp against mpmath above {KEPT}",
    }
    rows = [make(name, kind) for name in PARAMETERS for kind in ("gaussian", "logistic")]
    top = "".join(f" {json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items())
    body = ",\n".join("  {" + ",\n   ".join(f"{json.dumps(k)}: {nested(v)}" for k, v in r.items()) + "}" for r in rows)
    (Path(__file__).parent / "data" / "mixture.json").write_text(
        "{\n" + top + ' "cases": [\n' + body + "\n ]\n}\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
