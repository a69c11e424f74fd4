"""The joint density of a person's own table: numbers, counts, words and gaps as they stand.

    bijectory fit people.csv
    bijectory fit people.csv kinds="hour=circular(0,24), size=ordinal(small<medium<large)" order=age minutes=1

Kinds of columns, model and budget are chosen by what is there, and said. What was chosen is recorded with the run.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from ..data.fingerprint import fingerprint
from ..data.frame_files import read_frame
from ..data.frames import Frame
from ..data.inference import infer_columns
from ..data.overrides import parse_kinds
from ..errors import DataError, InputError
from ..experiments.auto import TableSize, choose_table
from ..experiments.recipe import Recipe
from ._typed import SMOKE, typed_recipe


def table(
    *,
    data: Path | None = None,
    kinds: str = "",
    missing: tuple[str, ...] = (),
    columns: tuple[str, ...] = (),
    order: tuple[str, ...] = (),
    minutes: float = 3.0,
    hidden: int | None = None,
    blocks: int | None = None,
    components: int | None = None,
    knots: int | None = None,
    members: int | None = None,
    dropout: float | None = None,
    steps: int | None = None,
    batch: int | None = None,
    rate: float | None = None,
    weight_decay: float | None = None,
    checksum: str | None = None,
    smoke: bool = False,
) -> Recipe:
    """The density of a table's rows, its model chosen by rows, columns and kinds.

    data: .csv or .tsv (also .gz), .parquet or a folder of them, or .npz
    kinds: what some columns are, such as "age=integer, hour=circular(0,24), size=ordinal(s<m<l), share=bounded(0,1), id=ignore"
    missing: words that stand for a missing value, besides empty fields, NA, NaN, null, None and ?
    columns: names of the columns of a CSV without a header
    order: columns that come first in the product, on which the others are then conditioned exactly; none for words first
    minutes: what training may take on two cores; chooses model and steps where they are none
    hidden: width of the network
    blocks: residual blocks of the network
    components: logistics of each value's mixture
    knots: pieces of what the network reads of a number
    members: networks whose densities are averaged
    dropout: share of each block's inner units that a step leaves out
    steps: updates
    batch: rows an update
    rate: Adam's learning rate at its highest
    weight_decay: AdamW's
    checksum: written by the run, of the file's content: a table that changed would be split otherwise, and is refused
    smoke: a run of seconds on generated rows, to see that everything works
    """
    if minutes <= 0:
        raise InputError(f"minutes: expected more than 0, got {minutes:g}")
    asked = parse_kinds(kinds) if kinds else {}
    values = (hidden, blocks, components, knots, members, dropout, steps, batch, rate, weight_decay)
    own = {name: value for name, value in zip(TableSize._fields, values, strict=True) if value is not None}

    @functools.cache
    def read() -> Frame:
        if data is None:
            raise DataError("data: expected a table, got none; name it: bijectory fit data.csv")
        if checksum is not None and fingerprint(data) != checksum:
            raise DataError(
                f"{data}: expected the table that this run was made with, found another content, whose rows would be split otherwise; "
                "put it back, or train anew"
            )
        words = [name for name, kind in asked.items() if kind.startswith(("categorical", "ordinal"))]
        return read_frame(data, columns=columns or None, missing=missing, words=words)

    plan, chosen = SMOKE, dict[str, object]()
    if len(own) == len(TableSize._fields):
        plan = TableSize(**own)  # type: ignore[arg-type]
    if data is not None and not smoke and checksum is None:
        # A run that is being made. One that is read back finds all of this in its knobs, and is loaded without its table.
        data = data.resolve()
        frame = read()
        found, _ = infer_columns(frame, asked, source=data.name)
        plan = choose_table(len(frame), found, minutes=minutes)._replace(**own)  # type: ignore[arg-type]
        chosen = {"data": data, "checksum": fingerprint(data), **plan._asdict()}
    recipe = typed_recipe(
        lambda folder: read(),
        plan,
        name="table" if data is None else data.name,
        kinds=asked,
        order=order,
        smoke=smoke,
    )
    return dataclasses.replace(recipe, chosen=chosen)
