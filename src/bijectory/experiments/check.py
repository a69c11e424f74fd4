"""The certificate of a run: its laws, checked on its own weights and rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..models.base import BoundModel, ColumnModel, EstimateModel, ExactModel
from ..testing import Check, check_bound, check_columns, check_estimate, check_exact
from .record import FORMAT
from .use import load

#: Rows of the test split on which the laws are checked; of pictures fewer, so that a law takes seconds and not minutes.
ROWS, NUMBERS, FEW = 512, 2**16, 64


def certify(path: Path, *, data: Path | None = None, recipe: Path | None = None) -> dict[str, Any]:
    """Check every law on the run at ``path`` and write its verify.json; returns what was written."""
    loaded = load(path, recipe)
    model, seed = loaded.model, int(loaded.record.settings["seed"])
    dims = math.prod(model.event_shape)
    rows = loaded.splits(data).test.select(slice(0, max(FEW, min(ROWS, NUMBERS // dims))))
    context = None if rows.context is None else rows.context.double()
    if isinstance(model, BoundModel):
        checks = check_bound(model, rows.x, context=context, seed=seed)
    elif isinstance(model, EstimateModel):
        checks = check_estimate(model, rows.x.double(), context=context, seed=seed)
    elif isinstance(model, ColumnModel):
        checks = check_columns(model, rows.x.double(), context, seed=seed)
    elif isinstance(model, ExactModel):
        checks = check_exact(model, rows.x.double(), context, seed=seed)
    else:
        raise InputError(f"{path}: {type(model).__name__} has no likelihood to certify")
    certificate = {"format": FORMAT, "step": loaded.step, "checks": [_as_dict(check) for check in checks]}
    loaded.record.save_json("verify.json", certificate)
    return certificate


def _as_dict(check: Check) -> dict[str, Any]:
    figure = (
        check.figure if math.isfinite(check.figure) else None
    )  # JSON has no NaN; a figure that is none never passed
    return {"law": check.law, "figure": figure, "bound": check.bound, "passed": check.passed, "note": check.note}
