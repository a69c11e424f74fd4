"""Kinds of columns as a person writes them: hour=circular(0,24), size=ordinal(small<large), id=ignore."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import DataError
from .columns import number
from .kinds import KINDS

_FORM = re.compile(r"(\w+)\s*(?:\((.*)\))?", re.DOTALL)
_WRITE = "real, positive, bounded(0,1), circular(0,24), integer, ordinal(small<large), categorical or ignore"


class Override(NamedTuple):
    """A kind as a person writes it, and what stands in its brackets."""

    kind: str
    inside: str | None = None

    def ends(self, name: str) -> tuple[float, float]:
        """The two ends in the brackets of a bounded or circular column."""
        found = [number(part) for part in (self.inside or "").split(",")]
        if len(found) != 2 or found[0] is None or found[1] is None:
            raise DataError(f"kinds: column {name!r}: {self.kind} expects its two ends; write {name}={self.kind}(0,1)")
        return found[0], found[1]

    def ranks(self) -> tuple[str, ...]:
        """The words in the brackets of an ordinal column, in their order; none where there are no brackets."""
        return () if self.inside is None else tuple(word.strip() for word in self.inside.split("<"))


def parse_kinds(text: str) -> dict[str, str]:
    """Overrides as they stand on a command line, as a mapping of names to kinds; commas in brackets do not part them.

    Raises:
        DataError: a part without '=', a name that stands twice.

    Example:
        >>> parse_kinds("hour=circular(0,24), id=ignore")
        {'hour': 'circular(0,24)', 'id': 'ignore'}
    """
    found: dict[str, str] = {}
    for part in _parts(text):
        name, equals, kind = (piece.strip() for piece in part.partition("="))
        if not equals or not name:
            raise DataError(f"kinds: expected NAME=KIND, parted by commas, got {part.strip()!r}; KIND is {_WRITE}")
        if name in found:
            raise DataError(f"kinds: the column {name!r} stands twice; say once what it is")
        found[name] = kind
    return found


def _parts(text: str) -> list[str]:
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part.strip()]


def read_override(name: str, text: str) -> Override:
    """The kind that a person says a column is; DataError lists what there is."""
    match = _FORM.fullmatch(text.strip())
    kind = match[1] if match else text
    if match is None or kind not in {*KINDS, "ignore"} - {"copy"}:
        raise DataError(f"kinds: column {name!r}: there is no kind {text!r}; write {_WRITE}")
    return Override(kind, match[2])
