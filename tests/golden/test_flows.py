"""Flows of other libraries, imported or rebuilt, against the log-densities that those libraries gave.

data/maf.json, nsf.json and lu.json, and flows_others.json with those that no importer of ours knows.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

import bijectory as bj
from bijectory.errors import InputError
from bijectory.models.importers.elementwise import PeerAffine
from bijectory.models.importers.nets import Layer, causal_net
from bijectory.models.importers.nflows import lu_linear
from bijectory.models.importers.state import linear_layer
from bijectory.testing import check_exact
from bijectory.transforms.autoregressive import CausalNet, NaiveCausal
from bijectory.transforms.elementwise import Elementwise

DATA = Path(__file__).parent / "data"
WHOLE = re.compile(r"(_permutation|order|degrees|_features)$")


def load(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))["cases"]
    return cases


def tensor(name: str, value: Any) -> Tensor:
    """A tensor of a state: masks are bits, indices whole numbers, all else float64."""
    if name.endswith("mask"):
        return torch.tensor(value).bool()
    return torch.tensor(value, dtype=torch.long if WHOLE.search(name) else torch.float64)


def state_of(case: dict[str, Any]) -> dict[str, Tensor]:
    return {name: tensor(name, value) for name, value in case["state"].items()}


def rows(case: dict[str, Any], name: str) -> Tensor | None:
    return None if case.get(name) is None else torch.tensor(case[name], dtype=torch.float64)


def imported(case: dict[str, Any]) -> bj.Flow:
    return {"zuko": bj.from_zuko, "nflows": bj.from_nflows}[case["peer"]](state_of(case), **case["settings"])


CASES = [*load("maf"), *load("nsf")]
REFUSED = "nflows, context"
FLOWS = [case for case in CASES if "log_prob" in case and case["case"] != REFUSED]
LU = load("lu")
OTHERS = {case["case"]: case for case in load("flows_others")}

each_flow = pytest.mark.parametrize("case", FLOWS, ids=[case["case"] for case in FLOWS])
#: Those that zuko's or nflows' own masks let sample in one pass; residual nets and orders with ties keep their masks.
AS_MADE = {
    "zuko",
    "zuko, context",
    "zuko, one feature, context",
    "zuko, one feature",
    "zuko, tanh",
    "nflows, autoregressive",
}
AS_MADE |= {"nflows, plain, batch norm", "zuko, order and base", "zuko, one feature, context"}


@each_flow
def test_an_imported_flow_has_the_density_of_its_original(case: dict[str, Any]) -> None:
    flow, x, context = imported(case), rows(case, "x"), rows(case, "context")
    assert x is not None
    with torch.no_grad():
        z, log_prob = flow.encode(x, context), flow.log_prob(x, context)
    # zuko's base with its own loc and scale is one more map here, so that its z is ours before that.
    if case["case"] != "zuko, order and base":
        torch.testing.assert_close(z, rows(case, "z"), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_prob, rows(case, "log_prob"), rtol=1e-12, atol=1e-11)


@each_flow
def test_an_imported_flow_comes_back(case: dict[str, Any]) -> None:
    flow, x, context = imported(case), rows(case, "x"), rows(case, "context")
    assert x is not None
    with torch.no_grad():
        torch.testing.assert_close(flow.decode(flow.encode(x, context), context), x, rtol=1e-8, atol=1e-8)


@each_flow
def test_masks_that_are_ours_in_another_order_become_our_made(case: dict[str, Any]) -> None:
    parts = [part for part in imported(case).modules() if isinstance(part, bj.Autoregressive)]
    made = {case["case"]} <= AS_MADE
    assert all(isinstance(part.net, bj.MADE) == made for part in parts)


@pytest.mark.parametrize("name", ["zuko, context", "zuko, order and base", "nflows, couplings, context"])
def test_an_imported_flow_keeps_every_law(name: str) -> None:
    case = next(case for case in FLOWS if case["case"] == name)
    generator = torch.Generator().manual_seed(0)
    flow, context_dim = imported(case), case["context_dim"]
    context = torch.randn(128, context_dim, generator=generator, dtype=torch.float64) if context_dim else None
    x = flow.sample(() if context_dim else 128, context, generator=generator).detach()
    # Peers' networks do not hold what they read within bounds, so that float32 loses digits far out; and one coupling alone leaves
    # three features' first part to a context that only the second one hands on.
    without = ["far inputs 10x", "far inputs 100x", "far inputs 3x", "far density 100x", "round trip float32"]
    checks = [check for check in check_exact(flow, x, context) if check.law not in without]
    assert [str(check) for check in checks if not check.passed] == []


@pytest.mark.parametrize("case", [case for case in CASES if case["case"] == REFUSED], ids=[REFUSED])
def test_a_conditional_flow_whose_first_feature_ignores_the_context_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="parameters of feature 0 do not depend on the context"):
        imported(case)


# Maps whose density the peer takes the other way round


def steps_of(state: dict[str, Tensor]) -> list[Layer | list[Layer]]:
    """normflows' MADE with residual blocks, which is nflows'."""

    def layer(prefix: str) -> Layer:
        return Layer(state[f"{prefix}.weight"], state[f"{prefix}.bias"], state[f"{prefix}.mask"])

    net = "autoregressive_net."
    blocks = sorted({name.split(".")[2] for name in state if name.startswith(f"{net}blocks.")})
    inner = [[layer(f"{net}blocks.{block}.linear_layers.{i}") for i in (0, 1)] for block in blocks]
    return [layer(f"{net}initial_layer"), *inner, layer(f"{net}final_layer")]


def by_peer(peer: str, name: str) -> dict[str, Any]:
    return next(case for case in load(name) if case["peer"] == peer)


def close(case: dict[str, Any], transform: bj.Transform, context: Tensor | None = None) -> None:
    x = rows(case, "x")
    assert x is not None
    with torch.no_grad():
        z, log_det = transform.double().forward_and_log_det(x, context)
        back = transform.inverse(z, context)
    torch.testing.assert_close(z, rows(case, "z"), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_det, rows(case, "log_det"), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
    if "back" in case:
        torch.testing.assert_close(back, rows(case, "back"), rtol=1e-9, atol=1e-9)


def test_maf_equals_normflows() -> None:
    case = by_peer("normflows", "maf")
    steps = steps_of(state_of(case))
    last = steps[-1]
    assert isinstance(last, Layer) and last.mask is not None
    # Each feature's raw scale stands before its shift.
    index = torch.arange(6).unflatten(0, (3, 2)).flip(1).flatten()
    steps[-1] = Layer(last.weight[index], last.bias[index], last.mask[index])
    net = causal_net(steps, "relu", features=3, residual_first=True)
    close(case, bj.Autoregressive(PeerAffine("sigmoid"), net))


def test_nsf_equals_normflows() -> None:
    case = by_peer("normflows", "nsf")
    state = {name.removeprefix("mprqat."): value for name, value in state_of(case).items()}
    whole = {f"_transform.{name}": value for name, value in state.items()}
    # Its splines are nflows'; their layer of weights is imported as one transform of a flow.
    close(case, bj.from_nflows(whole, **case["settings"]).transform)


class Reread(nn.Module):
    """A peer's network whose numbers pass through a map before ours reads them: for scales that no weights of ours could give."""

    event_dim = 1

    def __init__(self, net: CausalNet, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.change, self.order = net, change, net.order

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.change(self.net(x, context))


def reread(net: CausalNet, change: Callable[[Tensor], Tensor]) -> CausalNet:
    return NaiveCausal(cast("CausalNet", Reread(net, change)))


def unbounded(log_scale: Tensor, bound: float) -> Tensor:
    """The raw number a for which bound · tanh(a / bound) is the log-scale."""
    return bound * torch.atanh(log_scale / bound)


def test_maf_equals_flowjax() -> None:
    case, context, bound = by_peer("flowjax", "maf"), rows(by_peer("flowjax", "maf"), "context"), 50.0
    state = state_of(case)
    layers = [Layer(state[f"{i}.weight"], state[f"{i}.bias"], state[f"{i}.weight"] != 0) for i in range(3)]
    net = causal_net(layers, "relu", features=3)

    def change(params: Tensor) -> Tensor:
        # flowjax adds its network's numbers to those of the map that it was handed: shift 0 and a raw scale of which softplus makes 1.
        # Its log softplus(·) is no bound · tanh(· / bound) of any other weights, so that Affine is handed the number that gives it.
        shift, raw = params.unbind(-1)
        log_scale = torch.log(nn.functional.softplus(raw + math.log(math.expm1(1.0))))
        return torch.stack([shift, unbounded(log_scale, bound)], -1)

    close(case, bj.Autoregressive(bj.Affine(bound), reread(net, change)), context)


# Whole flows of peers that no importer knows


def changed_last(case: dict[str, Any], last: Layer) -> tuple[Elementwise, Layer]:
    """Our elementwise map, and the last layer with the peer's constants, signs and order moved into its weights."""
    settings = case["settings"]
    weight, bias, mask = last.weight, last.bias.unflatten(0, (3, -1)), last.open()
    if case["case"] == "tfp, maf":
        # z = (x − t) exp(−s): both numbers with the other sign.
        return bj.ShiftFirst(), Layer(-weight, -last.bias, mask)
    if case["case"] == "flowjax, maf":
        offset = torch.tensor([0.0, math.log(math.expm1(1 - settings["floor"]))], dtype=torch.float64)
        return PeerAffine("softplus", settings["floor"]), Layer(weight, (bias + offset).flatten(), mask)
    bins, floor = settings["bins"], settings["floor"]
    spline = bj.RationalQuadraticSpline(bins, settings["bound"], floor=floor)
    if case["case"] == "tfp, nsf":
        # Ours adds to raw slopes what makes a zero the slope one.
        offset = torch.zeros(3 * bins - 1, dtype=torch.float64)
        offset[2 * bins :] = math.log(math.expm1(1 - floor))
        return spline, Layer(weight, (bias - offset).flatten(), mask)
    # flowjax starts where ours is at zero parameters; its two slopes at the ends stay 1 in these weights and are no parameters of ours.
    inner = [i for i in range(3 * bins + 1) if i not in (2 * bins, 3 * bins)]
    kept = torch.arange(len(weight)).unflatten(0, (3, -1))[:, inner].flatten()
    return spline, Layer(weight[kept], last.bias[kept], mask[kept])


def rebuilt(case: dict[str, Any]) -> bj.Flow:
    state, transforms = state_of(case), list[bj.Transform]()
    for depth in (0, 1):
        first, last = linear_layer(state, f"{depth}.0"), linear_layer(state, f"{depth}.1")
        elementwise, last = changed_last(case, last)
        net = causal_net([first, last], "relu", features=3)
        assert isinstance(net, bj.MADE)
        transforms.append(bj.Autoregressive(elementwise, net))
        if f"{depth}.order" in state:
            transforms.append(bj.Permute(state[f"{depth}.order"].tolist()))
    return bj.Flow(bj.Normal((3,)), bj.Chain(transforms)).double()


@pytest.mark.parametrize("name", ["flowjax, maf", "flowjax, nsf", "tfp, maf", "tfp, nsf"])
def test_a_rebuilt_flow_has_the_density_of_its_original(name: str) -> None:
    case = OTHERS[name]
    flow, x = rebuilt(case), rows(case, "x")
    assert x is not None
    with torch.no_grad():
        z, log_prob = flow.encode(x), flow.log_prob(x)
        back = flow.decode(z)
    torch.testing.assert_close(z, rows(case, "z"), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_prob, rows(case, "log_prob"), rtol=1e-12, atol=1e-11)
    for expected in (x, rows(case, "back")):
        if expected is not None:
            torch.testing.assert_close(back, expected, rtol=1e-8, atol=1e-8)


def test_mixture_cdfs_have_the_density_of_nflows_mixtures() -> None:
    case, bound = OTHERS["nflows, mixtures"], 20.0
    components, epsilon = case["settings"]["components"], case["settings"]["epsilon"]
    steps = steps_of({f"autoregressive_net.{name}": value for name, value in state_of(case).items()})
    net = causal_net(steps, "relu", features=3, residual_first=True)

    def change(params: Tensor) -> Tensor:
        # A triple for each component there, all logits before all locations and all scales here; scales are softplus(a) + epsilon.
        logits, loc, raw = params.unflatten(-1, (components, 3)).unbind(-1)
        log_scale = torch.log(nn.functional.softplus(raw) + epsilon)
        return torch.cat([logits, loc, unbounded(log_scale, bound)], -1)

    # No grid and no wide component behind: the mixture itself. Its CDF on the logit scale has a logistic base.
    mixture = bj.MixtureCDF(components, "gaussian", spread=0.0, bound=bound, floor=0.0)
    flow = bj.Flow(bj.Logistic((3,)), bj.Autoregressive(mixture, reread(net, change))).double()
    x = rows(case, "x")
    assert x is not None
    with torch.no_grad():
        torch.testing.assert_close(flow.log_prob(x), rows(case, "log_prob"), rtol=1e-12, atol=1e-11)
        torch.testing.assert_close(flow.decode(flow.encode(x)), x, rtol=1e-8, atol=1e-8)


# Linear maps


def lu_of(lower: Tensor, upper: Tensor, diagonal: Tensor, bias: Tensor | None) -> bj.LULinear:
    """Ours from L below its diagonal of ones, U above its diagonal, and that diagonal."""
    lu = bj.LULinear(len(diagonal)).double()
    with torch.no_grad():
        lu.lower.copy_(lower)
        lu.upper.copy_(upper)
        lu.log_diagonal.copy_(unbounded(torch.log(diagonal), lu.bound))
        if bias is not None:
            lu.bias.copy_(bias)
    return lu


def of_square(case: dict[str, Any]) -> bj.Transform:
    """A map of a peer that holds L and U in one square; zuko's diagonal is L's, so that it is moved over to U."""
    state = state_of(case)
    square, diagonal = state["square"], state["square"].diagonal()
    if case["peer"] == "zuko":
        return lu_of(square / diagonal, diagonal[:, None] * square, diagonal, None)
    lu = lu_of(square, square, diagonal, state.get("bias"))
    if "permutation" not in state:
        return lu
    # TFP's matrix is what an LU decomposition with that permutation of rows came from: its inverse stands behind the product.
    return bj.Chain([lu, bj.Permute(torch.argsort(state["permutation"]).tolist())])


@pytest.mark.parametrize("case", LU, ids=[case["case"] for case in LU])
def test_lu_equals_its_peer(case: dict[str, Any]) -> None:
    state = state_of(case)
    if "square" in state:
        close(case, of_square(case))
        return
    linear = {name.removeprefix("linear."): value for name, value in state.items()}
    lu: bj.Transform = lu_linear(linear).transform
    if "permutation._permutation" in state:
        lu = bj.Chain([bj.Permute(state["permutation._permutation"].tolist()), lu])
    close(case, lu)


# What is refused, by its reason


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({}, {}, "kind: expected 'maf' or 'nsf'"),
        ({}, {"kind": "nsf"}, "'nsf' does not go with 2 parameters"),
        ({}, {"kind": "maf", "activation": "swish"}, "activation: expected one of"),
        ({"transform.transforms.1.order": None}, {"kind": "maf"}, "no order in its state"),
        ({"base._9": torch.zeros(5)}, {"kind": "maf"}, "loc and scale of 3 numbers"),
    ],
)
def test_what_is_no_maf_of_zuko_is_refused(change: dict[str, Any], settings: dict[str, Any], message: str) -> None:
    state = {**state_of(FLOWS[0]), **change}
    with pytest.raises(InputError, match=message):
        bj.from_zuko({name: value for name, value in state.items() if value is not None}, **settings)


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({}, {}, "tail_bound: expected the splines' bound"),
        ({"_distribution.mean_": torch.zeros(3)}, {}, "base StandardNormal"),
        ({"_embedding_net.weight": torch.zeros(3, 3)}, {}, "no embedding net"),
        ({"_transform._transforms.7.weird": torch.zeros(3)}, {"tail_bound": 3.0}, "transforms 0 to 7"),
        ({"_transform._transforms.1.weird": torch.zeros(3)}, {"tail_bound": 3.0}, "expected transforms among"),
    ],
)
def test_what_is_no_known_flow_of_nflows_is_refused(
    change: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    case = next(case for case in FLOWS if case["case"] == "nflows, couplings, linear maps")
    state = {**state_of(case), **change}
    if message.startswith("expected transforms"):
        del state["_transform._transforms.1._permutation"]
    with pytest.raises(InputError, match=message):
        bj.from_nflows({name: value for name, value in state.items() if value is not None}, **settings)


# Live, where the libraries are installed


@pytest.mark.skipif(
    importlib.util.find_spec("zuko") is None, reason="zuko is not installed: the stored states alone are tested"
)
@pytest.mark.parametrize("name", ["MAF", "NSF"])
@pytest.mark.parametrize("knobs", [{}, {"randperm": True}, {"residual": True}, {"passes": 2}], ids=str)
def test_a_zuko_flow_is_imported_live(name: str, knobs: dict[str, Any]) -> None:
    import zuko

    flow = getattr(zuko.flows, name)(4, 2, transforms=3, hidden_features=(16, 16), **knobs).double()
    x, context = 2 * torch.randn(64, 4, dtype=torch.float64), torch.randn(64, 2, dtype=torch.float64)
    with torch.no_grad():
        expected, found = flow(context).log_prob(x), bj.from_zuko(flow).log_prob(x, context)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.skipif(
    importlib.util.find_spec("nflows") is None, reason="nflows is not installed: the stored states alone are tested"
)
@pytest.mark.parametrize("residual", [True, False])
def test_an_nflows_flow_is_imported_live(residual: bool) -> None:
    from nflows.flows import MaskedAutoregressiveFlow

    flow = MaskedAutoregressiveFlow(4, 16, 3, 2, use_residual_blocks=residual, activation=torch.tanh).double().eval()
    x = 2 * torch.randn(64, 4, dtype=torch.float64)
    with torch.no_grad():
        expected, found = flow.log_prob(x), bj.from_nflows(flow).log_prob(x)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
