"""What recipes of typed tables share: columns whose kinds are found, a model chosen by what they are, gaps and words as they stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..data.columns import listed
from ..data.frames import Frame
from ..data.inference import infer_columns
from ..data.kinds import Column
from ..data.splits import Schema, Splits
from ..data.typed_splits import table_splits
from ..data.typed_tables import GENERATED_KINDS, generated_frame
from ..errors import InputError
from ..evaluation.tables import TablePictures
from ..experiments.auto import TableSize
from ..experiments.recipe import Expect, Recipe
from ..models.table import TableModel
from ..training.fit import Budget
from ..training.objectives.members import maximum_members_likelihood
from ..training.schedule import warmup_cosine

#: Of a smoke run: small enough for seconds.
SMOKE = TableSize(
    hidden=16, blocks=1, components=2, knots=4, members=1, dropout=0.0, steps=20, batch=64, rate=4e-3, weight_decay=0.01
)
#: Weights are averaged over about so many of the last steps, the share of a run's.
AVERAGED = 20


def typed_recipe(
    read: Callable[[Path | None], Frame],
    size: TableSize,
    *,
    name: str,
    kinds: Mapping[str, str],
    order: tuple[str, ...] = (),
    expect: Expect | None = None,
    smoke: bool,
) -> Recipe:
    """An exact density of a table's rows.

    ``order`` names the columns that come first in the product, on which others are then conditioned exactly.
    """
    plan = SMOKE if smoke else size

    def splits(folder: Path | None, seed: int) -> Splits:
        frame = generated_frame(300, seed) if smoke else read(folder)
        found, said = infer_columns(frame, GENERATED_KINDS if smoke else kinds, source=name)
        return table_splits(frame, found, seed, name=name, notes=(*said, _words(plan)))

    def model(schema: Schema) -> TableModel:
        return TableModel(
            schema.kinds,
            context_columns=schema.context_kinds,
            hidden=plan.hidden,
            blocks=plan.blocks,
            components=plan.components,
            knots=plan.knots,
            members=plan.members,
            dropout=plan.dropout,
            order=None if smoke or not order else first_of(order, schema.kinds),
        )

    return Recipe(
        data=splits,
        model=model,
        objective=lambda model: maximum_members_likelihood(
            model,
            rate=plan.rate,
            schedule=warmup_cosine(plan.steps, warmup=min(100, plan.steps // 10)),
            clip=5.0,
            weight_decay=plan.weight_decay,
            average=1 - AVERAGED / max(plan.steps, 2 * AVERAGED),
        ),
        budget=Budget(steps=plan.steps, batch=plan.batch),
        evaluators=lambda model, splits: [TablePictures(model, splits, small=smoke)],
        looks=20,
        expect=None if smoke else expect,
    )


def first_of(names: Sequence[str], columns: Sequence[Column]) -> list[int]:
    """An order that begins with these columns; then words, then numbers. InputError for a name that is not there, or stands twice."""
    known = [column.name for column in columns]
    for i, name in enumerate(names):
        if name not in known or name in names[:i]:
            raise InputError(f"order: expected names of columns, each once, out of {listed(known)}; got {name!r}")
    first = [known.index(name) for name in names]
    rest = sorted((i for i in range(len(known)) if i not in first), key=lambda i: columns[i].kind != "categorical")
    return [*first, *rest]


def _words(size: TableSize) -> str:
    members = f"{size.members} networks" if size.members > 1 else "a network"
    return (
        f"{members} of {size.blocks} blocks of {size.hidden} units, {size.components} logistics for each value: {size.steps:,} updates of "
        f"{size.batch} rows"
    )
