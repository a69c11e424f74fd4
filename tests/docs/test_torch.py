"""The table of docs/torch.md, tried cell by cell: where it says yes the result is the eager one, where it says no an error is raised."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

import bijectory as bj

PAGE = Path(__file__).parents[2] / "docs" / "torch.md"
HIDDEN = (8,)
SHORT = (("checkerboard", 1), ("channel", 1))


def jacobi(flow: bj.Flow) -> bj.Flow:
    bj.set_sampling(flow, "jacobi")
    return flow


#: The rows of the table: vectors of three numbers with a context of two, small pictures without. Depth is what compiling costs.
FLOWS: dict[str, Callable[[], bj.Flow]] = {
    "nice": lambda: bj.nice(3, depth=2, hidden=HIDDEN, context_dim=2),
    "realnvp": lambda: bj.realnvp(3, depth=2, hidden=HIDDEN, context_dim=2),
    "flowpp": lambda: bj.flowpp(3, depth=1, components=2, hidden=HIDDEN, context_dim=2),
    "maf": lambda: bj.maf(3, depth=2, hidden=HIDDEN, context_dim=2),
    "maf, Jacobi sampling": lambda: jacobi(bj.maf(3, depth=2, hidden=HIDDEN, context_dim=2)),
    "iaf": lambda: bj.iaf(3, depth=2, hidden=HIDDEN, context_dim=2),
    "nsf, coupling": lambda: bj.nsf(3, depth=2, bins=3, hidden=HIDDEN, context_dim=2),
    "nsf, autoregressive": lambda: bj.nsf(3, depth=1, bins=3, structure="autoregressive", hidden=HIDDEN, context_dim=2),
    "nsf, circular": lambda: bj.nsf(3, depth=1, bins=3, boundary="circular", hidden=HIDDEN, context_dim=2),
    "mixture_cdf": lambda: bj.mixture_cdf(3, components=2, hidden=HIDDEN, context_dim=2),
    "naf": lambda: bj.naf(3, depth=1, components=2, hidden=HIDDEN, context_dim=2),
    "bnaf": lambda: bj.bnaf(3, depth=1, width=4, context_dim=2),
    "planar": lambda: bj.planar(3, depth=2, hidden=HIDDEN, context_dim=2),
    "radial": lambda: bj.radial(3, depth=2, hidden=HIDDEN, context_dim=2),
    "sylvester": lambda: bj.sylvester(3, depth=1, hidden=HIDDEN, context_dim=2),
    "ffjord, exact trace": lambda: bj.ffjord(3, depth=1, steps=2, hidden=HIDDEN, context_dim=2),
    "residual_flow, exact log-det": lambda: bj.residual_flow(3, depth=1, log_det="exact", hidden=HIDDEN, context_dim=2),
    "realnvp_image": lambda: bj.realnvp_image((1, 4, 4), stages=SHORT, filters=2, blocks=1),
    "realnvp_multiscale": lambda: bj.realnvp_multiscale((1, 4, 4), scales=2, filters=2, blocks=1, channels=1, last=1),
    "glow": lambda: bj.glow((1, 4, 4), scales=2, depth=1, hidden=2, context_dim=2),
    "glow, mixtures": lambda: bj.glow(
        (1, 4, 4), scales=1, depth=1, hidden=2, coupling="mixture", components=2, context_dim=2
    ),
    "channel_autoregressive": lambda: bj.channel_autoregressive((1, 4, 4), scales=1, components=2, filters=4, blocks=1),
    "nice_image": lambda: bj.nice_image((1, 4, 4), hidden=HIDDEN),
}
#: Exported by default, one of each kind: the others wait for -m slow, and with them all that is compiled.
QUICK = ("nice", "maf", "mixture_cdf")
#: What torch raises where a trace meets a branch on values, or an operation that it has no stand-in for.
REFUSED = (RuntimeError, TorchDynamoException)


@cache
def table() -> dict[str, dict[str, bool]]:
    """The page's table: flow -> column -> whether it says yes."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    header, *rows = [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]
    for _, *cells in rows:
        assert set(cells) <= {"yes", "no"}, cells
    return {name: dict(zip(header[1:], [cell == "yes" for cell in cells], strict=True)) for name, *cells in rows}


class LogProb(nn.Module):
    def __init__(self, flow: bj.Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.flow.log_prob(x, context)


class Decode(nn.Module):
    def __init__(self, flow: bj.Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, z: Tensor) -> Tensor:
        return self.flow.decode(z)


class Sample(nn.Module):
    def __init__(self, flow: bj.Flow, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.flow, self.shape = flow, shape

    def forward(self, context: Tensor | None) -> Tensor:
        return self.flow.sample(self.shape, context)


def made(name: str) -> tuple[bj.Flow, Tensor, Tensor | None]:
    """A flow whose weights are moved, eight rows inside its support, and their contexts."""
    torch.manual_seed(0)
    flow = FLOWS[name]().double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x = torch.tanh(torch.randn(8, *flow.event_shape).double())
    return flow, x, torch.randn(8, 2).double() if flow.context_dim else None


def seeded(draw: Callable[..., Tensor], *arguments: Any) -> Tensor:
    torch.manual_seed(5)
    return draw(*arguments)


def gradients_of_rows(name: str) -> None:
    flow, x, context = made(name)
    at = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(flow.log_prob(at, context).sum(), at)
    given = (x,) if context is None else (x, context)
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(flow.log_prob))(*given), expected)


def decoded_rows(name: str) -> None:
    flow, x, context = made(name)
    z = flow.encode(x, context).detach()
    given = (z,) if context is None else (z, context)
    torch.testing.assert_close(torch.func.vmap(flow.decode)(*given), flow.decode(z, context))


def compiled_log_prob(name: str) -> None:
    flow, x, context = made(name)
    torch._dynamo.reset()
    found = []
    for function in (torch.compile(flow.log_prob, fullgraph=True), flow.log_prob):
        at = x.clone().requires_grad_()
        value = function(at, context)
        found.append((value.detach(), *torch.autograd.grad(value.sum(), [at, *flow.parameters()])))
    torch.testing.assert_close(found[0], found[1])


def compiled_sampling(name: str) -> None:
    flow, _, context = made(name)
    torch._dynamo.reset()
    draw = Sample(flow, () if flow.context_dim else (8,))
    with torch.no_grad():
        # The compiler's own random numbers are others than torch's: with these the two can be compared.
        compiled = torch.compile(draw, fullgraph=True, options={"fallback_random": True})
        torch.testing.assert_close(seeded(compiled, context), seeded(draw, context))


def exported_log_prob(name: str) -> None:
    flow, x, context = made(name)
    rows = {0: torch.export.Dim("rows")}
    program = torch.export.export(
        LogProb(flow), (x, context), dynamic_shapes=(rows, None if context is None else rows)
    ).module()
    # Twice as many rows as it was exported with.
    more, contexts = torch.cat([x, 0.5 * x]), None if context is None else torch.cat([context, -context])
    torch.testing.assert_close(program(more, contexts), flow.log_prob(more, contexts))


def exported_sampling(name: str) -> None:
    flow, _, context = made(name)
    rows = None if context is None else {0: torch.export.Dim("rows")}
    draw = Sample(flow, () if flow.context_dim else (8,))
    with torch.no_grad():
        program = torch.export.export(draw, (context,), dynamic_shapes=(rows,)).module()
        contexts = None if context is None else torch.cat([context, -context])
        torch.testing.assert_close(seeded(program, contexts), seeded(draw, contexts))
        if context is None:
            # What draws without a context holds how many rows; from latents to pictures any number goes.
            z = torch.randn(8, *flow.event_shape).double()
            program = torch.export.export(Decode(flow), (z,), dynamic_shapes=({0: torch.export.Dim("rows")},)).module()
            more = torch.cat([z, 0.5 * z])
            torch.testing.assert_close(program(more), flow.decode(more))


COLUMNS: dict[str, Callable[[str], None]] = {
    "vmap(grad(log_prob))": gradients_of_rows,
    "vmap(decode)": decoded_rows,
    "compile log_prob": compiled_log_prob,
    "compile sampling": compiled_sampling,
    "export log_prob": exported_log_prob,
    "export sampling": exported_sampling,
}


def cells() -> list[Any]:
    """Every flow with every column; those that take long are marked."""
    found = []
    for name in FLOWS:
        for column in COLUMNS:
            quick = column.startswith("vmap") or (column.startswith("export") and name in QUICK)
            found.append(pytest.param(name, column, marks=() if quick else pytest.mark.slow, id=f"{name}-{column}"))
    return found


# torch's own, from its tracer and compiler.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("name", "column"), cells())
def test_cell(name: str, column: str) -> None:
    attempt = partial(COLUMNS[column], name)
    if table()[name][column]:
        attempt()
    else:
        # A result that differs is no refusal but an AssertionError, which is none of these.
        with pytest.raises(REFUSED):
            attempt()


def test_the_table_has_every_flow_and_every_column() -> None:
    assert list(table()) == list(FLOWS)
    assert all(list(row) == list(COLUMNS) for row in table().values())
    functions = [name for name in bj.__all__ if getattr(bj, name).__module__.startswith("bijectory.models.flows.")]
    assert sorted({name.split(",")[0] for name in FLOWS}) == sorted(functions)


def test_only_continuous_and_residual_flows_lack_anything_and_that_is_export() -> None:
    for name, row in table().items():
        missing = [column for column, supported in row.items() if not supported]
        exempt = name.startswith(("ffjord", "residual_flow"))
        assert missing == (["export log_prob", "export sampling"] if exempt else []), name


def test_outside_the_support_a_trace_gives_nan() -> None:
    """Where a check of values would stop it: never a finite density."""
    circles, _, context = made("nsf, circular")
    square = bj.Flow(bj.Normal((2,)), bj.Chain([bj.logit(), bj.ActNorm((2,))]))
    outside = torch.func.vmap(circles.log_prob)(torch.full((8, 3), 4.0).double(), context)
    assert bool(outside.isnan().all())
    assert bool(torch.func.vmap(square.log_prob)(torch.tensor([[1.5, 0.5], [-0.5, 0.5]])).isnan().all())
