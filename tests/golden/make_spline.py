"""Golden values of the rational-quadratic spline, from zuko and nflows (Durkan et al. 2019, arXiv:1906.04032).

Both peers squash raw parameters to knots; the raw parameters here undo each squashing, so that both hold the same
wished-for knots. zuko keeps its knots as attributes: those, not the wished-for ones, are written down. nflows' knots
differ from them by rounding, which slopes of 1e-2 and 1e2 side by side magnify; so mpmath evaluates zuko's knots at 50
digits as umpire, and `inverse_log_det_lost` lists the positions at which nflows is more than 1e-11 off.

    python tests/golden/make_spline.py
"""

from __future__ import annotations

import importlib.metadata
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import torch
from nflows.transforms.splines.rational_quadratic import unconstrained_rational_quadratic_spline
from torch import Tensor
from zuko.transforms import MonotonicRQSTransform

SLOPE = 1e-30  # zuko bounds its raw parameters by a multiple of |log slope|; so far out, slopes of 1e-2 and 1e2 fit
POINTS, INVERSE_POINTS, DIGITS, KEPT = 61, 41, 50, 1e-11


def wished(case: str) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Bound, widths and heights (each summing to twice the bound), and interior derivatives of one case."""
    bins, bound = {"8_bins": (8, 3.0), "5_bins": (5, 1.0), "16_bins_extreme": (16, 5.0)}[case]
    k = np.arange(bins)
    extreme = case == "16_bins_extreme"
    widths = np.exp((1.2 if extreme else 0.6) * np.sin(2.0 * k + 0.3))
    heights = np.exp((1.8 if extreme else 0.9) * np.cos(1.3 * k - 0.5))
    if extreme:  # 1e-2 and 1e2 stand side by side, then in every combination with moderate neighbours
        exponents = np.array([-2, 2, -2, 0, 2, 2, -1, -2, -2, 1, 2, -2, 2, 0.5, -2])
        derivatives = 10.0**exponents
    else:
        derivatives = np.exp(0.8 * np.sin(1.7 * k[1:] + 1.0))
    return bound, 2 * bound * widths / widths.sum(), 2 * bound * heights / heights.sum(), derivatives


def unsquash(target: Tensor, factor: float) -> Tensor:
    """The raw value r for which zuko's r / (1 + |factor r / log slope|) is `target`."""
    return target / (1 - abs(factor * target / math.log(SLOPE)))


def places(bound: float, knots: np.ndarray, count: int) -> np.ndarray:
    """Sorted points: every knot, 12 beyond the bound on both sides, and an even grid inside for the rest."""
    beyond = bound * np.array([1 + 1e-9, 1.001, 1.1, 1.5, 4.0, 1000.0])
    grid = np.linspace(-bound, bound, count - len(knots) - 12 + 2)[1:-1] + 0.001 * bound
    return np.sort(np.concatenate([-beyond, beyond, knots, grid]))


def exact(point: float, xk: list[float], yk: list[float], dk: list[float], inverse: bool) -> tuple[float, float]:
    """The spline or its inverse, and the log of its derivative, at one point to 50 digits (section 3.1, appendix A)."""
    searched = yk if inverse else xk
    if not searched[0] <= point <= searched[-1]:
        return point, 0.0
    k = min(sum(knot <= point for knot in searched) - 1, len(searched) - 2)
    x0, x1, y0, y1, d0, d1, at = (mpmath.mpf(v) for v in (xk[k], xk[k + 1], yk[k], yk[k + 1], dk[k], dk[k + 1], point))
    s = (y1 - y0) / (x1 - x0)
    bend = d0 + d1 - 2 * s
    if inverse:
        a, b, c = (y1 - y0) * (s - d0) + (at - y0) * bend, (y1 - y0) * d0 - (at - y0) * bend, -s * (at - y0)
        t = 2 * c / (-b - mpmath.sqrt(b**2 - 4 * a * c))
    else:
        t = (at - x0) / (x1 - x0)
    bottom = s + bend * t * (1 - t)
    y = y0 + (y1 - y0) * (s * t**2 + d0 * t * (1 - t)) / bottom
    log_slope = mpmath.log(s**2 * (d1 * t**2 + 2 * s * t * (1 - t) + d0 * (1 - t) ** 2) / bottom**2)
    if not inverse:
        return float(y), float(log_slope)
    assert abs(y - at) < mpmath.mpf(10) ** (5 - DIGITS), "the inverse does not lead back"
    return float(x0 + t * (x1 - x0)), float(-log_slope)


def make(case: str) -> dict[str, Any]:
    bound, widths, heights, derivatives = wished(case)
    w, h, d = (torch.as_tensor(np.log(v)) for v in (widths, heights, derivatives))
    w, h = w - w.mean(), h - h.mean()  # a softmax ignores a common shift, zuko's squashing does not

    raw = {"widths": unsquash(w, 2), "heights": unsquash(h, 2), "derivatives": unsquash(d, 1)}
    zuko = MonotonicRQSTransform(**raw, bound=bound, slope=SLOPE)
    xk, yk, dk = (v.tolist() for v in (zuko.horizontal, zuko.vertical, zuko.derivatives))

    raw_nflows = {"widths": w, "heights": h, "derivatives": torch.log(torch.expm1(torch.as_tensor(derivatives)))}

    def nflows(points: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        params = {f"unnormalized_{name}": v.expand(len(points), -1) for name, v in raw_nflows.items()}
        least = {"min_bin_width": 0.0, "min_bin_height": 0.0, "min_derivative": 0.0}
        value, log_det = unconstrained_rational_quadratic_spline(
            points, **params, **least, inverse=inverse, tails="linear", tail_bound=bound
        )
        return value, log_det

    x = torch.as_tensor(places(bound, np.array(xk), POINTS))
    y_inverse = torch.as_tensor(places(bound, np.array(yk), INVERSE_POINTS))
    zuko_y, zuko_log_det = zuko.call_and_ladj(x)
    zuko_x = zuko.inv(y_inverse)
    nflows_y, nflows_log_det = nflows(x, False)
    nflows_x, nflows_x_log_det = nflows(y_inverse, True)

    rows = [exact(v, xk, yk, dk, False) for v in x.tolist()]
    rows_inverse = [exact(v, xk, yk, dk, True) for v in y_inverse.tolist()]
    exact_y, exact_log_det = torch.tensor(rows, dtype=torch.float64).T
    exact_x, exact_x_log_det = torch.tensor(rows_inverse, dtype=torch.float64).T
    values = {
        "zuko": {"y": zuko_y, "log_det": zuko_log_det, "inverse": zuko_x},
        "nflows": {"y": nflows_y, "log_det": nflows_log_det, "inverse": nflows_x, "inverse_log_det": nflows_x_log_det},
        "mpmath": {"y": exact_y, "log_det": exact_log_det, "inverse": exact_x, "inverse_log_det": exact_x_log_det},
    }
    lost = torch.nonzero((nflows_x_log_det - exact_x_log_det).abs() > KEPT).flatten().tolist()

    def differences(left: str, right: str) -> dict[str, float]:
        shared = [name for name in values[left] if name in values[right]]
        return {name: float((values[left][name] - values[right][name]).abs().max()) for name in shared}

    return {
        "case": case,
        "bound": bound,
        "raw_zuko": {name: v.tolist() for name, v in raw.items()} | {"slope": SLOPE},
        "raw_nflows": {name: v.tolist() for name, v in raw_nflows.items()},
        "xk": xk,
        "yk": yk,
        "dk": dk,
        "x": x.tolist(),
        "y_inverse": y_inverse.tolist(),
        **{peer: {name: v.tolist() for name, v in columns.items()} for peer, columns in values.items()},
        "inverse_log_det_lost": lost,
        "difference": {
            "zuko_nflows": differences("zuko", "nflows"),
            "zuko_mpmath": differences("zuko", "mpmath"),
            "nflows_mpmath": differences("nflows", "mpmath"),
        },
    }


def line(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def record(make_case: Callable[[str], dict[str, Any]], cases: tuple[str, ...], path: Path) -> None:
    """Write one line a field, so that a changed number shows as one changed line."""
    versions = {name: importlib.metadata.version(name) for name in ("zuko", "nflows", "torch", "numpy", "mpmath")}
    head = {"what": "rational-quadratic spline, linear tails", "command": "python tests/golden/make_spline.py"}
    rows = []
    for case in cases:
        fields = make_case(case)
        print(case, line(fields["difference"]), "lost:", fields["inverse_log_det_lost"])
        rows.append("  {" + ",\n   ".join(f"{line(name)}: {line(value)}" for name, value in fields.items()) + "}")
    top = "".join(f" {line(name)}: {line(value)},\n" for name, value in (head | {"versions": versions}).items())
    path.write_text("{\n" + top + ' "cases": [\n' + ",\n".join(rows) + "\n ]\n}\n", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    mpmath.mp.dps = DIGITS
    record(make, ("8_bins", "5_bins", "16_bins_extreme"), Path(__file__).parent / "data" / "spline.json")
