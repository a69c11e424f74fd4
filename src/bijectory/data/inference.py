"""What kind each column of a table is: found in its values, said to the person, overridden by name."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .columns import listed, number
from .frames import WHOLE, Frame, Text, Values, as_words, is_code, spelled_out, usable, word_of
from .kinds import CODED, Column
from .overrides import Override, read_override
from .ties import repeated

#: A column of more words than these, or, in so many rows, with a word of its own in more than half of them, says nothing that repeats.
MANY_WORDS, ROWS = 1_000, 50
#: Values in [0, 1] are bounded where they come so near to both ends.
NEAR = 0.02
#: Values above 0 are positive where their skewness is more than this and that of their logarithm less than half of it.
SKEWED = 1.0
#: The variance of larger numbers is none in float64.
LARGEST = 1e150


def infer_columns(
    frame: Frame, overrides: Mapping[str, str] | None = None, *, source: object = "table"
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """The kinds of a table's columns and, in sentences, what a person should know of them. Columns that are left out have no kind.

    - Words: categorical, all words seen; more than 1,000 words, or words that differ in most rows, are left out.
    - Numbers: one or two values are categorical; whole numbers integer; values in equal steps real or positive with that step; values that
      hardly repeat real; positive where all are above 0 and their logarithm is clearly less skewed; bounded where they fill [0, 1].
    - A value that more than 2 % of the rows hold in a column without a step is an atom, with a probability of its own.
    - A column that repeats an earlier one row by row is a copy.

    ``overrides`` maps names to "real", "positive", "bounded(low,high)", "circular(low,high)", "integer", "ordinal(small<large)",
    "categorical" or "ignore".

    Raises:
        DataError: unknown names or kinds, values that do not fit a kind, infinities, a few words among numbers; names row and column.

    Example:
        >>> frame = Frame(("age", "copied"), (np.arange(20.0), np.arange(20.0)))
        >>> kinds, notes = infer_columns(frame)
        >>> [(k.name, k.kind, k.step, k.of) for k in kinds]
        [('age', 'integer', 1.0, None), ('copied', 'copy', None, 'age')]
    """
    asked = {name: read_override(name, text) for name, text in (overrides or {}).items()}
    for name in asked:
        if name not in frame.names:
            raise DataError(f"kinds: there is no column {name!r}; {source} has {listed(frame.names)}")
    if frame.broken:
        raise DataError(next(iter(frame.broken.values())))
    kinds: list[Column] = []
    notes: list[str] = []
    held: dict[bytes, list[tuple[Column, Values]]] = {}
    for name, values in zip(frame.names, frame.columns, strict=True):
        wish = asked.get(name)
        if wish is not None and wish.kind == "ignore":
            notes.append(f"{name}: left out, as asked")
            continue
        known = usable(source, values)
        twins = held.setdefault(_print(known), [])
        twin = next((column for column, other in twins if _same(known, other)), None)
        if twin is not None:
            kinds.append(Column(name, "copy", gaps=twin.gaps, of=twin.name))
            notes.append(f"{name}: repeats {twin.name} row by row, and is copied from it: it adds no nats")
            continue
        column = _Found(frame, name, source, notes).column(known, wish)
        if column is not None:
            kinds.append(column)
            twins.append((column, known))
    if not kinds:
        raise DataError(f"{source}: no column is left to model; " + "; ".join(notes))
    return tuple(kinds), tuple(notes)


def _print(values: NDArray[np.float64] | Text) -> bytes:
    """The same for columns that may be the same."""
    head = values.listed()[:64] if isinstance(values, Text) else (values[:64] + 0.0).tolist()
    return repr(head).encode()


def _same(values: Values, other: Values) -> bool:
    if isinstance(values, Text) and isinstance(other, Text):
        place = {word: i for i, word in enumerate(other.words)}
        table = np.array([*(place.get(word, -2) for word in values.words), -1])
        return bool((table[values.codes] == other.codes).all())
    return (
        isinstance(values, np.ndarray)
        and isinstance(other, np.ndarray)
        and np.array_equal(values, other, equal_nan=True)
    )


class _Found:
    """One column while its kind is found."""

    def __init__(self, frame: Frame, name: str, source: object, notes: list[str]) -> None:
        self.frame, self.name, self.source, self.notes = frame, name, source, notes

    def note(self, text: str) -> None:
        self.notes.append(f"{self.name}: {text}")

    def refusal(self, rows: NDArray[np.bool_], expected: str, got: str, remedy: str) -> DataError:
        """The refusal of the first of these rows."""
        row = self.frame.first_row + int(rows.argmax())
        return DataError(f"{self.source}, row {row}, column {self.name!r}: expected {expected}, got {got}; {remedy}")

    def column(self, values: NDArray[np.float64] | Text, wish: Override | None) -> Column | None:
        """The kind found or asked for; None where the column is left out."""
        missing = values.codes < 0 if isinstance(values, Text) else np.isnan(values)
        if missing.all():
            self.note("left out: no row holds a value")
            return None
        gaps = bool(missing.any())
        if isinstance(values, Text):
            if wish is None:
                return self.words(values, gaps)
            if wish.kind in CODED:
                return self.coded(values, wish, gaps)
            values = self.numbers(values, wish.kind)
        large = np.abs(values) > LARGEST
        if large.any():
            got = word_of(values[large.argmax()])
            raise self.refusal(
                large,
                f"a finite number of at most {LARGEST:g} in size",
                got,
                "correct the value, rescale, or drop the row",
            )
        if wish is not None and wish.kind in CODED:
            return self.coded(as_words(values), wish, gaps)
        present = values[~missing] + 0.0  # -0.0 is no other value than 0.0
        if wish is not None:
            return self.asked(values, present, wish, gaps)
        return self.number(values, present, gaps)

    # ── Words ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def words(self, text: Text, gaps: bool) -> Column | None:
        counts, values = text.counts, text.as_numbers
        kinds, rows = int((counts > 0).sum()), int(counts.sum())
        numeric = ~np.isnan(values)
        strange = ~numeric & (counts > 0)
        # Where 01234 is among them, those that look like numbers are codes as well.
        if strange.any() and counts[numeric].sum() > rows / 2 and not any(is_code(word) for word in text.words):
            at = np.append(strange, False)[text.codes]
            word = text.words[text.codes[at.argmax()]]
            remedy = f"correct it, say that it is a missing value (missing={word!r}), or that all are words ({self.name}=categorical)"
            raise self.refusal(at, "a number, as in most rows", repr(word), remedy)
        if kinds > MANY_WORDS or (rows >= ROWS and kinds > rows / 2):
            self.note(f"left out: {kinds:,} different words in {rows:,} rows ({self.name}=categorical keeps it)")
            return None
        return self.coded(text, Override("categorical", None), gaps)

    def coded(self, text: Text, wish: Override, gaps: bool) -> Column:
        seen = [word for word, count in zip(text.words, text.counts, strict=True) if count]
        ranks = wish.ranks() if wish.kind == "ordinal" else ()
        if ranks:
            spelled = {spelled_out(word) for word in ranks}
            strange = np.array([spelled_out(word) not in spelled for word in text.words] + [False])[text.codes]
            if strange.any():
                word = text.words[text.codes[strange.argmax()]]
                raise self.refusal(strange, f"one of {listed(ranks)}", repr(word), "name every word in its rank")
            return Column(self.name, "ordinal", categories=ranks, gaps=gaps)
        values = [number(word) for word in seen]
        if all(value is not None for value in values):
            order = sorted(range(len(seen)), key=lambda i: (values[i], seen[i]))
            words = tuple(seen[i] for i in order)
        elif wish.kind == "ordinal":
            raise DataError(
                f"kinds: column {self.name!r}: ordinal expects its words in their order, got none; write {self.name}=ordinal(small<large)"
            )
        else:
            words = tuple(sorted(seen))
        if len(words) == 1:
            self.note(f"{words[0]} in every row that has a value" + ("" if gaps else ": it adds no nats"))
        return Column(self.name, "ordinal" if wish.kind == "ordinal" else "categorical", categories=words, gaps=gaps)

    def numbers(self, text: Text, kind: str) -> NDArray[np.float64]:
        values = np.append(text.as_numbers, np.nan)[text.codes]
        strange = np.isnan(values) & (text.codes >= 0)
        if strange.any():
            word = text.words[text.codes[strange.argmax()]]
            raise self.refusal(
                strange, f"a number, since {self.name}={kind}", repr(word), "correct it, or name it as missing"
            )
        return values

    # ── Numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def number(self, values: NDArray[np.float64], present: NDArray[np.float64], gaps: bool) -> Column:
        distinct = np.unique(present)
        if len(distinct) <= 2:
            return self.coded(as_words(values), Override("categorical", None), gaps)
        if _whole(present):
            return Column(self.name, "integer", 0.0 if distinct[0] >= 0 else None, step=1.0, gaps=gaps)
        step, atoms = self.repeats(present)
        rest = present[~np.isin(present, atoms)]
        if distinct[0] >= 0 and distinct[-1] <= 1 and distinct[0] <= NEAR and distinct[-1] >= 1 - NEAR:
            return self.bounded(present, 0.0, 1.0, step, atoms, gaps)
        zeros = step is None and distinct[0] == 0
        above = rest[rest > 0] if zeros else rest
        lowest = 0.0 if step is None else step / 2  # a cell that reaches below 0 has no logarithm
        if len(above) > 2 and above.min() > lowest and distinct[0] >= 0 and _log_is_better(above):
            return self.positive(present, step, atoms, gaps)
        return Column(self.name, "real", step=step, atoms=self.said(present, atoms), gaps=gaps)

    def asked(self, values: NDArray[np.float64], present: NDArray[np.float64], wish: Override, gaps: bool) -> Column:
        def refuse(bad: NDArray[np.bool_], expected: str) -> None:
            if bad.any():
                remedy = f"correct the value, or say another kind than {self.name}={wish.kind}"
                raise self.refusal(bad, expected, word_of(values[bad.argmax()]), remedy)

        if wish.kind == "integer":
            refuse(~np.isnan(values) & (values != np.rint(values)), "a whole number")
            return Column(self.name, "integer", 0.0 if present.min() >= 0 else None, step=1.0, gaps=gaps)
        step, atoms = (1.0, ()) if _whole(present) and len(np.unique(present)) > 1 else self.repeats(present)
        if wish.kind == "real":
            return Column(self.name, "real", step=step, atoms=self.said(present, atoms), gaps=gaps)
        if wish.kind == "positive":
            refuse(values < 0, "a value of at least 0")
            if step is not None and present.min() < step / 2:
                bad = values < step / 2
                raise self.refusal(
                    bad,
                    f"values of at least half a step of {step:g}",
                    word_of(values[bad.argmax()]),
                    "say integer or real",
                )
            return self.positive(present, step, atoms, gaps)
        low, high = wish.ends(self.name)
        if wish.kind == "bounded":
            refuse((values < low) | (values > high), f"a value in [{low:g}, {high:g}]")
            return self.bounded(present, low, high, step, atoms, gaps)
        refuse((values < low) | (values > high), f"a value on the circle [{low:g}, {high:g})")
        return Column(self.name, "circular", low, high, step, atoms=self.said(present, atoms), gaps=gaps)

    def positive(
        self, present: NDArray[np.float64], step: float | None, atoms: tuple[float, ...], gaps: bool
    ) -> Column:
        """A positive column; 0 has no logarithm, and is an atom however few rows hold it."""
        return Column(self.name, "positive", 0.0, step=step, atoms=self.ended(present, step, atoms, (0.0,)), gaps=gaps)

    def bounded(
        self,
        present: NDArray[np.float64],
        low: float,
        high: float,
        step: float | None,
        atoms: tuple[float, ...],
        gaps: bool,
    ) -> Column:
        """A bounded column; its ends have no logit, and are atoms however few rows hold them."""
        return Column(
            self.name, "bounded", low, high, step, atoms=self.ended(present, step, atoms, (low, high)), gaps=gaps
        )

    def ended(
        self, present: NDArray[np.float64], step: float | None, atoms: tuple[float, ...], ends: tuple[float, ...]
    ) -> tuple[float, ...]:
        held = () if step is not None else tuple(end for end in ends if bool((present == end).any()))
        return self.said(present, tuple(sorted({*atoms, *held})))

    def repeats(self, present: NDArray[np.float64]) -> tuple[float | None, tuple[float, ...]]:
        """The step of values that repeat, or the values that many rows share."""
        found = repeated(present)
        if found.step is not None and not found.equal:
            self.note(
                f"its values repeat without equal steps: a value counts as its cell of {found.step:g}, the middle gap"
            )
        return found.step, found.atoms

    def said(self, present: NDArray[np.float64], atoms: tuple[float, ...]) -> tuple[float, ...]:
        """The atoms, with a note that says how many rows hold each."""
        if atoms:
            shares = [f"{word_of(a)} ({(present == a).mean():.1%})" for a in atoms]
            more = f" and {len(shares) - 4} more" if len(shares) > 4 else ""
            self.note(f"many rows share a value, which has a probability of its own: {', '.join(shares[:4])}{more}")
        return atoms


def _whole(values: NDArray[np.float64]) -> bool:
    return bool((np.abs(values) < WHOLE).all() and (values == np.rint(values)).all())


def _log_is_better(values: NDArray[np.float64]) -> bool:
    skew = _skewness(values)
    return skew > SKEWED and abs(_skewness(np.log(values))) < skew / 2


def _skewness(values: NDArray[np.float64]) -> float:
    spread = float(values.std())
    if not math.isfinite(spread) or spread == 0:
        return 0.0
    return float((((values - values.mean()) / spread) ** 3).mean())
