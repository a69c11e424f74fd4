"""The contract that every map and model here keeps, for maps and models of yours: ``check_transform``, ``check_exact``, ``check_bound``,
``check_estimate``.

Each gives a list of :class:`Check`: a law, the figure measured, the bound it has to stay below, and how it was measured. The laws can
be used alone: ``transform_laws``, ``model_laws``, ``bound_laws`` and ``estimate_laws`` name those that apply.
"""

from __future__ import annotations

from .bounds import bound_laws, check_bound
from .checks import Check
from .contract import check_exact, check_transform, model_laws, transform_laws
from .estimates import check_estimate, estimate_laws

__all__ = [
    "Check",
    "bound_laws",
    "check_bound",
    "check_estimate",
    "check_exact",
    "check_transform",
    "estimate_laws",
    "model_laws",
    "transform_laws",
]
