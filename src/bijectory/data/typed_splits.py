"""A person's table as training, validation and test rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from ..errors import DataError
from ..numerics.seeds import seed_for
from .columns import listed
from .encoding import encode
from .frames import Frame
from .kinds import Column
from .splits import Rows, Splits


def table_splits(
    frame: Frame,
    kinds: Sequence[Column],
    seed: int,
    *,
    name: str = "table",
    context: Sequence[str] = (),
    notes: Sequence[str] = (),
    shares: tuple[float, float, float] = (0.7, 0.1, 0.2),
) -> Splits:
    """A table's rows as training, validation and test rows in float64, drawn by the seed; columns of ``context`` are given to the others.

    Raises:
        DataError: rows that `encode` refuses, fewer than 10 rows, shares that are no parts of 1, a context that is not there or that holds
            a copy of what is to be modelled.
    """
    if not math.isclose(sum(shares), 1) or min(shares) <= 0:
        raise DataError(f"shares: expected three parts above 0 that add up to 1, got {shares}")
    if len(frame) < 10:
        raise DataError(
            f"{name}: expected at least 10 rows, which is 7 to train, 1 to choose weights by and 2 to test, got {len(frame)}"
        )
    given, modelled = _divided(kinds, context, name)
    x = torch.from_numpy(encode(frame, modelled, source=name).matrix)
    c = torch.from_numpy(encode(frame, given, source=name).matrix) if given else None
    order = torch.from_numpy(np.random.default_rng(seed_for(seed, "table", name)).permutation(len(x)))
    test, held = max(1, round(shares[2] * len(x))), max(1, round(shares[1] * len(x)))
    parts = order[test + held :], order[test : test + held], order[:test]
    train, chosen, tested = (Rows(x[part], None if c is None else c[part]) for part in parts)
    return Splits(
        train,
        chosen,
        tested,
        tuple(kind.name for kind in modelled),
        name,
        notes=tuple(notes),
        context_columns=tuple(kind.name for kind in given),
        kinds=tuple(modelled),
        context_kinds=tuple(given),
    )


def _divided(kinds: Sequence[Column], context: Sequence[str], name: str) -> tuple[list[Column], list[Column]]:
    """The kinds of the context and those of the other columns, in the table's order."""
    place = {kind.name: kind for kind in kinds}
    for column in context:
        if column not in place:
            raise DataError(f"context: there is no column {column!r} in {name}; it has {listed(tuple(place))}")
    given, modelled = ([kind for kind in kinds if (kind.name in context) == inside] for inside in (True, False))
    if not modelled:
        raise DataError(
            f"context: expected a column of {name} that is not in it, got all; leave out what is to be modelled"
        )
    for kind in (*given, *modelled):
        if kind.of is not None and (kind in given) != (place[kind.of] in given):
            raise DataError(
                f"context: {kind.name!r} repeats {kind.of!r}, and one gives the other away; leave {kind.name!r} out ({kind.name}=ignore)"
            )
    return given, modelled
