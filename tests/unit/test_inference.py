"""Kinds of columns are found in their values, said to the person, and overridden by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bijectory.data.frames import Frame
from bijectory.data.given import as_frame
from bijectory.data.inference import infer_columns
from bijectory.data.kinds import Column, check_kinds
from bijectory.data.overrides import parse_kinds
from bijectory.errors import DataError

draws = np.random.default_rng(0)
NORMAL = draws.standard_normal(500)
SKEWED = np.exp(draws.standard_normal(500))
SHARES = 1 / (1 + np.exp(-3 * NORMAL))


def found(column: Any, wish: str | None = None, **others: Any) -> Column:
    kinds, _ = infer_columns(as_frame({"a": column, **others}), {} if wish is None else {"a": wish})
    return kinds[0]


def some(column: np.ndarray, value: float, rows: int) -> np.ndarray:
    """The column with so many rows that hold the value."""
    return np.concatenate([np.full(rows, value), column[rows:]])


# ── What is found ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (NORMAL, Column("a", "real")),
        (some(NORMAL, np.nan, 3), Column("a", "real", gaps=True)),
        (SKEWED, Column("a", "positive", 0.0)),
        (-SKEWED, Column("a", "real")),
        (10 + NORMAL, Column("a", "real")),
        (SHARES, Column("a", "bounded", 0.0, 1.0)),
        (np.clip(SHARES, 0.1, 1), Column("a", "real", atoms=(0.1,))),
        (np.arange(500.0), Column("a", "integer", 0.0, step=1.0)),
        (np.arange(500.0) - 1, Column("a", "integer", step=1.0)),
        (some(np.arange(500.0), 7.0, 200), Column("a", "integer", 0.0, step=1.0)),
        (np.round(NORMAL, 1), Column("a", "real", step=0.1)),
        (np.round(NORMAL, 1).astype(np.float32), Column("a", "real", step=0.1)),
        (np.round(1 + SKEWED, 1), Column("a", "positive", 0.0, step=0.1)),
        (
            some(np.round(SKEWED, 1), 0.0, 5),
            Column("a", "real", step=0.1),
        ),  # 0 has no logarithm, and its cell reaches below it
        (np.round(SHARES, 2), Column("a", "bounded", 0.0, 1.0, step=0.01)),
        (np.log(1 + np.arange(500) % 40), Column("a", "real", step=0.0488)),
        (some(NORMAL, 2.5, 11), Column("a", "real", atoms=(2.5,))),
        (some(NORMAL, 2.5, 10), Column("a", "real")),  # 2 %, not more
        (some(NORMAL, 2.5, 400), Column("a", "real", atoms=(2.5,))),
        (np.concatenate([NORMAL[:100], np.repeat(NORMAL[:8] / 3, 50)]), None),
        (some(SKEWED, 0.0, 150), Column("a", "positive", 0.0, atoms=(0.0,))),
        (some(SKEWED, 0.0, 1), Column("a", "positive", 0.0, atoms=(0.0,))),
        (some(some(SHARES, 1.0, 60), 0.0, 30), Column("a", "bounded", 0.0, 1.0, atoms=(0.0, 1.0))),
        (some(NORMAL, -1.0, 30), Column("a", "real", atoms=(-1.0,))),
        (np.tile([0.0, 1.0], 20), Column("a", "categorical", categories=("0", "1"))),
        (np.array([-0.0, 0.0, 2.5, np.nan]), Column("a", "categorical", categories=("0", "2.5"), gaps=True)),
        (np.full(20, 0.5), Column("a", "categorical", categories=("0.5",))),
        (["b", "a", None, "b"], Column("a", "categorical", categories=("a", "b"), gaps=True)),
        ([True, False, True], Column("a", "categorical", categories=("False", "True"))),
        (["10", "9", "9"], Column("a", "categorical", categories=("9", "10"))),
        (["01234", "94110", "94110"], Column("a", "categorical", categories=("01234", "94110"))),
        (["x", "1", "y", "2", "z"], Column("a", "categorical", categories=("1", "2", "x", "y", "z"))),
        (np.array([0.0, 0.0, 3.0, 5e-324]), Column("a", "real")),
        (1e16 * NORMAL.round(3), Column("a", "real", step=1e13)),  # past 2^53 every float is whole
    ],
)
def test_kinds_are_found_in_values(column: Any, kind: Column | None) -> None:
    if kind is None:
        kind = Column("a", "real", atoms=tuple(sorted((NORMAL[:8] / 3).tolist())))
    assert found(column) == kind


def test_a_column_of_many_spikes_gets_a_step_and_not_countless_atoms() -> None:
    column = np.concatenate([np.repeat(NORMAL[:30], 15), NORMAL[30:80]])
    kind = found(column)
    assert kind.atoms == () and kind.step is not None and 0.001 < kind.step < 0.2


def test_what_should_be_known_is_said() -> None:
    frame = as_frame(
        {
            "x": some(NORMAL, 1.5, 50),
            "twice": some(NORMAL, 1.5, 50),
            "town": np.tile(["u", "v"], 250),
            "town2": np.tile(["u", "v"], 250),
            "id": [f"row {i}" for i in range(500)],
            "empty": np.full(500, np.nan),
            "one": np.ones(500),
            "gone": NORMAL,
            "steps": np.log(1 + np.arange(500) % 40),
        }
    )
    kinds, notes = infer_columns(frame, {"gone": "ignore"})
    assert [(k.name, k.kind, k.of) for k in kinds] == [
        ("x", "real", None),
        ("twice", "copy", "x"),
        ("town", "categorical", None),
        ("town2", "copy", "town"),
        ("one", "categorical", None),
        ("steps", "real", None),
    ]
    assert notes == (
        "x: many rows share a value, which has a probability of its own: 1.5 (10.0%)",
        "twice: repeats x row by row, and is copied from it: it adds no nats",
        "town2: repeats town row by row, and is copied from it: it adds no nats",
        "id: left out: 500 different words in 500 rows (id=categorical keeps it)",
        "empty: left out: no row holds a value",
        "one: 1 in every row that has a value: it adds no nats",
        "gone: left out, as asked",
        "steps: its values repeat without equal steps: a value counts as its cell of 0.0488, the middle gap",
    )


def test_copies_hold_the_same_gaps_and_of_a_column_left_out_there_is_none() -> None:
    gappy = some(NORMAL, np.nan, 5)
    kinds, _ = infer_columns(as_frame({"a": gappy, "b": gappy, "c": NORMAL, "d": gappy}))
    assert [(k.name, k.of, k.gaps) for k in kinds] == [
        ("a", None, True),
        ("b", "a", True),
        ("c", None, False),
        ("d", "a", True),
    ]
    check_kinds(kinds, "abcd")
    kinds, _ = infer_columns(as_frame({"a": gappy, "b": gappy}), {"a": "ignore"})
    assert [(k.name, k.kind) for k in kinds] == [("b", "real")]


def test_words_of_one_column_in_another_order_are_a_copy_still() -> None:
    frame = as_frame({"a": ["u", "v", "u"], "b": ["u", "v", "u"], "c": ["v", "u", "v"]})
    words = frame.column("b")
    turned = type(words)(1 - words.codes, words.words[::-1])  # type: ignore[union-attr,call-arg]
    kinds, _ = infer_columns(Frame(frame.names, (frame.columns[0], turned, frame.columns[2])))
    assert [k.of for k in kinds] == [None, "a", None]


def test_more_than_sixteen_words_in_a_note_and_few_rows_of_ids_are_kept() -> None:
    assert len(found([f"row {i}" for i in range(49)]).categories) == 49
    many = [f"w{i % 1001}" for i in range(4004)]
    with pytest.raises(
        DataError, match=r"no column is left to model; a: left out: 1,001 different words in 4,004 rows"
    ):
        infer_columns(as_frame({"a": many}))
    assert len(found(many, "categorical").categories) == 1001


# ── What is asked for ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("column", "wish", "kind"),
    [
        (np.arange(24.0), "circular(0,24)", Column("a", "circular", 0.0, 24.0, step=1.0)),
        (360 * SHARES, " circular ( 0 , 360 ) ", Column("a", "circular", 0.0, 360.0)),
        (np.arange(30.0), "real", Column("a", "real", step=1.0)),
        (1 + np.arange(30.0), "positive", Column("a", "positive", 0.0, step=1.0)),
        (some(NORMAL**2, 0.0, 3), "positive", Column("a", "positive", 0.0, atoms=(0.0,))),
        (NORMAL, "bounded(-10,10)", Column("a", "bounded", -10.0, 10.0)),
        (np.clip(NORMAL, -1, 9), "bounded(-1,10)", Column("a", "bounded", -1.0, 10.0, atoms=(-1.0,))),
        (["3", "x", None, "1"], "categorical", Column("a", "categorical", categories=("1", "3", "x"), gaps=True)),
        (np.array([30.0, 10.0, 20.0]), "ordinal", Column("a", "ordinal", categories=("10", "20", "30"))),
        (
            ["large", "small"],
            "ordinal(small < middle<large)",
            Column("a", "ordinal", categories=("small", "middle", "large")),
        ),
        (np.array([2.0, 1.0]), "ordinal(1.0<2.0)", Column("a", "ordinal", categories=("1.0", "2.0"))),
        (["007", "010", "007"], "integer", Column("a", "integer", 0.0, step=1.0)),
        (np.array([0.0, 1.0, 1.0]), "integer", Column("a", "integer", 0.0, step=1.0)),
        (np.arange(20.0), "categorical", Column("a", "categorical", categories=tuple(map(str, range(20))))),
    ],
)
def test_kinds_are_overridden_by_name(column: Any, wish: str, kind: Column) -> None:
    assert found(column, wish) == kind


def test_overrides_of_a_command_line() -> None:
    text = "hour=circular(0,24), size=ordinal(small<middle<large),x=real , rate=bounded(0,1),,"
    assert parse_kinds(text) == {
        "hour": "circular(0,24)",
        "size": "ordinal(small<middle<large)",
        "x": "real",
        "rate": "bounded(0,1)",
    }
    assert parse_kinds("") == {}
    assert parse_kinds("income=ordinal(<=50K<>50K)") == {"income": "ordinal(<=50K<>50K)"}
    for wrong, message in (
        ("x", "expected NAME=KIND, parted by commas, got 'x'"),
        ("=real", "got '=real'"),
        ("x=real,x=integer", "twice"),
    ):
        with pytest.raises(DataError, match=message):
            parse_kinds(wrong)


# ── What is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("column", "wish", "message"),
    [
        (
            [1, 2, 3, "many"],
            None,
            r"table, row 4, column 'a': expected a number, as in most rows, got 'many'; .*missing='many'.*a=categorical",
        ),
        ([1.0, np.inf, 2.0], None, r"row 2, column 'a': expected a finite number of at most 1e\+150 in size, got inf"),
        (
            [1.0, 1e200, 2.0],
            None,
            r"row 2, column 'a': expected a finite number of at most .*, got 1e\+200; correct the value, rescale",
        ),
        ([1.0, -np.inf, 2.0], "categorical", r"row 2, column 'a': expected a finite number of .*, got -inf"),
        (NORMAL, "integers", r"column 'a': there is no kind 'integers'; write real, positive"),
        (NORMAL, "copy", r"there is no kind 'copy'"),
        (NORMAL, "circular", r"circular expects its two ends; write a=circular\(0,1\)"),
        (NORMAL, "bounded(0,x)", r"bounded expects its two ends"),
        (SHARES, "bounded(1,0)", r"expected a value in \[1, 0\]"),
        ([0.5, 3.0], "bounded(0,1)", r"row 2, column 'a': expected a value in \[0, 1\], got 3; .* than a=bounded"),
        ([0.5, 25.0], "circular(0,24)", r"row 2, column 'a': expected a value on the circle \[0, 24\), got 25"),
        ([1.0, -0.5], "positive", r"row 2, column 'a': expected a value of at least 0, got -0.5"),
        (
            [1.0, 0.0, 2.0],
            "positive",
            r"row 2, column 'a': expected values of at least half a step of 1, got 0; say integer or real",
        ),
        ([1.0, 2.5], "integer", r"row 2, column 'a': expected a whole number, got 2.5"),
        (["1", "x"], "real", r"row 2, column 'a': expected a number, since a=real, got 'x'"),
        (["s", "l"], "ordinal", r"column 'a': ordinal expects its words in their order"),
        (["s", "l"], "ordinal(s<m)", r"row 2, column 'a': expected one of s, m, got 'l'; name every word"),
        (["s", "l"], "ordinal(s<s<l)", r"column 'a': ordinal expects words, each once"),
        (np.full(3, np.nan), None, r"no column is left to model; a: left out: no row holds a value"),
        (
            np.array(["2020-01-01"], dtype="datetime64[D]"),
            None,
            r"column 'a': expected numbers or words, got datetime64",
        ),
    ],
)
def test_values_that_fit_no_kind_are_refused_by_row(column: Any, wish: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        found(column, wish)


def test_refusals_know_the_place_of_a_chunk_and_what_the_reader_refused() -> None:
    frame = as_frame({"a": [1.0, np.inf, 3.0]})
    with pytest.raises(DataError, match=r"data\.csv, row 102, column 'a'"):
        infer_columns(Frame(frame.names, frame.columns, first_row=101), source="data.csv")
    with pytest.raises(DataError, match=r"^row 2 is ragged$"):
        infer_columns(Frame(frame.names, frame.columns, broken={1: "row 2 is ragged"}))
    with pytest.raises(DataError, match=r"kinds: there is no column 'b'; data\.csv has a"):
        infer_columns(frame, {"b": "real"}, source="data.csv")


def test_a_date_that_is_to_be_ignored_does_no_harm() -> None:
    frame = as_frame({"day": np.array(["2020-01-01"] * 3, dtype="datetime64[D]"), "x": [1.5, 2.5, 4.5]})
    kinds, _ = infer_columns(frame, {"day": "ignore"})
    assert [k.name for k in kinds] == ["x"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "odd"}, r"expected a kind out of real, positive"),
        ({"kind": "bounded", "low": 1.0, "high": 1.0}, r"bounded expects low < high"),
        ({"kind": "circular"}, r"circular expects low < high, both finite, got None and None"),
        ({"kind": "positive", "low": 1.0}, r"positive begins at 0"),
        ({"kind": "real", "step": 0.0}, r"step: expected a width above 0"),
        ({"kind": "categorical"}, r"categorical expects words"),
        ({"kind": "real", "categories": ("x",)}, r"words are for categorical"),
        ({"kind": "copy"}, r"'of' names the source of a copy"),
        ({"kind": "real", "of": "b"}, r"'of' names the source of a copy"),
    ],
)
def test_columns_that_contradict_themselves(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Column("a", **arguments)


def test_kinds_stand_in_the_order_of_the_columns_and_copies_behind_their_sources() -> None:
    a, b = Column("a", "real"), Column("b", "copy", of="a")
    check_kinds((a, b), ("a", "b"))
    with pytest.raises(DataError, match=r"expected one for each of the columns b, a"):
        check_kinds((a, b), ("b", "a"))
    with pytest.raises(DataError, match=r"'b' copies 'a', which is no earlier column"):
        check_kinds((b, a), ("b", "a"))
