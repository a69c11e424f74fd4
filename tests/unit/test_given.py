"""Tables handed over in Python become the same frames as files do, whatever library they come from."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import numpy as np
import pytest

from bijectory.data.frames import Text, Unread, Values
from bijectory.data.given import as_frame
from bijectory.errors import DataError

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow (extra 'tables') is absent"
)


def held(values: Values) -> list[Any]:
    if isinstance(values, Text):
        return list(values.listed())
    assert isinstance(values, np.ndarray) and values.dtype == np.float64
    return [None if value != value else value for value in values.tolist()]


class NAType:
    """pandas' NA: compared with anything, it is no truth value."""

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = None  # type: ignore[assignment]


class Series:
    """What pandas and polars have in common."""

    def __init__(self, values: np.ndarray, dtype: Any = None) -> None:
        self.values, self.dtype = values, values.dtype if dtype is None else dtype

    def to_numpy(self, dtype: Any = None, na_value: Any = None) -> np.ndarray:
        if dtype is None:
            return self.values
        return np.array([na_value if isinstance(v, NAType) else v for v in self.values], dtype=dtype)


class Nullable:
    """The type of pandas' nullable numbers."""

    na_value = NAType()

    def __str__(self) -> str:
        return "Int64"


class DataFrame:
    def __init__(self, **columns: Series) -> None:
        self.held, self.columns = columns, list(columns)

    def __getitem__(self, name: str) -> Series:
        return self.held[name]


def objects(*values: Any) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ([1, 2.5, None], [1, 2.5, None]),
        ([True, False, None], ["True", "False", None]),
        (["x ", None, "NA"], ["x", None, None]),
        (["1", 2, None], ["1", "2", None]),
        ((1, 2), [1, 2]),
        (np.array([1, 2], dtype=np.int8), [1, 2]),
        (np.array([True, False]), ["True", "False"]),
        (np.array(["a", ""]), ["a", None]),
        (objects(1, NAType(), math.nan, 4.5), [1, None, None, 4.5]),
        (objects(np.bool_(True), None), ["True", None]),
        (objects(None, None), [None, None]),
        (Series(objects(1, NAType()), Nullable()), [1, None]),
        (Series(objects("u", None)), ["u", None]),
    ],
)
def test_columns_of_all_sorts(column: Any, values: list[Any]) -> None:
    assert held(as_frame({"a": column}).column("a")) == values


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "datetime64"),
        (np.array([1 + 2j]), "complex128"),
        (objects([1], [2]), "objects"),
        (objects(True, 2), "bool beside int"),
    ],
)
def test_what_is_neither_numbers_nor_words_is_left_to_whoever_needs_it(column: Any, kind: str) -> None:
    values = as_frame({"a": column}).column("a")
    assert isinstance(values, Unread) and kind in values.why


def test_a_frame_of_a_library_that_is_not_imported() -> None:
    data = DataFrame(age=Series(np.array([1.0, np.nan])), town=Series(objects("Rome", None)))
    assert {name: held(as_frame(data).column(name)) for name in ("age", "town")} == {
        "age": [1, None],
        "town": ["Rome", None],
    }
    assert as_frame(data, ["town"]).names == ("town",)


def test_arrays_are_named_or_numbered() -> None:
    assert as_frame(np.ones((2, 3))).names == ("x1", "x2", "x3")
    assert as_frame([[1, 2], [3, 4]], ["a", "b"]).column("b").tolist() == [2, 4]
    mixed = as_frame([[1, "x"], [None, "y"]])
    assert [held(c) for c in mixed.columns] == [[1, None], ["x", "y"]]
    assert as_frame(mixed) is mixed


def test_numbers_and_words_of_ones_own_are_missing() -> None:
    frame = as_frame({"a": [-1.0, 2.0], "b": ["gone", "x"]}, missing=["-1", "gone"])
    assert [held(c) for c in frame.columns] == [[None, 2], [None, "x"]]


@needs_pyarrow
def test_arrow_tables_and_streams() -> None:
    import pyarrow

    table = pyarrow.table({"a": pyarrow.chunked_array([[1, None], [3]]), "b": ["x", None, "y"]})
    for data in (
        table,
        table.combine_chunks().to_batches()[0],
        type("Stream", (), {"__arrow_c_stream__": table.__arrow_c_stream__})(),
    ):
        assert [held(c) for c in as_frame(data).columns] == [[1, None, 3], ["x", None, "y"]]


def test_real_frames_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    data = pandas.DataFrame(
        {
            "a": [1, 2, None],
            "b": pandas.array([1, None, 3], dtype="Int64"),
            "c": pandas.Categorical(["u", None, "v"]),
            "d": pandas.array([True, None, False], dtype="boolean"),
            "e": pandas.array(["s", None, "t"], dtype="string"),
        }
    )
    expected = [[1, 2, None], [1, None, 3], ["u", None, "v"], ["True", None, "False"], ["s", None, "t"]]
    assert [held(c) for c in as_frame(data).columns] == expected


def test_real_frames_of_polars() -> None:
    polars = pytest.importorskip("polars")
    data = polars.DataFrame({"a": [1, 2, None], "b": ["x", None, "y"], "c": [True, False, None]})
    assert [held(c) for c in as_frame(data).columns] == [[1, 2, None], ["x", None, "y"], ["True", "False", None]]


@pytest.mark.parametrize(
    ("data", "columns", "message"),
    [
        (
            np.ones(3),
            None,
            r"expected an array \(rows, columns\), a mapping of columns or a frame, got ndarray of shape \(3,\)",
        ),
        (np.ones((0, 2)), None, r"got ndarray of shape \(0, 2\)"),
        ("data.csv", None, r"got str of shape \(\)"),
        ([[1, 2], [3]], None, r"expected rows of one length, got a ragged list"),
        (np.ones((2, 2)), ["a"], r"columns: expected 2 names, one a column, got 1"),
        ({"a": [1], "b": [1, 2]}, None, r"column 'b': expected 1 rows, as in 'a', got 2"),
        ({"a": np.ones((2, 2))}, None, r"column 'a': expected shape \(rows,\), got \(2, 2\)"),
        ({"a": []}, None, r"expected at least one row and one column, got none"),
        ({}, None, r"expected at least one row and one column, got none"),
        ({"a": [1]}, ["b"], r"there is no column 'b'; the table has a"),
        ({1: [1], "1": [2]}, None, r"the name '1' stands twice"),
    ],
)
def test_what_is_no_table(data: Any, columns: list[str] | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_frame(data, columns)
