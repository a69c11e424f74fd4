"""The certificate of a run: its laws, checked on its own weights and rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..models.base import ExactModel
from ..testing import Check, check_exact
from .record import FORMAT
from .run import load

#: Rows of the test split on which the laws are checked.
ROWS = 512


def certify(path: Path, *, data: Path | None = None, recipe: Path | None = None) -> dict[str, Any]:
    """Check every law on the run at ``path`` and write its verify.json; returns what was written."""
    loaded = load(path, recipe)
    if not isinstance(loaded.model, ExactModel):
        raise InputError(f"{path}: {type(loaded.model).__name__} has no exact density to certify")
    rows = loaded.splits(data).test.select(slice(0, ROWS))
    context = None if rows.context is None else rows.context.double()
    checks = check_exact(loaded.model, rows.x.double(), context, seed=int(loaded.record.settings["seed"]))
    certificate = {"format": FORMAT, "step": loaded.step, "checks": [_as_dict(check) for check in checks]}
    loaded.record.save_json("verify.json", certificate)
    return certificate


def _as_dict(check: Check) -> dict[str, Any]:
    figure = (
        check.figure if math.isfinite(check.figure) else None
    )  # JSON has no NaN; a figure that is none never passed
    return {"law": check.law, "figure": figure, "bound": check.bound, "passed": check.passed, "note": check.note}
