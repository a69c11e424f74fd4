"""Plain tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..experiments.images import Given


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Columns two spaces apart; those in ``right`` are aligned on the right."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]

    def laid(line: list[str]) -> str:
        cells = zip(line, widths, strict=True)
        return "  ".join(cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(cells)).rstrip()

    return "\n".join(laid(line) for line in lines)


def scores_table(result: dict[str, Any]) -> str:
    """The scores of a result, with unit, standard error and kind."""
    rows = [
        (s["split"], s["name"], _plain(s["value"]), f"± {_plain(s['stderr'])}", s["unit"], s["kind"])
        for s in result["scores"]
    ]
    return table(("split", "score", "value", "s.e.", "unit", "kind"), rows, right=(2,))


def told(given: Given) -> None:
    """Say on standard error what was done to a person's pictures, and which were left out."""
    for words, count in given.done.items():
        click.echo(f"bijectory: {count:,} pictures {words}", err=True)
    for path, reason in given.skipped:
        click.echo(f"bijectory: left out: {reason if str(path) in reason else f'{path}: {reason}'}", err=True)
    if given.skipped:
        click.echo(f"bijectory: {len(given.skipped):,} files left out, {len(given.names):,} used", err=True)


def _plain(value: float) -> str:
    return f"{value:.5f}" if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"
