"""Tables as they are in life: two public ones with words, gaps and capped values, and one made on the spot with all kinds of columns."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..numerics.seeds import seed_for
from .archives import find_file
from .columns import listed
from .frame_files import read_frame
from .frames import Frame, Missing, Text, joined

CALIFORNIA = "california_housing.csv.gz"
ADULT = ("adult-train.csv.gz", "adult-test.csv.gz")
#: Kinds that cannot be found in the values of `generated_frame`: that hours go round.
GENERATED_KINDS = {"hour": "circular(0,24)"}

_CALIFORNIA_COLUMNS = (
    *("longitude", "latitude", "housing_median_age", "total_rooms", "total_bedrooms", "population", "households"),
    *("median_income", "median_house_value", "ocean_proximity"),
)
_ADULT_COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship"),
    *("race", "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "income"),
)


def california_housing(folder: Path | None) -> Frame:
    """20,640 blocks of the census of 1990: place, age, rooms, people, income and value; 207 gaps, values capped at 500,001.

    Pace & Barry, Sparse spatial autoregressions, Statistics & Probability Letters 33 (1997).

    Raises:
        DataError: no folder, no such file (says how to get it), a damaged one, or another table.
    """
    remedy = f"save the table with its header, compressed, as {CALIFORNIA} (scikit-learn's fetch_california_housing names its source)"
    return _checked(find_file(folder, [CALIFORNIA], remedy), _CALIFORNIA_COLUMNS, header=True)


def adult(folder: Path | None) -> Frame:
    """48,842 people of the census of 1994: the file's training rows, then its test rows, with what either calls the income.

    Becker & Kohavi, Adult, UCI Machine Learning Repository (1996), https://doi.org/10.24432/C5XW20.

    Raises:
        DataError: no folder, a file is not there (says how to get it), is damaged, or another table.
    """
    remedy = "fetch adult.data and adult.test from https://archive.ics.uci.edu/dataset/2/adult and compress them with gzip, without the "
    remedy += f"test file's first line, as {' and '.join(ADULT)}"
    frames = [_checked(find_file(folder, [name], remedy), _ADULT_COLUMNS, header=False) for name in ADULT]
    return joined([_without_full_stops(frame) for frame in frames])


def _checked(path: Path, columns: tuple[str, ...], *, header: bool) -> Frame:
    frame = read_frame(path, columns=None if header else columns)
    if frame.names != columns:
        raise DataError(
            f"{path}: expected the columns {listed(columns)}, got {listed(frame.names)}; this is another table"
        )
    return frame


def _without_full_stops(frame: Frame) -> Frame:
    """The income as the training rows write it: each test row ends in a full stop."""
    income = frame.column("income")
    if not isinstance(income, Text):
        raise DataError("adult: expected words in the column income, got numbers; this is another table")
    words = Missing.of().in_words(income.codes, [word.rstrip(".") for word in income.words])
    return dataclasses.replace(frame, columns=(*frame.columns[:-1], words))


def generated_frame(rows: int, seed: int) -> Frame:
    """A table with all kinds of columns that depend on each other: for smoke runs, tests and machines without data.

    size (real) and age (integer) go with plan (words); income is positive and skewed; share lies in [0, 1]; spent has an atom at 0, of
    those who buy nothing; hour is circular (`GENERATED_KINDS`); member is 0 or 1; rating has steps of a half; visits is missing where
    plan is, and for others by chance.

    Raises:
        DataError: fewer than 10 rows.

    Example:
        >>> generated_frame(10, seed=0).names
        ('size', 'age', 'plan', 'income', 'share', 'spent', 'hour', 'member', 'rating', 'visits')
    """
    if rows < 10:
        raise DataError(f"rows: expected at least 10, got {rows}")
    draws = np.random.default_rng(seed_for(seed, "generated", "frame"))

    def gone(values: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.where(where, np.nan, values)

    u, v = draws.standard_normal((2, rows))
    plan = np.digitize(u + 0.5 * draws.standard_normal(rows), (-0.5, 0.8)).astype(np.int32)
    nameless = draws.random(rows) < 0.05
    size = 170 + 8 * u + 3 * draws.standard_normal(rows)
    age = np.clip(np.rint(40 + 12 * v + 5 * plan), 0, 99)
    income = 100 * np.exp(0.8 * u + 0.4 * v)
    share = 1 / (1 + np.exp(-(1.5 * u + 2 * draws.standard_normal(rows))))
    spent = np.where(draws.random(rows) < 0.3, 0.0, income * draws.gamma(2.0, 0.05, rows))
    hour = (9 + 3 * plan + 2.5 * draws.standard_normal(rows)) % 24
    member = (draws.random(rows) < share).astype(np.float64)
    rating = np.clip(np.rint(2 * (3 + v + 0.3 * draws.standard_normal(rows))), 0, 10) / 2
    visits = draws.poisson(np.exp(0.5 + 0.7 * member)).astype(np.float64)
    text = Text(np.where(nameless, -1, plan).astype(np.int32), ("basic", "plus", "team"))
    names = ("size", "age", "plan", "income", "share", "spent", "hour", "member", "rating", "visits")
    by_chance = draws.random(rows) < 0.05
    columns = (size, gone(age, draws.random(rows) < 0.1), text, income, share, spent, hour, member, rating)
    return Frame(names, (*columns, gone(visits, nameless | by_chance)))
