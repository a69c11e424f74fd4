"""Every law of typed columns over every kind of column, and faults that these laws notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bijectory.data.kinds import Column
from bijectory.models import table_heads
from bijectory.models.table import TableModel
from bijectory.models.table_columns import Columns
from bijectory.testing import check_columns, column_laws
from bijectory.testing.checks import hold

WORDS = Column("word", "categorical", categories=("a", "b", "c"), gaps=True)
REAL = Column("real", "real", gaps=True)
EVERY = (
    WORDS,
    REAL,
    Column("tenths", "real", step=0.1),
    Column("positive", "positive", atoms=(0.0,)),
    Column("halves", "positive", step=0.5),
    Column("count", "integer", low=0, step=1, gaps=True),
    Column("whole", "integer", step=1),
    Column("share", "bounded", low=0, high=1, atoms=(0.0, 1.0)),
    Column("score", "bounded", low=0, high=10, step=1),
    Column("hour", "circular", low=0, high=24),
    Column("month", "circular", low=1, high=13, step=1),
    Column("size", "ordinal", categories=("small", "middle", "large")),
    Column("same", "categorical", categories=("only",)),
    Column("twin", "copy", of="word", gaps=True),
)


def rows(columns: tuple[Column, ...], count: int = 200, seed: int = 0) -> Tensor:
    """Encoded rows in which each column depends on the one before."""
    g = torch.Generator().manual_seed(seed)
    base = torch.randn(count, generator=g, dtype=torch.float64)
    found: list[Tensor] = []
    for column in columns:
        base = 0.6 * base + 0.8 * torch.randn(count, generator=g, dtype=torch.float64)
        u = torch.special.ndtr(base)
        if column.kind in ("categorical", "ordinal"):
            x = (u * len(column.categories)).floor()
        elif column.kind in ("bounded", "circular"):
            assert column.low is not None
            assert column.high is not None
            step = column.step or 0.0
            # The last month is 12, and the best score 10.
            top = column.high - (step if column.kind == "circular" else 0.0)
            x = column.low + (top - column.low) * u
            x = x if not step else torch.round((x - column.low) / step) * step + column.low
        elif column.kind == "positive":
            x = torch.exp(base)
            x = x if column.step is None else (torch.ceil(x / column.step) * column.step)
        elif column.kind == "copy":
            x = found[[c.name for c in columns].index(column.of or "")].clone()
        else:
            scaled = 3 * base + 2
            x = scaled if column.step is None else torch.round(scaled / column.step) * column.step
            x = x if column.low is None else x.clamp_min(column.low)
        for i, atom in enumerate(column.atoms):
            x[i::7] = atom
        if column.gaps and column.kind != "copy":
            x[torch.rand(count, generator=g) < 0.2] = torch.nan
        found.append(x)
    return torch.stack(found, 1)


def moved(model: TableModel, x: Tensor, context: Tensor | None = None) -> TableModel:
    model.double().initialise(x, context)
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    return model.eval()


SUBJECTS: dict[str, Callable[[], tuple[TableModel, Tensor, Tensor | None]]] = {}


def subject(name: str, columns: tuple[Column, ...], context: tuple[Column, ...] = (), **settings: Any) -> None:
    def make() -> tuple[TableModel, Tensor, Tensor | None]:
        torch.manual_seed(0)
        x = rows(columns)
        given = rows(context, seed=1) if context else None
        settings.setdefault("hidden", 32)
        return moved(TableModel(columns, context_columns=context, knots=6, **settings), x, given), x, given

    SUBJECTS[name] = make


subject("every kind", EVERY, components=3)
subject("two members", EVERY[:6], members=2, components=2)
subject("numbers first", EVERY[:6], order=(1, 5, 0, 2, 4, 3), components=2)
subject("conditional", (REAL,), EVERY, components=2)
subject("conditional count", (EVERY[5], WORDS), (EVERY[9], EVERY[7]), components=2, members=2)
subject("one word", (WORDS,))
subject("one number", (REAL,), blocks=0)

LAWS = [(name, law) for name, make in SUBJECTS.items() for law in column_laws(*make())]


@pytest.mark.parametrize(("name", "law"), LAWS, ids=[f"{name}: {law}" for name, law in LAWS])
def test_law(name: str, law: str) -> None:
    check = hold(law, column_laws(*SUBJECTS[name]())[law])
    assert check.passed, str(check)


def test_rows_of_another_form_are_refused() -> None:
    model, x, _ = SUBJECTS["two members"]()
    with pytest.raises(Exception, match="at least two encoded rows"):
        check_columns(model, x[:, :2])


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────

Wrong = Callable[[Any], Any]


def _unnormalised(right: Any) -> Any:
    return lambda self, out: right(self, out) + 0.01


def _wide(right: Any) -> Any:
    return lambda low, high, width, *params: right(low, high, 1.02 * width, *params)


def _steep(right: Any) -> Any:
    def line(self: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        t, slope = right(self, x)
        return t, slope + 0.01

    return line


def _peeking(right: Any) -> Any:
    def columns(self: Any) -> list[int]:
        found: list[int] = right(self)
        return found[::-1]

    return columns


def _shifted(right: Any) -> Any:
    return lambda self, t, j: right(self, t + 0.2, j)


def _global(right: Any) -> Any:
    return lambda logits, generator: right(logits, None)


def _heavy(right: Any) -> Any:
    def given(self: Any, x: Tensor, known: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        drawn, weight = right(self, x, known, *args, **kwargs)
        return drawn, weight + 0.5

    return given


def _bare(right: Any) -> Any:
    return lambda self, x, context=None: right(self, x, context).reshape(-1)


def _rounded(right: Any) -> Any:
    return lambda self, x, context=None: right(self, x, context).float().round(decimals=1).to(x.dtype)


def _narrow(right: Any) -> Any:
    return lambda raw: right(raw) - 100.0


def _deaf(right: Any) -> Any:
    def see(self: Any, x: Tensor, context: Tensor | None) -> Any:
        seen, read = right(self, x, context)
        return seen, read * 0 if context is not None else read

    return see


def _still(right: Any) -> Any:
    return lambda self, x, context=None: right(self, x, context).detach() + 0 * next(self.parameters()).sum()


def _doubled(right: Any) -> Any:
    return lambda self, x, context=None: right(self, x, context).double()


def _fewer(right: Any) -> Any:
    return lambda self, shape=(), context=None, *, generator=None: right(self, shape, context, generator=generator)[
        ..., :-1
    ]


FAULTS: list[tuple[str, str, Any, str, Wrong, set[str]]] = [
    (
        "a softmax that sums to more than one",
        "one word",
        table_heads.Heads,
        "state_logs",
        _unnormalised,
        {"words sum to one", "cells"},
    ),
    ("a cell that is too wide", "two members", table_heads, "logistic_cell", _wide, {"cells"}),
    ("a slope that is off", "one number", Columns, "line", _steep, {"cells"}),
    ("masks of another column", "two members", Columns, "read_columns", _peeking, {"order"}),
    ("values that are shifted", "one number", Columns, "unline", _shifted, {"samples"}),
    ("draws from the global generator", "one word", table_heads, "_pick", _global, {"seeded"}),
    ("weights that are too large", "two members", TableModel, "sample_given", _heavy, {"given"}),
    ("a batch dimension lost", "conditional", TableModel, "log_prob", _bare, {"density shapes"}),
    ("digits thrown away", "two members", TableModel, "log_prob", _rounded, {"columns add up"}),
    (
        "a scale that underflows",
        "one number",
        table_heads,
        "_log_scale",
        _narrow,
        {"far density 3x", "far density 10x", "far density 100x"},
    ),
    ("a context that is not read", "conditional", TableModel, "_see", _deaf, {"context"}),
    ("a density that no gradient reaches", "two members", TableModel, "log_prob", _still, {"gradients"}),
    ("float64 for float32", "two members", TableModel, "log_prob", _doubled, {"density precision"}),
    ("a column left out of samples", "two members", TableModel, "sample", _fewer, {"sample shapes"}),
]


@pytest.mark.parametrize("fault", FAULTS, ids=[fault[0] for fault in FAULTS])
def test_these_laws_notice(fault: tuple[str, str, Any, str, Wrong, set[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    _, name, owner, attribute, wrong, laws = fault
    monkeypatch.setattr(owner, attribute, wrong(getattr(owner, attribute)))
    failed = {check.law for check in check_columns(*SUBJECTS[name]()) if not check.passed}
    assert laws <= failed, failed


def test_every_law_is_named_by_a_fault() -> None:
    laws = {law for make in SUBJECTS.values() for law in column_laws(*make())}
    assert laws - {law for fault in FAULTS for law in fault[-1]} == set()
