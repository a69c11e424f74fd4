"""Tables given back in the form in which they came: arrays, or frames of pandas and polars, of which none is imported before."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..data.frames import Frame, Text


def form_of(X: Any) -> str:
    """What kind of table this is: 'pandas', 'polars', 'mapping' or 'array'."""
    library = type(X).__module__.split(".")[0]
    if library in ("pandas", "polars"):
        return library
    return "mapping" if isinstance(X, Mapping) else "array"


def in_form(frame: Frame, names: tuple[str, ...], form: str) -> Any:
    """The frame as such a table with these columns, those that it lacks empty; words are objects, None where they are missing."""
    columns: dict[str, Any] = {}
    for name in names:
        values = frame.column(name) if name in frame.names else np.full(len(frame), np.nan)
        columns[name] = values.listed() if isinstance(values, Text) else np.asarray(values)
    if form in ("pandas", "polars"):
        return importlib.import_module(form).DataFrame(columns)
    arrays = {
        name: np.array(values, dtype=object) if isinstance(values, list) else values for name, values in columns.items()
    }
    if form == "mapping":
        return arrays
    words = any(isinstance(values, list) for values in columns.values())
    return np.stack([values.astype(object) if words else values for values in arrays.values()], 1)
