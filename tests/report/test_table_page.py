"""The page of a run on a typed table: panels, pairs, matrices and the rows that stand out, with words that carry the numbers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bijectory.figures.plates import plates
from bijectory.figures.style import DARK, LIGHT, pixels
from bijectory.figures.table_plates import PANELS
from bijectory.figures.tables import Scale, bars_panel
from bijectory.report.columns import (
    columns_comment,
    correlations_comment,
    marginals_comment,
    standouts,
)
from bijectory.report.page import render
from bijectory.report.tables import flat_settings, read

Arrays = dict[str, NDArray[Any]]
LONG = "$a_column's name that is far too long to stand under a panel of three inches"


def marginal_arrays(k: int = 2) -> Arrays:
    counts = np.zeros((k, 3, 5), dtype=np.int64)
    counts[:, :, :3] = [[10, 20, 10], [20, 10, 5], [10, 20, 10]]
    counts[:, 1, -1] = 5
    axis = np.array(["words", *["linear"] * (k - 1)])
    return {
        "name": np.array([LONG, *(f"c{i}" for i in range(1, k))]),
        "axis": axis,
        "knee": np.full(k, np.nan),
        "edges": np.tile([0.0, 1, 2, 3, np.nan], (k, 1)),
        "words": np.where((axis == "words")[:, None], np.array(["$x", "y" * 24, "others", ""]), ""),
        "bars": np.full(k, 3),
        "counts": counts,
        "apart": np.stack([np.linspace(0.3, 0.1, k), np.full(k, 0.05)], 1),
    }


def calibration_arrays(*u: NDArray[np.floating], p: list[float], words: tuple[int, ...] = ()) -> Arrays:
    k = len(u)
    return {
        "name": np.array([*(f"c{i + 1}" for i in range(k - 1)), "all columns together"]),
        "words": np.array([i in words for i in range(k)]),
        "counts": np.stack([np.histogram(one, 20, (0, 1))[0] for one in u]),
        "distance": np.array([0.04 if one < 0.01 else 0.01 for one in p]),
        "p": np.array(p),
        "n": np.asarray(len(u[0])),
    }


def pair_arrays() -> Arrays:
    x = np.exp(np.random.default_rng(0).normal(5, 2, (300, 2)))
    x[3, 0] = np.nan
    return {
        "name": np.array([LONG, "other"]),
        "axis": np.array(["log", "linear"]),
        "knee": np.array([0.0, np.nan]),
        "low": np.array([1.0, 0.0]),
        "high": np.array([1e5, 1e4]),
        "pair": np.array([[0, 1]]),
        "rho": np.array([[-0.5, 0.25]]),
        "data": x,
        "samples": x + 1,
    }


CORRELATIONS = {
    "name": np.array([LONG, "b", "c"]),
    "words": np.array([False, False, True]),
    "values": np.array(
        [
            [[1, -0.5, 0.1], [-0.5, 1, 0.3], [0.1, 0.3, 1]],
            [[1, -0.1, 0.1], [-0.1, 1, 0.3], [0.1, 0.3, 1]],
            [[1, -0.48, 0.1], [-0.48, 1, 0.25], [0.1, 0.25, 1]],
        ]
    ),
    "columns": np.asarray(7),
}
U = np.random.default_rng(0).random(4000)
NARROW = 0.5 + 0.5 * np.sin(np.pi * (U - 0.5))


def test_panels_carry_their_numbers() -> None:
    words, numbers = plates("table_marginals", marginal_arrays(), ())
    assert [words.name, numbers.name] == ["marginal_01", "marginal_02"]
    assert f"{LONG}: 30.0\u00a0% apart (training rows 5.0\u00a0%)" == words.caption
    assert "40 held-out rows and 40 samples in 3 bars" in words.alt and "12.5 % of the samples" in words.alt
    assert "$x 25.0 % and 50.0 %" in words.alt
    assert "From 0 to 3" in numbers.alt
    (pair,) = plates("table_pairs", pair_arrays(), ())
    assert "ρ −0.50 held out, 0.25 in samples" in pair.caption and "In view are" in pair.alt
    held, drawn = plates("table_correlations", CORRELATIONS, ())
    assert (held.caption, drawn.caption) == ("Held-out rows", "Samples") and f"{LONG} and b −0.50" in held.alt
    assert [p.name for p in plates("table_calibration", calibration_arrays(U, NARROW, p=[0.5, 0.0]), ())] == [
        "calibration_01",
        "calibration_02",
    ]
    assert plates("table_rows", {}, ()) == []


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_plate_is_drawn_and_nothing_lies_outside_of_it(theme: Any) -> None:
    found = [
        *plates("table_marginals", marginal_arrays(), ()),
        *plates("table_pairs", pair_arrays(), ()),
        *plates("table_correlations", CORRELATIONS, ()),
        *plates("table_calibration", calibration_arrays(U, NARROW, p=[0.5, 0.0]), ()),
    ]
    for plate in found:
        figure = plate.draw(theme)
        image = pixels(figure)
        paper = image[0, 0]
        # Nothing is cut off: all around the figure there is paper.
        for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
            assert (edge == paper).all(), plate.name


def test_axes_and_ticks_of_every_scale() -> None:
    edges = np.array([-0.5, 0.5, 10, 100, 1000, 1e4, 1e5, 1e6])
    counts = np.array([5, 1, 2, 3, 4, 5, 6, 0])
    for scale, ticks in (
        (Scale(-0.5, 1e6, 10.0), ["0", "10", "1000", "100k"]),
        (Scale(0.5, 1e6, 0.0), ["1", "100", "10k", "1M"]),
        (Scale(0.0, 1e6, np.nan), ["0", "400k", "800k"]),
        (Scale(1_500_000_000, 1_500_000_040, np.nan), ["1500000010", "1500000040"]),
    ):
        axes = bars_panel(LIGHT, "x", scale, edges, counts, counts).axes
        assert len(axes) == 1, "no bar for missing values where there are none"
        assert [label.get_text() for label in axes[0].get_xticklabels()] == ticks


def test_of_many_columns_the_worst_are_shown_in_their_order() -> None:
    arrays = marginal_arrays(40)
    arrays["apart"][[3, 39], 0] = 0.9, 0.8
    found = plates("table_marginals", arrays, ())
    assert len(found) == PANELS and found[-1].name == "marginal_40"
    assert marginals_comment(arrays)[-1] == f"Of 40 columns the {PANELS} are shown that are furthest apart."
    assert "Furthest beyond chance: c3 90.0 % (5.0 %); c39 80.0 % (5.0 %)" in marginals_comment(arrays)[1]
    p = [0.5] * 30
    many = calibration_arrays(*[U] * 30, p=p)
    assert len(plates("table_calibration", many, ())) == PANELS + 1
    assert plates("table_calibration", many, ())[-1].caption.startswith("all columns together")
    assert columns_comment(many)[-1] == f"Of 29 columns the {PANELS} are shown that are furthest off."


def test_words_tell_calibrated_from_not_and_how() -> None:
    calm = columns_comment(calibration_arrays(U, U, p=[0.5, 0.5]))
    assert "It is calibrated" in calm[1] and "as near to their middles as they should be" in calm[2]
    off = columns_comment(calibration_arrays(NARROW, U**2, U, 1 - U, U**2, p=[0.0, 0.0, 0.5, 0.0, 1e-6], words=(3,)))
    assert off[1].startswith("3 of 4 columns are off by more than chance explains (p below 0.01 / 4): c1 (")
    assert "predictions too narrow" in off[1] and "values lie lower than predicted" in off[1]
    assert re.search(r"c4 \(KS 0.0400, p < 0.0001\)", off[1]), "words have no higher and lower"
    assert "rows lie nearer to the middle than the model expects" in off[2]


def test_the_largest_difference_is_named_beside_chances() -> None:
    said = correlations_comment(CORRELATIONS)
    assert "Cramér's V" in said[0]
    assert f"The largest difference is 0.40, between {LONG} and b: −0.50 held out, −0.10 in samples" in said[1]
    assert "between training and held-out rows it is 0.05, by chance" in said[1]
    assert said[2] == "Of 7 columns the 3 are shown that go together most."
    numbers = {**CORRELATIONS, "words": np.zeros(3, dtype=bool)}
    assert correlations_comment(numbers)[0] == "Spearman's ρ."


def test_standouts_say_what_costs_most() -> None:
    found = standouts(
        {
            "columns": np.array(["a", "b"]),
            "least": np.array([["1", "<x>"]]),
            "most": np.array([["2", "missing"]]),
            "least_nats": np.array([9.0]),
            "most_nats": np.array([-1.0]),
            "culprit": np.array(["b"]),
            "culprit_value": np.array(["<x>"]),
            "culprit_nats": np.array([7.25]),
            "median_nats": np.asarray(2.0),
            "rows": np.asarray(1200),
            "left": np.asarray(1),
        }
    )
    assert found.least[0].culprit == "b <x>: +7.2" and found.most[0].values == ["2", "missing"]
    assert "1,200 held-out rows" in found.note and found.note.endswith("1 more column is not shown.")


def test_the_page_of_a_table_shows_its_portrait(trained_table: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained_table, tmp_path / "run"))
    reading = read(run)
    assert not reading.missing or all("certificate" in note for note in reading.missing)
    page = render([reading])
    for heading in ("Columns", "Pairs", "Associations", "Calibration", "Rows that stand out"):
        assert f"<h3>{heading}</h3>" in page, heading
    assert "All columns together" in page and "what costs most" in page
    assert page.count('<th scope="row">least likely</th>') == 1 and page.count('<th scope="row">most likely</th>') == 1
    arrays = reading.pictures["table_rows"]
    for nats in (*arrays["least_nats"], *arrays["most_nats"]):
        assert f'<td class="num">{nats:.2f}</td>' in page
    silent = [alt for alt in re.findall(r'<img src="data:[^"]*" alt="([^"]*)"', page) if not re.search(r"\d{2}", alt)]
    assert silent == [], "alternative texts carry the numbers"
    files = {path.name for path in (run / "figures").iterdir()}
    assert {"marginal_01.png", "pair_01.png", "correlations_data.png", "calibration_11.png"} <= files
    (columns,) = [value for name, value in flat_settings(reading.settings) if name == "columns"]
    assert "age (integer, with gaps)" in columns and "hour (circular)" in columns
    assert re.search(r"rating \(\w+ in steps of 0\.5", columns) and "plan (categorical, with gaps)" in columns
