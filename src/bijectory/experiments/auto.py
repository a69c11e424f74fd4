"""The recipe that fits what a person has: pictures or a table, by a look at the path alone."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data.archives import npz_faults
from ..data.frame_files import FRAME_ENDINGS
from ..data.kinds import Column
from ..errors import DataError

#: Where there are more axes than rows and columns, an array holds pictures.
PICTURE_AXES = 3


def recipe_for(data: Path) -> tuple[str, list[str]]:
    """The name of the recipe for ``data`` and the knobs that hand it over.

    ``table`` for a file of a table (see `data.frame_files.read_frame`), a folder of Parquet files or an .npz of columns; ``pictures`` for
    any other folder or .npz. Raises DataError for nothing of that name, or any other file.
    """
    if not data.exists():
        raise DataError(
            f"{data}: expected a table, or a folder or .npz of pictures, found nothing of that name; check the path"
        )
    knobs = [f"data={data.resolve()}"]
    if data.is_dir():
        return ("table" if next(data.rglob("*.parquet"), None) is not None else "pictures"), knobs
    name = data.name.lower()
    if name.endswith(".npz"):
        return ("table" if _axes(data) < PICTURE_AXES else "pictures"), knobs
    if not name.endswith(FRAME_ENDINGS):
        raise DataError(
            f"{data}: expected a table ({', '.join(FRAME_ENDINGS)}), or a folder or .npz of pictures, got another file; convert the table, "
            "or put the pictures into a folder and name that"
        )
    return "table", knobs


def _axes(path: Path) -> int:
    """The most axes that an array of an archive has, by its head: no array is read."""
    most = 0
    with npz_faults(path, "the archive"), zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                version = np.lib.format.read_magic(member)
                head = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                most = max(most, len(head(member)[0]))
    return most


#: Tables of fewer rows than the first can spare none to stop by; of fewer than the second several small networks know more than one.
FEWEST, FEW = 40, 5_000
#: No budget makes it fewer steps.
LEAST_STEPS = 100
#: Of a step on one core: seconds whatever its size, and multiplications a second, measured on the tables of benchmarks/small_tables.py.
OVERHEAD, MULTIPLICATIONS = 4e-3, 5e10


class TableSize(NamedTuple):
    """How large a model of a table is, and how it trains: what ``choose_table`` says by what the table is."""

    hidden: int
    blocks: int
    components: int
    knots: int
    members: int
    dropout: float
    steps: int
    batch: int
    rate: float
    weight_decay: float


def choose_table(rows: int, columns: Sequence[Column], *, minutes: float) -> TableSize:
    """The model of a table of so many training rows, and a training of at most so many minutes on a core.

    Few rows: several small networks, each stopped by rows of its own; many: one large. The minutes are worked out from multiplications, not
    measured, so that the same table always gets the same.
    """
    if rows < FEWEST:
        size = TableSize(32, 1, 2, 0, 1, 0.0, 100, 64, 8e-3, 0.1)
    elif rows < FEW:
        size = TableSize(64, 1, 4, 8, 4, 0.0, 600, 64, 8e-3, 0.1)
    else:
        size = TableSize(256, 2, 12, 32, 1, 0.0, 1_000, 512, 4e-3, 1e-2)
    allowed = 60 * minutes / (size.members * _step_seconds(size, columns))
    return size._replace(steps=max(LEAST_STEPS, min(size.steps, round(allowed))))


def _step_seconds(size: TableSize, columns: Sequence[Column]) -> float:
    """About how long a step of one network takes on a core."""
    words = sum(len(column.categories) + len(column.atoms) + column.gaps for column in columns)
    numbers = sum(not column.coded for column in columns)
    reads, outputs = words + numbers * (1 + size.knots), words + numbers * 3 * size.components
    weights = size.hidden * (reads + 2 * size.blocks * size.hidden + outputs) + reads * outputs
    return OVERHEAD + 6 * size.batch * weights / MULTIPLICATIONS
