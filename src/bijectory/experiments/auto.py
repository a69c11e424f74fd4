"""The recipe that fits what a person has: pictures or a table, by a look at the path alone."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError

#: Endings of tables, which have no recipe yet.
TABLES = (".csv", ".tsv", ".parquet")


def recipe_for(data: Path) -> tuple[str, list[str]]:
    """The name of the recipe for ``data`` and the knobs that hand it over: ``pictures`` for a folder of them or an .npz.

    Raises DataError for nothing of that name, a table (there is no recipe for one yet), or any other file.
    """
    if not data.exists():
        raise DataError(
            f"{data}: expected a folder of pictures or an .npz of them, found nothing of that name; check the path"
        )
    if data.is_dir() or data.suffix.lower() == ".npz":
        return "pictures", [f"data={data.resolve()}"]
    if data.suffix.lower() in TABLES:
        raise DataError(
            f"{data}: expected a folder of pictures or an .npz of them, got a table, for which there is no recipe yet; write one of your "
            "own and train that: bijectory train ./mine.py"
        )
    raise DataError(
        f"{data}: expected a folder of pictures or an .npz of them, got a file; put the pictures into a folder and name that"
    )
