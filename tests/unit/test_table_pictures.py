"""Arrays of a typed table's portrait: bars, associations, calibration and rows that stand out say what is so, of every kind of column."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bijectory.data.inference import infer_columns
from bijectory.data.kinds import Column
from bijectory.data.splits import Rows, Splits
from bijectory.data.typed_splits import table_splits
from bijectory.data.typed_tables import GENERATED_KINDS, generated_frame
from bijectory.errors import InputError
from bijectory.evaluation.associations import associations, cramers_v, roughly, spearman, strongest
from bijectory.evaluation.marginals import BARS, OTHERS, VALUES, WORDS, apart, bars_of, marginals, says_something
from bijectory.evaluation.tables import ENDS, WIDE, TablePictures, sampled
from bijectory.models.flows.nsf import nsf
from bijectory.models.table import TableModel

Arrays = dict[str, NDArray[np.generic]]
RNG = np.random.default_rng(0)
TOWN = Column("town", "categorical", categories=tuple("abcdefghijkl"), gaps=True)
REAL, COUNT = Column("real", "real"), Column("count", "integer", low=0, step=1)


# ── columns alone ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_bars_of_whole_numbers_hold_as_many_values_each() -> None:
    few = bars_of(COUNT, np.arange(10.0).repeat(5))
    assert few.edges.tolist() == [i - 0.5 for i in range(11)]
    many = bars_of(COUNT, np.arange(100.0).repeat(10))
    assert set(np.diff(many.edges)) == {5.0} and many.edges[0] == -0.5 and many.bars <= BARS
    assert many.counted(np.arange(100.0)).tolist() == [5] * 20 + [0]
    tenths = Column("tenths", "real", step=0.1)
    assert np.diff(bars_of(tenths, np.round(np.arange(0, 2, 0.1), 1)).edges) == pytest.approx(0.1)
    assert bars_of(tenths, np.arange(VALUES) / 10).bars == VALUES


def test_counts_of_many_magnitudes_get_a_logarithmic_axis_on_which_zero_stands_alone() -> None:
    values = np.concatenate([np.zeros(50), np.rint(np.exp(RNG.normal(5, 2, 2000)) + 1)])
    bars = bars_of(COUNT, values)
    assert bars.axis.knee > 0 and bars.edges[:2].tolist() == [-0.5, 0.5]
    assert bars.counted(values)[0] == 50
    assert np.allclose(bars.edges % 1, 0.5), "an edge never cuts a value's cell"
    without = bars_of(COUNT, values[50:])
    assert without.axis.knee == 0 and without.edges[0] > 0
    assert math.isnan(bars_of(COUNT, values.clip(0, 300)).axis.knee)
    assert math.isnan(bars_of(REAL, values).axis.knee), "a real column may go below zero"


def test_outliers_stand_in_the_last_bars() -> None:
    bars = bars_of(REAL, np.append(RNG.normal(size=9999), 1e9))
    assert bars.edges[-1] < 10
    assert bars.counted(np.array([1e9, -1e9, np.nan])).tolist() == [1, *[0] * (BARS - 2), 1, 1]


def test_frequent_words_come_first_and_the_others_together() -> None:
    codes = np.repeat(np.arange(12.0), np.arange(12, 0, -1))[::-1]
    bars = bars_of(TOWN, codes)
    assert bars.words == (*"abcdefgh", OTHERS) and len(bars.words) == WORDS + 1
    assert bars.counted(np.append(codes, np.nan)).tolist() == [12, 11, 10, 9, 8, 7, 6, 5, 4 + 3 + 2 + 1, 1]
    nine = Column("town", "categorical", categories=tuple("abcdefghi"))
    assert OTHERS not in bars_of(nine, np.arange(9.0)).words
    ranks = Column("size", "ordinal", categories=("s", "m", "l"))
    assert bars_of(ranks, np.array([2.0, 2, 1])).words == ("s", "m", "l"), "ranks keep their order"


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (REAL, [3.0, 3.0]),
        (REAL, [1e15, 1e15]),
        (REAL, []),
        (Column("gone", "real", gaps=True), [np.nan, np.nan]),
        (COUNT, [0.0, 0.0]),
        (Column("p", "positive", atoms=(0.0,)), [0.0, 1e-6, 1.0, 1e6]),
        (Column("p", "positive", step=0.5), [0.5, 1e4]),
        (Column("b", "bounded", low=0, high=1, atoms=(0.0, 1.0)), [0.0, 1.0]),
        (Column("hour", "circular", low=0, high=24), [23.0, 23.5]),
        (Column("w", "categorical", categories=("x",), gaps=True), [np.nan, 0.0]),
    ],
    ids=lambda x: getattr(x, "kind", None),
)
def test_every_row_stands_in_a_bar(column: Column, values: list[float]) -> None:
    x = np.array(values, dtype=np.float64)
    bars = bars_of(column, x)
    counts = bars.counted(x)
    assert len(counts) == bars.bars + 1
    assert counts.sum() == len(x) and counts[-1] == np.isnan(x).sum()
    assert not len(bars.edges) or (np.diff(bars.edges) > 0).all()


def test_a_circle_is_shown_whole() -> None:
    month = bars_of(Column("month", "circular", low=1, high=13, step=1), np.array([5.0, 6, 7]))
    assert (month.edges[0], month.edges[-1], month.bars) == (0.5, 12.5, 12)


def test_apart_is_the_share_that_has_to_move() -> None:
    x, y = np.zeros((10, 1)), np.concatenate([np.zeros((7, 1)), np.ones((3, 1))])
    found = marginals([x, y, x], [COUNT])
    assert found["apart"].tolist() == [[pytest.approx(0.3), 0.0]]
    assert apart(np.array([1, 1]), np.array([100, 100])) == 0


# ── columns together ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_spearman_is_scipys_with_ties_and_gaps() -> None:
    stats = pytest.importorskip("scipy.stats")
    x = np.rint(RNG.normal(size=300) * 3)
    y = np.rint(x + RNG.normal(size=300) * 3)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    x[::7], y[::5] = np.nan, np.nan
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y, nan_policy="omit").statistic, abs=1e-12)
    assert math.isnan(spearman(x, np.zeros(300))), "a constant goes with nothing"
    assert math.isnan(spearman(x[:5], y[:5]))


def test_cramers_v_is_scipys_and_sees_no_chance() -> None:
    contingency = pytest.importorskip("scipy.stats.contingency")
    x, noise = RNG.integers(0, 4, 50_000), RNG.integers(0, 3, 50_000)
    y = np.where(RNG.random(50_000) < 0.4, x, noise)
    table = contingency.crosstab(x, y).count
    assert cramers_v(x, y) == pytest.approx(contingency.association(table), abs=1e-3), "on many rows the same"
    # On few rows the uncorrected V of independent classes is about √((k−1)(r−1)/n / min(k−1, r−1)) = 0.35.
    few = [cramers_v(RNG.integers(0, 8, 60), RNG.integers(0, 8, 60)) for _ in range(50)]
    assert np.mean(few) < 0.15
    assert cramers_v(x, -x) == pytest.approx(1)
    assert cramers_v(x, np.zeros(50_000, dtype=np.int64)) == 0


def test_a_matrix_has_rho_between_numbers_and_v_beside_words() -> None:
    real = RNG.normal(size=2000)
    count = np.rint(np.exp(real))
    town = np.digitize(real, (-1, 0, 1)).astype(float)
    other = RNG.normal(size=2000)
    columns = [REAL, COUNT, TOWN, Column("other", "real", gaps=True)]
    # Missing where the town is: V sees it, ρ cannot.
    other[town == 0] = np.nan
    rows = np.stack([real, count, town, other], 1)
    found = associations(rows, columns, rows)
    assert np.array_equal(found, found.T) and (np.diag(found) == 1).all()
    assert found[0, 1] == pytest.approx(spearman(real, count))
    assert found[2, 0] > 0.7 and found[2, 3] > 0.5 and abs(found[3, 0]) < 0.1
    assert strongest(roughly(rows))[0] == (0, 1)


# ── the portrait ───────────────────────────────────────────────────────────────────────────────────────────────────────


def portrait(pictures: TablePictures) -> dict[str, Arrays]:
    return {picture.name: picture.arrays for picture in pictures.portrait()}


def splits_of(x: Tensor, kinds: tuple[Column, ...]) -> Splits:
    parts = [Rows(part) for part in x.split([len(x) // 2, len(x) // 4, len(x) - len(x) // 2 - len(x) // 4])]
    return Splits(*parts, tuple(kind.name for kind in kinds), kinds=kinds)


@pytest.fixture(scope="module")
def true() -> tuple[TableModel, Splits]:
    """A model of all kinds of columns, a little out of its start, and rows that are drawn from it."""
    frame = generated_frame(1000, 0)
    kinds, _ = infer_columns(frame, GENERATED_KINDS)
    kinds = (*kinds, Column("twin", "copy", of="plan", gaps=True), Column("same", "categorical", categories=("only",)))
    rows = table_splits(frame, kinds[:-2], 0).train.x
    rows = torch.cat([rows, rows[:, 2:3], torch.zeros(len(rows), 1, dtype=rows.dtype)], 1)
    torch.manual_seed(0)
    model = TableModel(kinds, hidden=16, blocks=1, components=3, knots=4, members=2).double()
    # Columns in orders of their own are independent, so that a fault of one is not the next one's too.
    model.initialise(torch.stack([column[torch.randperm(len(column))] for column in rows.unbind(1)], 1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, dtype=parameter.dtype))
        drawn = model.sample(4000, generator=torch.Generator().manual_seed(1))
    return model, splits_of(drawn, kinds)


@pytest.fixture(scope="module")
def seen(true: tuple[TableModel, Splits]) -> dict[str, Arrays]:
    return portrait(TablePictures(*true))


def test_rows_of_the_model_itself_are_calibrated(seen: dict[str, Arrays]) -> None:
    found = seen["table_calibration"]
    assert found["name"][-1] == "all columns together" and len(found["name"]) == 11, "no copies and no constants"
    assert found["p"].min() > 1e-3
    assert (found["counts"].sum(1) == 1000).all() and int(found["n"]) == 1000
    # Drawn as the data are, samples are as far from them as other data are.
    extra = seen["table_marginals"]["apart"]
    assert (extra[:, 0] - extra[:, 1]).max() < 0.06
    values = seen["table_correlations"]["values"]
    assert np.abs(values[1] - values[0]).max() < 0.15


@pytest.mark.parametrize(("column", "factor"), [("income", 2.0), ("size", 1.05)])
def test_a_column_that_is_off_is_found(true: tuple[TableModel, Splits], column: str, factor: float) -> None:
    model, splits = true
    i = splits.columns.index(column)
    x = splits.test.x.clone()
    x[:, i] *= factor
    off = Splits(splits.train, splits.validation, Rows(x), splits.columns, kinds=splits.kinds)
    found = portrait(TablePictures(model, off))
    calibration, bars = found["table_calibration"], found["table_marginals"]
    assert calibration["name"][:-1][calibration["distance"][:-1].argmax()] == column
    assert bars["name"][bars["apart"][:, 0].argmax()] == column


def test_likely_rows_are_ranked_and_the_culprit_is_named(true: tuple[TableModel, Splits]) -> None:
    model, splits = true
    x = splits.test.x.clone()
    i = splits.columns.index("size")
    x[17, i] = 400.0
    pictures = TablePictures(
        model, Splits(splits.train, splits.validation, Rows(x), splits.columns, kinds=splits.kinds)
    )
    found = portrait(pictures)["table_rows"]
    with torch.no_grad():
        nats = np.sort(-model.log_prob(x).numpy())
    assert found["least_nats"] == pytest.approx(nats[::-1][:ENDS]) and found["most_nats"] == pytest.approx(nats[:ENDS])
    assert (found["culprit"][0], found["culprit_value"][0]) == ("size", "400")
    assert found["least"].shape == (ENDS, 11) and found["columns"][2] == "plan" and int(found["left"]) == 1
    assert set(found["least"][:, 2]) <= {"basic", "plus", "team", "missing"}
    assert int(found["rows"]) == len(x) and float(found["median_nats"]) == pytest.approx(np.median(nats))


def test_a_portrait_is_the_same_twice_and_leaves_the_model_alone(true: tuple[TableModel, Splits]) -> None:
    model, splits = true
    model.float().train()
    try:
        pictures = TablePictures(model, splits, small=True)
        assert list(pictures(1)) == []
        first, second = portrait(pictures), portrait(pictures)
        assert model.training and next(model.parameters()).dtype == torch.float32
    finally:
        model.double()
    for name, arrays in first.items():
        for key, value in arrays.items():
            assert np.array_equal(value, second[name][key], equal_nan=value.dtype.kind == "f"), (name, key)


def test_arrays_are_small_and_need_no_pickle(seen: dict[str, Arrays]) -> None:
    for name, arrays in seen.items():
        assert sum(value.nbytes for value in arrays.values()) < 1e6, name
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        buffer.seek(0)
        with np.load(buffer, allow_pickle=False) as read:
            assert {key: read[key].shape for key in read.files} == {key: value.shape for key, value in arrays.items()}


def test_what_is_given_is_drawn_with_its_row_and_makes_no_pair_of_its_own() -> None:
    g = torch.Generator().manual_seed(0)
    context = torch.randn(400, 2, generator=g, dtype=torch.float64)
    context[:, 1] = context[:, 0] + 0.01 * context[:, 1]
    kinds, given = (REAL, COUNT), (Column("c", "real"), Column("d", "real"))
    x = torch.stack([context[:, 0], torch.randint(0, 9, (400,), generator=g).double()], 1)
    splits = Splits(
        *(Rows(x[part], context[part]) for part in (slice(0, 200), slice(200, 300), slice(300, 400))),
        ("real", "count"),
        kinds=kinds,
        context_columns=("c", "d"),
        context_kinds=given,
    )
    model = TableModel(kinds, context_columns=given, hidden=8, blocks=0, components=2, knots=2).double()
    model.initialise(x, context)
    found = portrait(TablePictures(model, splits))
    pairs = found["table_pairs"]
    names = [{str(pairs["name"][i]) for i in pair} for pair in pairs["pair"]]
    assert {"c", "d"} not in names and {"real", "c"} in names
    at = pairs["name"].tolist().index("c")
    assert np.array_equal(pairs["data"][:, at], pairs["samples"][:, at])
    assert found["table_marginals"]["name"].tolist() == ["real", "count"]
    assert found["table_rows"]["columns"].tolist() == ["given c", "given d", "real", "count"]
    assert sampled(model, splits.test).shape == (100, 2)


@pytest.mark.parametrize(
    ("kinds", "absent"),
    [
        ((REAL,), {"table_pairs", "table_correlations"}),
        ((TOWN, Column("other", "categorical", categories=("x", "y"))), {"table_pairs"}),
        ((REAL, Column("twin", "copy", of="real")), {"table_pairs", "table_correlations"}),
        (
            (Column("same", "categorical", categories=("only",)),),
            {"table_pairs", "table_correlations", "table_marginals", "table_calibration"},
        ),
    ],
    ids=["one number", "words", "a copy", "a constant"],
)
def test_tables_with_little_in_them(kinds: tuple[Column, ...], absent: set[str]) -> None:
    columns = [torch.arange(40.0) % len(k.categories) if k.coded else torch.randn(40) for k in kinds]
    if len(kinds) > 1 and kinds[1].kind == "copy":
        columns[1] = columns[0]
    splits = splits_of(torch.stack(columns, 1).double(), kinds)
    model = TableModel(kinds, hidden=8, blocks=0, components=2, knots=2)
    model.initialise(splits.train.x)
    every = {f"table_{part}" for part in ("marginals", "pairs", "correlations", "calibration", "rows")}
    assert portrait(TablePictures(model, splits)).keys() == every - absent


def test_a_wide_table_costs_less_a_row() -> None:
    kinds = tuple(Column(f"a column of a long name, the {i}th", "real") for i in range(60))
    splits = splits_of(torch.randn(4000, 60, dtype=torch.float64), kinds)
    model = TableModel(kinds, hidden=64, blocks=0, components=1, knots=0)
    model.initialise(splits.train.x)
    pictures = TablePictures(model, splits, rows=5000)
    assert pictures.rows < 1200
    found = portrait(TablePictures(model, splits, rows=50))
    assert len(found["table_marginals"]["name"]) == 60 and found["table_correlations"]["values"].shape == (3, 24, 24)
    assert found["table_rows"]["least"].shape == (ENDS, WIDE) and int(found["table_rows"]["left"]) == 60 - WIDE
    assert all(len(name) <= 24 for name in found["table_rows"]["columns"])
    assert int(found["table_rows"]["rows"]) == 200


def test_a_model_without_kinds_is_refused(true: tuple[TableModel, Splits]) -> None:
    model, splits = true
    flow = nsf((2,), depth=1, hidden=(8,))
    plain = Splits(*(Rows(torch.randn(20, 2)) for _ in range(3)), ("a", "b"))
    for wrong in ((flow, splits), (model, plain)):
        with pytest.raises(InputError, match=r"typed columns.*leave these pictures out"):
            TablePictures(*wrong)


def test_what_says_nothing_is_left_out() -> None:
    kinds: Iterator[Column] = iter(
        (
            TOWN,
            Column("twin", "copy", of="town"),
            Column("same", "categorical", categories=("only",)),
            Column("there", "categorical", categories=("only",), gaps=True),
        )
    )
    assert [says_something(kind) for kind in kinds] == [True, False, False, True]
