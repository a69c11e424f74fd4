"""Tables go to files and come back bit for bit; what is no table of finite numbers is refused where it goes wrong."""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bijectory.data import delimited
from bijectory.data.tables import ENDINGS, check_ending, read_table, write_csv, write_table
from bijectory.errors import DataError, MissingExtraError

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow (extra 'tables') is absent"
)
ALL = [pytest.param(ending, marks=needs_pyarrow if ending == ".parquet" else ()) for ending in ENDINGS]

NAMES = ("x", "a, b", "höhe")
AWKWARD = np.array(
    [
        [0.1, -0.0, 5e-324],
        [1 / 3, 2.2250738585072014e-308, 1.7976931348623157e308],
        [np.nextafter(1.0, 2.0), -1e22, 123456789.123456789],
    ]
)


def bits(values: np.ndarray) -> list[int]:
    assert values.dtype == np.float64
    return np.ascontiguousarray(values).view(np.int64).ravel().tolist()


def save(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# ── What is read ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ending", ALL)
def test_a_table_comes_back_bit_for_bit(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    write_table(path, NAMES, AWKWARD)
    table = read_table(path)
    assert (table.columns, table.ignored) == (NAMES, ())
    assert bits(table.values) == bits(AWKWARD)
    assert table.values.flags.c_contiguous
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", ALL)
def test_random_bit_patterns_come_back(tmp_path: Path, ending: str) -> None:
    values = np.random.default_rng(0).integers(0, 2**63, size=4000, dtype=np.int64).view(np.float64)
    values = values[np.isfinite(values)][:3000].reshape(-1, 2)
    path = tmp_path / f"t{ending}"
    write_table(path, ["a", "b"], values)
    assert bits(read_table(path).values) == bits(values)


@pytest.mark.parametrize("ending", ALL)
def test_columns_are_picked_by_name_in_the_order_asked(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    write_table(path, NAMES, AWKWARD)
    table = read_table(path, columns=["höhe", "x"])
    assert (table.columns, table.ignored) == (("höhe", "x"), ("a, b",))
    assert bits(table.values) == bits(AWKWARD[:, [2, 0]])
    everything = read_table(path, columns=["höhe", "a, b", "x"])
    assert (everything.ignored, bits(everything.values)) == ((), bits(AWKWARD[:, [2, 1, 0]]))


@pytest.mark.parametrize(
    ("text", "columns", "names", "values"),
    [
        ("x,y\n1,2\n3,4\n", None, ("x", "y"), [[1, 2], [3, 4]]),
        ("x,y\r\n1,2\r\n3,4", None, ("x", "y"), [[1, 2], [3, 4]]),
        ("x,y\r1,2\r3,4\r", None, ("x", "y"), [[1, 2], [3, 4]]),
        ("\ufeffx, y \n 1 ,\t2\n", None, ("x", "y"), [[1, 2]]),
        ("x\n1\n2\n\n\n", None, ("x",), [[1], [2]]),
        ('"x","y"\n"1","2e-3"\n', None, ("x", "y"), [[1, 2e-3]]),
        ('"two\nlines",y\n1,2\n', None, ("two\nlines", "y"), [[1, 2]]),
        ("1,2\n3,4\n", ["b", "a"], ("b", "a"), [[1, 2], [3, 4]]),
        ("0,1,label\n5,6,cat\n", ["1", "0"], ("1", "0"), [[6, 5]]),
        ("0,1\n5,6\n", ["1", "0"], ("1", "0"), [[6, 5]]),
        ("label,0,1\n7,5,6\n", None, ("label", "0", "1"), [[7, 5, 6]]),
        ("name,x\n#3,1\nséan,2\n,3\n", ["x"], ("x",), [[1], [2], [3]]),
    ],
)
def test_csv_as_people_write_it(
    tmp_path: Path, text: str, columns: list[str] | None, names: tuple[str, ...], values: list[list[float]]
) -> None:
    table = read_table(save(tmp_path, text), columns=columns)
    assert (table.columns, table.values.tolist()) == (names, values)


def test_both_passes_over_a_csv_read_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    write_table(path, NAMES, AWKWARD)
    monkeypatch.setattr(delimited, "_careful", lambda *_: pytest.fail("the pass in C gave up on a sound file"))
    fast = read_table(path).values
    monkeypatch.undo()
    monkeypatch.setattr(delimited, "_fast", lambda *_: None)
    assert bits(read_table(path).values) == bits(fast) == bits(AWKWARD)


# Found by 40 000 random damages; without its guard each was read by one pass and refused by the other.
@pytest.mark.parametrize(
    "damage", ["\u2028-2.5", "1e-3\x1c", "\xa07\n", "\r \xa01e-3", "\n\r5", '"\n"', "0x1", "1_0", "٣", "#4", "+1"]
)
def test_both_passes_agree_on_damaged_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    """The pass in C may give up on a file; it may never read it as something else than the careful pass does."""
    path = save(tmp_path, "a\n1\n" + damage)

    def outcome() -> object:
        try:
            return bits(read_table(path).values)
        except DataError as error:
            return str(error)

    usual = outcome()
    monkeypatch.setattr(delimited, "_fast", lambda *_: None)
    assert usual == outcome()


@pytest.mark.parametrize(
    ("arrays", "columns", "names", "values", "ignored"),
    [
        ({"x": [[1, 2]]}, None, ("x1", "x2"), [[1, 2]], ()),
        ({"x": [[1, 2]]}, ["u", "v"], ("u", "v"), [[1, 2]], ()),
        ({"x": [[1, 2]], "columns": ["u", "v"], "y": [0]}, ["v"], ("v",), [[2]], ("u", "y")),
        ({"x": [1, 2], "y": [True, False]}, None, ("x", "y"), [[1, 1], [2, 0]], ()),
        ({"u": np.array([1.5], "f4"), "t": ["text"]}, ["u"], ("u",), [[1.5]], ("t",)),
    ],
)
def test_npz_in_both_forms(
    tmp_path: Path,
    arrays: dict[str, Any],
    columns: list[str] | None,
    names: tuple[str, ...],
    values: list[list[float]],
    ignored: tuple[str, ...],
) -> None:
    np.savez(tmp_path / "t.npz", **{key: np.array(value) for key, value in arrays.items()})
    table = read_table(tmp_path / "t.npz", columns=columns)
    assert (table.columns, table.values.tolist(), table.ignored) == (names, values, ignored)


def test_parquet_takes_numbers_of_every_kind(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    kinds = {
        "f": arrow.float32(),
        "i": arrow.int8(),
        "u.v": arrow.uint64(),
        "h": arrow.float16(),
        "d": arrow.decimal128(22, 2),
    }
    columns = [
        arrow.array([1, 2]).cast(kind) if name != "h" else arrow.array(np.array([1, 2], "f2"))
        for name, kind in kinds.items()
    ]
    parquet.write_table(
        arrow.table([*columns, arrow.array([True, False])], names=[*kinds, "b"]), tmp_path / "t.parquet"
    )
    table = read_table(tmp_path / "t.parquet")
    assert table.columns == ("f", "i", "u.v", "h", "d", "b")
    assert table.values.tolist() == [[1, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 0]]


# ── What is refused, and where the refusal points ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "columns", "parts"),
    [
        ("", None, ["empty file"]),
        ("\n\n", None, ["line 1", "blank line"]),
        ("x,y\n", None, ["at least one row", "x, y", "got none"]),
        ("x,y\n1,2\n3\n", None, ["row 2 (line 3)", "2 fields", "got 1"]),
        ("x,y\n1,2\n3,4,5\n", None, ["row 2 (line 3)", "got 3"]),
        ("x,y,z\n1,2\n1,2,3,4\n", ["x"], ["row 1 (line 2)", "got 2"]),
        ("x\n1\n\n3\n", None, ["row 2 (line 3)", "blank line"]),
        ("x,y\n1,2\n3,abc\n", None, ["row 2 (line 3)", "column 'y'", "finite number", "'abc'", "drop the row"]),
        ("x,y\n1,\n", None, ["row 1 (line 2)", "column 'y'", "an empty field"]),
        ("x,y\n1,2\n,4\n", ["y", "x"], ["row 2 (line 3)", "column 'x'", "an empty field"]),
        ("x\n1\nnan\n", None, ["row 2 (line 3)", "'nan'"]),
        ("x\n-inf\n", None, ["row 1 (line 2)", "'-inf'"]),
        ("x\n1e999\n", None, ["row 1 (line 2)", "'1e999'"]),
        ("x\n1_000\n", None, ["'1_000'"]),
        ("x\n١٢\n", None, ["row 1 (line 2)", "column 'x'"]),
        ("x\n#1\n", None, ["'#1'"]),
        ("x,x\n1,2\n", None, ["'x' stands twice", "columns 1 and 2"]),
        (",x\n0,1\n", None, ["column 1", "index=False"]),
        ("1,2\n3,4\n", None, ["line 1", "header row", "only numbers"]),
        ("1,2\n3,4\n", ["a"], ["no header", "all 2", "got 1 (a)"]),
        ("0.5,NA\n1,2\n", None, ["line 1", "mixture", "0.5, NA"]),
        ("x;y\n1,5;2\n", None, ["commas", "'x;y'"]),
        ("x,y\n1,2\n", ["z"], ["no column 'z'", "x, y"]),
        ("x,y\n1,2\n", [], ["empty list"]),
        ("x,y\n1,2\n", "xy", ["'xy'", "list of names"]),
        ("x,y\n1,2\n", ["x", "x"], ["'x' stands twice"]),
        (b"x,y\n1,2\n3,\xe9\n", None, ["line 3", "UTF-8", "0xe9"]),
        ("x\n1\n".encode("utf-16"), None, ["line 1", "UTF-8", "0xff"]),
        ("x\n" + "1" * 200_000 + "\n", None, ["field larger than field limit"]),
    ],
)
def test_csv_faults_are_named(tmp_path: Path, text: str | bytes, columns: list[str] | None, parts: list[str]) -> None:
    path = save(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_table(path, columns=columns)
    assert [part for part in (str(path), *parts) if part not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "columns", "parts"),
    [
        ({}, None, ["without any"]),
        ({"x": np.zeros((2, 2, 2))}, None, ["'x'", "(rows, columns)", "(2, 2, 2)"]),
        ({"x": np.zeros(())}, None, ["'x'", "got ()"]),
        ({"x": np.zeros((0, 2))}, None, ["at least one row"]),
        ({"x": np.zeros((2, 0))}, None, ["got (2, 0)"]),
        ({"x": np.array([[1, 2], [3, np.nan]])}, None, ["row 2, column 'x2'", "nan"]),
        ({"x": np.array([[1, np.inf]])}, ["a", "b"], ["row 1, column 'b'", "inf"]),
        ({"x": np.zeros((1, 2), complex)}, None, ["'x'", "real numbers", "complex128"]),
        ({"x": np.array([["a"]])}, None, ["real numbers", "<U1"]),
        ({"x": np.array([[1, "a"]], object)}, None, ["'x'", "objects"]),
        ({"u": np.array([{}], object), "v": np.zeros(1)}, None, ["'u'", "objects"]),
        ({"x": np.zeros((1, 2)), "columns": np.array(["a"])}, None, ["'columns'", "2 strings", "(1,)"]),
        ({"x": np.zeros((1, 2)), "columns": np.array([1, 2])}, None, ["'columns'", "2 strings", "int64"]),
        ({"x": np.zeros((1, 2)), "columns": np.array(["a", "a"])}, None, ["'a' stands twice"]),
        ({"x": np.zeros((1, 2))}, ["a"], ["no 'columns'", "all 2"]),
        ({"u": np.zeros(2), "v": np.zeros(3)}, None, ["column 'v'", "2 rows", "got 3"]),
        ({"u": np.zeros(2), "v": np.zeros((2, 1))}, None, ["column 'v'", "(rows,)", "(2, 1)"]),
        ({"u": np.array([1, np.nan])}, None, ["row 2, column 'u'"]),
        ({"u": np.zeros(2)}, ["w"], ["no column 'w'", "has u"]),
    ],
)
def test_npz_faults_are_named(
    tmp_path: Path, arrays: dict[str, np.ndarray], columns: list[str] | None, parts: list[str]
) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError) as caught:
        read_table(path, columns=columns)
    assert [part for part in (str(path), *parts) if part not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("columns", "names", "parts"),
    [
        ([[1.0, None]], ["u"], ["row 2, column 'u'", "null"]),
        ([[1.0, float("nan")]], ["u"], ["row 2, column 'u'", "nan"]),
        ([["a"]], ["u"], ["column 'u'", "numbers", "string"]),
        ([[{"k": 1.0}]], ["u"], ["column 'u'", "struct"]),
        ([[1.0], [2.0]], ["u", "u"], ["'u' stands twice"]),
        ([np.zeros(0)], ["u"], ["at least one row"]),
        ([], [], ["expected columns"]),
    ],
)
def test_parquet_faults_are_named(tmp_path: Path, columns: list[Any], names: list[str], parts: list[str]) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    parquet.write_table(arrow.table([arrow.array(column) for column in columns], names=names), path)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert [part for part in (str(path), *parts) if part not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize("ending", ALL[1:])
@pytest.mark.parametrize("keep", [1, 40, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, ending: str, keep: float) -> None:
    path = tmp_path / f"t{ending}"
    write_table(path, ["x", "y"], np.arange(2000.0).reshape(-1, 2))
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(DataError, match="truncated"):
        read_table(path)


def test_a_flipped_bit_in_an_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    write_table(path, ["x"], np.arange(500.0)[:, None])
    raw = bytearray(path.read_bytes())
    raw[2000] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match="array 'x': truncated or damaged"):
        read_table(path)


def test_an_archive_of_other_things_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("x", "text")
    with pytest.raises(DataError, match="member 'x'"):
        read_table(tmp_path / "t.npz")


def test_a_file_that_is_not_there_a_folder_and_an_ending(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found nothing of that name"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="got a folder"):
        read_table(tmp_path / "folder.csv")
    with pytest.raises(DataError, match=r"ending in \.csv, \.npz, \.parquet, got \.xlsx"):
        read_table(save(tmp_path, "x", "t.xlsx"))
    with pytest.raises(DataError, match="no ending"):
        check_ending("table")


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for call in (lambda p: check_ending(p), lambda p: read_table(p), lambda p: write_table(p, ["x"], [[1.0]])):
        with pytest.raises(MissingExtraError, match=r"pip install 'bijectory\[tables\]'"):
            call(tmp_path / "t.parquet")


# ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ending", ALL)
@pytest.mark.parametrize(
    ("columns", "values", "message"),
    [
        (["x", "y"], [[0.0, 1.0], [2.0, np.nan]], "row 2, column 'y': expected a number, got NaN"),
        (["x"], [[0.0, 1.0]], r"\(rows, 1\)"),
        (["x"], np.zeros((0, 1)), "at least one row"),
        (["x"], [1.0], r"got \(1,\)"),
        (["x", "x"], [[0.0, 1.0]], "stands twice"),
        (["x"], [[1j]], "complex128"),
        (["x"], [["a"]], "real numbers"),
    ],
)
def test_what_may_not_be_written_leaves_the_old_file_alone(
    tmp_path: Path, ending: str, columns: list[str], values: Any, message: str
) -> None:
    path = save(tmp_path, "old", f"t{ending}")
    with pytest.raises(DataError, match=message):
        write_table(path, columns, values)
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", [path.name])


def test_a_write_that_breaks_off_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        write_table(path, ["x"], [[1.0]])
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["t.csv"])


def test_an_interrupt_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_table(tmp_path / "t.csv", ["x"], [[1.0]])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (lambda folder: folder / "none" / "t.csv", "create it first"),
        (lambda folder: folder / "t.txt", r"got \.txt"),
        (lambda folder: folder / "folder.csv", "got a folder"),
    ],
)
def test_a_place_where_nothing_can_be_written(tmp_path: Path, place: Callable[[Path], Path], message: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=message):
        write_table(place(tmp_path), ["x"], [[1.0]])
    assert os.listdir(tmp_path) == ["folder.csv"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    write_table(tmp_path / "link.csv", ["x"], [[1.0]])
    assert (tmp_path / "link.csv").is_symlink()
    assert read_table(tmp_path / "real.csv").values.tolist() == [[1.0]]


def test_a_stream_gets_text_and_keeps_an_infinite_density() -> None:
    stream = io.StringIO()
    write_csv(stream, ["x", "a,b"], np.array([[0.1, -np.inf], [2, 1e-30]]))
    assert stream.getvalue() == 'x,"a,b"\n0.1,-inf\n2.0,1e-30\n'


def test_a_long_table_is_written_in_chunks_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_ROWS_PER_WRITE", 7)
    values = np.random.default_rng(1).standard_normal((50, 2))
    write_table(tmp_path / "t.csv", ["x", "y"], values)
    assert bits(read_table(tmp_path / "t.csv").values) == bits(values)
