"""Plain tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Columns two spaces apart; those in ``right`` are aligned on the right."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def scores_table(result: dict[str, object]) -> str:
    """The scores of a result, with unit, standard error and kind."""
    rows = []
    for score in result["scores"]:  # type: ignore[attr-defined]
        error = "" if score["stderr"] is None else f"± {score['stderr']:.5f}"
        rows.append((score["split"], score["name"], f"{score['value']:.5f}", error, score["unit"], score["kind"]))
    return table(("split", "score", "value", "s.e.", "unit", "kind"), rows, right=(2,))
