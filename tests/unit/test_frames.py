"""A person's table is read as it is in life, in chunks as whole, and comes back; what is none is refused where it goes wrong."""

from __future__ import annotations

import builtins
import datetime
import gzip
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bijectory.data.frame_files import read_frame, stream_frames, write_frames
from bijectory.data.frames import Frame, Text, Unread, Values, as_words, joined, spelled_out, word_of
from bijectory.errors import DataError, MissingExtraError

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow (extra 'tables') is absent"
)
ALL = [pytest.param(e, marks=needs_pyarrow if e == ".parquet" else ()) for e in (".csv", ".parquet", ".npz")]


def text(*words: str | None) -> Text:
    seen = tuple(dict.fromkeys(word for word in words if word is not None))
    return Text(np.array([-1 if word is None else seen.index(word) for word in words], dtype=np.int32), seen)


def held(values: Values) -> list[Any]:
    """The values of a column, None where one is missing."""
    if isinstance(values, Text):
        return list(values.listed())
    assert isinstance(values, np.ndarray) and values.dtype == np.float64
    return [None if value != value else value for value in values.tolist()]


def content(frame: Frame) -> dict[str, list[Any]]:
    return {name: held(frame.column(name)) for name in frame.names}


def save(folder: Path, body: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    raw = body if isinstance(body, bytes) else body.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


MIXED = Frame(
    ("x", "a, b", "höhe"),
    (
        np.array([0.1, np.nan, -0.0, 1e300]),
        text("Zürich", None, 'say "so"', "two\nlines"),
        np.array([1.0, 2.0, 3.0, 2**60]),
    ),
)


# ── What is read ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ending", ALL)
@pytest.mark.parametrize("rows", [1, 3, 65_536])
def test_a_frame_comes_back_bit_for_bit_in_chunks_and_whole(tmp_path: Path, ending: str, rows: int) -> None:
    path = tmp_path / f"t{ending}"
    assert write_frames(path, [MIXED.select(slice(0, 1)), MIXED.select(slice(1, 4))]) == 4
    for frame in (read_frame(path), joined(list(stream_frames(path, rows)))):
        assert content(frame) == content(MIXED)
        x = frame.column("x")
        assert isinstance(x, np.ndarray) and np.signbit(x[2])
    assert os.listdir(tmp_path) == [path.name]
    starts = [(frame.first_row, len(frame)) for frame in stream_frames(path, rows)]
    assert sum(size for _, size in starts) == 4
    assert all(start == 1 + sum(size for _, size in starts[:i]) for i, (start, _) in enumerate(starts))


@pytest.mark.parametrize("ending", ALL)
def test_a_column_of_words_alone_with_gaps_comes_back(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    write_frames(path, [Frame(("file",), (text(None, "a", None, "b", None),))])
    assert content(read_frame(path)) == {"file": [None, "a", None, "b", None]}


@pytest.mark.parametrize(
    ("body", "columns"),
    [
        ("a,b\n1,x\n2,y\n", {"a": [1, 2], "b": ["x", "y"]}),
        ("\ufeffa , b\r\n 1 ,  x \r\n2,x\r\n\r\n", {"a": [1, 2], "b": ["x", "x"]}),
        ("a\n1\nNA\nN/A\nNaN\nnan\nnull\nNone\n?\n ? \n-1\n", {"a": [1, *[None] * 8, -1]}),
        ("a,b\n,x\n1,\n", {"a": [None, 1], "b": ["x", None]}),
        ('a,b\n"","x, y"\n', {"a": [None], "b": ["x, y"]}),
        ("a\nNAN\nNA\n3\n", {"a": [None, None, 3]}),
        ("zip\n01234\n94110\n", {"zip": ["01234", "94110"]}),
        ("zip\n01234\n\n".rstrip("\n") + "\nNA\n", {"zip": ["01234", None]}),
        ("x\n0.5\n00.5\n0\n-0\n", {"x": [0.5, 0.5, 0, 0]}),
        ("x\ninf\n1\n", {"x": [float("inf"), 1]}),
        ("x\n1_0\n2\n", {"x": ["1_0", "2"]}),
        ("x\n٣\n2\n", {"x": ["٣", "2"]}),
        ("done\nTrue\nFalse\n", {"done": ["True", "False"]}),
        ("label,0,1\nu,5,6\n", {"label": ["u"], "0": [5], "1": [6]}),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "tsv.gz"])
def test_csv_as_people_write_it(tmp_path: Path, body: str, columns: dict[str, list[Any]], ending: str) -> None:
    if ending.startswith("tsv"):
        body = body.replace('"x, y"', '"x\ty"').replace(",", "\t") if "x, y" not in body else 'a\tb\n""\tx, y\n'
    assert content(read_frame(save(tmp_path, body, f"t.{ending}"))) == columns


def test_words_of_ones_own_say_that_a_value_is_missing(tmp_path: Path) -> None:
    path = save(tmp_path, "a,b,c\n-999,unknown,1\n1,x,-999.0\n")
    assert content(read_frame(path, missing=["-999", "unknown"])) == {"a": [None, 1], "b": [None, "x"], "c": [1, None]}


def test_columns_name_those_of_a_file_without_a_header(tmp_path: Path) -> None:
    path = save(tmp_path, "39, State-gov\n50, ?\n")
    assert content(read_frame(path, columns=["age", "work"])) == {"age": [39, 50], "work": ["State-gov", None]}
    again = save(tmp_path, "work,age\nx,1\n", "with.csv")
    assert content(read_frame(again, columns=["age", "work"])) == {"work": ["x"], "age": [1]}


def test_words_further_down_leave_those_above_as_they_are_written(tmp_path: Path) -> None:
    """Chunk by chunk, 1.10 is a number until a word comes; whole, it stays the word that it is."""
    body = "version\n" + "1.10\n" * 70_000 + "beta\n"
    column = read_frame(save(tmp_path, body)).column("version")
    assert isinstance(column, Text) and column.words == ("1.10", "beta") and column.counts.tolist() == [70_000, 1]
    chunks = [frame.column("version") for frame in stream_frames(tmp_path / "t.csv", words=["version"])]
    assert [chunk.words for chunk in chunks if isinstance(chunk, Text)] == [("1.10",), ("1.10", "beta")]


def test_numbers_are_written_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_frames(path, [Frame(("n", "w"), (np.array([3.0, np.nan, 0.1]), text("a", None, "b")))])
    assert path.read_text() == "n,w\n3,a\n,\n0.1,b\n"
    assert [word_of(v) for v in (1e22, -2.0, 1 / 3, -0.0)] == ["1e+22", "-2", "0.3333333333333333", "-0.0"]
    assert [spelled_out(w) for w in ("1.0", "01", "-0.0", "x", "1e2")] == ["1", "01", "0", "x", "100"]
    assert as_words(np.array([2.0, np.nan, -1.5])).listed() == ["2", None, "-1.5"]


# ── Parquet ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@needs_pyarrow
def test_parquet_of_every_type(tmp_path: Path) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    day = datetime.date(2020, 1, 1)
    table = arrow.table(
        {
            "int": arrow.array([1, None, 3], arrow.int16()),
            "big": arrow.array([2**60 + 1, 1, 2], arrow.int64()),
            "half": arrow.array([np.float16(0.5), None, np.float16(2)], arrow.float16()),
            "decimal": arrow.array([1, 2, None], arrow.decimal128(10, 2)),
            "nan": arrow.array([float("nan"), 1.0, None]),
            "bool": arrow.array([True, None, False]),
            "text": arrow.array([" x", "NA", None], arrow.large_string()),
            "coded": arrow.array(["u", None, "u"]).dictionary_encode(),
            "numbers": arrow.array([5, 5, None]).dictionary_encode(),
            "none": arrow.nulls(3),
            "day": arrow.array([day] * 3),
            "list": arrow.array([[1], [2], [3]]),
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    frame = read_frame(tmp_path / "t.parquet")
    assert {name: held(c) for name, c in zip(frame.names, frame.columns, strict=True) if not isinstance(c, Unread)} == {
        "int": [1, None, 3],
        "big": [2.0**60, 1, 2],
        "half": [0.5, None, 2],
        "decimal": [1, 2, None],
        "nan": [None, 1, None],
        "bool": ["True", None, "False"],
        "text": ["x", None, None],
        "coded": ["u", None, "u"],
        "numbers": [5, 5, None],
        "none": [None] * 3,
    }
    for name, kind in (("day", "date32"), ("list", "list")):
        column = frame.column(name)
        assert isinstance(column, Unread) and kind in column.why and "turn it into numbers" in column.why
        assert len(column) == 3 and len(column.select(slice(1, 3))) == 2
    with pytest.raises(DataError, match=r"out\.csv, column 'day': expected numbers or words, got date32"):
        write_frames(tmp_path / "out.csv", [frame])
    assert os.listdir(tmp_path) == ["t.parquet"]


@needs_pyarrow
def test_a_folder_of_parquet_is_one_table_and_its_partitions_are_columns(tmp_path: Path) -> None:
    for year, town, values in (
        (2021, "Z%C3%BCrich", [1.0]),
        (2020, "Bern", [2.0, 3.0]),
        (2020, "__HIVE_DEFAULT_PARTITION__", [4.0]),
    ):
        folder = tmp_path / f"year={year}" / f"town={town}"
        folder.mkdir(parents=True)
        write_frames(folder / "part.parquet", [Frame(("x",), (np.array(values),))])
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / "_hidden.parquet").write_text("no Parquet")
    frames = list(stream_frames(tmp_path))
    assert [(frame.first_row, len(frame)) for frame in frames] == [(1, 2), (3, 1), (4, 1)]
    assert content(joined(frames)) == {
        "x": [2, 3, 4, 1],
        "year": [2020, 2020, 2020, 2021],
        "town": ["Bern", "Bern", None, "Zürich"],
    }


@needs_pyarrow
def test_folders_that_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a folder with \.parquet files, found none"):
        read_frame(tmp_path)
    write_frames(tmp_path / "a.parquet", [Frame(("x", "y"), (np.ones(2), np.ones(2)))])
    write_frames(tmp_path / "b.parquet", [Frame(("y", "x"), (np.zeros(1), np.ones(1)))])
    assert content(read_frame(tmp_path)) == {"x": [1, 1, 1], "y": [1, 1, 0]}
    write_frames(tmp_path / "c.parquet", [Frame(("x",), (np.ones(2),))])
    with pytest.raises(DataError, match=r"c\.parquet: expected the columns x, y, as in .*a\.parquet, got x"):
        read_frame(tmp_path)


def test_parquet_without_pyarrow_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    path = save(tmp_path, b"PAR1", "t.parquet")
    monkeypatch.setattr(builtins, "__import__", without)
    for call in (lambda: read_frame(path), lambda: read_frame(tmp_path), lambda: write_frames(path, [MIXED])):
        with pytest.raises(MissingExtraError, match=r"bijectory\[tables\]"):
            call()


# ── NPZ ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_npz_as_people_write_it(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, age=np.array([1, 2]), town=np.array(["Rome", ""]), done=np.array([True, False]))
    assert content(read_frame(path)) == {"age": [1, 2], "town": ["Rome", None], "done": ["True", "False"]}
    np.savez(path, x=np.array([[1.0, np.nan]]), columns=np.array(["u", "v"]))
    assert content(read_frame(path)) == {"u": [1], "v": [None]}
    np.savez(path, x=np.array([[1.0, 2.0]]))
    assert content(read_frame(path)) == {"x1": [1], "x2": [2]}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.ones(2), "b": np.ones(3)}, r"array 'b': expected one column.*got shape \(3,\) beside \(2,\) of 'a'"),
        ({"a": np.ones((2, 2))}, r"array 'a': expected one column, or 'x'"),
        ({"x": np.ones((2, 2)), "columns": np.array(["u"])}, r"array 'columns': expected 2 strings"),
        ({"a": np.array([None, 1], dtype=object)}, r"array 'a': expected numbers, got objects, never loaded"),
        ({"a": np.ones(0)}, r"expected at least one row, got none"),
        ({}, r"expected arrays, got an archive without any"),
    ],
)
def test_npz_that_is_no_table(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read_frame(tmp_path / "t.npz")


# ── What is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("a,b\n1,2\n3\n", r"t\.csv, row 2 \(line 3\): expected 2 fields \(a, b\), got 1; complete the row or drop it"),
        ('a,b\n"1\n",2\n3,4,5\n', r"row 2 \(line 4\): expected 2 fields \(a, b\), got 3"),
        ("a,b\n1,2\n\n3,4\n", r"row 2 \(line 3\): expected 2 fields \(a, b\), got a blank line"),
        ("a,b\n", r"expected at least one row, got none"),
        ("1,2\n3,4\n", r"line 1: expected a header row of column names, got only numbers"),
        ("a,a\n1,2\n", r"the name 'a' stands twice"),
        ("a,\n1,2\n", r"column 2: expected a name, got ''"),
        ("a;b\n1;2\n", r"expected fields separated by commas, got 'a;b'"),
        (b"a,b\n1,x\n2,\xe9t\xe9\n", r"line 3: expected UTF-8, got byte 0xe9; save the file as UTF-8"),
        (b"a,b\n" + b"1,x\n" * 50_000 + b"2,\xff\n", r"line 50002: expected UTF-8, got byte 0xff"),
        (b"a,b\n1,\xc3", r"line 2: expected UTF-8"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_csv_that_is_no_table(tmp_path: Path, body: str | bytes, message: str, ending: str) -> None:
    with pytest.raises(DataError, match=message.replace(r"t\.csv", r"t\.csv(\.gz)?")):
        read_frame(save(tmp_path, body, f"t.{ending}"))


def test_rows_of_another_length_stand_aside_when_asked(tmp_path: Path) -> None:
    path = save(tmp_path, "a,b\n1,x\n2\n\n3,y\n4,z,?\n\n")
    frame = read_frame(path, skip_bad=True)
    assert content(frame) == {"a": [1, None, None, 3, None], "b": ["x", None, None, "y", None]}
    assert sorted(frame.broken) == [1, 2, 4] and "row 3 (line 4)" in frame.broken[2] and "blank line" in frame.broken[2]
    chunks = list(stream_frames(path, 2, skip_bad=True))
    assert [sorted(chunk.broken) for chunk in chunks] == [[1], [0], [0]]
    assert joined(chunks).broken == frame.broken


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("t.xlsx", r"expected a name ending in \.csv, \.csv\.gz, .*or a folder of Parquet files, got \.xlsx"),
        ("gone.csv", r"expected a file, found nothing of that name"),
        ("empty.csv", r"expected a table, got an empty file"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, name: str, message: str) -> None:
    save(tmp_path, "x", "t.xlsx"), save(tmp_path, "", "empty.csv")
    with pytest.raises(DataError, match=message):
        read_frame(tmp_path / name)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path, "a,b\n" + "1,x\n" * 1000, "t.csv.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"truncated or damaged"):
        read_frame(path)
    with pytest.raises(DataError, match=r"truncated or damaged"):
        read_frame(save(tmp_path, b"no gzip", "u.csv").rename(tmp_path / "u.csv.gz"))
    with pytest.raises(DataError, match=r"not|damaged"):
        read_frame(save(tmp_path, b"no archive", "t.npz"))


@needs_pyarrow
def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.parquet: cannot be read as Parquet"):
        read_frame(save(tmp_path, b"PAR1 no parquet", "t.parquet"))


def test_chunks_of_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows: expected at least 1 a chunk, got 0"):
        stream_frames(save(tmp_path, "a\n1\n"), 0)


def _changing() -> list[Frame]:
    return [Frame(("a",), (np.ones(2),)), Frame(("b",), (np.ones(2),))]


@pytest.mark.parametrize("ending", ALL)
@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (list, r"expected at least one row to write, got none"),
        (_changing, r"expected the columns a throughout, got b"),
    ],
)
def test_nothing_is_left_of_a_file_that_could_not_be_written(
    tmp_path: Path, ending: str, frames: Callable[[], list[Frame]], message: str
) -> None:
    path = tmp_path / f"t{ending}"
    with pytest.raises(DataError, match=message):
        write_frames(path, frames())
    assert os.listdir(tmp_path) == []


@needs_pyarrow
def test_parquet_keeps_the_kind_that_a_column_began_with(tmp_path: Path) -> None:
    first, words, none = (Frame(("a",), (c,)) for c in (np.ones(1), text("x"), np.array([np.nan])))
    with pytest.raises(DataError, match=r"began with numbers, got words"):
        write_frames(tmp_path / "t.parquet", [first, words])
    write_frames(tmp_path / "t.parquet", [words, none, first])
    assert content(read_frame(tmp_path / "t.parquet")) == {"a": ["x", None, "1"]}
