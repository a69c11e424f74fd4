"""Rows become the matrix that a model sees and come back; what a model never saw is refused by row and column, or left out and counted."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bijectory.data.encoding import SAID, decode, encode, word_columns
from bijectory.data.frame_files import read_frame, stream_frames, write_frames
from bijectory.data.frames import Frame, Text, Values, joined
from bijectory.data.given import as_frame
from bijectory.data.inference import infer_columns
from bijectory.data.kinds import Column
from bijectory.data.splits import Rows, Splits, check_varies
from bijectory.data.typed_splits import table_splits
from bijectory.data.typed_tables import GENERATED_KINDS, generated_frame
from bijectory.errors import DataError

nan = math.nan


def held(values: Values) -> list[Any]:
    if isinstance(values, Text):
        return list(values.listed())
    assert isinstance(values, np.ndarray)
    return [None if value != value else value for value in values.tolist()]


TOWN = Column("town", "categorical", categories=("Oslo", "Rome"))


# ── There and back ───────────────────────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-1e6, 1e6)),
            st.one_of(st.none(), st.integers(-(2**40), 2**40)),
            st.one_of(st.none(), st.sampled_from(["u", "v w", "Zürich", '"', ","])),
            st.booleans(),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_whatever_is_inferred_is_encoded_and_decoded(rows: list[tuple[Any, ...]]) -> None:
    frame = as_frame(dict(zip("abcd", map(list, zip(*rows, strict=True)), strict=True)))
    kinds, _ = infer_columns(frame)
    encoded = encode(frame, kinds)
    assert encoded.refusals == () and len(encoded.kept) == len(rows)
    back = decode(encoded.matrix, kinds)
    for name in back.names:
        assert held(back.column(name)) == held(frame.column(name))
    np.testing.assert_array_equal(encode(back, kinds).matrix, encoded.matrix)


@pytest.mark.parametrize("ending", [".csv", ".npz"])
def test_a_table_of_all_kinds_goes_to_a_file_and_comes_back_the_same(tmp_path: Path, ending: str) -> None:
    frame = generated_frame(3000, seed=1)
    kinds, _ = infer_columns(frame, GENERATED_KINDS)
    assert {k.kind for k in kinds} == {"real", "integer", "categorical", "positive", "bounded", "circular"}
    matrix = encode(frame, kinds).matrix
    write_frames(tmp_path / f"t{ending}", [decode(matrix, kinds)])
    whole = read_frame(tmp_path / f"t{ending}", words=word_columns(kinds))
    np.testing.assert_array_equal(encode(whole, kinds).matrix, matrix)
    chunks = [encode(f, kinds).matrix for f in stream_frames(tmp_path / f"t{ending}", 1000, words=word_columns(kinds))]
    np.testing.assert_array_equal(np.concatenate(chunks), matrix)
    # In another file numbers that are words may have been read as numbers; the codes are those.
    np.testing.assert_array_equal(encode(read_frame(tmp_path / f"t{ending}"), kinds).matrix, matrix)


def test_columns_are_found_by_name_and_others_named() -> None:
    frame = as_frame(
        {"extra": [1, 2], "age": [31, 18], "town": ["Rome", "Oslo"], "day": np.array(["2020-01-01"] * 2, "M8[D]")}
    )
    encoded = encode(frame, [TOWN, Column("age", "integer", 0.0, step=1.0)])
    assert encoded.matrix.tolist() == [[1, 31], [0, 18]] and encoded.ignored == ("extra", "day")
    assert encoded.matrix.dtype == np.float64


@pytest.mark.parametrize(
    ("column", "kind", "codes"),
    [
        (["1.10", "1.1", None], Column("a", "categorical", categories=("1.1", "1.10"), gaps=True), [1, 0, None]),
        ([1.1, 1.1], Column("a", "categorical", categories=("1.1", "1.10")), [0, 0]),
        ([1.1, nan], Column("a", "categorical", categories=("1.10", "x"), gaps=True), [0, None]),
        (["1.0", "x", "-0"], Column("a", "categorical", categories=("0", "1", "x")), [1, 2, 0]),
        ([94110, 94110], Column("a", "categorical", categories=("01234", "94110")), [1, 1]),
        (["b", "a"], Column("a", "ordinal", categories=("b", "a")), [0, 1]),
        ([2.0, 1.0], Column("a", "ordinal", categories=("2.0", "1.0")), [0, 1]),
        ([nan, nan], Column("a", "categorical", categories=("x",), gaps=True), [None, None]),
        (["3", "4"], Column("a", "real"), [3, 4]),
        ([24, 0, 12], Column("a", "circular", 0.0, 24.0, step=1.0), [0, 0, 12]),
        ([0, 1, 0.5], Column("a", "bounded", 0.0, 1.0, step=0.5), [0, 1, 0.5]),
        ([0, 0.5], Column("a", "bounded", 0.0, 1.0, atoms=(0.0,)), [0, 0.5]),
        ([0, 3], Column("a", "positive", 0.0, atoms=(0.0,)), [0, 3]),
        ([-5, 3], Column("a", "integer", step=1.0), [-5, 3]),
    ],
)
def test_what_is_allowed(column: Any, kind: Column, codes: list[Any]) -> None:
    assert held(encode(as_frame({"a": column}), [kind]).matrix[:, 0]) == codes


def test_words_come_back_as_words_and_numbers_as_numbers() -> None:
    kinds = [
        TOWN,
        Column("member", "categorical", categories=("0", "1"), gaps=True),
        Column("zip", "categorical", categories=("01234", "94110")),
        Column("n", "integer", step=1.0),
        Column("again", "copy", of="town"),
    ]
    frame = decode(np.array([[1, nan, 0, 2.0000001, 1], [0, 1, 1, -3, 0]]), kinds)
    assert [held(c) for c in frame.columns] == [
        ["Rome", "Oslo"],
        [None, 1],
        ["01234", "94110"],
        [2, -3],
        ["Rome", "Oslo"],
    ]
    for matrix, message in (
        (np.array([[2.0]]), r"column 'town': expected codes 0\.\.1 or NaN"),
        (np.array([[0.5]]), r"column 'town': expected codes 0\.\.1 or NaN"),
        (np.ones((1, 2)), r"expected shape \(rows, 1\), a column for each kind, got \(1, 2\)"),
    ):
        with pytest.raises(DataError, match=message):
            decode(matrix, [TOWN])


def test_word_columns_are_the_coded_ones_and_their_copies() -> None:
    kinds = [TOWN, Column("x", "real"), Column("again", "copy", of="town"), Column("x2", "copy", of="x")]
    assert word_columns(kinds) == {"town", "again"}


# ── What is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        (
            ["x", "y"],
            dataclasses.replace(TOWN, name="a", categories=("x",)),
            r"expected one of x, got 'y'; correct the word",
        ),
        ([1, 2], Column("a", "categorical", categories=("1", "x")), r"expected one of 1, x, got 2"),
        (
            [1, nan],
            Column("a", "real"),
            r"expected a value, since the training rows had no missing one, got a missing value; fill it",
        ),
        (["x", None], Column("a", "categorical", categories=("x",)), r"expected a value, .*, got a missing value"),
        ([1, math.inf], Column("a", "real", gaps=True), r"expected a finite number, got inf"),
        (["1", "many"], Column("a", "real", gaps=True), r"expected a number, got 'many'"),
        (["1", "inf"], Column("a", "real"), r"expected a finite number, got 'inf'"),
        ([1, 2.5], Column("a", "integer", step=1.0), r"expected a whole number, got 2.5"),
        ([1, -1], Column("a", "integer", 0.0, step=1.0), r"expected a whole number of at least 0, got -1"),
        ([1, 0], Column("a", "positive", 0.0), r"expected a value above 0, got 0"),
        ([0, -1], Column("a", "positive", 0.0, atoms=(0.0,)), r"expected a value above 0 or 0, got -1"),
        (
            [0.5, 1],
            Column("a", "bounded", 0.0, 1.0),
            r"expected a value between 0 and 1, got 1; correct the value, or train",
        ),
        ([0.5, 1.1], Column("a", "bounded", 0.0, 1.0, step=0.1), r"expected a value in \[0, 1\], got 1.1"),
        ([0.5, 25], Column("a", "circular", 0.0, 24.0), r"expected a value in \[0, 24\], got 25"),
    ],
)
def test_what_a_model_never_saw_is_refused_or_left_out(column: Any, kind: Column, message: str) -> None:
    frame = dataclasses.replace(as_frame({"a": column}), first_row=101)
    with pytest.raises(DataError, match=r"data\.csv, row 102, column 'a': " + message):
        encode(frame, [kind], source="data.csv")
    encoded = encode(frame, [kind], source="data.csv", skip_bad=True)
    assert (encoded.kept.tolist(), len(encoded.matrix), len(encoded.refusals)) == ([0], 1, 1)
    assert encoded.refusals[0].startswith("data.csv, row 102, column 'a': ")


def test_a_copy_that_differs_from_its_source_is_refused() -> None:
    kinds = [Column("a", "real", gaps=True), Column("b", "copy", of="a", gaps=True)]
    fine = encode(as_frame({"b": [1, None], "a": [1, None]}), kinds)
    assert held(fine.matrix[:, 1]) == [1, None]
    for b, got in (([1, 3], "3"), ([1, None], "a missing value")):
        with pytest.raises(
            DataError,
            match=rf"row 2, column 'b': expected the value of 'a', which it repeated.*, got {got}; correct one",
        ):
            encode(as_frame({"a": [1, 2], "b": b}), kinds)
    words = [TOWN, Column("b", "copy", of="town")]
    with pytest.raises(DataError, match=r"row 1, column 'b': expected the value of 'town'.*, got 'Rome'"):
        encode(as_frame({"town": ["Oslo"], "b": ["Rome"]}), words)


def test_the_first_row_is_named_and_the_others_counted() -> None:
    frame = as_frame({"town": ["Bern", "Rome", "Oslo", "Bonn"], "age": [1, 2, None, 4]})
    kinds = [Column("age", "integer", step=1.0), TOWN]
    with pytest.raises(DataError, match=r"row 1, column 'town': .*got 'Bern'.* \(3 of 4 rows are refused\)"):
        encode(frame, kinds)
    encoded = encode(frame, kinds, skip_bad=True)
    assert encoded.kept.tolist() == [1] and encoded.matrix.tolist() == [[2, 1]]
    assert [sentence.split(":")[0] for sentence in encoded.refusals] == [
        f"table, row {r}, column {c!r}" for r, c in ((1, "town"), (3, "age"), (4, "town"))
    ]
    everything = encode(as_frame({"town": ["Bern"] * 100}), [TOWN], skip_bad=True)
    assert everything.matrix.shape == (0, 1) and len(everything.refusals) == SAID


def test_rows_that_could_not_be_read_are_left_out_with_the_readers_words(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("town\nRome\nOslo,1\nRome\n")
    frame = read_frame(path, skip_bad=True)
    encoded = encode(frame, [TOWN], skip_bad=True)
    assert encoded.kept.tolist() == [0, 2] and "row 2 (line 3): expected 1 fields" in encoded.refusals[0]
    gappy = dataclasses.replace(TOWN, gaps=True)
    with pytest.raises(
        DataError, match=r"row 2 \(line 3\): expected 1 fields \(town\), got 2; complete the row or drop it"
    ):
        encode(frame, [gappy])


def test_missing_columns_are_refused() -> None:
    with pytest.raises(DataError, match=r"data\.csv: expected the columns town, b, got a, b; town missing"):
        encode(as_frame({"a": [1], "b": [1]}), [TOWN, Column("b", "real")], source="data.csv")
    with pytest.raises(DataError, match=r"column 'a': expected numbers or words, got datetime64"):
        encode(as_frame({"a": np.array(["2020-01-01"], "M8[D]")}), [Column("a", "real")])


# ── Splits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_splits_of_a_typed_table() -> None:
    frame = generated_frame(1000, seed=0)
    kinds, notes = infer_columns(frame, GENERATED_KINDS)
    splits = table_splits(frame, kinds, 3, name="people", notes=notes)
    assert [len(rows) for rows in (splits.train, splits.validation, splits.test)] == [700, 100, 200]
    assert splits.train.x.dtype == torch.float64 and splits.schema.kinds == kinds and splits.notes == notes
    every = torch.cat([splits.train.x, splits.validation.x, splits.test.x]).numpy()
    matrix = encode(frame, kinds).matrix
    order = [np.lexsort(np.nan_to_num(m, nan=-1e9).T) for m in (every, matrix)]
    np.testing.assert_array_equal(every[order[0]], matrix[order[1]])
    same, other = table_splits(frame, kinds, 3, name="people"), table_splits(frame, kinds, 4, name="people")
    assert torch.equal(same.test.x.nan_to_num(-1), splits.test.x.nan_to_num(-1))
    assert not torch.equal(other.test.x.nan_to_num(-1), splits.test.x.nan_to_num(-1))
    # A run's settings give back the same kinds.
    recorded = json.loads(json.dumps(dataclasses.asdict(splits.schema)))
    assert msgspec.convert(recorded["kinds"], tuple[Column, ...]) == kinds


def test_splits_with_a_context() -> None:
    frame = generated_frame(100, seed=0)
    kinds, _ = infer_columns(frame, GENERATED_KINDS)
    splits = table_splits(frame, kinds, 0, context=["visits", "size"])
    assert splits.schema.context_columns == ("size", "visits") == tuple(k.name for k in splits.context_kinds)
    assert "size" not in splits.columns and splits.schema.event_shape == (8,) and splits.schema.context_dim == 2
    assert splits.train.context is not None and bool(splits.train.context.isnan().any())


def test_splits_that_cannot_be() -> None:
    frame = as_frame({"a": np.arange(20.0) ** 1.5, "b": np.arange(20.0) ** 1.5, "c": np.arange(20.0)})
    kinds, _ = infer_columns(frame)
    for context, message in (
        (["b"], r"context: 'b' repeats 'a', and one gives the other away; leave 'b' out \(b=ignore\)"),
        (["a"], r"context: 'b' repeats 'a'"),
        (["d"], r"context: there is no column 'd' in table; it has a, b, c"),
        (["a", "b", "c"], r"expected a column of table that is not in it, got all"),
    ):
        with pytest.raises(DataError, match=message):
            table_splits(frame, kinds, 0, context=context)
    assert table_splits(frame, kinds, 0, context=["b", "a"]).columns == ("c",)
    with pytest.raises(DataError, match=r"expected at least 10 rows"):
        table_splits(frame.select(slice(0, 9)), kinds, 0)
    with pytest.raises(DataError, match=r"shares: expected three parts above 0 that add up to 1"):
        table_splits(frame, kinds, 0, shares=(0.5, 0.1, 0.1))


def test_missing_values_stand_only_where_kinds_allow_them() -> None:
    gappy, full = Column("a", "real", gaps=True), Column("b", "real")
    fine = torch.tensor([[nan, 1.0], [0.0, 2.0]])
    splits = Splits(Rows(fine), Rows(fine), Rows(fine), ("a", "b"), kinds=(gappy, full))
    check_varies(torch.ones(3, 2), "one", splits.columns, kinds=splits.kinds)
    for x, message in (
        (fine[:, [1, 0]], r"row 1, column b: expected a finite number, got nan"),
        (torch.tensor([[math.inf, 1.0]]), r"row 1, column a: expected a finite number, got inf"),
    ):
        with pytest.raises(DataError, match=message):
            Splits(Rows(fine), Rows(x), Rows(fine), ("a", "b"), kinds=(gappy, full))
    with pytest.raises(DataError, match=r"row 1, column a: expected a finite number, got nan"):
        Splits(Rows(fine), Rows(fine), Rows(fine), ("a", "b"))
    context = Rows(fine[:, 1:], fine)
    Splits(context, context, context, ("y",), context_columns=("a", "b"), context_kinds=(gappy, full))
    with pytest.raises(DataError, match=r"context_kinds: expected one for each of the columns a, b"):
        Splits(context, context, context, ("y",), context_columns=("a", "b"), context_kinds=(gappy,))


def test_words_seen_in_later_rows_alone_are_no_surprise() -> None:
    frame = as_frame({"a": ["x"] * 95 + ["y"] * 5, "b": np.arange(100.0)})
    kinds, _ = infer_columns(frame)
    splits = table_splits(frame, kinds, 0)
    assert splits.kinds[0].categories == ("x", "y")
    assert (
        joined([frame, Frame(frame.names, frame.columns)]).column("a").listed()
        == ["x"] * 95 + ["y"] * 5 + ["x"] * 95 + ["y"] * 5
    )  # type: ignore[union-attr]
