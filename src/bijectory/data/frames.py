"""A person's table as it is in life: named columns of numbers and of words, with missing values.

Numbers are float64 with NaN where a value is missing; words are codes into a tuple of the words seen, −1 where one is missing. A column
of dates or lists is no harm while nobody needs it: it stands as `Unread` and is refused, with its reason, by whoever does.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .columns import listed, number

#: Words, blanks around them left aside, that say that a value is missing.
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "None", "?")
#: Whole numbers below this are told apart by float64.
WHOLE = 2.0**53


@dataclass(frozen=True, eq=False)
class Text:
    """A column of words: ``codes`` (rows,) int32 into ``words``, −1 where the value is missing."""

    codes: NDArray[np.int32]
    words: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def select(self, rows: NDArray[np.int64] | slice) -> Text:
        """Some of the rows; the words stay."""
        return Text(self.codes[rows], self.words)

    def listed(self) -> list[str | None]:
        """The word of each row, None where it is missing."""
        words: list[str | None] = [*self.words, None]
        return [words[code] for code in self.codes.tolist()]

    @functools.cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many rows hold each word."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.words))

    @functools.cached_property
    def as_numbers(self) -> NDArray[np.float64]:
        """What number each word is, NaN where it is none."""
        return np.array(
            [math.nan if (value := number(word)) is None else value for word in self.words], dtype=np.float64
        )


@dataclass(frozen=True, eq=False)
class Unread:
    """A column that is neither numbers nor words: ``why`` is the sentence that refuses it."""

    why: str
    rows: int

    @classmethod
    def of(cls, name: str, kind: object, rows: int) -> Unread:
        """What is said of a column that holds values of this kind."""
        remedy = "turn it into numbers (for a date: days since a day, or hour and weekday) or words, or leave it out"
        return cls(f"column {name!r}: expected numbers or words, got {kind}; {remedy}", rows)

    def __len__(self) -> int:
        return self.rows

    def select(self, rows: NDArray[np.int64] | slice) -> Unread:
        """As many rows of nothing."""
        return Unread(self.why, len(np.empty(self.rows, dtype=bool)[rows]))


Values = NDArray[np.float64] | Text | Unread


def usable(source: object, values: Values) -> NDArray[np.float64] | Text:
    """Numbers or words; a column that is neither is refused here."""
    if isinstance(values, Unread):
        raise DataError(f"{source}, {values.why}")
    return values


@dataclass(frozen=True, eq=False)
class Frame:
    """Named columns of one length. ``first_row`` is the number of its first row in the file, ``broken`` names rows that could not be read.

    Example:
        >>> frame = Frame(("age", "town"), (np.array([31.0, np.nan]), Text(np.array([0, -1], np.int32), ("Rome",))))
        >>> len(frame), frame.column("town").listed()
        (2, ['Rome', None])
    """

    names: tuple[str, ...]
    columns: tuple[Values, ...]
    first_row: int = 1
    broken: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def column(self, name: str) -> Values:
        """The column of this name; DataError where there is none."""
        if name not in self.names:
            raise DataError(f"there is no column {name!r}; the table has {listed(self.names)}")
        return self.columns[self.names.index(name)]

    def select(self, rows: NDArray[np.int64] | slice) -> Frame:
        """Some of the rows, counted from 0, numbered anew from 1."""
        return Frame(self.names, tuple(c[rows] if isinstance(c, np.ndarray) else c.select(rows) for c in self.columns))


@dataclass(frozen=True)
class Missing:
    """What says that a value is missing: `MISSING`, what a person adds to it, and NaN among numbers."""

    words: frozenset[str]
    numbers: tuple[float, ...]

    @classmethod
    def of(cls, more: Collection[str] = ()) -> Missing:
        """`MISSING` and these words; one that is a number stands for it in columns of numbers too."""
        if isinstance(more, str):
            more = (more,)
        found = (number(word) for word in more)
        return cls(frozenset((*MISSING, *(word.strip() for word in more))), tuple(v for v in found if v is not None))

    def in_numbers(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values with NaN for the numbers that say that one is missing."""
        return np.where(np.isin(values, self.numbers), np.nan, values) if self.numbers else values

    def in_words(self, codes: NDArray[np.integer], words: Sequence[str]) -> Text:
        """Codes of raw words as text: blanks stripped, words that became the same made one, words for missing values −1."""
        place: dict[str, int] = {}
        table = np.full(len(words) + 1, -1, dtype=np.int32)  # the last place is where −1 lands
        for i, word in enumerate(map(str.strip, words)):
            # Numbers may be written nan, NaN or -nan, which parsers take for NaN.
            if word not in self.words and word.lower().lstrip("+-") != "nan":
                table[i] = place.setdefault(word, len(place))
        return Text(table[codes], tuple(place))

    def text(self, fields: Sequence[str]) -> Text:
        """A column of words as they were written."""
        place = {word: i for i, word in enumerate(dict.fromkeys(fields))}
        return self.in_words(np.fromiter(map(place.__getitem__, fields), np.int64, len(fields)), tuple(place))


def word_of(value: float) -> str:
    """A number as a person writes it: 3 and not 3.0, in the shortest form that reads back as the same bits."""
    value = float(value)  # NumPy's own would be written with its type
    if abs(value) < WHOLE and value == math.trunc(value):
        # -0.0 is a number of its own: "0" would read back with another sign.
        return repr(value) if value == 0 and math.copysign(1, value) < 0 else str(int(value))
    return repr(value)


def is_code(word: str) -> bool:
    """Whether digits begin with a nought, as postal codes do: 01234 is not the number 1234, and its nought would be lost."""
    return len(word) > 1 and word[0] == "0" and word.isdigit()


def spelled_out(word: str) -> str:
    """A word, or a number in the one way in which `word_of` writes it: 1.0 and 1 are the same."""
    value = None if is_code(word) else number(word)
    return word if value is None else word_of(value + 0.0)


def as_words(values: NDArray[np.float64]) -> Text:
    """A column of numbers as words (`word_of`), in ascending order."""
    present = ~np.isnan(values)
    found, place = np.unique(values[present] + 0.0, return_inverse=True)
    codes = np.full(len(values), -1, dtype=np.int32)
    codes[present] = place
    return Text(codes, tuple(map(word_of, found.tolist())))


def joined(frames: Sequence[Frame]) -> Frame:
    """Frames of the same columns one below the other; numbers become words where the others have words."""
    first = frames[0]
    if len(frames) == 1:
        return first
    broken: dict[int, str] = {}
    start = 0
    for frame in frames:
        if frame.names != first.names:
            raise DataError(f"expected the columns {listed(first.names)} throughout, got {listed(frame.names)}")
        broken.update({start + row: why for row, why in frame.broken.items()})
        start += len(frame)
    columns = tuple(_joined([frame.columns[i] for frame in frames]) for i in range(len(first.names)))
    return Frame(first.names, columns, first.first_row, broken)


def _joined(parts: Sequence[Values]) -> Values:
    for part in parts:
        if isinstance(part, Unread):
            return Unread(part.why, sum(map(len, parts)))
    if not any(isinstance(part, Text) for part in parts):
        return np.concatenate(parts)  # type: ignore[arg-type]
    place: dict[str, int] = {}
    codes = []
    for part in parts:
        text = as_words(part) if isinstance(part, np.ndarray) else part
        assert isinstance(text, Text)
        table = np.array([*(place.setdefault(word, len(place)) for word in text.words), -1], dtype=np.int32)
        codes.append(table[text.codes])
    return Text(np.concatenate(codes), tuple(place))
