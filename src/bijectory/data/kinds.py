"""What a column of a person's table holds: its kind, the values it can take, and what repeats in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import DataError

Kind = Literal["real", "positive", "bounded", "circular", "integer", "ordinal", "categorical", "copy"]
KINDS: tuple[str, ...] = get_args(Kind)
#: Kinds whose encoded values are codes 0..k−1 of words.
CODED = ("categorical", "ordinal")


@dataclass(frozen=True)
class Column:
    """One column of a typed table, small enough to stand in a run's settings.

    An encoded table is a float64 matrix (rows, columns), its columns those of the person: the value in its own unit, the code 0..k−1 of
    a word, NaN where a value is missing. A copy holds what its source holds.

    - ``low``, ``high``: a bounded or circular column lies in [low, high]; a positive one begins at 0; of an integer, the least possible.
    - ``step``: width of a value's cell [v − step/2, v + step/2] in the column's own unit (integers: 1); None where values hardly repeat.
    - ``categories``: the words of a categorical or ordinal column in the order of their codes (ordinal: of their ranks).
    - ``atoms``: values that many rows share in a column without a step; each has a probability of its own.
    - ``gaps``: whether values may be missing.
    - ``of``: the earlier column that a copy repeats, row by row.

    Raises:
        DataError: an unknown kind, or parts that contradict it.

    Example:
        >>> Column("hour", "circular", low=0, high=24, step=1).coded
        False
    """

    name: str
    kind: Kind
    low: float | None = None
    high: float | None = None
    step: float | None = None
    categories: tuple[str, ...] = ()
    atoms: tuple[float, ...] = ()
    gaps: bool = False
    of: str | None = None

    def __post_init__(self) -> None:
        fault = self._fault()
        if fault:
            raise DataError(f"column {self.name!r}: {fault}")

    @property
    def coded(self) -> bool:
        """Whether its encoded values are codes of words."""
        return self.kind in CODED

    def _fault(self) -> str | None:
        if self.kind not in KINDS:
            return f"expected a kind out of {', '.join(KINDS)}, got {self.kind!r}"
        ends = (math.nan if self.low is None else self.low, math.nan if self.high is None else self.high)
        if self.kind in ("bounded", "circular") and not -math.inf < ends[0] < ends[1] < math.inf:
            return (
                f"{self.kind} expects low < high, both finite, got {self.low} and {self.high}; write {self.kind}(0,1)"
            )
        if self.kind == "positive" and self.low not in (None, 0):
            return f"positive begins at 0, got low={self.low}; use bounded where both ends are known"
        if self.step is not None and not 0 < self.step < math.inf:
            return f"step: expected a width above 0, got {self.step}"
        if self.coded and (not self.categories or len(set(self.categories)) != len(self.categories)):
            return f"{self.kind} expects words, each once, got {list(self.categories)}"
        if not self.coded and self.categories:
            return f"words are for categorical and ordinal columns, got {len(self.categories)} for a {self.kind} one"
        if (self.kind == "copy") != (self.of is not None):
            return f"'of' names the source of a copy, and of nothing else; got of={self.of!r} for a {self.kind} column"
        return None


def check_kinds(kinds: Sequence[Column], columns: Sequence[str], what: str = "kinds") -> None:
    """Refuse kinds that do not name these columns in this order, and copies without an earlier source that is none itself."""
    if tuple(k.name for k in kinds) != tuple(columns):
        raise DataError(
            f"{what}: expected one for each of the columns {', '.join(columns)}, in this order, got {', '.join(k.name for k in kinds)}"
        )
    sources: set[str] = set()
    for kind in kinds:
        if kind.of is None:
            sources.add(kind.name)
        elif kind.of not in sources:
            raise DataError(
                f"{what}: {kind.name!r} copies {kind.of!r}, which is no earlier column; name its source, or leave it out"
            )
