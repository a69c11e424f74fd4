"""Plain tables for a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..data.frames import Frame
    from ..experiments.images import Given
    from ..experiments.typed import Reading


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


def handed(frames: Iterable[Frame], output: Path | None, as_json: bool = False) -> None:
    """Rows of a table to a file, which appears whole or not at all, or to standard output as CSV or JSON."""
    from ..data.frame_files import write_frames
    from ..data.frames import Text, usable
    from ..data.frames_csv import write_csv_text
    from ..experiments.json_files import without_nan

    if output is not None:
        write_frames(output, frames)
    elif not as_json:
        write_csv_text("standard output", sys.stdout, frames)
    else:
        rows = []
        for frame in frames:
            held = [usable("standard output", column) for column in frame.columns]
            columns = [
                c.listed() if isinstance(c, Text) else [int(v) if v.is_integer() else v for v in c.tolist()]
                for c in held
            ]
            rows += [dict(zip(frame.names, row, strict=True)) for row in zip(*columns, strict=True)]
        click.echo(json.dumps(without_nan(rows), indent=2))


def told_rows(reading: Reading, used: str) -> None:
    """Say on standard error which rows of a person's table were left out."""
    for reason in reading.refusals:
        click.echo(f"bijectory: left out: {reason}", err=True)
    if reading.refused:
        click.echo(f"bijectory: {reading.refused:,} rows left out, {reading.used:,} {used}", err=True)


def told_ignored(data: Path, names: Sequence[str]) -> None:
    """Say on standard error which columns of a person's table nobody asked for."""
    if names:
        click.echo(f"bijectory: {data}: columns the model does not know are left out: {', '.join(names)}", err=True)


def _plain(value: float) -> str:
    return f"{value:.5f}" if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"
