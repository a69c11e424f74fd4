"""The contract that every map and model here keeps, for maps and models of yours: ``check_transform``, ``check_exact``, ``check_bound``,
``check_estimate``, ``check_columns``.

Each gives a list of :class:`Check`: a law, the figure measured, the bound it has to stay below, and how it was measured. The laws can
be used alone: ``transform_laws``, ``model_laws``, ``bound_laws``, ``estimate_laws`` and ``column_laws`` name those that apply.
"""

from __future__ import annotations

from .bounds import bound_laws, check_bound
from .checks import Check
from .contract import check_exact, check_transform, model_laws, transform_laws
from .estimates import check_estimate, estimate_laws
from .tables import check_columns, column_laws

__all__ = [
    "Check",
    "bound_laws",
    "check_bound",
    "check_columns",
    "check_estimate",
    "check_exact",
    "check_transform",
    "column_laws",
    "estimate_laws",
    "model_laws",
    "transform_laws",
]
