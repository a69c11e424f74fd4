"""Our numbers against those of other people's libraries, kept in data/*.json; README.md says how they are made anew."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

HERE = Path(__file__).parent
MAKERS = sorted(HERE.glob("make_*.py"))
FILES = sorted((HERE / "data").glob("*.json"))
# A log-probability within rounding of 0 (F = 1 − 1e-156) has absolute accuracy only: the map uses log F − log(1 − F), where it is added to
# a number hundreds of times larger. 2.4e-16 was the largest difference seen.
ABSOLUTE = 1e-15


def load(name: str) -> Any:
    return json.loads((HERE / "data" / f"{name}.json").read_text(encoding="utf-8"))


def tensor(values: list[float | str]) -> Tensor:
    """JSON has no infinity: makers write "-inf"."""
    return torch.tensor([float(v) for v in values], dtype=torch.float64)


def same_masks(masks: list[Tensor], expected: list[list[list[int]]]) -> None:
    assert [mask.dtype for mask in masks] == [torch.bool] * len(expected)
    assert [mask.long().tolist() for mask in masks] == expected


def path_counts(masks: list[Tensor]) -> Tensor:
    """The number of open paths from each input (column) to each output (row)."""
    product = masks[0].long()
    for mask in masks[1:]:
        product = mask.long() @ product
    return product


SPLINES = load("spline")["cases"]
SPLINE_OTHERS = load("spline_others")["cases"]
MADE = load("made")
MIXTURES = load("mixture")["cases"]
*MIXTURE_DENSITIES, MIXTURE_CDF = load("mixture_others")["cases"]
OTHER_DENSITIES = [(peer, other) for other in MIXTURE_DENSITIES for peer in ("flowjax", "normflows") if peer in other]

each_spline = pytest.mark.parametrize("case", SPLINES, ids=[case["case"] for case in SPLINES])
each_peer = pytest.mark.parametrize("peer", ["zuko", "nflows", "mpmath"])
each_mixture = pytest.mark.parametrize("case", MIXTURES, ids=[case["case"] for case in MIXTURES])
each_function = pytest.mark.parametrize(("position", "function"), list(enumerate(["log_pdf", "log_cdf", "log_sf"])))


# The files themselves


@pytest.mark.parametrize("maker", MAKERS, ids=lambda path: path.stem)
def test_a_maker_never_names_our_package(maker: Path) -> None:
    assert "bijectory" not in maker.read_text(encoding="utf-8")


def test_every_maker_has_its_file() -> None:
    assert [path.stem.removeprefix("make_") for path in MAKERS] == [path.stem for path in FILES]
    assert len(FILES) == 9


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_small_and_says_where_it_comes_from(path: Path) -> None:
    record = load(path.stem)
    assert path.stat().st_size < 60_000
    assert record["command"] == f"python tests/golden/make_{path.stem}.py"
    pinned = (HERE / "README.md").read_text(encoding="utf-8")
    for name, version in record["versions"].items():
        assert re.search(rf"{name}=={re.escape(version.split('+')[0])}\b", pinned), f"README.md pins another {name}"


@each_spline
def test_the_peers_agree_on_the_spline(case: dict[str, Any]) -> None:
    for quantity in ("y", "log_det", "inverse"):
        torch.testing.assert_close(tensor(case["zuko"][quantity]), tensor(case["nflows"][quantity]), rtol=0, atol=1e-11)


# Splines: zuko, nflows, and mpmath on zuko's knots


def spline(case: dict[str, Any], points: str, inverse: bool) -> tuple[Tensor, Tensor]:
    from bijectory.numerics.spline import rational_quadratic

    at = tensor(case[points])
    xk, yk, dk = (tensor(case[name]).expand(len(at), -1) for name in ("xk", "yk", "dk"))
    value, log_det = rational_quadratic(at, xk, yk, dk, inverse=inverse)
    return value, log_det


@each_spline
@each_peer
def test_spline_forward(case: dict[str, Any], peer: str) -> None:
    y, log_det = spline(case, "x", inverse=False)
    torch.testing.assert_close(y, tensor(case[peer]["y"]), rtol=0, atol=1e-10)
    torch.testing.assert_close(log_det, tensor(case[peer]["log_det"]), rtol=0, atol=1e-10)


@each_spline
@each_peer
def test_spline_inverse(case: dict[str, Any], peer: str) -> None:
    x, _ = spline(case, "y_inverse", inverse=True)
    torch.testing.assert_close(x, tensor(case[peer]["inverse"]), rtol=0, atol=1e-10)


@each_spline
@pytest.mark.parametrize("peer", ["nflows", "mpmath"])
def test_spline_inverse_log_det(case: dict[str, Any], peer: str) -> None:
    kept = torch.ones(len(case["y_inverse"]), dtype=torch.bool)
    if peer == "nflows":
        kept[case["inverse_log_det_lost"]] = False
        assert kept.sum() >= 35
    _, log_det = spline(case, "y_inverse", inverse=True)
    torch.testing.assert_close(log_det[kept], tensor(case[peer]["inverse_log_det"])[kept], rtol=0, atol=1e-10)


@each_spline
@pytest.mark.parametrize("peer", ["flowjax", "tensorflow-probability"])
def test_spline_equals_other_peers(case: dict[str, Any], peer: str) -> None:
    other = next(other for other in SPLINE_OTHERS if other["case"] == case["case"])[peer]
    y, log_det = spline(case, "x", inverse=False)
    x, _ = spline(case, "y_inverse", inverse=True)
    for ours, name in ((y, "y"), (log_det, "log_det"), (x, "inverse")):
        # At 3,000 outside the bound a rounding of the whole is 4.5e-13.
        torch.testing.assert_close(ours, tensor(other[name]), rtol=1e-15, atol=1e-11)


# Masks: exactly, zuko's by the dependency they open

MASKS = [row for peer in ("nflows", "normflows", "flowjax", "tensorflow-probability") for row in MADE[peer]]


@pytest.mark.parametrize("row", MASKS, ids=lambda r: "{source}-{in_degrees}-{hidden}-x{multiplier}".format(**r))
def test_masks_equal_a_peer(row: dict[str, Any]) -> None:
    from bijectory.nets.made import made_masks

    hidden = [torch.tensor(degrees) for degrees in row["hidden_degrees"]]
    masks = made_masks(torch.tensor(row["in_degrees"]), hidden, torch.tensor(row["out_degrees"]))
    same_masks(masks, row["masks"])
    assert path_counts(masks).tolist() == row["paths"]


@pytest.mark.parametrize("row", MADE["zuko"], ids=lambda r: f"order-{r['order']}")
def test_dependency_equals_zuko(row: dict[str, Any]) -> None:
    from bijectory.nets.made import made_masks

    rank = torch.tensor(row["order"])
    hidden = [torch.arange(size) % (len(rank) - 1) for size in row["hidden"]]  # every rank but the last, in turn
    dependency = path_counts(made_masks(rank, hidden, rank)) > 0
    assert dependency.long().tolist() == row["dependency"]


# Mixtures: mpmath everywhere, TFP where it keeps its digits


def mixture(case: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    from bijectory.numerics.mixture import mixture_logs

    x = tensor(case["x"])
    logits, loc, log_scale = (tensor(case[name]).expand(len(x), -1) for name in ("logits", "loc", "log_scale"))
    log_pdf, log_cdf, log_sf = mixture_logs(x, logits, loc, log_scale, case["kind"])
    return log_pdf, log_cdf, log_sf


@each_mixture
@each_function
def test_mixture_equals_mpmath(case: dict[str, Any], position: int, function: str) -> None:
    ours = mixture(case)[position]
    torch.testing.assert_close(ours, tensor(case[function]["mpmath"]), rtol=1e-10, atol=ABSOLUTE)


@each_mixture
@each_function
def test_mixture_equals_tfp_where_tfp_is_accurate(case: dict[str, Any], position: int, function: str) -> None:
    kept = torch.ones(len(case["x"]), dtype=torch.bool)
    kept[case[function]["tfp_lost"]] = False
    assert kept.sum() >= 20
    ours = mixture(case)[position]
    torch.testing.assert_close(ours[kept], tensor(case[function]["tfp"])[kept], rtol=1e-10, atol=ABSOLUTE)


@pytest.mark.parametrize(("peer", "other"), OTHER_DENSITIES, ids=lambda v: v if isinstance(v, str) else v["case"])
def test_mixture_density_equals_other_peers(peer: str, other: dict[str, Any]) -> None:
    case = next(case for case in MIXTURES if case["case"] == other["case"])
    torch.testing.assert_close(mixture(case)[0], tensor(other[peer]), rtol=1e-10, atol=ABSOLUTE)


def test_mixture_cdf_equals_zuko() -> None:
    case = {**MIXTURE_CDF, "kind": "gaussian", "logits": [0.0] * len(MIXTURE_CDF["loc"])}
    log_pdf, log_cdf, log_sf = mixture(case)
    y, kept = tensor(case["y"]), 1 - case["drawn_in"]
    # zuko's y is Φ⁻¹ of F drawn in at both ends, and 2Φ(y) − 1 = erf(y/√2) = (F − (1 − F)) (1 − 1e-6).
    torch.testing.assert_close(
        (log_cdf.exp() - log_sf.exp()) * kept, torch.erf(y / math.sqrt(2)), rtol=1e-14, atol=1e-14
    )
    log_normal = -0.5 * y.square() - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(log_pdf + math.log(kept) - log_normal, tensor(case["log_slope"]), rtol=1e-10, atol=1e-10)
